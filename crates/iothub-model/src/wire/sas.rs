//! Shared access signatures: sign and verify.
//!
//! A token is `SharedAccessSignature sr=<resource>&sig=<signature>&se=<expiry>[&skn=<policy>]`, its fields in any order. The
//! signature is HMAC-SHA256, with the policy's decoded key, over `<sr as it stands in the token>` + LF + `<se>` (docs: Control
//! access to IoT Hub by using shared access signatures). Clients escape `sr` in different ways, so it is never decoded and
//! encoded again before verifying.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode_str;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Secret, encode_segment};

const SCHEME: &str = "SharedAccessSignature ";
/// How long the service takes a token after its end, in seconds: clocks may differ by so much (azure-iot-sdk-csharp#97,
/// azure-iot-sdk-c#163).
pub const GRACE_SECONDS: u64 = 300;

/// A shared access key, decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<Vec<u8>>);

/// Why a text is not a key. It does not hold the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is not base64")]
pub struct NotAKey;

impl Key {
    /// Decodes a key from base64, as connection strings have it.
    pub fn from_base64(text: &str) -> Result<Self, NotAKey> {
        match STANDARD.decode(text) {
            Ok(bytes) if !bytes.is_empty() => Ok(Self(Zeroizing::new(bytes))),
            _ => Err(NotAKey),
        }
    }

    /// Takes a key's bytes.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// Encodes it for a connection string.
    pub fn to_base64(&self) -> Secret {
        Secret::new(STANDARD.encode(&*self.0))
    }

    /// Returns how many bytes it has; the hub wants 16 to 64 of a device's.
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }

    fn mac(&self, resource: &str, expiry: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(resource.as_bytes());
        mac.update(b"\n");
        mac.update(expiry.as_bytes());
        mac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Makes a token for `resource`, a host name or `host/devices/id`, that ends at `expiry`, in seconds since 1970.
pub fn sign(resource: &str, key: &Key, expiry: u64, policy: Option<&str>) -> Secret {
    let sr = encode_segment(resource);
    let signature = STANDARD.encode(key.mac(&sr, &expiry.to_string()).finalize().into_bytes());
    let policy = policy.map(|policy| format!("&skn={}", encode_segment(policy))).unwrap_or_default();
    Secret::new(format!("{SCHEME}sr={sr}&sig={}&se={expiry}{policy}", encode_segment(&signature)))
}

/// A token as it came, not yet verified.
#[derive(Clone, PartialEq, Eq)]
pub struct SasToken {
    resource: String,
    signature: Vec<u8>,
    expiry: String,
    policy: Option<String>,
}

/// Why a text is not a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Another scheme, or none.
    #[error("not a shared access signature")]
    Scheme,
    /// A field is missing, there twice, or unknown.
    #[error("the field `{field}` of the shared access signature is {problem}")]
    Field {
        /// Its name.
        field: &'static str,
        /// `missing`, `there twice`, …
        problem: &'static str,
    },
}

impl SasToken {
    /// Takes a token apart.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let fields = text.strip_prefix(SCHEME).ok_or(TokenError::Scheme)?;
        let mut found: [(&'static str, Option<&str>); 4] = [("sr", None), ("sig", None), ("se", None), ("skn", None)];
        for field in fields.split('&') {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            // Fields that nobody knows are passed over: they are not signed, so nothing can hang on them.
            if let Some((field, slot)) = found.iter_mut().find(|(known, _)| *known == name.trim())
                && slot.replace(value.trim()).is_some()
            {
                return Err(TokenError::Field { field, problem: "there twice" });
            }
        }
        let [(_, resource), (_, signature), (_, expiry), (_, policy)] = found;
        let missing = |field| TokenError::Field { field, problem: "missing" };
        let resource = resource.filter(|sr| !sr.is_empty()).ok_or(missing("sr"))?.to_owned();
        // Percent-decoded and not form-decoded: a raw `+` belongs to base64.
        let signature = percent_decode_str(signature.ok_or(missing("sig"))?).collect::<Vec<u8>>();
        let signature =
            STANDARD.decode(signature).map_err(|_| TokenError::Field { field: "sig", problem: "not base64" })?;
        let expiry = expiry.ok_or(missing("se"))?.to_owned();
        if expiry.parse::<u64>().is_err() {
            return Err(TokenError::Field { field: "se", problem: "not a time in seconds since 1970" });
        }
        let policy = match policy.filter(|skn| !skn.is_empty()) {
            None => None,
            Some(skn) => Some(
                percent_decode_str(skn)
                    .decode_utf8()
                    .map_err(|_| TokenError::Field { field: "skn", problem: "not UTF-8" })?
                    .into_owned(),
            ),
        };
        Ok(Self { resource, signature, expiry, policy })
    }

    /// Returns the decoded resource, or nothing when its bytes are not UTF-8.
    pub fn resource(&self) -> Option<String> {
        super::decode_segment(&self.resource)
    }

    /// Returns when it ends, in seconds since 1970.
    pub fn expiry(&self) -> u64 {
        self.expiry.parse().expect("parse looked that it is a number")
    }

    /// Returns the second from which on the service does not take it any more.
    pub fn taken_until(&self) -> u64 {
        self.expiry().saturating_add(GRACE_SECONDS)
    }

    /// Returns `true` if it opens `wanted`.
    ///
    /// Microsoft's C# device SDK and IoT Edge's modules encode ids twice (azure-iot-sdk-csharp#771, iotedge#759). A policy's
    /// token is decoded once alone: with its key, the token of the device `a%2Bb` would be one of the device `a+b` as well. The
    /// keys of devices keep them apart. Go's client encodes the whole once more for a module (amenzhinsky/iothub).
    pub fn is_for(&self, wanted: &str) -> bool {
        let Some(resource) = self.resource() else { return false };
        let own_key = self.policy.is_none();
        let whole = || super::decode_segment(&resource).filter(|_| own_key && !resource.contains('/'));
        covers(&resource, wanted)
            || own_key && covers(&decode_ids(&resource), wanted)
            || whole().is_some_and(|whole| covers(&whole, wanted) || covers(&decode_ids(&whole), wanted))
    }

    /// Returns the shared access policy whose key signed it; none for a device's own key.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// Says whether `key` signed it, in constant time.
    pub fn is_signed_by(&self, key: &Key) -> bool {
        key.mac(&self.resource, &self.expiry).verify_slice(&self.signature).is_ok()
    }
}

/// Decodes the segments after the host once more, each by itself: a slash that comes of it parts no segments.
fn decode_ids(resource: &str) -> String {
    let mut segments = resource.split('/');
    let mut decoded = segments.next().unwrap_or_default().to_owned();
    for segment in segments {
        decoded.push('/');
        match super::decode_segment(segment) {
            Some(id) if !id.contains('/') => decoded.push_str(&id),
            Some(_) | None => decoded.push_str(segment),
        }
    }
    decoded
}

/// Says whether a token for `granted` opens `wanted`: equal, or a prefix by whole segments; the host without regard to case.
pub fn covers(granted: &str, wanted: &str) -> bool {
    let mut granted = granted.trim_end_matches('/').split('/');
    let mut wanted = wanted.split('/');
    let same_host =
        matches!((granted.next(), wanted.next()), (Some(a), Some(b)) if !a.is_empty() && a.eq_ignore_ascii_case(b));
    same_host && granted.all(|segment| wanted.next() == Some(segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::from_base64("c2VjcmV0LWtleS1mb3ItdGVzdHM=").expect("base64")
    }

    #[test]
    fn what_is_signed_verifies() {
        let token = sign("hub.azure-devices.net", &key(), 1_900_000_000, Some("service"));
        // Computed apart from this code, by Python's hmac module.
        assert_eq!(
            token.expose(),
            "SharedAccessSignature sr=hub.azure-devices.net&sig=kzQKBpuApdJOMYyO1Tfo8HlyKYS4k%2Bzu4PrFFZG5yK8%3D&se=1900000000&skn=service"
        );
        let token = SasToken::parse(token.expose()).expect("a token");
        assert!(token.is_signed_by(&key()));
        assert!(!token.is_signed_by(&Key::from_bytes("another")));
        assert_eq!((token.expiry(), token.policy()), (1_900_000_000, Some("service")));
        assert_eq!(token.resource().as_deref(), Some("hub.azure-devices.net"));
    }

    #[test]
    fn signatures_are_over_the_raw_resource() {
        for sr in ["localhost%3A8443", "localhost%3a8443", "localhost:8443"] {
            let signature = STANDARD.encode(key().mac(sr, "9").finalize().into_bytes());
            // As Python leaves it: `/` bare and `+` escaped or not.
            let token =
                SasToken::parse(&format!("SharedAccessSignature se=9&sig={}&sr={sr}", signature.replace('=', "%3D")))
                    .expect("a token");
            assert!(token.is_signed_by(&key()), "{sr}");
            assert_eq!(token.resource().as_deref(), Some("localhost:8443"));
        }
    }

    #[test]
    fn what_is_no_token() {
        for (text, message) in [
            ("Bearer x", "not a shared access signature"),
            ("SharedAccessSignature sr=a&se=1", "the field `sig` of the shared access signature is missing"),
            ("SharedAccessSignature sr=&sig=AA==&se=1", "the field `sr` of the shared access signature is missing"),
            (
                "SharedAccessSignature sr=a&sr=b&sig=AA==&se=1",
                "the field `sr` of the shared access signature is there twice",
            ),
            ("SharedAccessSignature sr=a&sig=!&se=1", "the field `sig` of the shared access signature is not base64"),
            (
                "SharedAccessSignature sr=a&sig=AA==&se=-1",
                "the field `se` of the shared access signature is not a time in seconds since 1970",
            ),
        ] {
            assert_eq!(SasToken::parse(text).map(|_| ()).expect_err(text).to_string(), message);
        }
    }

    #[test]
    fn ids_may_be_encoded_twice() {
        for (sr, policy, wanted, expected) in [
            ("hub.net%2Fdevices%2Fa%2Bb", None, "hub.net/devices/a+b", true),
            ("hub.net%2Fdevices%2Fa%252Bb", None, "hub.net/devices/a+b", true),
            (
                "hub.net%2fdevices%2fa%252bb%2fmodules%2f%2524edgeAgent",
                None,
                "hub.net/devices/a+b/modules/$edgeAgent",
                true,
            ),
            ("hub.net%2Fdevices%2Fa%252Bb", None, "hub.net/devices/a%2Bb", true),
            ("hub.net%2Fdevices%2Fa%252Bb", Some("device"), "hub.net/devices/a%2Bb", true),
            ("hub.net%2Fdevices%2Fa%252Bb", Some("device"), "hub.net/devices/a+b", false),
            ("hub.net%2Fdevices%2Fa%25252Bb", None, "hub.net/devices/a+b", false),
            ("hub.net%2Fdevices%2Fa%252Fmodules%252Fm", None, "hub.net/devices/a/modules/m", false),
            ("hub.net%2Fdevices%2Fa%25FF", None, "hub.net/devices/a", false),
            ("hub%252Enet%2Fdevices%2Fa", None, "hub.net/devices/a", false),
            // Go's client, for a module (amenzhinsky/iothub).
            ("hub.net%252Fdevices%252Fa%252Fmodules%252Fm", None, "hub.net/devices/a/modules/m", true),
            ("hub.net%252Fdevices%252Fa%25252Bb", None, "hub.net/devices/a+b", true),
            ("hub.net%252Fdevices%252Fa", Some("device"), "hub.net/devices/a", false),
        ] {
            let policy = policy.map(|policy| format!("&skn={policy}")).unwrap_or_default();
            let token =
                SasToken::parse(&format!("SharedAccessSignature sr={sr}&sig=AA==&se=9{policy}")).expect("a token");
            assert_eq!(token.is_for(wanted), expected, "{sr} {wanted}");
        }
    }

    #[test]
    fn a_token_is_taken_for_five_minutes_more() {
        let until = |se: &str| {
            SasToken::parse(&format!("SharedAccessSignature sr=a&sig=AA==&se={se}")).expect("a token").taken_until()
        };
        assert_eq!(until("1000"), 1300);
        assert_eq!(until(&u64::MAX.to_string()), u64::MAX);
    }

    #[test]
    fn a_token_covers_by_whole_segments() {
        for (granted, wanted, expected) in [
            ("Hub.net", "hub.net/twins/a", true),
            ("hub.net", "hub.net", true),
            ("hub.net/", "hub.net/devices/a", true),
            ("hub.net/devices", "hub.net/devices/a", true),
            ("hub.net/devices/a", "hub.net/devices/a", true),
            ("hub.net/devices/a", "hub.net/devices/ab", false),
            ("hub.net/devices/a", "hub.net/devices/A", false),
            ("hub.net/devices/a", "hub.net", false),
            ("hub.ne", "hub.net", false),
            ("", "hub.net", false),
        ] {
            assert_eq!(covers(granted, wanted), expected, "{granted} {wanted}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in "(SharedAccessSignature )?.{0,80}") {
            let _ = SasToken::parse(&text);
        }

        #[test]
        fn whatever_is_signed_verifies(resource in "[a-z:/%+ ]{1,40}", expiry in 0u64..1 << 40, policy in proptest::option::of("[a-zA-Z@._-]{1,12}")) {
            let token = SasToken::parse(sign(&resource, &key(), expiry, policy.as_deref()).expose()).expect("a token");
            proptest::prop_assert!(token.is_signed_by(&key()));
            proptest::prop_assert_eq!(token.resource(), Some(resource));
            proptest::prop_assert_eq!(token.policy(), policy.as_deref());
        }
    }
}
