//! Shared access policies: the five that every hub has, their rights, and who may do what.

// In reading order: a module uses those above it, and none below.
pub(crate) mod client_certificate;
pub(crate) mod entra;
pub(crate) mod tls_files;
pub(crate) mod authority;

use std::net::IpAddr;

use http::Method;
use serde::Deserialize;
use serde::Serialize;
use time::OffsetDateTime;

use crate::access::entra::Entra;
use crate::core::command::Refusal;
use crate::core::session::{Fingerprints, Proof};
use crate::limits::operation;
use crate::limits::operation::DataAction;
use crate::policy::Policy;
use crate::start_error::HubStartError;
use crate::store::folder::{Folder, POLICIES as FILE};
use iothub_model::tiers::Operation;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::Secret;
use iothub_model::wire::decode_segment;
use iothub_model::wire::sas::Key;
use iothub_model::wire::sas::SasToken;

/// What an operation needs (docs: Control access to IoT Hub by using shared access signatures).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    RegistryRead,
    RegistryWrite,
    ServiceConnect,
    DeviceConnect,
    /// Automatic device configurations: RegistryRead, RegistryWrite and ServiceConnect together.
    Configurations,
    /// Scheduled jobs: the same.
    Jobs,
    /// What the service has no name for: to tell the embedded hub how to behave.
    Administer,
}

impl Right {
    fn name(self) -> &'static str {
        match self {
            Self::RegistryRead => "RegistryRead",
            Self::RegistryWrite => "RegistryWrite",
            Self::ServiceConnect => "ServiceConnect",
            Self::DeviceConnect => "DeviceConnect",
            Self::Configurations | Self::Jobs => "RegistryRead, RegistryWrite and ServiceConnect",
            Self::Administer => "Administer",
        }
    }
}

/// The default policies with their rights.
const POLICIES: [(&str, &[Right]); 5] = {
    use Right::{Administer, Configurations, DeviceConnect, Jobs, RegistryRead, RegistryWrite, ServiceConnect};
    [
        (
            "iothubowner",
            &[RegistryRead, RegistryWrite, ServiceConnect, DeviceConnect, Configurations, Jobs, Administer],
        ),
        ("service", &[ServiceConnect]),
        ("device", &[DeviceConnect]),
        ("registryRead", &[RegistryRead]),
        ("registryReadWrite", &[RegistryRead, RegistryWrite]),
    ]
};

/// The policies' keys.
pub(crate) struct Policies {
    keys: [Keys; POLICIES.len()],
}

#[derive(Clone)]
struct Keys {
    primary: Key,
    secondary: Key,
}

/// How a policy stands in its file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    name: String,
    primary_key: String,
    secondary_key: String,
}

impl Policies {
    /// Opens the policies of a folder, with new keys where there are none.
    pub(crate) fn open(folder: &Folder) -> Result<Self, HubStartError> {
        if let Some(text) = folder.read(FILE)? {
            let stored: Vec<Stored> = serde_json::from_str(&text).unwrap_or_default();
            return Self::load(&stored).ok_or_else(|| HubStartError::Policies { path: folder.file(FILE) });
        }
        let stored = Self::make()?;
        let text = serde_json::to_string_pretty(&stored).expect("text is JSON");
        folder.write(FILE, &text, true)?;
        Ok(Self::load(&stored).expect("made of all policies just above"))
    }

    /// Returns policies with new keys, which are kept nowhere.
    pub(crate) fn new() -> Result<Self, HubStartError> {
        Ok(Self::load(&Self::make()?).expect("made of all policies just above"))
    }

    fn make() -> Result<Vec<Stored>, HubStartError> {
        let mut stored = Vec::new();
        for (name, _) in POLICIES {
            let key = || -> Result<String, HubStartError> {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes).map_err(|_| HubStartError::Random)?;
                Ok(Key::from_bytes(bytes).to_base64().expose().to_owned())
            };
            stored.push(Stored { name: name.to_owned(), primary_key: key()?, secondary_key: key()? });
        }
        Ok(stored)
    }

    /// The policies with one key for all of them.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn of_one_key(key: &Key) -> Self {
        Self { keys: POLICIES.map(|_| Keys { primary: key.clone(), secondary: key.clone() }) }
    }

    fn load(stored: &[Stored]) -> Option<Self> {
        let keys = POLICIES.map(|(name, _)| {
            let stored = stored.iter().find(|stored| stored.name == name)?;
            let primary = Key::from_base64(&stored.primary_key).ok()?;
            Some(Keys { primary, secondary: Key::from_base64(&stored.secondary_key).ok()? })
        });
        let keys: Vec<Keys> = keys.into_iter().collect::<Option<_>>()?;
        Some(Self { keys: keys.try_into().ok()? })
    }

    /// Returns the connection string of a policy, with its primary key.
    pub(crate) fn connection_string(&self, host_name: &str, policy: &str) -> Option<Secret> {
        let key = self.find(policy)?.1.primary.to_base64();
        Some(Secret::new(format!("HostName={host_name};SharedAccessKeyName={policy};SharedAccessKey={}", key.expose())))
    }

    fn find(&self, policy: &str) -> Option<(&'static [Right], &Keys)> {
        let at = POLICIES.iter().position(|(name, _)| *name == policy)?;
        Some((POLICIES[at].1, &self.keys[at]))
    }
}

/// What a token must be for, and by whose keys it must be signed.
pub(crate) struct Access {
    policies: Policies,
    /// The names under which the hub is reached, in lower case, IPv6 addresses in brackets.
    hosts: Vec<String>,
    /// Whose Entra tokens are taken, if anybody's.
    entra: Option<Entra>,
}

impl Access {
    /// Opens the door for tokens that name one of `names`, with the port or without, or what clients are told, `host_name`.
    pub(crate) fn new(policies: Policies, host_name: &str, names: &[String], port: u16) -> Self {
        let mut hosts = vec![host_name.to_owned()];
        for name in names {
            let host = match name.parse::<IpAddr>() {
                Ok(IpAddr::V6(address)) => format!("[{address}]"),
                _ => name.to_ascii_lowercase(),
            };
            hosts.push(format!("{host}:{port}"));
            hosts.push(host);
        }
        Self { policies, hosts, entra: None }
    }

    /// Takes the tokens of an Entra issuer, too.
    pub(crate) fn with_entra(self, entra: Option<Entra>) -> Self {
        Self { entra, ..self }
    }

    /// Returns the connection string of a policy, with its primary key.
    pub(crate) fn connection_string(&self, policy: Policy) -> Secret {
        let string = self.policies.connection_string(self.host_name(), policy.name());
        string.expect("every policy has keys")
    }

    /// Lets a request of the service API through, or says why not. A policy must have the right `needed`; the roles of an Entra
    /// token must allow what the request does. `path` is as it came.
    pub(crate) fn check_request(
        &self,
        authorization: Option<&str>,
        method: &Method,
        path: &str,
        needed: Right,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        if let Some(entra) = &self.entra
            && let Some(token) = authorization.and_then(bearer)
        {
            let allowed = match Operation::of(method.as_str(), path) {
                Some(operation) => entra.check(token, operation::needed(operation), now),
                None => Err("no Entra role allows this; a shared access policy may".to_owned()),
            };
            return allowed.map_err(|text| Refusal::new(ErrorCode::IotHubUnauthorizedAccess, text));
        }
        self.check(authorization, path, needed, now)
    }

    /// Returns the rights of the policy that a token names; `None` if there is no such policy, or it did not sign the token.
    fn rights_of(&self, policy: &str, token: &SasToken) -> Option<&'static [Right]> {
        let (rights, keys) = self.policies.find(policy)?;
        (token.is_signed_by(&keys.primary) || token.is_signed_by(&keys.secondary)).then_some(rights)
    }

    /// Returns `true` if a token that names a policy was signed by it, and the policy may connect devices.
    pub(crate) fn connects_devices(&self, policy: &str, token: &SasToken) -> bool {
        self.rights_of(policy, token).is_some_and(|rights| rights.contains(&Right::DeviceConnect))
    }

    /// Returns the name of the policy that signed a token, if that policy may connect devices and may do nothing that services do.
    pub(crate) fn policy_of_devices(&self, token: &str) -> Option<String> {
        let token = SasToken::parse(token).ok()?;
        let policy = token.policy()?;
        let rights = self.rights_of(policy, &token)?;
        (rights.contains(&Right::DeviceConnect) && !rights.contains(&Right::ServiceConnect)).then(|| policy.to_owned())
    }

    /// Reads what a device brings to prove who it is over HTTPS, or says what is wrong with it. `path` is the request's, as it
    /// came. Whether it is the device's own key or certificate, the registry knows.
    pub(crate) fn device_proof(
        &self,
        authorization: Option<&str>,
        certificate: Option<&Fingerprints>,
        path: &str,
        now: OffsetDateTime,
    ) -> Result<Proof, Refusal> {
        let no = |text: String| Err(Refusal::new(ErrorCode::IotHubUnauthorized, text));
        let token = match (authorization.map(SasToken::parse), certificate) {
            (Some(Ok(token)), _) => token,
            (Some(Err(error)), _) => return no(error.to_string()),
            (None, Some(certificate)) => return Ok(Proof::Certificate(certificate.clone())),
            (None, None) => {
                return no("the request has neither an Authorization header nor a client certificate".to_owned());
            }
        };
        if i64::try_from(token.taken_until()).is_ok_and(|until| until <= now.unix_timestamp()) {
            return no("the token expired more than five minutes ago".to_owned());
        }
        let path = decode_segment(path).unwrap_or_default();
        let path = path.trim_end_matches('/');
        if !self.hosts.iter().any(|host| token.is_for(&format!("{host}{path}"))) {
            let (resource, this) = (token.resource().unwrap_or_default(), self.host_name());
            return no(format!("the token is for `{}` (sr), and must be for `{this}{path}`", resource.escape_debug()));
        }
        match token.policy() {
            None => Ok(Proof::Key(token)),
            Some(policy) if self.connects_devices(policy, &token) => Ok(Proof::Policy),
            Some(_) => no("no policy with the right DeviceConnect signed the token that names one (skn)".to_owned()),
        }
    }

    /// Lets a token through that comes without a request: a policy must have the right ServiceConnect, and the roles of an Entra
    /// token must allow `action`. `path` is what the token must be for.
    pub(crate) fn check_link(
        &self,
        token: &str,
        path: &str,
        action: DataAction,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        if let Some(entra) = &self.entra
            && let Some(token) = bearer(token)
        {
            let allowed = entra.check(token, &[action], now);
            return allowed.map_err(|text| Refusal::new(ErrorCode::IotHubUnauthorizedAccess, text));
        }
        self.check(Some(token), path, Right::ServiceConnect, now)
    }

    /// Returns the hub's name, as clients are told it.
    pub(crate) fn host_name(&self) -> &str {
        self.hosts.first().map_or("", String::as_str)
    }

    /// Lets a request through, or says why not. `path` is the request's, as it came.
    pub(crate) fn check(
        &self,
        authorization: Option<&str>,
        path: &str,
        needed: Right,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        let no = |text: String| Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, text));
        let Some(text) = authorization else {
            return no("the request has no Authorization header; send a shared access signature".to_owned());
        };
        if bearer(text).is_some() {
            return no("the embedded hub takes shared access signatures, and Microsoft Entra tokens only of an issuer that it \
                       was started with (--entra-issuer)"
                .to_owned());
        }
        let token = match SasToken::parse(text) {
            Ok(token) => token,
            Err(error) => return no(error.to_string()),
        };
        let Some(policy) = token.policy() else {
            return no("the token names no shared access policy (skn); a device's own key opens its modules alone \
                       (/devices/{id}/modules)"
                .to_owned());
        };
        let Some((rights, keys)) = self.policies.find(policy) else {
            return no(format!("there is no shared access policy `{}`", policy.escape_debug()));
        };
        if !token.is_signed_by(&keys.primary) && !token.is_signed_by(&keys.secondary) {
            return no(format!("the token is not signed by a key of the policy `{policy}`"));
        }
        // From here on the caller has shown that it knows a key, and may learn more.
        self.check_token(&token, path, now)?;
        if !rights.contains(&needed) {
            let able: Vec<_> =
                POLICIES.iter().filter(|(_, rights)| rights.contains(&needed)).map(|(n, _)| *n).collect();
            let have = if able.len() == 1 { "has" } else { "have" };
            return no(format!(
                "the policy `{policy}` has no right {}, which this needs; {} {have} it",
                needed.name(),
                able.join(", ")
            ));
        }
        Ok(())
    }

    /// Lets a token through whose signature was verified: it must hold still, and be for what is asked.
    pub(crate) fn check_token(&self, token: &SasToken, path: &str, now: OffsetDateTime) -> Result<(), Refusal> {
        let no = |text: String| Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, text));
        let expiry = token.expiry();
        if i64::try_from(token.taken_until()).is_ok_and(|until| until <= now.unix_timestamp()) {
            let ago = now.unix_timestamp().saturating_sub_unsigned(expiry);
            return no(format!("the token expired {ago} s ago"));
        }
        let resource = token.resource().unwrap_or_default();
        let path = decode_segment(path).unwrap_or_default();
        let path = path.trim_end_matches('/');
        if !self.hosts.iter().any(|host| token.is_for(&format!("{host}{path}"))) {
            let this = self.host_name();
            return no(format!("the token is for `{}` (sr), and must be for `{this}{path}`", resource.escape_debug()));
        }
        Ok(())
    }
}

/// Returns the token of an `Authorization: Bearer`.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ').unwrap_or((authorization, ""));
    scheme.eq_ignore_ascii_case("Bearer").then_some(token.trim())
}
