//! An identity's document, and the rules of writing one (docs: Understand the identity registry).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::Serialize;

use crate::core::command::{Entropy, Refusal, invalid};
use crate::core::presence::{CONNECTED, DISCONNECTED, Presence};
use crate::core::scope::{NamedScopes, Scopes};
use crate::core::timestamp::{NEVER, renew, timestamp};
use iothub_model::twin::DeviceId;
use iothub_model::twin::ETag;
use iothub_model::wire::keys::PolicyKey;
use iothub_model::wire::registry::AuthenticationBody;
use iothub_model::wire::registry::AuthenticationType;
use iothub_model::wire::registry::Capabilities;
use iothub_model::wire::registry::DeviceBody;
use iothub_model::wire::registry::DeviceStatus;
use iothub_model::wire::registry::SymmetricKeys;
use iothub_model::wire::registry::Thumbprints;

/// Characters of `statusReason`, at most.
const STATUS_REASON_MAX_CHARS: usize = 128;
/// Bytes of a device's key, decoded.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
/// Hexadecimal digits of a thumbprint: SHA-1's and SHA-256's.
const THUMBPRINT_DIGITS: [usize; 2] = [40, 64];

/// A device identity as `GET /devices/{id}` answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identity {
    pub(crate) device_id: DeviceId,
    generation_id: String,
    pub(crate) etag: ETag,
    connection_state: String,
    pub(crate) status: DeviceStatus,
    pub(crate) status_reason: Option<String>,
    connection_state_updated_time: String,
    pub(crate) status_updated_time: String,
    last_activity_time: String,
    cloud_to_device_message_count: u64,
    pub(crate) authentication: Authentication,
    pub(crate) capabilities: Capabilities,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device_scope: Option<String>,
    #[serde(default)]
    pub(crate) parent_scopes: Vec<String>,
}

/// How the device proves who it is, with what it does not use set to null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Authentication {
    pub(crate) symmetric_key: SymmetricKeys,
    pub(crate) x509_thumbprint: Thumbprints,
    #[serde(rename = "type")]
    pub(crate) kind: AuthenticationType,
}

impl Identity {
    /// Makes a new identity of what a PUT says.
    pub(crate) fn create(id: DeviceId, body: DeviceBody, entropy: &Entropy) -> Result<Self, Refusal> {
        let (generation_id, etag) = first_numbers(entropy);
        let mut identity = Self {
            device_id: id,
            generation_id,
            etag,
            connection_state: DISCONNECTED.to_owned(),
            status: DeviceStatus::default(),
            status_reason: None,
            connection_state_updated_time: NEVER.to_owned(),
            status_updated_time: NEVER.to_owned(),
            last_activity_time: NEVER.to_owned(),
            cloud_to_device_message_count: 0,
            authentication: authentication(None, entropy)?,
            capabilities: Capabilities::default(),
            device_scope: None,
            parent_scopes: Vec::new(),
        };
        let named = identity.take(body, entropy)?;
        let is_edge = identity.capabilities.iot_edge;
        identity.set_scopes(Scopes::of_new(&identity.device_id, &identity.generation_id, is_edge, named)?);
        Ok(identity)
    }

    /// Replaces all that a PUT may write, and moves the etag. What the body leaves out is as if it were new: without
    /// `authentication` there are new keys. `is_parent` returns `true` for the scope of an edge device that is there.
    pub(crate) fn replace(
        &mut self,
        body: DeviceBody,
        entropy: &Entropy,
        now: time::OffsetDateTime,
        is_parent: &dyn Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        let (status, was_edge) = (self.status, self.capabilities.iot_edge);
        let named = self.take(body, entropy)?;
        let edge = (was_edge, self.capabilities.iot_edge);
        self.set_scopes(self.scopes().updated(&self.device_id, edge, named, is_parent)?);
        if self.status != status {
            self.status_updated_time = timestamp(now);
        }
        self.etag = next_etag(&self.etag);
        Ok(())
    }

    /// Makes new keys, and moves the etag.
    ///
    /// # Errors
    ///
    /// When the device has no keys.
    pub(crate) fn regenerate(&mut self, which: PolicyKey, entropy: &Entropy) -> Result<(), Refusal> {
        self.authentication.regenerate(which, entropy)?;
        self.etag = next_etag(&self.etag);
        Ok(())
    }

    /// Takes over what a connection changes. The etag stays: clients hold it to write, and a connection writes nothing.
    pub(crate) fn show(&mut self, presence: &Presence<'_>) {
        let since = &mut self.connection_state_updated_time;
        presence.show(&mut self.connection_state, Some(since), &mut self.last_activity_time);
    }

    /// Takes over how many messages wait for the device. The etag stays.
    pub(crate) fn count_messages(&mut self, count: u64) {
        self.cloud_to_device_message_count = count;
    }

    fn scopes(&self) -> Scopes {
        Scopes { device: self.device_scope.clone(), parents: self.parent_scopes.clone() }
    }

    fn set_scopes(&mut self, scopes: Scopes) {
        (self.device_scope, self.parent_scopes) = (scopes.device, scopes.parents);
    }

    /// Adds the scopes that a version of this program without them did not keep. Returns `true` if there were any to add.
    pub(crate) fn complete_scopes(&mut self) -> bool {
        let before = self.scopes();
        let scopes = before.clone().completed(&self.device_id, &self.generation_id, self.capabilities.iot_edge);
        let changed = scopes != before;
        self.set_scopes(scopes);
        changed
    }

    /// Returns the number that no other identity of this id has had.
    pub(crate) fn generation(&self) -> &str {
        &self.generation_id
    }

    /// Brings the times that an earlier version of this program wrote to their present form. Returns `true` if that changed any.
    pub(crate) fn renew(&mut self) -> bool {
        renew(&mut self.connection_state_updated_time)
            | renew(&mut self.status_updated_time)
            | renew(&mut self.last_activity_time)
    }

    /// Says whether it shows itself connected.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection_state == CONNECTED
    }

    /// Says whether it is as this program writes it, as far as its types do not say so.
    pub(crate) fn is_sound(&self) -> bool {
        counter_of(&self.etag).is_some_and(is_count)
    }

    /// Takes over what a body names, and returns the scopes in it, which depend on what the device was.
    fn take(&mut self, body: DeviceBody, entropy: &Entropy) -> Result<NamedScopes, Refusal> {
        let DeviceBody {
            device_id,
            status,
            status_reason,
            authentication: proof,
            capabilities,
            device_scope,
            parent_scopes,
        } = body;
        if let Some(named) = device_id.filter(|named| named != self.device_id.as_str()) {
            let text = format!(
                "the body names the device `{}` and the path the device `{}`",
                named.escape_debug(),
                self.device_id
            );
            return Err(invalid(text));
        }
        if let Some(reason) = &status_reason
            && reason.chars().count() > STATUS_REASON_MAX_CHARS
        {
            return Err(invalid(format!("statusReason has more than {STATUS_REASON_MAX_CHARS} characters")));
        }
        self.authentication = authentication(proof, entropy)?;
        self.status = status.unwrap_or_default();
        self.status_reason = status_reason;
        self.capabilities = capabilities.unwrap_or_default();
        Ok(NamedScopes::new(device_scope, parent_scopes))
    }
}

impl Authentication {
    /// Puts keys of the hub's making in the place of one or both.
    ///
    /// # Errors
    ///
    /// When it is not by keys.
    pub(crate) fn regenerate(&mut self, which: PolicyKey, entropy: &Entropy) -> Result<(), Refusal> {
        if self.kind != AuthenticationType::Sas {
            return Err(invalid(format!("the authentication is {}, which has no keys", self.kind.name())));
        }
        let (primary, secondary) = new_keys(entropy);
        if which != PolicyKey::Secondary {
            self.symmetric_key.primary_key = Some(primary);
        }
        if which != PolicyKey::Primary {
            self.symmetric_key.secondary_key = Some(secondary);
        }
        Ok(())
    }
}

fn new_keys(entropy: &Entropy) -> (String, String) {
    (STANDARD.encode(&entropy.0[..32]), STANDARD.encode(&entropy.0[32..64]))
}

/// Returns the generation and the first etag of a new identity.
pub(crate) fn first_numbers(entropy: &Entropy) -> (String, ETag) {
    let number = |range: std::ops::Range<usize>| {
        u64::from_be_bytes(entropy.0[range].try_into().expect("both ranges below have eight bytes"))
    };
    let generation = 100_000_000_000_000_000 + number(64..72) % 900_000_000_000_000_000;
    (generation.to_string(), etag_of(100_000_000 + number(72..80) % 800_000_000))
}

/// Reads how a device or module proves who it is, and makes the keys that nobody gave.
pub(crate) fn authentication(body: Option<AuthenticationBody>, entropy: &Entropy) -> Result<Authentication, Refusal> {
    let AuthenticationBody { kind, symmetric_key, x509_thumbprint } = body.unwrap_or_default();
    let full = |text: Option<String>| text.filter(|text| !text.is_empty());
    let keys = symmetric_key.unwrap_or_default();
    let keys = (full(keys.primary_key), full(keys.secondary_key));
    let thumbprints = x509_thumbprint.unwrap_or_default();
    let thumbprints = (full(thumbprints.primary_thumbprint), full(thumbprints.secondary_thumbprint));
    let kind = kind.unwrap_or(match thumbprints {
        (None, None) => AuthenticationType::Sas,
        _ => AuthenticationType::SelfSigned,
    });
    let mut answer =
        Authentication { symmetric_key: SymmetricKeys::default(), x509_thumbprint: Thumbprints::default(), kind };
    match kind {
        AuthenticationType::Sas => {
            let (primary, secondary) = match keys {
                (None, None) => new_keys(entropy),
                (Some(primary), Some(secondary)) => (primary, secondary),
                _ => return Err(invalid("a device has both keys or neither, and this one has one")),
            };
            for key in [&primary, &secondary] {
                if !STANDARD.decode(key).is_ok_and(|bytes| KEY_BYTES.contains(&bytes.len())) {
                    return Err(invalid("a device's key is base64 of 16 to 64 bytes, and this one is not"));
                }
            }
            answer.symmetric_key = SymmetricKeys { primary_key: Some(primary), secondary_key: Some(secondary) };
        }
        AuthenticationType::SelfSigned => {
            let (primary, secondary) = thumbprints;
            if primary.is_none() && secondary.is_none() {
                return Err(invalid("a device with a self-signed certificate needs its thumbprint"));
            }
            for thumbprint in [&primary, &secondary].into_iter().flatten() {
                let is_hex = thumbprint.bytes().all(|byte| byte.is_ascii_hexdigit());
                if !is_hex || !THUMBPRINT_DIGITS.contains(&thumbprint.len()) {
                    return Err(invalid("a thumbprint is 40 or 64 hexadecimal digits, and this one is not"));
                }
            }
            answer.x509_thumbprint = Thumbprints { primary_thumbprint: primary, secondary_thumbprint: secondary };
        }
        AuthenticationType::CertificateAuthority | AuthenticationType::None => {}
    }
    Ok(answer)
}

/// Says whether a number of things that were counted one by one can be so large.
pub(crate) fn is_count(number: u64) -> bool {
    number < 1 << 53
}

/// Returns an identity's etag: its counter's decimal digits, in base64.
pub(crate) fn etag_of(counter: u64) -> ETag {
    ETag::new(STANDARD.encode(counter.to_string()))
}

/// Returns the etag that follows one.
pub(crate) fn next_etag(etag: &ETag) -> ETag {
    etag_of(counter_of(etag).unwrap_or(0) + 1)
}

pub(crate) fn counter_of(etag: &ETag) -> Option<u64> {
    String::from_utf8(STANDARD.decode(etag.as_str()).ok()?).ok()?.parse().ok()
}
