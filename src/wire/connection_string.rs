//! Connection strings: `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`.

use std::borrow::Cow;
use std::fmt;

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

impl ConnectionString {
    /// Reads one. Names are case-sensitive, as the Python and Node SDKs have it; white space around the whole is dropped.
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        use ConnectionStringError as E;
        // Neither hosts nor policies nor keys have such characters.
        if let Some(placeholder) = Placeholder::first_in(text) {
            return Err(E::Placeholder { placeholder: placeholder.to_string(), advice: placeholder.advice() });
        }
        let mut values: [Option<&str>; NAMES.len()] = [None; NAMES.len()];
        for (index, part) in text.trim().trim_end_matches(';').split(';').enumerate() {
            // Keys end in `=`, so the first one separates.
            let (name, value) = part.split_once('=').ok_or(E::Part { number: index + 1 })?;
            let Some(known) = NAMES.iter().position(|known| *known == name) else {
                return Err(E::Unknown { number: index + 1, near: nearest(name, NAMES) });
            };
            if values[known].replace(value).is_some() {
                return Err(E::Twice { name: NAMES[known] });
            }
        }
        let [host, policy, key, device, module, signature, gateway] = values.map(|v| v.filter(|v| !v.is_empty()));
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
            None => return Err(E::Missing { name: "SharedAccessKey" }),
        };
        Ok(Self { host, gateway, policy: policy.map(str::to_owned), device, module, key })
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

/// Stars out the keys of connection strings in a text that was not meant to hold any, as where one was given for a host's name.
pub fn without_keys(text: &str) -> Cow<'_, str> {
    const BEFORE: [&str; 2] = ["SharedAccessKey=", "SharedAccessSignature="];
    /// What hints write in a key's place.
    const PLACEHOLDER: &str = "KEY";
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = BEFORE.iter().filter_map(|name| Some(rest.find(name)? + name.len())).min() {
        let (head, tail) = rest.split_at(at);
        let key = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '\'' | '"' | '`' | ';' | ',');
        let end = tail.find(|c| !key(c)).unwrap_or(tail.len());
        out.push_str(head);
        match &tail[..end] {
            PLACEHOLDER => out.push_str(PLACEHOLDER),
            key => out.extend(key.chars().map(|_| '*')),
        }
        rest = &tail[end..];
    }
    if out.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(out + rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written() {
        for text in [
            "HostName=hub.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==",
            "HostName=localhost:8443;DeviceId=a=b;SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==",
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
    }

    #[test]
    fn keys_are_starred_out_wherever_they_stand() {
        for (text, without) in [
            ("no key here", "no key here"),
            ("SharedAccessKeyName=service", "SharedAccessKeyName=service"),
            ("invalid 'HostName=h;SharedAccessKey=ab+/=' for", "invalid 'HostName=h;SharedAccessKey=*****' for"),
            ("\u{1b}[33mSharedAccessKey=abc\u{1b}[0m", "\u{1b}[33mSharedAccessKey=***\u{1b}[0m"),
            ("SharedAccessSignature=x;SharedAccessKey=y\nz", "SharedAccessSignature=*;SharedAccessKey=*\nz"),
            ("SharedAccessKey=", "SharedAccessKey="),
            ("it reads SharedAccessKey=KEY, in quotes", "it reads SharedAccessKey=KEY, in quotes"),
        ] {
            assert_eq!(without_keys(text), without);
        }
    }
}
