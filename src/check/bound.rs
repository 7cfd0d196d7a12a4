//! Comparisons with a number, as people write them: `">= 3"`, `3`, `"!= 0"`, and for shares `">= 95%"`.

use std::fmt;
use std::str::FromStr;

use super::{Bound, Comparison};

/// Why a text is not a comparison with a number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// Neither a number nor one behind a sign.
    #[error("`{}` is not a comparison with a number, as `>= 3`, `< 10`, `!= 0` or `3` is one", text.escape_debug())]
    Syntax {
        /// The text.
        text: String,
    },
    /// Percent of what?
    #[error("`{}` is in percent, which only a share can be", text.escape_debug())]
    Percent {
        /// The text.
        text: String,
    },
    /// A share without its sign, which could mean 0.95 as well as 95.
    #[error("`{}` is not a share, which is written in percent, as in `>= 95%`", text.escape_debug())]
    NoPercent {
        /// The text.
        text: String,
    },
}

impl Comparison {
    /// All of them, the longer signs first.
    const ALL: [Self; 6] = [Self::NotEqual, Self::AtMost, Self::AtLeast, Self::Equal, Self::Less, Self::More];

    /// Returns the sign.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Equal => "",
            Self::NotEqual => "other than ",
            Self::Less => "fewer than ",
            Self::AtMost => "at most ",
            Self::More => "more than ",
            Self::AtLeast => "at least ",
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.sign())
    }
}

impl Bound {
    /// Says whether a number is as the comparison wants it.
    pub fn holds(self, number: f64) -> bool {
        match self.comparison {
            Comparison::Equal => number == self.number,
            Comparison::NotEqual => number != self.number,
            Comparison::Less => number < self.number,
            Comparison::AtMost => number <= self.number,
            Comparison::More => number > self.number,
            Comparison::AtLeast => number >= self.number,
        }
    }

    /// Reads a bound in percent, as shares have it: the sign `%` must be there.
    pub fn parse_percent(text: &str) -> Result<Self, BoundError> {
        match text.trim().strip_suffix('%') {
            Some(bare) => bare.parse().map_err(|_| BoundError::Syntax { text: text.to_owned() }),
            None => Err(BoundError::NoPercent { text: text.to_owned() }),
        }
    }

    /// Returns it in words, for the middle of a sentence: `at least 3`.
    pub(super) fn in_words(self) -> String {
        format!("{}{}", self.comparison.words(), self.number)
    }
}

impl FromStr for Bound {
    type Err = BoundError;

    fn from_str(text: &str) -> Result<Self, BoundError> {
        let syntax = || BoundError::Syntax { text: text.to_owned() };
        let trimmed = text.trim();
        if trimmed.ends_with('%') {
            return Err(BoundError::Percent { text: text.to_owned() });
        }
        let signed = Comparison::ALL.iter().find_map(|&sign| Some((sign, trimmed.strip_prefix(sign.sign())?)));
        let (comparison, number) = signed.unwrap_or((Comparison::Equal, trimmed));
        let number = number.trim_start();
        // Not `inf` or `nan`, which Rust reads as numbers.
        if !number.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
            return Err(syntax());
        }
        match number.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Self { comparison, number }),
            _ => Err(syntax()),
        }
    }
}

/// The sign and the number: `>= 3`.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.comparison, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        for (text, expected) in [
            ("3", "= 3"),
            ("= 3", "= 3"),
            (" >= 3 ", ">= 3"),
            (">=3", ">= 3"),
            ("<10", "< 10"),
            ("<= -1.5", "<= -1.5"),
            ("> 1e3", "> 1000"),
            ("!= 0", "!= 0"),
        ] {
            let bound: Bound = text.parse().expect(text);
            assert_eq!(bound.to_string(), expected, "{text}");
            assert_eq!(expected.parse(), Ok(bound), "what is written is read again");
        }
        for (text, message) in [
            ("", "`` is not a comparison with a number, as `>= 3`, `< 10`, `!= 0` or `3` is one"),
            ("=> 3", "`=> 3` is not a comparison with a number, as `>= 3`, `< 10`, `!= 0` or `3` is one"),
            ("some", "`some` is not a comparison with a number, as `>= 3`, `< 10`, `!= 0` or `3` is one"),
            ("> inf", "`> inf` is not a comparison with a number, as `>= 3`, `< 10`, `!= 0` or `3` is one"),
            ("> 1e999", "`> 1e999` is not a comparison with a number, as `>= 3`, `< 10`, `!= 0` or `3` is one"),
            ("3 4", "`3 4` is not a comparison with a number, as `>= 3`, `< 10`, `!= 0` or `3` is one"),
            (">= 95%", "`>= 95%` is in percent, which only a share can be"),
        ] {
            assert_eq!(text.parse::<Bound>().expect_err(text).to_string(), message);
        }
    }

    #[test]
    fn percents() {
        for (text, expected) in [(">= 95%", ">= 95"), ("100 %", "= 100"), ("<0.5%", "< 0.5")] {
            assert_eq!(Bound::parse_percent(text).expect(text).to_string(), expected);
        }
        for (text, message) in [
            (">= 0.95", "`>= 0.95` is not a share, which is written in percent, as in `>= 95%`"),
            ("x%", "`x%` is not a comparison with a number, as `>= 3`, `< 10`, `!= 0` or `3` is one"),
            ("5%%", "`5%%` is not a comparison with a number, as `>= 3`, `< 10`, `!= 0` or `3` is one"),
        ] {
            assert_eq!(Bound::parse_percent(text).expect_err(text).to_string(), message);
        }
    }

    #[test]
    fn what_holds() {
        for (text, holding, not) in [
            ("= 3", &[3.0][..], &[2.0, 4.0][..]),
            ("!= 3", &[2.0, 4.0], &[3.0]),
            ("< 3", &[2.0], &[3.0, 4.0]),
            ("<= 3", &[2.0, 3.0], &[4.0]),
            ("> 3", &[4.0], &[3.0, 2.0]),
            (">= 3", &[4.0, 3.0], &[2.0]),
        ] {
            let bound: Bound = text.parse().expect(text);
            assert!(holding.iter().all(|&number| bound.holds(number)), "{text}");
            assert!(not.iter().all(|&number| !bound.holds(number)), "{text}");
        }
    }
}
