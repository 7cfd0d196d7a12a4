//! Who is let in, and who is not.

use rcgen::{CertificateParams, KeyPair};
use rumqttc::mqttbytes::v4::{ConnectReturnCode, LastWill};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;
use crate::hub::session::Fingerprints;
use crate::wire::{ConnectionString, SERVED_API_VERSIONS};

async fn code(hub: &Sandbox, connect: Connect) -> Option<ConnectReturnCode> {
    Client::dial(hub).await.connect(connect).await
}

const IN: Option<ConnectReturnCode> = Some(ConnectReturnCode::Success);
const OUT: Option<ConnectReturnCode> = Some(ConnectReturnCode::NotAuthorized);

fn policy_key(hub: &Sandbox, policy: &str) -> Key {
    let strings = &hub.hub.ready().connection_strings;
    let string = match policy {
        "device" => &strings.device,
        "iothubowner" => &strings.iothubowner,
        _ => &strings.service,
    };
    ConnectionString::parse(string.expose()).expect("a connection string").key
}

#[tokio::test]
async fn tokens() {
    let hub = hub().await;
    register(&hub, "d").await;
    register(&hub, "other").await;
    let later = now() + 60;
    let sign =
        |resource: &str, key: &Key, policy: Option<&str>| sas::sign(resource, key, later, policy).expose().to_owned();
    let secondary = Key::from_bytes([2; 32]);
    let device = policy_key(&hub, "device");
    for (name, token, expected) in [
        ("the primary key", token("d"), IN),
        ("the secondary key", sign(&audience("d"), &secondary, None), IN),
        ("a host in another case", sign("HUB.example/devices/d", &key(), None), IN),
        ("a wider audience", sign(&format!("{HOST}/devices"), &key(), None), IN),
        ("the policy `device`", sign(&audience("d"), &device, Some("device")), IN),
        ("the policy `device` for the whole hub", sign(HOST, &device, Some("device")), IN),
        ("the policy `iothubowner`", sign(HOST, &policy_key(&hub, "iothubowner"), Some("iothubowner")), IN),
        ("a policy without the right", sign(HOST, &policy_key(&hub, "service"), Some("service")), OUT),
        ("a policy's name with a device's key", sign(HOST, &key(), Some("device")), OUT),
        ("a policy that is none", sign(HOST, &key(), Some("nobody")), OUT),
        ("a policy's key without its name", sign(&audience("d"), &device, None), OUT),
        ("another device", sign(&audience("other"), &key(), None), OUT),
        ("part of an id", sign(&format!("{HOST}/devices/"), &Key::from_bytes([9; 32]), None), OUT),
        ("a module of it", sign(&audience("d/m"), &key(), None), OUT),
        ("another host than the user name's", sign("other.example/devices/d", &key(), None), OUT),
        ("another key", sign(&audience("d"), &Key::from_bytes([3; 32]), None), OUT),
        ("a second ago", token_until("d", now() - 1), OUT),
        ("now", token_until("d", now()), OUT),
        ("no token", "password".to_owned(), OUT),
        ("nothing", String::new(), OUT),
    ] {
        assert_eq!(code(&hub, connect("d", token)).await, expected, "{name}");
    }
    // The text of `sr` is signed as it stands, whatever its escapes.
    let raw = token("d").replace("%2F", "%2f");
    assert_eq!(code(&hub, connect("d", raw)).await, OUT, "changing an escape breaks the signature");
}

#[tokio::test]
async fn names_that_do_not_agree() {
    let hub = hub().await;
    register(&hub, "d").await;
    register(&hub, "odd%#?$+@;=(1)").await;
    let with = |client: &str, user: &str, token: String| {
        let mut connect = connect(client, token.clone());
        connect.set_login(user, token);
        connect
    };
    for (client, user, expected) in [
        ("d", format!("{HOST}/d/api-version=2016-11-14"), IN),
        ("d", format!("{HOST}/d"), IN),
        ("d", format!("{HOST}/other/?api-version=2021-04-12"), OUT),
        ("d", "d".to_owned(), OUT),
        ("other", format!("{HOST}/d/?api-version=2021-04-12"), OUT),
        ("nobody", format!("{HOST}/nobody/?api-version=2021-04-12"), OUT),
        ("d/m", format!("{HOST}/d/m/?api-version=2021-04-12"), OUT),
        ("a/b/c", format!("{HOST}/a/b/c/?api-version=2021-04-12"), OUT),
        ("", format!("{HOST}//?api-version=2021-04-12"), OUT),
    ] {
        assert_eq!(code(&hub, with(client, &user, token("d"))).await, expected, "{client} {user}");
    }
    let odd = "odd%#?$+@;=(1)";
    assert_eq!(code(&hub, connect(odd, token(odd))).await, IN);
}

#[tokio::test]
async fn user_names_carry_any_version_of_the_api() {
    let hub = hub().await;
    register(&hub, "d").await;
    for version in SERVED_API_VERSIONS.map(|(version, _)| version) {
        let mut connect = connect("d", token("d"));
        connect.set_login(format!("{HOST}/d/?api-version={version}&DeviceClientType=test"), token("d"));
        assert_eq!(code(&hub, connect).await, IN, "{version}");
    }
}

#[tokio::test]
async fn wills() {
    let hub = hub().await;
    register(&hub, "d").await;
    for (topic, expected) in
        [("devices/d/messages/events/a=1", IN), ("devices/other/messages/events/", OUT), ("anything", OUT)]
    {
        let mut connect = connect("d", token("d"));
        connect.last_will = Some(LastWill::new(topic, "gone", QoS::AtLeastOnce, false));
        assert_eq!(code(&hub, connect).await, expected, "{topic}");
    }
}

#[tokio::test]
async fn certificates_by_their_thumbprints() {
    let hub = hub().await;
    let certificate = || {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::default().self_signed(&key).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        (certificate.der().clone(), key)
    };
    let (mine, my_key) = certificate();
    let (strange, strange_key) = certificate();
    let prints = Fingerprints::of(&mine);
    for (id, primary, secondary) in [
        ("by-sha1", prints.sha1.clone(), None),
        ("by-sha256", "0".repeat(64), Some(prints.sha256.to_lowercase())),
        ("by-another", "0".repeat(40), None),
    ] {
        let body = json!({ "deviceId": id, "authentication": {
            "type": "selfSigned", "x509Thumbprint": { "primaryThumbprint": primary, "secondaryThumbprint": secondary }
        } });
        assert_eq!(hub.ask("PUT", &format!("/devices/{id}"), &[], Some(body)).await.status, 200);
    }
    register(&hub, "by-key").await;
    let bare = |id: &str| {
        let mut connect = connect(id, "");
        connect.set_login(format!("{HOST}/{id}/?api-version=2019-10-01"), "");
        connect
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (id, certificate, key, expected) in [
            ("by-sha1", &mine, &my_key, IN),
            ("by-sha256", &mine, &my_key, IN),
            ("by-another", &mine, &my_key, OUT),
            ("by-key", &mine, &my_key, OUT),
            ("by-sha1", &strange, &strange_key, OUT),
        ] {
            let mut config = tls_of(&hub.hub, &[version]);
            let key = rustls::crypto::ring::sign::any_supported_type(key).expect("a key");
            let identity = rustls::sign::CertifiedKey::new(vec![certificate.clone()], key);
            config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(identity));
            let mut client = Client::dial_with(&hub, config).await;
            assert_eq!(client.connect(bare(id)).await, expected, "{id} {version:?}");
        }
        let mut client = Client::dial_with(&hub, tls_of(&hub.hub, &[version])).await;
        assert_eq!(client.connect(bare("by-sha1")).await, OUT, "no certificate");
    }
    assert_eq!(code(&hub, connect("by-sha1", token("by-sha1"))).await, OUT, "a token for a device with certificates");
}

/// IoT Plug and Play: the model stands in the user name, and shows in twins, in queries and in the digital twin.
#[tokio::test]
async fn a_client_announces_its_model() {
    let hub = hub().await;
    register(&hub, "d").await;
    let announce = |model: &str| {
        let mut connect = connect("d", token("d"));
        connect.set_login(format!("{HOST}/d/?api-version=2021-04-12&DeviceClientType=test{model}"), token("d"));
        connect
    };
    let before = hub.ask("GET", "/twins/d", &[], None).await.body;
    let thermostat = "dtmi:com:example:Thermostat;1";
    for (model, expected) in [
        ("", ""),
        ("&model-id=dtmi%3Acom%3Aexample%3AThermostat%3B1", thermostat),
        // What was announced once stays until another is.
        ("", thermostat),
        ("&model-id=", thermostat),
        ("&model-id=dtmi:com:example:Fan;2", "dtmi:com:example:Fan;2"),
    ] {
        let mut client = Client::dial(&hub).await;
        assert_eq!(client.connect(announce(model)).await, Some(ConnectReturnCode::Success), "{model}");
        let twin = hub.ask("GET", "/twins/d", &[], None).await.body;
        assert_eq!(twin["modelId"], expected, "{model}");
        assert_eq!((&twin["etag"], &twin["version"]), (&before["etag"], &before["version"]));
    }
    let query = json!({"query": "SELECT deviceId FROM devices WHERE modelId = 'dtmi:com:example:Fan;2'"});
    assert_eq!(hub.ask("POST", "/devices/query", &[], Some(query)).await.body, json!([{"deviceId": "d"}]));
    let hub = restart(hub).await;
    let digital = hub.ask("GET", "/digitaltwins/d", &[], None).await.body;
    assert_eq!(digital, json!({"$dtId": "d", "$metadata": {"$model": "dtmi:com:example:Fan;2"}}));
}
