//! What is said of a fleet as a whole: its name, what to do about devices that the hub lacks, whether ownership is recorded.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a fleet, under which it owns what it wrote: `[a-z0-9][a-z0-9-]{0,62}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FleetName(Arc<str>);

/// Why a text is not a fleet's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a fleet's name: one has 1 to 63 lower-case letters, digits and hyphens, and starts with no hyphen", text.escape_debug())]
pub struct FleetNameError {
    text: String,
}

impl FleetName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FleetName {
    type Err = FleetNameError;

    fn from_str(text: &str) -> Result<Self, FleetNameError> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let well_formed = text.len() <= 63
            && text.bytes().next().is_some_and(letter)
            && text.bytes().all(|byte| letter(byte) || byte == b'-');
        if well_formed { Ok(Self(text.into())) } else { Err(FleetNameError { text: text.to_owned() }) }
    }
}

impl TryFrom<String> for FleetName {
    type Error = FleetNameError;

    fn try_from(text: String) -> Result<Self, FleetNameError> {
        text.parse()
    }
}

impl From<FleetName> for String {
    fn from(name: FleetName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for FleetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for FleetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What to do about a declared device or module that the hub lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// Refuse the plan.
    #[default]
    Fail,
    /// Say so, and leave it out.
    Skip,
    /// Create its identity; the hub makes the keys.
    Register,
}

/// Whether a record of what the fleet owns travels with each twin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ownership {
    /// In `tags.twinctl.<fleet>`: what leaves the manifest is removed from the twin.
    #[default]
    Record,
    /// Nowhere: only what is declared is enforced.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fleet_names() {
        let longest = "a".repeat(63);
        for good in ["redmond", "a", "0-1", longest.as_str()] {
            assert_eq!(good.parse::<FleetName>().expect(good).as_str(), good);
        }
        let too_long = "a".repeat(64);
        for bad in ["", "-a", "A", "a_b", "a.b", "é", too_long.as_str()] {
            assert!(bad.parse::<FleetName>().is_err(), "{bad}");
        }
    }
}
