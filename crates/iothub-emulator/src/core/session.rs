//! How a client proves who it is, and what the hub keeps of its clients between connections.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use iothub_model::twin::ModuleId;
use iothub_model::wire::sas::SasToken;
use iothub_model::wire::topics::Subscription;

/// How a client proves who it is. What can be checked without the registry (expiry, audience) has been.
#[derive(Clone)]
pub(crate) enum Proof {
    /// A token that a shared access policy with the right signed.
    Policy,
    /// A token that one of the identity's own keys must have signed.
    Key(SasToken),
    /// A certificate whose key it has, by its fingerprints.
    Certificate(Fingerprints),
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Policy => "Policy",
            Self::Key(_) => "Key(…)",
            Self::Certificate(_) => "Certificate(…)",
        })
    }
}

/// A certificate's fingerprints, in upper-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprints {
    /// Of 40 digits.
    pub sha1: String,
    /// Of 64 digits.
    pub sha256: String,
}

impl Fingerprints {
    /// Takes them of a certificate in DER.
    pub(crate) fn of(certificate: &[u8]) -> Self {
        fn hex(bytes: &[u8]) -> String {
            bytes.iter().map(|byte| format!("{byte:02X}")).collect()
        }
        Self {
            sha1: hex(&<sha1::Sha1 as sha1::Digest>::digest(certificate)),
            sha256: hex(&<sha2::Sha256 as sha2::Digest>::digest(certificate)),
        }
    }

    /// Says whether a thumbprint is one of them, in either case.
    pub(crate) fn contains(&self, thumbprint: &str) -> bool {
        thumbprint.eq_ignore_ascii_case(&self.sha1) || thumbprint.eq_ignore_ascii_case(&self.sha256)
    }
}

/// What a client finds when it connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// What it is subscribed to from before.
    pub(crate) subscriptions: BTreeSet<Subscription>,
}

/// What a device's clients, itself and its modules, are subscribed to. Shared rather than copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sessions {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    device: Arc<BTreeSet<Subscription>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    modules: Arc<BTreeMap<String, BTreeSet<Subscription>>>,
}

impl Sessions {
    /// Says whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.device.is_empty() && self.modules.is_empty()
    }

    /// Returns those of one client.
    pub(crate) fn of(&self, module: Option<&ModuleId>) -> BTreeSet<Subscription> {
        match module {
            None => (*self.device).clone(),
            Some(module) => self.modules.get(module.as_str()).cloned().unwrap_or_default(),
        }
    }

    /// Returns them with those of one client replaced.
    #[must_use]
    pub(crate) fn with(&self, module: Option<&ModuleId>, subscriptions: BTreeSet<Subscription>) -> Self {
        let mut all = self.clone();
        match module {
            None => all.device = Arc::new(subscriptions),
            Some(module) if subscriptions.is_empty() => {
                Arc::make_mut(&mut all.modules).remove(module.as_str());
            }
            Some(module) => {
                Arc::make_mut(&mut all.modules).insert(module.as_str().to_owned(), subscriptions);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_a_device_and_its_modules() {
        use Subscription::{DesiredPatches, Methods};
        let module: ModuleId = "m".parse().expect("an id");
        let sessions =
            Sessions::default().with(None, [DesiredPatches, Methods].into()).with(Some(&module), [Methods].into());
        let text = serde_json::to_string(&sessions).expect("JSON");
        assert_eq!(text, r#"{"device":["desiredPatches","methods"],"modules":{"m":["methods"]}}"#);
        assert_eq!(serde_json::from_str::<Sessions>(&text).expect("sessions"), sessions);
        assert_eq!(sessions.of(Some(&module)), [Methods].into());
        let left = sessions.with(Some(&module), [].into()).with(None, [].into());
        assert!(left.is_empty());
        assert_eq!(serde_json::to_string(&left).expect("JSON"), "{}");
    }

    #[test]
    fn fingerprints_in_either_case() {
        // As `openssl x509 -fingerprint` gives them for the bytes `abc`.
        let prints = Fingerprints::of(b"abc");
        for (text, expected) in [
            ("A9993E364706816ABA3E25717850C26C9CD0D89D", true),
            ("a9993e364706816aba3e25717850c26c9cd0d89d", true),
            ("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD", true),
            ("A9993E364706816ABA3E25717850C26C9CD0D89E", false),
            ("", false),
        ] {
            assert_eq!(prints.contains(text), expected, "{text}");
        }
    }
}
