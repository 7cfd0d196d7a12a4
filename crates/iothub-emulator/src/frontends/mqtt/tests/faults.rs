//! Injected faults, as a device meets it.

use crate::frontends::mqtt::tests::*;

/// The log has each fault that something met, with what that was and what it came to.
#[tokio::test]
async fn faults_are_in_the_log() {
    for (rule, topic, path, status, code, fault) in [
        ("MQTT twin/patch 429", PATCH, "twin/patch", 429, Some("ThrottlingException"), "429"),
        ("MQTT twin/patch 502", PATCH, "twin/patch", 502, None, "502"),
        ("MQTT twin/patch reset-before", PATCH, "twin/patch", 0, None, "reset-before"),
        ("MQTT twin/patch reset-after", PATCH, "twin/patch", 0, None, "reset-after"),
        ("MQTT twin/patch half", PATCH, "twin/patch", 204, None, "half"),
        ("MQTT twin/get garbage", GET, "twin/get", 200, None, "garbage"),
        ("MQTT twin/get no-answer", GET, "twin/get", 200, None, "no-answer"),
        ("MQTT twin/get slow 30ms", GET, "twin/get", 200, None, "slow 30ms"),
        ("MQTT twin/get slow 30ms; MQTT twin/get 404", GET, "twin/get", 404, Some("DeviceNotFound"), "slow 30ms, 404"),
        ("MQTT telemetry 503", SEND, "telemetry", 503, Some("ServiceUnavailable"), "503"),
        ("MQTT telemetry 502", SEND, "telemetry", 502, None, "502"),
        ("MQTT connect 401", "", "connect", 401, Some("IotHubUnauthorizedAccess"), "401"),
        ("MQTT connect 502", "", "connect", 502, None, "502"),
        ("MQTT connect reset-before", "", "connect", 0, None, "reset-before"),
        ("MQTT connect reset-after", "", "connect", 0, None, "reset-after"),
        ("MQTT connect half", "", "connect", 200, None, "half"),
    ] {
        let (observer, records) = crate::tests::recorder();
        let folder = TempDir::new().expect("a temporary folder");
        let hub = Sandbox::with(folder, |options| options.on_request(observer).faults(rule)).await;
        register(&hub, "d").await;
        let mut device = match topic {
            "" => {
                let mut device = Client::dial(&hub).await;
                device.send(Packet::Connect(connect("d", token("d")))).await;
                device
            }
            topic => {
                let mut device = Client::login(&hub, "d").await;
                device.send(Packet::Publish(Publish::new(topic, QoS::AtMostOnce, r#"{"r":1}"#))).await;
                device
            }
        };
        let found = || {
            let records = records.lock().expect("a lock");
            records.iter().filter(|record| record.method == "MQTT").cloned().collect::<Vec<_>>()
        };
        eventually(rule, async || !found().is_empty()).await;
        let _ = seen(&mut device).await;
        let [record] = &found()[..] else { panic!("{rule}: {:?}", found()) };
        assert_eq!(record.path, format!("/devices/d/{path}"), "{rule}");
        assert_eq!((record.status, record.error_code.as_deref()), (status, code), "{rule}");
        assert_eq!(record.fault.as_deref(), Some(fault), "{rule}");
        assert!(record.reason.is_some() && !record.time.is_empty(), "{rule}: {record:?}");
    }
}

async fn hub_with(rules: &str) -> Sandbox {
    let hub = Sandbox::with(TempDir::new().expect("a temporary folder"), |options| options.faults(rules)).await;
    register(&hub, "d").await;
    hub
}

/// What a client sees of a connection or of one request: packets by their names, and how it ends. A ping says when there is no
/// more to come, since what is answered at once is answered in its order.
async fn seen(device: &mut Client) -> String {
    device.send(Packet::PingReq).await;
    let mut seen = Vec::new();
    loop {
        match Packet::read(&mut device.buffer, 1 << 24) {
            Ok(Packet::PingResp) => break,
            Ok(Packet::ConnAck(answer)) => seen.push(format!("{:?}", answer.code)),
            Ok(Packet::PubAck(_)) => seen.push("puback".to_owned()),
            Ok(Packet::Publish(publish)) => {
                let status = &publish.topic.strip_prefix("$iothub/twin/res/").expect(&publish.topic)[..3];
                seen.push(match serde_json::from_slice::<Value>(&publish.payload) {
                    Ok(body) if body["errorCode"].is_u64() => format!("{status} {}", body["errorCode"]),
                    Ok(_) | Err(_) => format!("{status} nonsense"),
                });
            }
            Ok(other) => panic!("{other:?}"),
            Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => {
                let reading = device.stream.read_buf(&mut device.buffer);
                match tokio::time::timeout(PATIENCE, reading).await.expect("the hub says something, or closes") {
                    Ok(0) | Err(_) => {
                        if !device.buffer.is_empty() {
                            seen.push(format!("{} bytes", device.buffer.len()));
                        }
                        seen.push("end".to_owned());
                        break;
                    }
                    Ok(_) => {}
                }
            }
            Err(_) => {
                seen.push("nonsense".to_owned());
                break;
            }
        }
    }
    seen.join(", ")
}

const GET: &str = "$iothub/twin/GET/?$rid=1";
const PATCH: &str = "$iothub/twin/PATCH/properties/reported/?$rid=1";
const SEND: &str = "devices/d/messages/events/";

/// Each fault on each thing that a device does: what comes back, and whether it was done.
#[tokio::test]
async fn each_kind_on_each_request() {
    for (rule, topic, expected, reported) in [
        ("MQTT twin/get 429", GET, "puback, 429 429001", false),
        ("MQTT twin/get 500", GET, "puback, 500 500001", false),
        ("MQTT twin/get 502", GET, "puback, 502 502000", false),
        ("MQTT twin/get 400", GET, "puback, 400 400000", false),
        ("MQTT twin/get garbage", GET, "puback, 200 nonsense", false),
        ("MQTT twin/get no-answer", GET, "puback", false),
        ("MQTT twin/get reset-before", GET, "end", false),
        ("MQTT twin/get reset-after", GET, "end", false),
        ("MQTT twin/patch 429", PATCH, "puback, 429 429001", false),
        ("MQTT twin/patch 503", PATCH, "puback, 503 503001", false),
        ("MQTT twin/patch garbage", PATCH, "puback, 204 nonsense", true),
        ("MQTT twin/patch no-answer", PATCH, "puback", true),
        ("MQTT twin/patch reset-before", PATCH, "end", false),
        ("MQTT twin/patch reset-after", PATCH, "end", true),
        ("MQTT telemetry 429", SEND, "end", false),
        ("MQTT telemetry half", SEND, "2 bytes, end", false),
        ("MQTT telemetry no-answer", SEND, "", false),
        ("MQTT telemetry garbage", SEND, "nonsense", false),
        ("MQTT telemetry reset-after", SEND, "end", false),
        ("GET * 503; MQTT twin/get 503; MQTT /devices/e/** 503", SEND, "puback", false),
    ] {
        let hub = hub_with(rule).await;
        let mut device = Client::login(&hub, "d").await;
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, r#"{"r":1}"#);
        publish.pkid = 7;
        device.send(Packet::Publish(publish)).await;
        assert_eq!(seen(&mut device).await, expected, "{rule}");
        if !rule.starts_with("GET") {
            let twin = hub.ask("GET", "/twins/d", &[], None).await.body;
            assert_eq!(twin["properties"]["reported"]["r"] == 1, reported, "{rule}");
        }
    }
}

#[tokio::test]
async fn half_a_twin() {
    let hub = hub_with("MQTT twin/get half").await;
    let mut device = Client::login(&hub, "d").await;
    device.send(Packet::Publish(Publish::new(GET, QoS::AtMostOnce, ""))).await;
    let half = seen(&mut device).await;
    let bytes: usize = half.strip_suffix(" bytes, end").expect(&half).parse().expect(&half);
    assert!((20..120).contains(&bytes), "{half}");
}

#[tokio::test]
async fn connecting() {
    for (rule, expected, connected) in [
        ("MQTT connect 503", "ServiceUnavailable, end", false),
        ("MQTT connect 429", "ServiceUnavailable, end", false),
        ("MQTT connect 401", "NotAuthorized, end", false),
        ("MQTT connect reset-before", "end", false),
        ("MQTT connect reset-after", "end", false),
        ("MQTT connect half", "2 bytes, end", false),
        ("MQTT connect garbage", "nonsense", true),
        ("MQTT connect no-answer", "", true),
        ("MQTT connect slow 50ms", "Success", true),
        ("MQTT /devices/other/connect 503", "Success", true),
    ] {
        let hub = hub_with(rule).await;
        let mut device = Client::dial(&hub).await;
        let begun = std::time::Instant::now();
        device.send(Packet::Connect(connect("d", token("d")))).await;
        assert_eq!(seen(&mut device).await, expected, "{rule}");
        assert!(!rule.contains("slow") || begun.elapsed() >= Duration::from_millis(50), "{rule}");
        let state = if connected { "Connected" } else { "Disconnected" };
        eventually(rule, async || connection_state(&hub, "d").await == state).await;
    }
}

/// What is slow holds up what comes after it, and nothing else: neither pings nor other devices.
#[tokio::test]
async fn what_is_slow_is_done_in_its_order() {
    let hub = hub_with("MQTT /devices/d/twin/patch slow 400ms").await;
    register(&hub, "other").await;
    let mut device = Client::login(&hub, "d").await;
    let begun = std::time::Instant::now();
    device.send(Packet::Publish(Publish::new(PATCH, QoS::AtMostOnce, r#"{"r":1}"#))).await;
    device.send(Packet::Publish(Publish::new(GET, QoS::AtMostOnce, ""))).await;
    device.send(Packet::PingReq).await;
    assert_eq!(device.next().await, Some(Packet::PingResp), "at once");
    let mut other = Client::login(&hub, "other").await;
    other.twin().await;
    other.quiet().await;
    assert!(device.publication().await.0.starts_with("$iothub/twin/res/204/"));
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert_eq!(device.publication().await.1["reported"]["r"], 1, "the twin after the report");
    // What was sent before a goodbye is done before it is heard.
    device.send(Packet::Publish(Publish::new(PATCH, QoS::AtMostOnce, r#"{"r":2}"#))).await;
    device.send(Packet::Disconnect).await;
    while device.next().await.is_some() {}
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.body["properties"]["reported"]["r"], 2);
}

/// Rules that are changed while a device is connected are for it, too, and are counted together with those of HTTP.
#[tokio::test]
async fn changed_while_devices_are_connected() {
    let hub = hub_with("").await;
    let mut device = Client::login(&hub, "d").await;
    let spec = json!({"spec": "MQTT twin/get 503 first 1; * * slow 1ms"});
    assert_eq!(hub.ask("PUT", "/$twinctl/faults", &[], Some(spec)).await.status, 200);
    device.publish(GET, "").await;
    assert_eq!(device.publication().await.0, "$iothub/twin/res/503/?$rid=1");
    device.publish(GET, "").await;
    assert_eq!(device.publication().await.0, "$iothub/twin/res/200/?$rid=1");
    hub.ask("GET", "/twins/d", &[], None).await;
    let report = hub.ask("GET", "/$twinctl/faults", &[], None).await.body;
    let counts: Vec<_> = report["rules"].as_array().expect("rules").iter().map(|rule| &rule["matched"]).collect();
    assert_eq!(counts, [2, 2], "the first decided one request, the second saw the other two");
}

#[tokio::test]
async fn latency() {
    let hub = Sandbox::with(TempDir::new().expect("a temporary folder"), |options| {
        options.latency(Duration::from_millis(100))
    })
    .await;
    register(&hub, "d").await;
    let begun = std::time::Instant::now();
    let mut device = Client::login(&hub, "d").await;
    device.twin().await;
    device.report(json!({"r": 1})).await;
    assert!(begun.elapsed() >= Duration::from_millis(150), "half of it each: {:?}", begun.elapsed());
}
