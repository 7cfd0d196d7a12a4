//! The names of things: built only by parsing, so that one that exists is one that the hub takes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::limits::{ID_MAX_CHARS, ID_PUNCTUATION};

/// Why a text is not an id or a host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing there.
    #[error("{what} is empty")]
    Empty {
        /// What was parsed, as in "device id".
        what: &'static str,
    },
    /// More than 128 characters.
    #[error("{what} has {found} characters, and the hub takes {ID_MAX_CHARS} at most")]
    TooLong {
        /// What was parsed.
        what: &'static str,
        /// How many characters it has.
        found: usize,
    },
    /// A character that ids cannot have.
    #[error("{what} `{}` holds {found:?}, and the hub takes ASCII letters, digits and {ID_PUNCTUATION}", text.escape_debug())]
    Character {
        /// What was parsed.
        what: &'static str,
        /// The whole text.
        text: String,
        /// The first character that is not allowed.
        found: char,
    },
    /// A name that URLs have for something else.
    #[error("{what} `{text}` means a folder in a URL, so that nothing can be asked of it")]
    Folder {
        /// What was parsed.
        what: &'static str,
        /// The whole text.
        text: String,
    },
    /// Not `HOST` or `HOST:PORT`.
    #[error("`{}` is not a hub's host name, which is HOST or HOST:PORT as in my-hub.azure-devices.net", text.escape_debug())]
    Host {
        /// The whole text.
        text: String,
    },
}

fn check_id(what: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    let found = text.chars().count();
    if found > ID_MAX_CHARS {
        return Err(IdError::TooLong { what, found });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || ID_PUNCTUATION.contains(c);
    match text.chars().find(|&c| !allowed(c)) {
        Some(found) => Err(IdError::Character { what, text: text.to_owned(), found }),
        None => Ok(()),
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the id as the hub spells it; ids are case-sensitive.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns it if a URL can name it: `.` and `..` mean folders there, escaped or not (RFC 3986, 5.2.4).
            pub fn addressable(self) -> Result<Self, IdError> {
                match self.as_str() {
                    text @ ("." | "..") => Err(IdError::Folder { what: $what, text: text.to_owned() }),
                    _ => Ok(self),
                }
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                check_id($what, text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type! {
    /// The id of a device: 1 to 128 characters, ASCII letters, digits and some punctuation (docs: Understand the identity
    /// registry).
    DeviceId, "device id"
}

id_type! {
    /// The id of a module of a device; the same characters as a device's.
    ModuleId, "module id"
}

impl ModuleId {
    /// Returns `true` if it is a module of the IoT Edge runtime, `$edgeAgent` or `$edgeHub`. A deployment sets the desired properties of
    /// these; the hub answers every other write of their twins with 401 `SystemModuleModifyUnauthorizedAccess`.
    pub fn is_system(&self) -> bool {
        ["$edgeAgent", "$edgeHub"].iter().any(|system| self.as_str().eq_ignore_ascii_case(system))
    }
}

/// Which twin: a device's own, or one of its modules'.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TwinId {
    /// The device.
    pub device: DeviceId,
    /// The module, for a module twin.
    pub module: Option<ModuleId>,
}

impl TwinId {
    /// Names a device's own twin.
    pub fn device(device: DeviceId) -> Self {
        Self { device, module: None }
    }

    /// Says what it is the twin of: "device" or "module".
    pub fn kind(&self) -> &'static str {
        if self.module.is_some() { "module" } else { "device" }
    }

    /// Says what all of these are the twins of: "device", "module", or, of both, "twin".
    pub fn kind_of_all<'i>(ids: impl IntoIterator<Item = &'i Self>) -> &'static str {
        let mut kinds = ids.into_iter().map(Self::kind);
        let first = kinds.next().unwrap_or("twin");
        if kinds.all(|kind| kind == first) { first } else { "twin" }
    }
}

impl From<DeviceId> for TwinId {
    fn from(device: DeviceId) -> Self {
        Self::device(device)
    }
}

/// `device`, or `device/module`: neither id can hold a slash.
impl fmt::Display for TwinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.module {
            None => f.pad(self.device.as_str()),
            Some(module) => f.pad(&format!("{}/{module}", self.device)),
        }
    }
}

impl fmt::Debug for TwinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for TwinId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once('/') {
            None => Ok(Self { device: text.parse()?, module: None }),
            Some((device, module)) => Ok(Self { device: device.parse()?, module: Some(module.parse()?) }),
        }
    }
}

impl serde::Serialize for TwinId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for TwinId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A hub's host name, with a port where it is not 443: `my-hub.azure-devices.net`, `127.0.0.1:8443`.
///
/// Kept in lower case: host names are compared without regard to case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubHost(Arc<str>);

impl HubHost {
    /// Returns host and port as they stand in a URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the host without its port.
    pub fn name(&self) -> &str {
        match self.0.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => &self.0,
        }
    }
}

impl FromStr for HubHost {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || IdError::Host { text: text.to_owned() };
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !text.ends_with(']') => (name, Some(port)),
            _ => (text, None),
        };
        let well_named = match name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !name.is_empty()
                    && name.len() <= 253
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            }
        };
        let well_ported = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
        if !well_named || !well_ported {
            return Err(error());
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for HubHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HubHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl serde::Serialize for HubHost {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for HubHost {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_ids() {
        let longest = "d".repeat(128);
        for good in ["a", "Thermostat-001", "a:b.c+d%e_f#g*h?i!j(k),l=m@n;o$p'", longest.as_str()] {
            assert_eq!(good.parse::<DeviceId>().expect(good).as_str(), good);
        }
        let too_long = "d".repeat(129);
        for (bad, message) in [
            ("", "device id is empty"),
            (too_long.as_str(), "device id has 129 characters, and the hub takes 128 at most"),
            ("a b", "device id `a b` holds ' ', and the hub takes ASCII letters, digits and -:.+%_#*?!(),=@;$'"),
            ("a/b", "device id `a/b` holds '/', and the hub takes ASCII letters, digits and -:.+%_#*?!(),=@;$'"),
            ("é\n", "device id `é\\n` holds 'é', and the hub takes ASCII letters, digits and -:.+%_#*?!(),=@;$'"),
        ] {
            assert_eq!(bad.parse::<DeviceId>().expect_err(bad).to_string(), message);
        }
    }

    #[test]
    fn twin_ids_name_devices_and_modules() {
        let module: TwinId = "gateway-01/telemetry".parse().expect("a module twin");
        assert_eq!(
            (module.device.as_str(), module.module.as_ref().map(ModuleId::as_str)),
            ("gateway-01", Some("telemetry"))
        );
        assert_eq!(module.to_string(), "gateway-01/telemetry");
        assert!("a/b/c".parse::<TwinId>().is_err());
        for (ids, kind) in
            [(&["a", "b"][..], "device"), (&["a/m", "b/m"], "module"), (&["a", "a/m"], "twin"), (&["a/m", "b"], "twin")]
        {
            let ids: Vec<TwinId> = ids.iter().map(|id| id.parse().expect("an id")).collect();
            assert_eq!(TwinId::kind_of_all(&ids), kind);
        }
    }

    #[test]
    fn hub_hosts() {
        for (good, name) in [
            ("My-Hub.azure-devices.net", "my-hub.azure-devices.net"),
            ("localhost:8443", "localhost"),
            ("127.0.0.1:8443", "127.0.0.1"),
            ("[::1]:8443", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            let host: HubHost = good.parse().expect(good);
            assert_eq!((host.as_str(), host.name()), (good.to_lowercase().as_str(), name));
        }
        for bad in ["", ":1", "a:0", "a:70000", "a:b", "https://a", "a/b", "a b", "[::1", "[x]:1", "a@b"] {
            assert!(bad.parse::<HubHost>().is_err(), "{bad}");
        }
    }
}
