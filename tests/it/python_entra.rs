//! Microsoft's service SDK for Python with Entra tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::json;

use crate::python::{step, steps};
use crate::support::{Hub, Sandbox};

pub(crate) const ISSUER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/entra/issuer.json");
const KEY: &[u8] = include_bytes!("../data/entra/issuer.pk8.der");

/// Signs a token as the issuer would, for an hour from now.
#[expect(clippy::disallowed_methods, reason = "the hub goes by the real clock, and a test has none of its own")]
pub(crate) fn token(role: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let header = json!({ "typ": "JWT", "alg": "RS256", "kid": "test-2026" });
    let claims = json!({
        "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
        "aud": "https://iothubs.azure.net",
        "nbf": now - 60,
        "exp": now + 3600,
        "roles": [role],
    });
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let key = RsaKeyPair::from_pkcs8(KEY).expect("a key");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).expect("signed");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_token_credential_in_place_of_a_connection_string() {
    let sandbox = Sandbox::new();
    let hub = Hub::start_with(&sandbox, |hub| hub.entra_issuer(ISSUER));
    hub.create("d1");
    let connection = hub.connection_string("iothubowner");
    let host = connection.strip_prefix("HostName=").and_then(|rest| rest.split_once(';')).expect("a host").0;
    let tokens = ["IoT Hub Twin Contributor", "IoT Hub Data Reader"].map(token);
    let unauthorized = json!([401, "IotHubUnauthorizedAccess"]);
    assert_eq!(
        steps(&sandbox, &hub, "entra.py", &[host, &tokens[0], &tokens[1]]),
        [
            step("twin", json!("d1")),
            step("updated", json!(1)),
            step("found", json!(["d1"])),
            step("identity", unauthorized.clone()),
            step("scopes", json!(["https://iothubs.azure.net/.default"])),
            step("reader's identity", json!("d1")),
            step("reader's write", unauthorized.clone()),
            step("forged", unauthorized),
        ]
    );
}
