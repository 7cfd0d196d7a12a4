//! Text to tokens. Everything that is wrong within one token is said here, and the token is read as what was probably
//! meant, so that one mistake is reported once.

use crate::diagnostic::Span;

use super::error::{QueryError, QueryErrorKind};

/// The words that cannot be bare names: those of the clauses and operators, and the constants.
pub(super) const KEYWORDS: [&str; 16] = [
    "SELECT",
    "TOP",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "NIN",
    "TRUE",
    "FALSE",
    "NULL",
    "UNDEFINED",
];

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'t> {
    /// A name or a keyword, as written.
    Word(&'t str),
    /// `[[any text]]`.
    Bracketed(&'t str),
    /// A number and its text.
    Number(f64, &'t str),
    /// A text without its quotes and escapes.
    Text(String),
    Dot,
    Comma,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Star,
    Plus,
    Minus,
    Slash,
    Percent,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    /// Already reported.
    Bad,
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Spanned<'t> {
    pub(super) token: Token<'t>,
    pub(super) span: Span,
}

pub(super) struct Lexed<'t> {
    /// Ends in exactly one [`Token::End`].
    pub(super) tokens: Vec<Spanned<'t>>,
    pub(super) errors: Vec<QueryError>,
    /// A quote or bracket was never closed, so that the tokens say nothing about what was meant.
    pub(super) unclosed: bool,
}

pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// Returns `true` if a name is printed without `[[…]]`. A name with a `-` is read without them as well, and printed with them,
/// because the documentation promises the brackets.
pub(super) fn is_bare_name(name: &str) -> bool {
    name.starts_with(begins_name) && name.chars().all(continues_name) && !is_keyword(name)
}

/// `$` because of `$version`, `$metadata` and `$lastUpdated`. Letters of any script: the documentation does not say.
fn begins_name(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '$'
}

fn continues_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Returns the length of the name at the beginning of a text. A `-` inside of a name belongs to it (the live suite of Microsoft's
/// Java service SDK selects and groups by names that end in a UUID), and a `-` at its end does not.
fn name_length(text: &str) -> usize {
    let end = text.find(|c| !continues_name(c) && c != '-').unwrap_or(text.len());
    text[..end].trim_end_matches('-').len()
}

pub(super) fn lex(text: &str) -> Lexed<'_> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new(), errors: Vec::new(), unclosed: false };
    while lexer.skip_blanks() {
        lexer.token();
    }
    let end = lexer.tokens.last().map_or(text.len(), |last| last.span.end);
    lexer.tokens.push(Spanned { token: Token::End, span: Span::new(end, end) });
    Lexed { tokens: lexer.tokens, errors: lexer.errors, unclosed: lexer.unclosed }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Spanned<'t>>,
    errors: Vec<QueryError>,
    unclosed: bool,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn push(&mut self, token: Token<'t>, length: usize) {
        let span = Span::new(self.at, self.at + length);
        self.tokens.push(Spanned { token, span });
        self.at = span.end;
    }

    fn error(&mut self, span: Span, message: impl Into<String>) -> &mut QueryError {
        self.errors.push(QueryError::new(QueryErrorKind::Syntax, span, message));
        self.errors.last_mut().expect("one was pushed")
    }

    /// Moves to the next token; false at the end. Comments are reported and skipped.
    fn skip_blanks(&mut self) -> bool {
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.text.len() - trimmed.len();
            let (opening, length) = if trimmed.starts_with("--") || trimmed.starts_with("//") {
                (2, trimmed.find('\n').unwrap_or(trimmed.len()))
            } else if trimmed.starts_with('#') {
                (1, trimmed.find('\n').unwrap_or(trimmed.len()))
            } else if trimmed.starts_with("/*") {
                (2, trimmed.find("*/").map_or(trimmed.len(), |end| end + 2))
            } else {
                return !trimmed.is_empty();
            };
            let span = Span::new(self.at, self.at + opening);
            let minus = trimmed.starts_with("--");
            let error = self.error(span, "a query has no comments");
            error.label = "a comment begins here".into();
            if minus && trimmed[2..].starts_with(continues_name) {
                error.help.push("to subtract a negative number, write `- -1` with a space".into());
            }
            self.at += length;
        }
    }

    fn token(&mut self) {
        let rest = self.rest();
        for (text, token) in [("<=", Token::LessOrEqual), (">=", Token::GreaterOrEqual), ("<>", Token::NotEqual)] {
            if rest.starts_with(text) {
                return self.push(token, 2);
            }
        }
        for (text, meant, token) in [
            ("===", "=", Token::Equal),
            ("!==", "!=", Token::NotEqual),
            ("==", "=", Token::Equal),
            ("=>", ">=", Token::GreaterOrEqual),
            ("=<", "<=", Token::LessOrEqual),
            ("&&", "AND", Token::Word("AND")),
            ("||", "OR", Token::Word("OR")),
        ] {
            if rest.starts_with(text) {
                return self.meant(text.len(), meant, token);
            }
        }
        if rest.starts_with("!=") {
            return self.push(Token::NotEqual, 2);
        }
        if rest.starts_with("[[") {
            return self.bracketed();
        }
        let Some(first) = rest.chars().next() else { return };
        match first {
            '.' if self.begins_number_with_dot() => self.number(),
            '.' => self.push(Token::Dot, 1),
            ',' => self.push(Token::Comma, 1),
            '(' => self.push(Token::Open, 1),
            ')' => self.push(Token::Close, 1),
            '[' => self.push(Token::OpenBracket, 1),
            ']' => self.push(Token::CloseBracket, 1),
            '*' => self.push(Token::Star, 1),
            '+' => self.push(Token::Plus, 1),
            '-' => self.push(Token::Minus, 1),
            '/' => self.push(Token::Slash, 1),
            '%' => self.push(Token::Percent, 1),
            '=' => self.push(Token::Equal, 1),
            '<' => self.push(Token::Less, 1),
            '>' => self.push(Token::Greater, 1),
            '!' => self.meant(1, "NOT", Token::Word("NOT")),
            '&' => self.meant(1, "AND", Token::Word("AND")),
            '|' => self.meant(1, "OR", Token::Word("OR")),
            ';' => self.semicolon(),
            '\'' | '"' => self.quoted(first),
            '‘' | '’' | '“' | '”' | '„' | '`' => self.foreign_quotes(first),
            '0'..='9' => self.number(),
            _ if begins_name(first) => {
                let length = name_length(rest);
                self.push(Token::Word(&rest[..length]), length);
            }
            '@' | '?' | ':' => self.foreign(first, "a query takes no parameters: write the value itself"),
            '{' => self.object(),
            _ => self.foreign(first, ""),
        }
    }

    /// Reports an operator of another language and goes on with ours.
    fn meant(&mut self, length: usize, meant: &str, token: Token<'t>) {
        let written = &self.rest()[..length];
        let span = Span::new(self.at, self.at + length);
        let error = self.error(span, format!("`{written}` is not an operator of this language"));
        error.help.push(format!("write `{meant}`"));
        self.push(token, length);
    }

    fn foreign(&mut self, c: char, help: &str) {
        let span = Span::new(self.at, self.at + c.len_utf8());
        let error = self.error(span, format!("the character {} has no meaning here", shown(c)));
        if !help.is_empty() {
            error.help.push(help.into());
        }
        self.push(Token::Bad, c.len_utf8());
    }

    /// Quotes as word processors and other shells make them.
    fn foreign_quotes(&mut self, opening: char) {
        let closing: &[char] = match opening {
            '‘' | '’' => &['’', '‘'],
            '`' => &['`'],
            _ => &['”', '“'],
        };
        let inside = &self.rest()[opening.len_utf8()..];
        let Some((text, rest)) = inside.split_once(closing) else {
            return self.foreign(opening, "texts stand in straight quotes, `'…'` or `\"…\"`");
        };
        let length = self.rest().len() - rest.len();
        let error = self.error(Span::new(self.at, self.at + length), "these are not the quotes of a query");
        error.help.push(format!("write `'{text}'` for a text"));
        self.push(Token::Text(text.to_owned()), length);
    }

    fn object(&mut self) {
        let length = self.rest().find('}').map_or(1, |end| end + 1);
        self.error(Span::new(self.at, self.at + length), "objects cannot be written in a query");
        self.push(Token::Bad, length);
    }

    fn semicolon(&mut self) {
        let span = Span::new(self.at, self.at + 1);
        let last = self.rest()[1..].trim_start().is_empty();
        let error = self.error(span, "a query has no `;`");
        if last {
            error.help.push("leave it out".into());
            self.at += 1;
        } else {
            error.help.push("one request takes one query".into());
            self.push(Token::Bad, 1);
        }
    }

    fn bracketed(&mut self) {
        let rest = self.rest();
        let opening = Span::new(self.at, self.at + 2);
        let Some(length) = rest[2..].find("]]") else {
            let error = self.error(opening, "this `[[` is never closed");
            error.label = "opened here".into();
            error.help.push("a name in brackets ends with `]]`".into());
            self.unclosed = true;
            return self.push(Token::Bad, rest.len());
        };
        if length == 0 {
            self.error(Span::new(self.at, self.at + 4), "there is no name between `[[` and `]]`");
            return self.push(Token::Bad, 4);
        }
        self.push(Token::Bracketed(&rest[2..2 + length]), length + 4);
    }

    fn quoted(&mut self, quote: char) {
        let rest = self.rest();
        let start = self.at;
        let mut text = String::new();
        let mut chars = rest.char_indices().skip(1);
        let mut high: Option<(u32, Span)> = None;
        while let Some((index, c)) = chars.next() {
            let mut unit = None;
            if c == quote {
                if rest[index + 1..].starts_with(quote) {
                    let span = Span::new(start + index, start + index + 2);
                    let error = self.error(span, format!("a quote inside a text is not written `{quote}{quote}`"));
                    error.help.push(format!("write `\\{quote}`"));
                    chars.next();
                    text.push(quote);
                    continue;
                }
                self.lone(high);
                return self.push(Token::Text(text), index + 1);
            } else if c == '\\' {
                match chars.next().map(|(_, escaped)| escaped) {
                    Some(escaped @ ('\'' | '"' | '\\')) => text.push(escaped),
                    Some('u') => {
                        let digits =
                            rest.get(index + 2..index + 6).filter(|s| s.bytes().all(|b| b.is_ascii_hexdigit()));
                        let Some(digits) = digits else {
                            let span = Span::new(start + index, start + index + 2);
                            let error = self.error(span, "`\\u` needs four hexadecimal digits");
                            error.help.push("for example `\\u00e9`".into());
                            continue;
                        };
                        chars.nth(3);
                        unit = u32::from_str_radix(digits, 16).ok().map(|unit| (unit, index));
                    }
                    Some(escaped) => {
                        let span = Span::new(start + index, start + index + 1 + escaped.len_utf8());
                        let error = self.error(span, format!("`\\{escaped}` is not an escape"));
                        error.help.push(r#"the escapes are `\'`, `\"`, `\\` and `\uXXXX`"#.into());
                    }
                    None => break,
                }
            } else {
                text.push(c);
            }
            // A character outside the first plane is two escapes: the first half waits here for the second.
            let waiting = high.take();
            let Some((unit, index)) = unit else {
                self.lone(waiting);
                continue;
            };
            let span = Span::new(start + index, start + index + 6);
            match (waiting, unit) {
                (Some((first, _)), 0xDC00..=0xDFFF) => {
                    text.extend(char::from_u32(0x10000 + ((first - 0xD800) << 10) + (unit - 0xDC00)));
                }
                (waiting, 0xD800..=0xDBFF) => {
                    self.lone(waiting);
                    high = Some((unit, span));
                }
                (waiting, _) => {
                    self.lone(waiting);
                    match char::from_u32(unit) {
                        Some(c) => text.push(c),
                        None => self.lone(Some((unit, span))),
                    }
                }
            }
        }
        let error = self.error(Span::new(start, start + 1), "this text is never closed");
        error.label = "opened here".into();
        error.help.push(format!("it ends with `{quote}`; a quote inside a text is written `\\{quote}`"));
        if rest.ends_with(&format!("\\{quote}")) {
            error.help.push("a backslash is written `\\\\`".into());
        }
        self.unclosed = true;
        self.push(Token::Bad, rest.len());
    }

    fn lone(&mut self, half: Option<(u32, Span)>) {
        if let Some((_, span)) = half {
            let error = self.error(span, "this is half a character");
            error.help.push("a character outside the first plane is two escapes, such as `\\ud83d\\ude00`".into());
        }
    }

    /// `.5` where no path can go on.
    fn begins_number_with_dot(&self) -> bool {
        let after_name = self.tokens.last().is_some_and(|last| {
            last.span.end == self.at && matches!(last.token, Token::Word(_) | Token::Bracketed(_) | Token::CloseBracket)
        });
        !after_name && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit())
    }

    fn number(&mut self) {
        let rest = self.rest();
        let begins_name = self.tokens.last().is_some_and(|last| last.token == Token::Dot && last.span.end == self.at);
        let length = match begins_name {
            true => name_length(rest),
            false => rest.find(|c| !continues_name(c) && c != '.').unwrap_or(rest.len()),
        };
        let written = &rest[..length];
        let span = Span::new(self.at, self.at + length);
        if begins_name {
            let error = self.error(span, format!("the name `{written}` begins with a digit"));
            error.help.push(format!("write `[[{written}]]`"));
            return self.push(Token::Word(written), length);
        }
        let value = match number(written) {
            Ok(value) => value,
            Err((message, help)) => {
                let error = self.error(span, message);
                error.help.extend(help);
                0.0
            }
        };
        self.push(Token::Number(value, written), length);
    }
}

/// Reads a decimal or hexadecimal number, or says what it is instead.
fn number(written: &str) -> Result<f64, (String, Option<String>)> {
    let refused = |help: Option<String>| Err((format!("`{written}` is not a number"), help));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(hex) = written.strip_prefix("0x").or_else(|| written.strip_prefix("0X")) {
        if hex.is_empty() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return refused(Some("after `0x` stand hexadecimal digits, such as `0x1F`".into()));
        }
        // Through u128 so that it is rounded once; what does not fit is nobody's value.
        return match u128::from_str_radix(hex, 16) {
            Ok(value) => Ok(value as f64),
            Err(_) => Err((format!("the number `{written}` is too large"), None)),
        };
    }
    let (whole, fraction) = match written.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (written, None),
    };
    if digits(whole) && fraction.is_none_or(digits) {
        return match written.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err((format!("the number `{written}` is too large"), None)),
        };
    }
    if whole.is_empty() && fraction.is_some_and(digits) {
        return refused(Some(format!("write `0{written}`")));
    }
    if fraction == Some("") {
        return refused(Some("digits are missing after the point".into()));
    }
    if written.bytes().filter(|&byte| byte == b'.').count() > 1 {
        return refused(Some(format!("if it is a text, write `'{written}'`")));
    }
    let exponent = written.split_once(['e', 'E']).is_some_and(|(_, exponent)| digits(exponent) || exponent.is_empty());
    if exponent {
        return refused(Some("there are no exponents: write all the digits".into()));
    }
    refused(Some(format!("if it is a name, write `[[{written}]]`; if it is a text, write `'{written}'`")))
}

/// A character as a message shows it.
fn shown(c: char) -> String {
    if c.is_control() || c.is_whitespace() { format!("U+{:04X}", u32::from(c)) } else { format!("`{c}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stand_where_the_text_has_them() {
        let text = "x>=0x1F [[a b]].é 'q\\'' .5";
        let lexed = lex(text);
        let found: Vec<_> = lexed.tokens.iter().map(|t| (&text[t.span.start..t.span.end], t.token.clone())).collect();
        assert_eq!(
            found,
            [
                ("x", Token::Word("x")),
                (">=", Token::GreaterOrEqual),
                ("0x1F", Token::Number(31.0, "0x1F")),
                ("[[a b]]", Token::Bracketed("a b")),
                (".", Token::Dot),
                ("é", Token::Word("é")),
                ("'q\\''", Token::Text("q'".into())),
                (".5", Token::Number(0.0, ".5")),
                ("", Token::End),
            ]
        );
        assert_eq!(lexed.errors.len(), 1, "{:?}", lexed.errors);
    }

    #[test]
    fn numbers() {
        let check = |written: &str, expected: Option<f64>| assert_eq!(number(written).ok(), expected, "{written}");
        check("0", Some(0.0));
        check("007", Some(7.0));
        check("1.50", Some(1.5));
        check("9007199254740992", Some(9_007_199_254_740_992.0));
        check("0xff", Some(255.0));
        check("0XFF", Some(255.0));
        check("0x20000000000000", Some(9_007_199_254_740_992.0));
        for refused in ["1.", ".5", "1e5", "1.2.3", "0x", "0xg", "12ab"] {
            check(refused, None);
        }
        check(&"9".repeat(400), None);
        check(&format!("0x{}", "f".repeat(33)), None);
    }

    #[test]
    fn a_minus_inside_of_a_name_belongs_to_it() {
        let check = |text: &str, expected: &[&str]| {
            let lexed = lex(text);
            let found: Vec<_> = lexed.tokens.iter().map(|t| &text[t.span.start..t.span.end]).collect();
            assert_eq!(found.split_last().expect("the end").1, expected, "{text}");
        };
        check("a-b", &["a-b"]);
        check("a-1", &["a-1"]);
        check("a-1f-2e.b-c", &["a-1f-2e", ".", "b-c"]);
        check("a--b", &["a--b"]);
        check("$version-1", &["$version-1"]);
        check("group-by", &["group-by"]);
        check("é-ü", &["é-ü"]);
        check("a - b", &["a", "-", "b"]);
        check("a -b", &["a", "-", "b"]);
        check("a- b", &["a", "-", "b"]);
        check("a-(b)", &["a", "-", "(", "b", ")"]);
        check("a-'b'", &["a", "-", "'b'"]);
        check("[[a]]-b", &["[[a]]", "-", "b"]);
        check("1-a", &["1", "-", "a"]);
        check("0x1F-1", &["0x1F", "-", "1"]);
        check("-5", &["-", "5"]);
        check("-a", &["-", "a"]);
    }

    #[test]
    fn bare_names() {
        for name in ["a", "_a", "$version", "é1", "count"] {
            assert!(is_bare_name(name), "{name}");
        }
        for name in ["", "1a", "a-b", "a b", "group", "Undefined", "TOP"] {
            assert!(!is_bare_name(name), "{name}");
        }
    }
}
