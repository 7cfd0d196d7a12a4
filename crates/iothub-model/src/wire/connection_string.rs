//! Connection strings: `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`.

use std::fmt;
use std::ops::Range;

use super::Secret;
use super::sas::Key;
use crate::diagnostic::nearest;
use crate::placeholder::Placeholder;
use crate::twin::{DeviceId, HubHost, IdError, ModuleId};

/// What a connection string says. A service's names a policy, a device's names the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionString {
    /// The hub.
    pub host: HubHost,
    /// What devices connect to in the hub's place; tokens and user names have the hub all the same.
    pub gateway: Option<HubHost>,
    /// The shared access policy, in a service's.
    pub policy: Option<String>,
    /// The device, in a device's.
    pub device: Option<DeviceId>,
    /// The module, in a module's.
    pub module: Option<ModuleId>,
    /// The policy's or the device's key.
    pub key: Key,
}

/// Why a text is not a connection string. No message holds the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// What a pipeline or a shell was to replace, and did not.
    #[error("the connection string has {placeholder}")]
    Placeholder {
        /// What it is, and who did not replace it.
        placeholder: String,
        /// What to do.
        advice: String,
    },
    /// A part without `=`.
    #[error("part {number} of the connection string is not NAME=VALUE")]
    Part {
        /// Counted from 1.
        number: usize,
    },
    /// A name that connection strings do not have.
    #[error("part {number} of the connection string has a name that it cannot have{}", Meant(*near))]
    Unknown {
        /// Counted from 1.
        number: usize,
        /// What was probably meant. The name itself may be a key without its own.
        near: Option<&'static str>,
    },
    /// A name that is there twice.
    #[error("the connection string has `{name}` twice")]
    Twice {
        /// Which.
        name: &'static str,
    },
    /// A name that must be there.
    #[error("the connection string has no `{name}`")]
    Missing {
        /// Which.
        name: &'static str,
    },
    /// Neither a policy nor a device.
    #[error("the connection string names neither a `SharedAccessKeyName` nor a `DeviceId`")]
    Nobody,
    /// A signature in place of a key.
    #[error("the connection string has a `SharedAccessSignature`, which ends; a `SharedAccessKey` is needed")]
    Signature,
    /// A value that is not what its name says.
    #[error("`{name}` of the connection string {problem}")]
    Value {
        /// Which.
        name: &'static str,
        /// Why, without the value: with other separators than `;` the key is part of it.
        problem: String,
    },
    /// A policy's name that cannot be one.
    #[error("`SharedAccessKeyName` of the connection string holds a character that policies' names do not have")]
    Policy,
    /// A key that is not base64.
    #[error("`SharedAccessKey` of the connection string is not base64")]
    Key,
}

struct Meant(Option<&'static str>);

impl fmt::Display for Meant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, "; did you mean `{name}`?"))
    }
}

const NAMES: [&str; 7] = [
    "HostName",
    "SharedAccessKeyName",
    "SharedAccessKey",
    "DeviceId",
    "ModuleId",
    "SharedAccessSignature",
    "GatewayHostName",
];
/// Whose values may have `;` in them.
const IDS: [&str; 2] = ["DeviceId", "ModuleId"];

impl ConnectionString {
    /// Reads one. Names are case-sensitive, as the Python and Node SDKs have it; white space around the whole is dropped. An id
    /// may have `;` in it, and ends where the name of another part follows.
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        use ConnectionStringError as E;
        let placeholder = |text| match Placeholder::first_in(text) {
            Some(found) => Err(E::Placeholder { placeholder: found.to_string(), advice: found.advice() }),
            None => Ok(()),
        };
        let text = text.trim().trim_end_matches(';');
        let mut values: [Option<Range<usize>>; NAMES.len()] = [const { None }; NAMES.len()];
        let mut open: Option<usize> = None;
        // What a part of an id is, if it is none.
        let mut mistyped = None;
        let mut start = 0;
        for (index, part) in text.split(';').enumerate() {
            let end = start + part.len();
            // Keys end in `=`, so the first one separates.
            let name = part.split_once('=').map(|(name, _)| name);
            let known = name.and_then(|name| NAMES.iter().position(|known| *known == name));
            match (known, open.filter(|&open| IDS.contains(&NAMES[open]))) {
                (Some(known), _) => {
                    let value = start + NAMES[known].len() + 1..end;
                    if values[known].replace(value).is_some() {
                        return Err(E::Twice { name: NAMES[known] });
                    }
                    open = Some(known);
                }
                (None, Some(id)) => {
                    if let Some(value) = &mut values[id] {
                        value.end = end;
                    }
                    let near = name.and_then(|name| nearest(name, NAMES));
                    mistyped = mistyped.or(near.map(|near| E::Unknown { number: index + 1, near: Some(near) }));
                }
                (None, None) => {
                    placeholder(part)?;
                    let number = index + 1;
                    let unknown = |name| E::Unknown { number, near: nearest(name, NAMES) };
                    return Err(name.map_or(E::Part { number }, unknown));
                }
            }
            start = end + 1;
        }
        let values = values.map(|range| range.map(|range| &text[range]).filter(|value| !value.is_empty()));
        let [host, policy, key, device, module, signature, gateway] = values;
        // Ids may have such characters, and nothing else.
        [host, policy, key, signature, gateway].into_iter().flatten().try_for_each(placeholder)?;
        let host = host.ok_or(E::Missing { name: "HostName" })?;
        let host = host.parse().map_err(|error| wrong("HostName", &error))?;
        let gateway = gateway.map(str::parse).transpose().map_err(|error| wrong("GatewayHostName", &error))?;
        let device = device.map(str::parse).transpose().map_err(|error| wrong("DeviceId", &error))?;
        let module = module.map(str::parse).transpose().map_err(|error| wrong("ModuleId", &error))?;
        if policy.is_none() && device.is_none() {
            return Err(E::Nobody);
        }
        if policy.is_some_and(|p| !p.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-@.".contains(&b))) {
            return Err(E::Policy);
        }
        let key = match key {
            Some(key) => Key::from_base64(key).map_err(|_| E::Key)?,
            None if signature.is_some() => return Err(E::Signature),
            None => return Err(mistyped.unwrap_or(E::Missing { name: "SharedAccessKey" })),
        };
        Ok(Self { host, gateway, policy: policy.map(str::to_owned), device, module, key })
    }

    /// Returns `false` if an id has the beginning of another part in it, so that it is not read back from a connection string.
    pub fn can_hold(id: &str) -> bool {
        let mut pieces = id.split(';').skip(1);
        !pieces.any(|piece| piece.split_once('=').is_some_and(|(name, _)| NAMES.contains(&name)))
    }

    /// Writes it out with its key: for the user who asked for it, and for nobody else.
    pub fn expose(&self) -> Secret {
        Secret::new(format!("{self}{}", self.key.to_base64().expose()))
    }
}

/// Says what is wrong with a value, and does not show it.
fn wrong(name: &'static str, error: &IdError) -> ConnectionStringError {
    let problem = match error {
        IdError::Empty { what: _ } => "is empty".to_owned(),
        IdError::TooLong { what: _, found } => format!("has {found} characters, more than an id can have"),
        IdError::Character { what: _, text: _, found } => format!("holds {found:?}, which ids do not have"),
        IdError::Folder { what: _, text: _ } => "means a folder in a URL".to_owned(),
        IdError::Host { text: _ } => {
            "is not a hub's host name, which is HOST or HOST:PORT as in my-hub.azure-devices.net".to_owned()
        }
    };
    ConnectionStringError::Value { name, problem }
}

/// All but the key: ends in `SharedAccessKey=`.
impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostName={};", self.host)?;
        if let Some(device) = &self.device {
            write!(f, "DeviceId={device};")?;
        }
        if let Some(module) = &self.module {
            write!(f, "ModuleId={module};")?;
        }
        if let Some(policy) = &self.policy {
            write!(f, "SharedAccessKeyName={policy};")?;
        }
        if let Some(gateway) = &self.gateway {
            write!(f, "GatewayHostName={gateway};")?;
        }
        f.write_str("SharedAccessKey=")
    }
}

/// Returns `true` if a text was meant as a connection string: it begins with the name of a part, in any case, and has a key.
pub fn is_meant_as_one(text: &str) -> bool {
    let text = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`')).to_ascii_lowercase();
    let name = text.split_once('=').map(|(name, _)| name.trim_end());
    // An Event Hubs connection string begins with its endpoint.
    let begins =
        name.is_some_and(|name| NAMES.iter().chain(&["Endpoint"]).any(|known| known.eq_ignore_ascii_case(name)));
    begins && ["sharedaccesskey=", "sharedaccesssignature="].iter().any(|key| text.contains(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written() {
        for text in [
            "HostName=hub.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==",
            "HostName=localhost:8443;DeviceId=a=b;SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==",
            "HostName=h;DeviceId=;a;;b=c;'#,;;SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==",
            "HostName=h;DeviceId=a;b;ModuleId=c;;d=;SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==",
            "HostName=localhost;DeviceId=gw;ModuleId=telemetry;SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==",
            "HostName=hub.azure-devices.net;DeviceId=d;GatewayHostName=edge:8884;SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==",
        ] {
            let read = ConnectionString::parse(text).expect(text);
            assert_eq!(read.expose().expose(), text);
            assert!(!format!("{read:?}{read}").contains("AAEC"), "no key in Debug or Display");
        }
    }

    #[test]
    fn what_is_none() {
        let key = "SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==";
        for (text, message) in [
            (String::new(), "part 1 of the connection string is not NAME=VALUE"),
            (format!("HostName=a;b;{key}"), "part 2 of the connection string is not NAME=VALUE"),
            (
                format!("hostname=a;SharedAccessKeyName=b;{key}"),
                "part 1 of the connection string has a name that it cannot have; did you mean `HostName`?",
            ),
            (
                "HostName=a;SharedAccessKeyName=b;AAECAwQFBgcICQoLDA0ODw==".to_owned(),
                "part 3 of the connection string has a name that it cannot have",
            ),
            (format!("HostName=a;HostName=b;{key}"), "the connection string has `HostName` twice"),
            (
                "HostName=a;DeviceId=b;SharedAccesKey=AAECAwQFBgcICQoLDA0ODw==".to_owned(),
                "part 3 of the connection string has a name that it cannot have; did you mean `SharedAccessKey`?",
            ),
            (
                "HostName=a;DeviceId=b;AAECAwQFBgcICQoLDA0ODw==".to_owned(),
                "the connection string has no `SharedAccessKey`",
            ),
            (format!("SharedAccessKeyName=b;{key}"), "the connection string has no `HostName`"),
            (
                format!("HostName=a;{key}"),
                "the connection string names neither a `SharedAccessKeyName` nor a `DeviceId`",
            ),
            ("HostName=a;SharedAccessKeyName=b".to_owned(), "the connection string has no `SharedAccessKey`"),
            (
                "HostName=a;SharedAccessKeyName=b;SharedAccessKey=%".to_owned(),
                "`SharedAccessKey` of the connection string is not base64",
            ),
            (
                "HostName=a;SharedAccessKeyName=b;SharedAccessSignature=x".to_owned(),
                "the connection string has a `SharedAccessSignature`, which ends; a `SharedAccessKey` is needed",
            ),
            (
                format!("HostName=https://a;SharedAccessKeyName=b;{key}"),
                "`HostName` of the connection string is not a hub's host name, which is HOST or HOST:PORT as in my-hub.azure-devices.net",
            ),
            (
                format!("HostName=a,SharedAccessKeyName=b,{key}"),
                "`HostName` of the connection string is not a hub's host name, which is HOST or HOST:PORT as in my-hub.azure-devices.net",
            ),
            (
                format!("HostName=a;DeviceId=b {key}"),
                "`DeviceId` of the connection string holds ' ', which ids do not have",
            ),
            (
                format!("HostName=a;SharedAccessKeyName=b c;{key}"),
                "`SharedAccessKeyName` of the connection string holds a character that policies' names do not have",
            ),
        ] {
            let error = ConnectionString::parse(&text).expect_err(&text);
            assert_eq!(error.to_string(), message);
            assert!(!format!("{error:?}").contains("AAEC"), "no key in Debug");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in "(HostName|DeviceId|SharedAccessKey|=|;|[a-zA-Z0-9.]|.){0,12}") {
            let _ = ConnectionString::parse(&text);
        }

        /// Every id, but for those that have the beginning of another part in them.
        #[test]
        fn every_id_is_read_back(
            device in "[-a-zA-Z0-9:.+%_#*?!(),=@;$']{1,128}",
            module in proptest::option::of("[-a-zA-Z0-9:.+%_#*?!(),=@;$']{1,128}"),
        ) {
            let mut ids = std::iter::once(&device).chain(&module);
            proptest::prop_assume!(ids.all(|id| ConnectionString::can_hold(id)));
            let written = ConnectionString {
                host: "hub.example".parse().expect("a host"),
                gateway: None,
                policy: None,
                device: Some(device.parse().expect("a device id")),
                module: module.map(|module| module.parse().expect("a module id")),
                key: Key::from_bytes(*b"some key"),
            };
            let read = ConnectionString::parse(written.expose().expose());
            proptest::prop_assert_eq!(read, Ok(written));
        }
    }

    #[test]
    fn ids_that_read_as_other_parts() {
        let of = |device: &str| ConnectionString {
            host: "hub.example".parse().expect("a host"),
            gateway: None,
            policy: None,
            device: Some(device.parse().expect("a device id")),
            module: None,
            key: Key::from_bytes(*b"some key"),
        };
        for (id, readable) in [
            ("a;ModuleId=b", false),
            ("a;b;SharedAccessKey=b", false),
            ("a;HostName=", false),
            ("a;HostName", true),
            ("HostName=a", true),
            ("a;Hostname=b", true),
        ] {
            let written = of(id);
            assert_eq!(ConnectionString::can_hold(id), readable, "{id}");
            assert_eq!(ConnectionString::parse(written.expose().expose()) == Ok(written), readable, "{id}");
        }
    }

    #[test]
    fn what_is_meant_as_one() {
        for (text, meant) in [
            ("HostName=h;SharedAccessKeyName=p;SharedAccessKey=k", true),
            ("'HostName=h;DeviceId=d;SharedAccessKey=k'", true),
            ("hostname=h;sharedaccesskey=k", true),
            ("SharedAccessKey=k", true),
            ("Endpoint=sb://e.example/;SharedAccessKeyName=p;SharedAccessKey=k", true),
            ("HostName=h;SharedAccessSignature=s", true),
            ("HostName=h;SharedAccessKeyName=p", false),
            ("a;b=c", false),
            ("connection=HostName=h;SharedAccessKey=k", false),
            ("SELECT * FROM devices WHERE tags.a = 'SharedAccessKey=k'", false),
        ] {
            assert_eq!(is_meant_as_one(text), meant, "{text}");
        }
    }
}
