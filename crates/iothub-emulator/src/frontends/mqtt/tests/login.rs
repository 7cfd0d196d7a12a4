//! Who is let in, and who is not.

use rcgen::CertificateParams;
use rcgen::KeyPair;
use rumqttc::mqttbytes::v4::ConnectReturnCode;
use rumqttc::mqttbytes::v4::LastWill;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::Policy;
use crate::core::session::Fingerprints;
use crate::frontends::mqtt::tests::*;
use iothub_model::wire::ConnectionString;
use iothub_model::wire::SERVED_API_VERSIONS;

async fn code(hub: &Sandbox, connect: Connect) -> Option<ConnectReturnCode> {
    Client::dial(hub).await.connect(connect).await
}

const IN: Option<ConnectReturnCode> = Some(ConnectReturnCode::Success);
const OUT: Option<ConnectReturnCode> = Some(ConnectReturnCode::NotAuthorized);
const NOBODY: Option<ConnectReturnCode> = Some(ConnectReturnCode::BadClientId);

fn policy_key(hub: &Sandbox, policy: &str) -> Key {
    let policy = Policy::ALL.into_iter().find(|known| known.name() == policy).expect(policy);
    ConnectionString::parse(&hub.hub.connection_string(policy)).expect("a connection string").key
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
        ("now", token_until("d", now()), IN),
        ("a little less than five minutes ago", token_until("d", now() - 299), IN),
        ("five minutes ago", token_until("d", now() - 300), OUT),
        ("no token", "password".to_owned(), OUT),
        ("nothing", String::new(), OUT),
    ] {
        assert_eq!(code(&hub, connect("d", token)).await, expected, "{name}");
    }
    // The text of `sr` is signed as it stands, whatever its escapes.
    let raw = token("d").replace("%2F", "%2f");
    assert_eq!(code(&hub, connect("d", raw)).await, OUT, "changing an escape breaks the signature");
}

/// As Microsoft's C# device SDK and IoT Edge's modules sign, which encode ids before the whole is encoded.
#[tokio::test]
async fn ids_that_are_encoded_twice() {
    let hub = hub().await;
    for id in ["a+b", "a%2Bb", "n@m.et#st:1", "$d"] {
        register(&hub, id).await;
    }
    let twice = |id: &str, key: &Key, policy: Option<&str>| {
        let resource = format!("{HOST}/devices/{}", iothub_model::wire::encode_segment(id));
        sas::sign(&resource, key, now() + 60, policy).expose().to_owned()
    };
    for id in ["a+b", "a%2Bb", "n@m.et#st:1", "$d"] {
        assert_eq!(code(&hub, connect(id, twice(id, &key(), None))).await, IN, "{id}");
    }
    // Nobody's token is another device's: a policy's is for `a%2Bb` alone, as it is decoded once.
    let device = policy_key(&hub, "device");
    assert_eq!(code(&hub, connect("a%2Bb", twice("a+b", &device, Some("device")))).await, IN);
    assert_eq!(code(&hub, connect("a+b", twice("a+b", &device, Some("device")))).await, OUT);
    assert_eq!(code(&hub, connect("$d", twice("a+b", &key(), None))).await, OUT);
}

#[tokio::test]
async fn other_versions_of_mqtt() {
    for (name, packet) in [
        ("MQTT 5", &[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 0][..]),
        ("MQTT 3.1", &[0x10, 14, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3, 2, 0, 60, 0, 0]),
        ("MQTT 3", &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 3, 2, 0, 60, 0, 0]),
    ] {
        let hub = hub().await;
        let mut client = Client::dial(&hub).await;
        client.send_bytes(packet).await;
        let Some(Packet::ConnAck(answer)) = client.next().await else { panic!("{name}: no answer") };
        assert_eq!((answer.session_present, answer.code), (false, ConnectReturnCode::RefusedProtocolVersion), "{name}");
        client.closed().await;
    }
}

/// The log's lines about connections: path, status, code and the beginning of the reason.
#[tokio::test]
async fn refusals_are_in_the_log() {
    let (hub, records) = observed().await;
    register(&hub, "d").await;
    register(&hub, "e").await;
    let logged = async |path: &str, status: u16, error: Option<&str>, reason: &str| {
        let found = || {
            let records = records.lock().expect("a lock");
            let of = records.iter().rev().find(|record| record.path == path && record.method == "MQTT").cloned();
            of.map(|record| (record.status, record.error_code, record.reason.unwrap_or_default()))
        };
        eventually(path, async || {
            found().is_some_and(|(at, code, why)| (at, code.as_deref()) == (status, error) && why.starts_with(reason))
        })
        .await;
    };
    let refused = async |connect: Connect| assert_eq!(code(&hub, connect).await, OUT);
    let unauthorized = Some("IotHubUnauthorized");
    refused(connect("d", token_until("d", now() - 3600))).await;
    logged("/devices/d/connect", 401, unauthorized, "the token expired more than five minutes ago").await;
    refused(connect("d", token("e"))).await;
    logged(
        "/devices/d/connect",
        401,
        unauthorized,
        "the token is for `hub.example/devices/e` (sr), and must be for `hub.example/devices/d`",
    )
    .await;
    refused(connect("d", sas::sign(&audience("d"), &Key::from_bytes([3; 32]), now() + 60, None).expose())).await;
    logged("/devices/d/connect", 401, Some("IotHubUnauthorizedAccess"), "the token is not signed by").await;
    refused(connect("nobody", token("nobody"))).await;
    logged("/devices/nobody/connect", 404, Some("DeviceNotFound"), "").await;
    refused(connect("d/m", token("d/m"))).await;
    logged("/devices/d/modules/m/connect", 404, Some("DeviceNotFound"), "").await;
    let mut old = Client::dial(&hub).await;
    old.send_bytes(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 0]).await;
    logged("/connect", 400, Some("InvalidProtocolVersion"), "the embedded hub speaks MQTT 3.1.1 alone").await;
    let invalid = Some("InvalidOperation");
    for (path, reason, packet) in [
        (
            "/devices/e/publish",
            "this client may not publish to `devices/d/messages/events/`",
            "devices/d/messages/events/",
        ),
        (
            "/devices/e/telemetry",
            "the embedded hub has no fault injection by message properties",
            "devices/e/messages/events/AzIoTHub_FaultOperationType=KillTcp&AzIoTHub_FaultOperationDelayInSecs=1",
        ),
    ] {
        let mut client = Client::login(&hub, "e").await;
        client.send(Packet::Publish(Publish::new(packet, QoS::AtMostOnce, "x"))).await;
        client.closed().await;
        logged(path, 400, invalid, reason).await;
    }
    let mut client = Client::login(&hub, "e").await;
    let filter = SubscribeFilter::new("devices/d/messages/devicebound/#".to_owned(), QoS::AtLeastOnce);
    let mut subscribe = Subscribe::new_many([filter]);
    subscribe.pkid = 1;
    client.send(Packet::Subscribe(subscribe)).await;
    client.closed().await;
    logged("/devices/e/subscribe", 400, invalid, "this client may not subscribe to `devices/d/messages/devicebound/#`")
        .await;
    let mut client = Client::login(&hub, "e").await;
    client.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", "{\"a.b\": 1}").await;
    client.publication().await;
    logged("/devices/e/twin/patch", 400, Some("ArgumentInvalid"), "properties.reported.a.b: the key holds '.'").await;
    client.publish("$iothub/twin/PATCH/properties/reported/?$rid=1&$version=7", "{}").await;
    client.publication().await;
    logged("/devices/e/twin/patch", 412, Some("PreconditionFailed"), "").await;
    drop(client);
    let mut first = Client::login(&hub, "e").await;
    let _second = Client::login(&hub, "e").await;
    first.closed().await;
    let taken_over = Some("ConnectionTakenOver");
    logged("/devices/e", 0, taken_over, "another connection of this client took its place").await;
    for (body, code, reason) in [
        (
            Some(json!({ "deviceId": "f", "status": "disabled" })),
            "IdentityDisabled",
            "the client's device was disabled",
        ),
        (None, "IdentityDeleted", "the client's identity was deleted"),
    ] {
        register(&hub, "f").await;
        let mut cut = Client::login(&hub, "f").await;
        let method = if body.is_some() { "PUT" } else { "DELETE" };
        hub.ask(method, "/devices/f", &[("If-Match", "*")], body).await;
        cut.closed().await;
        logged("/devices/f", 0, Some(code), reason).await;
        hub.ask("DELETE", "/devices/f", &[("If-Match", "*")], None).await;
    }
    // Where a token stands in place of a name, the log has none of it.
    let secret = token("d");
    assert_eq!(code(&hub, connect(&secret, token("d"))).await, NOBODY);
    let mut client = Client::login(&hub, "d").await;
    client.send(Packet::Publish(Publish::new(secret.clone(), QoS::AtMostOnce, "x"))).await;
    client.closed().await;
    logged("/devices/d/publish", 400, invalid, "this client may not publish to").await;
    let signature = secret.split("sig=").nth(1).and_then(|rest| rest.split('&').next()).expect("a signature");
    let text = serde_json::to_string(&*records.lock().expect("a lock")).expect("JSON");
    assert!(!text.contains(signature), "{text}");
    assert!(!text.contains(&key().to_base64().expose()[..16]), "{text}");
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
        ("a/b/c", format!("{HOST}/a/b/c/?api-version=2021-04-12"), NOBODY),
        ("", format!("{HOST}//?api-version=2021-04-12"), NOBODY),
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

/// `openssl x509 -req` makes certificates of version 1, of which rustls reads none.
#[tokio::test]
async fn certificates_of_version_1() {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let hub = hub().await;
    let mine =
        CertificateDer::from_pem_slice(include_bytes!("../../../../../../tests/data/certificates/version-1.pem"));
    let mine = mine.expect("a certificate");
    let my_key = include_bytes!("../../../../../../tests/data/certificates/version-1-key.pem");
    let my_key = PrivateKeyDer::from_pem_slice(my_key).expect("a key");
    let strange_key = KeyPair::generate().expect("a key");
    let strange_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(strange_key.serialize_der()));
    let body = json!({ "deviceId": "d", "authentication": {
        "type": "selfSigned", "x509Thumbprint": { "primaryThumbprint": Fingerprints::of(&mine).sha1 }
    } });
    assert_eq!(hub.ask("PUT", "/devices/d", &[], Some(body)).await.status, 200);
    let (host, port) = ("localhost", hub.hub.mqtt_addr().expect("it listens for MQTT"));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (key, expected) in [(&my_key, IN), (&strange_key, None)] {
            let mut config = tls_of(&hub.hub, &[version]);
            let key = rustls::crypto::ring::sign::any_supported_type(key).expect("a key");
            let identity = rustls::sign::CertifiedKey::new(vec![mine.clone()], key);
            config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(identity));
            let stream = tokio::net::TcpStream::connect(port).await.expect("a connection");
            let name = rustls::pki_types::ServerName::try_from(host).expect("a name");
            let mut packet = connect("d", "");
            packet.set_login(format!("{HOST}/d/?api-version=2019-10-01"), "");
            // Whoever does not have the certificate's key is cut in the handshake, which ends for the client before that in TLS 1.3.
            let answer = match tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await {
                Ok(stream) => Client::over(stream).connect(packet).await,
                Err(_) => None,
            };
            assert_eq!(answer, expected, "{version:?}");
        }
    }
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
