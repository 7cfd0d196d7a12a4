//! Microsoft Entra tokens of an issuer whose keys are in a file, for tests of that way in. Entra itself is never asked.
//!
//! The real service looks up which roles a caller has on the hub; here they stand in the token's own claim `roles`, by the
//! names of the built-in ones (docs: Control access to IoT Hub by using Microsoft Entra ID).

use std::collections::HashSet;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::RSA_PKCS1_2048_8192_SHA256;
use ring::signature::RsaPublicKeyComponents;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::limits::operation::DataAction;
use crate::start_error::HubStartError;
use iothub_model::wire::json_fault::json_fault;
use iothub_model::wire::sas::GRACE_SECONDS;

/// For whom a token must be, unless the file says otherwise.
const AUDIENCE: &str = "https://iothubs.azure.net";
/// The one way of signing that counts. What a token's header says only ever refuses it.
const ALGORITHM: &str = "RS256";
/// Bits of a key, at least and at most.
const KEY_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The built-in roles with data actions on a hub.
#[derive(Clone, Copy)]
enum Role {
    DataContributor,
    DataReader,
    RegistryContributor,
    TwinContributor,
}

impl Role {
    const ALL: [Self; 4] = [Self::DataContributor, Self::DataReader, Self::RegistryContributor, Self::TwinContributor];

    fn name(self) -> &'static str {
        match self {
            Self::DataContributor => "IoT Hub Data Contributor",
            Self::DataReader => "IoT Hub Data Reader",
            Self::RegistryContributor => "IoT Hub Registry Contributor",
            Self::TwinContributor => "IoT Hub Twin Contributor",
        }
    }

    fn allows(self, action: DataAction) -> bool {
        use DataAction::{DevicesDelete, DevicesRead, DevicesWrite, TwinsRead, TwinsWrite};
        match self {
            Self::DataContributor => true,
            Self::DataReader => action.reads(),
            Self::RegistryContributor => matches!(action, DevicesRead | DevicesWrite | DevicesDelete),
            Self::TwinContributor => matches!(action, TwinsRead | TwinsWrite),
        }
    }
}

/// Whose tokens are taken.
#[derive(Debug)]
pub(crate) struct Entra {
    issuer: String,
    audience: String,
    keys: Vec<PublicKey>,
}

#[derive(Debug)]
struct PublicKey {
    id: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// The file: a key set (RFC 7517) with its issuer beside the keys.
#[derive(Deserialize)]
struct File {
    issuer: String,
    audience: Option<String>,
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: f64,
    nbf: Option<f64>,
    #[serde(default)]
    roles: Vec<String>,
}

/// One audience, or several.
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(one) => Ok(Self::One(one)),
            several => serde_json::from_value(several).map(Self::Several).map_err(serde::de::Error::custom),
        }
    }
}

impl Audience {
    fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Several(several) => several.iter().any(|one| one == wanted),
        }
    }
}

impl Entra {
    /// Reads the file of an issuer.
    pub(crate) fn open(path: &Path) -> Result<Self, HubStartError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| HubStartError::File { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|reason| HubStartError::Issuer { path: path.to_owned(), reason })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let File { issuer, audience, keys } =
            serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| json_fault(&error))?;
        if keys.is_empty() {
            return Err("`keys` is empty".to_owned());
        }
        let mut ids = HashSet::new();
        let keys: Vec<PublicKey> = keys
            .into_iter()
            .enumerate()
            .map(|(at, key)| PublicKey::read(key).map_err(|reason| format!("`keys[{at}]`: {reason}")))
            .collect::<Result<_, _>>()?;
        if let Some(twice) = keys.iter().find(|key| !ids.insert(&key.id)) {
            return Err(format!("two keys have the `kid` {:?}", twice.id));
        }
        Ok(Self { issuer, audience: audience.unwrap_or_else(|| AUDIENCE.to_owned()), keys })
    }

    /// Lets a token through that is good and whose roles allow all of `needed`, or says why not.
    pub(crate) fn check(&self, token: &str, needed: &[DataAction], now: OffsetDateTime) -> Result<(), String> {
        let claims = self.verify(token)?;
        // From here on the caller has shown that the issuer knows it, and may learn more.
        let now = now.unix_timestamp() as f64;
        let grace = GRACE_SECONDS as f64;
        if !claims.exp.is_finite() || claims.exp + grace <= now {
            return Err(format!("the token expired {} s ago", (now - claims.exp).max(0.0)));
        }
        if claims.nbf.is_some_and(|from| from > now + grace) {
            return Err("the token is not valid yet".to_owned());
        }
        if claims.iss != self.issuer {
            return Err(format!(
                "the token is from {:?}, and this hub takes tokens from {:?}",
                claims.iss, self.issuer
            ));
        }
        if !claims.aud.contains(&self.audience) {
            return Err(format!("the token is not for {:?}", self.audience));
        }
        let has = |role: &Role| claims.roles.iter().any(|name| name == role.name());
        let able = |action: DataAction| Role::ALL.into_iter().filter(move |role| role.allows(action));
        match needed.iter().find(|action| !able(**action).any(|role| has(&role))) {
            None => Ok(()),
            Some(action) => Err(format!(
                "no role of the token allows Microsoft.Devices/IotHubs/{}, which this needs; these do: {}",
                action.name(),
                able(*action).map(Role::name).collect::<Vec<_>>().join(", ")
            )),
        }
    }

    /// Returns the claims of a token that a key of the issuer has signed. Nothing else of the token is believed before.
    fn verify(&self, token: &str) -> Result<Claims, String> {
        let none = || "the token is no JSON Web Token".to_owned();
        let (signed, signature) = token.rsplit_once('.').ok_or_else(none)?;
        let (header, claims) = signed.split_once('.').ok_or_else(none)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| none());
        let (header, signature) = (decode(header)?, decode(signature)?);
        let header: Header = serde_json::from_slice(&header).map_err(|_| none())?;
        if header.alg != ALGORITHM {
            return Err(format!("the token is not signed with {ALGORITHM}"));
        }
        if header.crit.is_some() {
            return Err("the token asks for an extension that this hub does not know (`crit`)".to_owned());
        }
        let key = self.keys.iter().find(|key| Some(&key.id) == header.kid.as_ref());
        let key = key.ok_or("the token names no key of the issuer (`kid`)")?;
        let public = RsaPublicKeyComponents { n: &key.modulus, e: &key.exponent };
        public
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
            .map_err(|_| "the token is not signed by the key of the issuer that it names")?;
        serde_json::from_slice(&decode(claims)?)
            .map_err(|error| format!("the claims of the token: {}", json_fault(&error)))
    }
}

impl PublicKey {
    fn read(Jwk { kty, kid, alg, usage, n, e }: Jwk) -> Result<Self, String> {
        if kty != "RSA" {
            return Err(format!("`kty` is {kty:?}, and only \"RSA\" is taken"));
        }
        if let Some(other) = alg.filter(|alg| alg != ALGORITHM) {
            return Err(format!("`alg` is {other:?}, and only \"{ALGORITHM}\" is taken"));
        }
        if let Some(other) = usage.filter(|usage| usage != "sig") {
            return Err(format!("`use` is {other:?}, and only \"sig\" is taken"));
        }
        let id = kid.ok_or("`kid` is missing")?;
        let number = |name: &str, text: Option<String>| -> Result<Vec<u8>, String> {
            let bytes = URL_SAFE_NO_PAD.decode(text.ok_or(format!("`{name}` is missing"))?);
            let bytes = bytes.map_err(|_| format!("`{name}` is not base64url"))?;
            Ok(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
        };
        let (modulus, exponent) = (number("n", n)?, number("e", e)?);
        let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
        if !KEY_BITS.contains(&bits) {
            return Err(format!("`n` has {bits} bits, and {} to {} are taken", KEY_BITS.start(), KEY_BITS.end()));
        }
        if exponent.last().is_none_or(|last| last % 2 == 0) {
            return Err("`e` is no odd number".to_owned());
        }
        Ok(Self { id, modulus, exponent })
    }
}
