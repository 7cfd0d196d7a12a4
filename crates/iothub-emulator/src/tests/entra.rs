//! Entra tokens: which are taken, and what their roles open.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Hmac;
use hmac::KeyInit;
use hmac::Mac;
use ring::rand::SystemRandom;
use ring::signature::RSA_PKCS1_SHA256;
use ring::signature::RSA_PKCS1_SHA512;
use ring::signature::RsaKeyPair;
use serde_json::Value;
use serde_json::json;
use sha2::Sha256;
use tempfile::TempDir;

use crate::Emulator;
use crate::tests::{NOW, Sandbox};

const ISSUER: &str = "https://sts.windows.net/00000000-0000-0000-0000-000000000000/";
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/entra/issuer.json");
const KEY: &[u8] = include_bytes!("../../../../tests/data/entra/issuer.pk8.der");
const STRANGER: &[u8] = include_bytes!("../../../../tests/data/entra/stranger.pk8.der");

const CONTRIBUTOR: &str = "IoT Hub Data Contributor";
const READER: &str = "IoT Hub Data Reader";
const REGISTRY: &str = "IoT Hub Registry Contributor";
const TWINS: &str = "IoT Hub Twin Contributor";

async fn hub() -> Sandbox {
    Sandbox::with(TempDir::new().expect("a temporary folder"), |options| options.entra_issuer(FILE)).await
}

fn encoded(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

fn rsa(key: &[u8], algorithm: &'static dyn ring::signature::RsaEncoding, signed: &str) -> Vec<u8> {
    let pair = RsaKeyPair::from_pkcs8(key).expect("a key");
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(algorithm, &SystemRandom::new(), signed.as_bytes(), &mut signature).expect("signed");
    signature
}

fn header() -> Value {
    json!({"typ": "JWT", "alg": "RS256", "kid": "test-2026"})
}

fn claims(roles: &[&str]) -> Value {
    let now = NOW.unix_timestamp();
    json!({
        "aud": "https://iothubs.azure.net", "iss": ISSUER, "iat": now, "nbf": now, "exp": now + 3600,
        "oid": "11111111-1111-1111-1111-111111111111", "roles": roles, "ver": "1.0",
    })
}

fn token_of(header: &Value, claims: &Value) -> String {
    let signed = encoded(header, claims);
    let signature = URL_SAFE_NO_PAD.encode(rsa(KEY, &RSA_PKCS1_SHA256, &signed));
    format!("{signed}.{signature}")
}

fn token(roles: &[&str]) -> String {
    token_of(&header(), &claims(roles))
}

async fn get(hub: &Sandbox, token: &str) -> crate::tests::Answer {
    let authorization = format!("Bearer {token}");
    hub.send("GET", "/twins/d?api-version=2021-04-12", &[("Authorization", &authorization)], None).await
}

#[tokio::test]
async fn tokens_that_are_taken_and_tokens_that_are_not() {
    let hub = hub().await;
    hub.create("d").await;
    let now = NOW.unix_timestamp();
    let with = |name: &str, value: Value| {
        let mut claims = claims(&[CONTRIBUTOR]);
        claims[name] = value;
        token_of(&header(), &claims)
    };
    let without = |name: &str| {
        let mut claims = claims(&[CONTRIBUTOR]);
        claims.as_object_mut().expect("an object").remove(name);
        token_of(&header(), &claims)
    };
    let headed = |header: Value| token_of(&header, &claims(&[CONTRIBUTOR]));
    let good = token(&[CONTRIBUTOR]);
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let (head, _) = signed.split_once('.').expect("three parts");

    let unsigned = encoded(&json!({"typ": "JWT", "alg": "none", "kid": "test-2026"}), &claims(&[CONTRIBUTOR]));
    // The public key taken for the secret of an HMAC, in the forms that a confused verifier would have it.
    let file: Value = serde_json::from_str(&std::fs::read_to_string(FILE).expect("the file")).expect("JSON");
    let modulus = URL_SAFE_NO_PAD.decode(file["keys"][0]["n"].as_str().expect("a modulus")).expect("base64url");
    let confused = |algorithm: &str, secret: &[u8]| {
        let signed = encoded(&json!({"alg": algorithm, "kid": "test-2026"}), &claims(&[CONTRIBUTOR]));
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let stranger = {
        let signed = encoded(&header(), &claims(&[CONTRIBUTOR]));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(rsa(STRANGER, &RSA_PKCS1_SHA256, &signed)))
    };
    let sha512 = {
        let signed = encoded(&header(), &claims(&[CONTRIBUTOR]));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(rsa(KEY, &RSA_PKCS1_SHA512, &signed)))
    };
    let other_claims = format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims(&[READER]).to_string()));

    const NO_JWT: &str = "the token is no JSON Web Token";
    const ALGORITHM: &str = "the token is not signed with RS256";
    const NO_KEY: &str = "the token names no key of the issuer";
    const FORGED: &str = "the token is not signed by the key of the issuer";
    for (what, token, mistake) in [
        ("good", good.clone(), None),
        ("several audiences", with("aud", json!(["x", "https://iothubs.azure.net"])), None),
        ("until the last second", with("exp", json!(now + 1)), None),
        ("a fraction of a second", with("exp", json!(now as f64 + 0.5)), None),
        ("no nbf", without("nbf"), None),
        ("another role as well", token(&["Reader", CONTRIBUTOR]), None),
        ("expired within the grace", with("exp", json!(now - 299)), None),
        ("expired", with("exp", json!(now - 300)), Some("the token expired 300 s ago")),
        ("long expired", with("exp", json!(now - 3600)), Some("the token expired 3600 s ago")),
        ("no exp", without("exp"), Some("the claims of the token: ")),
        ("exp as text", with("exp", json!("never")), Some("the claims of the token: ")),
        ("not yet, within the grace", with("nbf", json!(now + 300)), None),
        ("not yet", with("nbf", json!(now + 301)), Some("the token is not valid yet")),
        ("for another", with("aud", json!("https://vault.azure.net")), Some("the token is not for")),
        ("for almost us", with("aud", json!("https://iothubs.azure.net.evil.example")), Some("the token is not for")),
        ("no aud", without("aud"), Some("the claims of the token: ")),
        ("from another", with("iss", json!("https://sts.windows.net/other/")), Some("the token is from")),
        ("no iss", without("iss"), Some("the claims of the token: ")),
        ("another key", stranger, Some(FORGED)),
        ("another hash", sha512, Some(FORGED)),
        ("changed claims", other_claims, Some(FORGED)),
        ("no signature", format!("{signed}."), Some(FORGED)),
        ("alg none", format!("{unsigned}."), Some(ALGORITHM)),
        ("alg none, signed", headed(json!({"alg": "none", "kid": "test-2026"})), Some(ALGORITHM)),
        ("alg None", headed(json!({"alg": "None", "kid": "test-2026"})), Some(ALGORITHM)),
        ("HS256 with the modulus", confused("HS256", &modulus), Some(ALGORITHM)),
        ("HS256 with the file", confused("HS256", file.to_string().as_bytes()), Some(ALGORITHM)),
        ("an HMAC called RS256", confused("RS256", &modulus), Some(FORGED)),
        ("RS512", headed(json!({"alg": "RS512", "kid": "test-2026"})), Some(ALGORITHM)),
        ("no alg", headed(json!({"kid": "test-2026"})), Some(NO_JWT)),
        (
            "alg twice",
            {
                let header = "{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"test-2026\"}";
                format!("{}.{}", URL_SAFE_NO_PAD.encode(header), &signed[head.len() + 1..]) + "." + signature
            },
            Some(NO_JWT),
        ),
        ("another kid", headed(json!({"alg": "RS256", "kid": "test-2025"})), Some(NO_KEY)),
        ("no kid", headed(json!({"alg": "RS256"})), Some(NO_KEY)),
        (
            "a key of its own",
            {
                let own = json!({"alg": "RS256", "kid": "own", "jwk": file["keys"][0]});
                headed(own)
            },
            Some(NO_KEY),
        ),
        (
            "crit",
            headed(json!({"alg": "RS256", "kid": "test-2026", "crit": ["exp"]})),
            Some("the token asks for an ext"),
        ),
        ("no roles", without("roles"), Some("no role of the token allows Microsoft.Devices/IotHubs/twins/read")),
        ("empty roles", token(&[]), Some("no role of the token allows")),
        ("roles of the management side", token(&["Owner", "Contributor"]), Some("no role of the token allows")),
        ("nothing", String::new(), Some(NO_JWT)),
        ("dots", "..".to_owned(), Some(NO_JWT)),
        ("more parts", format!("{good}.x"), Some(NO_JWT)),
        ("opaque", "eyJ0eXAi".to_owned(), Some(NO_JWT)),
        ("padded", format!("{good}="), Some(NO_JWT)),
    ] {
        let answer = get(&hub, &token).await;
        match mistake {
            None => assert_eq!(answer.status, 200, "{what}: {answer:?}"),
            Some(mistake) => {
                assert_eq!(answer.refusal(), (401, "IotHubUnauthorizedAccess"), "{what}");
                let message = answer.body["Message"].as_str().expect("a message");
                let message = message.trim_start_matches("ErrorCode:IotHubUnauthorizedAccess;");
                assert!(message.starts_with(mistake), "{what}: {message}");
            }
        }
    }
    // Shared access signatures go on beside them.
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.status, 200);
}

#[tokio::test]
async fn each_role_has_its_data_actions() {
    let hub = hub().await;
    hub.create("d").await;
    let body = json!({}).to_string();
    let query = json!({"query": "SELECT * FROM devices"}).to_string();
    // Which of Data Contributor, Data Reader, Registry Contributor, Twin Contributor may.
    for (method, path, body, allowed) in [
        ("GET", "/twins/d", None, "yr-t"),
        ("PATCH", "/twins/d", Some(&body), "y--t"),
        ("PUT", "/twins/d", Some(&body), "y--t"),
        ("POST", "/devices/query", Some(&query), "yr-t"),
        ("GET", "/devices/d", None, "yrg-"),
        ("GET", "/devices", None, "yrg-"),
        ("PUT", "/devices/d", Some(&body), "y-g-"),
        ("DELETE", "/devices/e", None, "y-g-"),
        ("GET", "/statistics/devices", None, "yr--"),
        ("GET", "/statistics/service", None, "yr--"),
        // Not the service's, and no role's.
        ("GET", "/$twinctl/faults", None, "----"),
    ] {
        for (role, allowed) in [CONTRIBUTOR, READER, REGISTRY, TWINS].into_iter().zip(allowed.chars()) {
            let path = format!("{path}?api-version=2021-04-12");
            let authorization = format!("bearer {}", token(&[role]));
            let answer = hub.send(method, &path, &[("Authorization", &authorization)], body.cloned()).await;
            assert_eq!(answer.status == 401, allowed == '-', "{role}: {method} {path} {answer:?}");
        }
    }
    // Roles add up.
    let both = token(&[REGISTRY, TWINS]);
    assert_eq!(get(&hub, &both).await.status, 200);
}

#[tokio::test]
async fn files_that_are_no_issuers() {
    let folder = TempDir::new().expect("a temporary folder");
    let good: Value = serde_json::from_str(&std::fs::read_to_string(FILE).expect("the file")).expect("JSON");
    let key = |name: &str, value: Value| {
        let mut file = good.clone();
        file["keys"][0][name] = value;
        file
    };
    let mut twice = good.clone();
    twice["keys"] = json!([good["keys"][0], good["keys"][0]]);
    for (file, mistake) in [
        (json!([]), "invalid length 0"),
        (json!({"keys": []}), "missing field `issuer`"),
        (json!({"issuer": "x", "keys": []}), "`keys` is empty"),
        (key("kty", json!("oct")), "`keys[0]`: `kty` is \"oct\", and only \"RSA\" is taken"),
        (key("kid", Value::Null), "`keys[0]`: `kid` is missing"),
        (key("alg", json!("HS256")), "`keys[0]`: `alg` is \"HS256\", and only \"RS256\" is taken"),
        (key("use", json!("enc")), "`keys[0]`: `use` is \"enc\""),
        (key("n", json!("AQAB")), "`keys[0]`: `n` has 17 bits, and 2048 to 8192 are taken"),
        (key("n", json!("+/")), "`keys[0]`: `n` is not base64url"),
        (key("e", json!("")), "`keys[0]`: `e` is no odd number"),
        (twice, "two keys have the `kid` \"test-2026\""),
    ] {
        let path = folder.path().join("issuer.json");
        std::fs::write(&path, file.to_string()).expect("written");
        let options = Emulator::builder().clock(crate::tests::clock()).entra_issuer(path.clone());
        let error = options.start().await.expect_err(mistake).to_string();
        let prefix = format!("the Entra issuer in {}: ", path.display());
        assert!(error.strip_prefix(&prefix).is_some_and(|reason| reason.starts_with(mistake)), "{error}");
    }
}
