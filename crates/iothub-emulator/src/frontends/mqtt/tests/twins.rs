//! Twin requests and desired patches.

use crate::frontends::mqtt::tests::*;

#[tokio::test]
async fn a_device_sees_its_twin_without_tags_and_metadata() {
    let (hub, mut device) = connected("d").await;
    assert_eq!(device.twin().await, json!({"desired": {"$version": 1}, "reported": {"$version": 1}}));
    let body = json!({"tags": {"t": 1}, "properties": {"desired": {"a": {"b": [1.0]}}}});
    hub.ask("PATCH", "/twins/d", &[], Some(body)).await;
    device.report(json!({"r": "x"})).await;
    assert_eq!(
        device.twin().await,
        json!({"desired": {"a": {"b": [1.0]}, "$version": 2}, "reported": {"r": "x", "$version": 2}})
    );
}

#[tokio::test]
async fn reported_patches_merge() {
    let (hub, mut device) = connected("d").await;
    let before = hub.ask("GET", "/twins/d", &[], None).await.body;
    for (version, patch) in [
        (2, json!({"connectivity": "cellular", "a": {"b": 1, "c": [1]}})),
        (3, json!({"a": {"b": null, "d": true}, "gone": null})),
        (4, json!({})),
    ] {
        let (topic, payload) = device.report(patch).await;
        assert_eq!((topic, payload), (format!("$iothub/twin/res/204/?$rid=r&$version={version}"), Value::Null));
    }
    let after = hub.ask("GET", "/twins/d", &[], None).await.body;
    let reported = &after["properties"]["reported"];
    assert_eq!(reported["connectivity"], "cellular");
    assert_eq!(reported["a"], json!({"c": [1], "d": true}));
    assert_eq!(reported["$version"], 4);
    let time = "2026-11-24T10:00:00.0000000Z";
    assert_eq!(
        reported["$metadata"]["a"],
        json!({"$lastUpdated": time, "c": {"$lastUpdated": time}, "d": {"$lastUpdated": time}})
    );
    assert_eq!(after["etag"], before["etag"]);
    assert_eq!(after["deviceEtag"], before["deviceEtag"]);
    assert_eq!(after["version"], 5);
    let query = json!({"query": "SELECT deviceId FROM devices WHERE properties.reported.connectivity = 'cellular' AND connectionState = 'Connected'"});
    assert_eq!(hub.ask("POST", "/devices/query", &[], Some(query)).await.body, json!([{"deviceId": "d"}]));
    // Whoever writes under the etag that was read before the report is not in its way.
    let etag = format!("\"{}\"", before["etag"].as_str().expect("an etag"));
    let body = Some(json!({"tags": {"a": 1}}));
    assert_eq!(hub.ask("PATCH", "/twins/d", &[("If-Match", &etag)], body).await.status, 200);
}

#[tokio::test]
async fn minus_zero_is_reported_as_zero() {
    let (hub, mut device) = connected("d").await;
    device.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", r#"{"a":-0,"b":-0.0,"c":[-0]}"#).await;
    let (topic, _) = device.publication().await;
    assert_eq!(topic, "$iothub/twin/res/204/?$rid=1&$version=2");
    let twin = hub.ask("GET", "/twins/d", &[], None).await.text;
    assert!(twin.contains(r#""reported":{"a":0,"b":-0.0,"c":[0],"#), "{twin}");
}

#[tokio::test]
async fn reports_that_are_refused_say_why() {
    let (_hub, mut device) = connected("d").await;
    let texts = |count: usize| -> Value {
        (0..count).map(|n| (format!("k{n}"), Value::from("x".repeat(4000)))).collect::<serde_json::Map<_, _>>().into()
    };
    device.report(texts(8)).await;
    for (payload, status, code, message) in [
        ("{", 400, 400004, "the reported properties are not a JSON object"),
        ("", 400, 400004, "the reported properties are not a JSON object"),
        ("[1]", 400, 400004, "the reported properties are not a JSON object"),
        ("\u{1}", 400, 400004, "the reported properties are not a JSON object"),
        ("{\"$version\": 2}", 400, 400004, "properties.reported.$version: the key holds '$'"),
        ("{\"a.b\": 1}", 400, 400004, "properties.reported.a.b: the key holds '.'"),
        ("{\"a\": 4503599627370496}", 400, 400004, "properties.reported.a: 4503599627370496 is outside"),
        ("{\"a\": 123456789012345678901}", 400, 400004, "the reported properties: the integer 123"),
        ("{\"a\": [null]}", 400, 400004, "properties.reported.a.0: null inside an array"),
        (&texts(9).to_string(), 403, 403100, "properties.reported: 36018 bytes as the hub counts"),
    ] {
        device.publish("$iothub/twin/PATCH/properties/reported/?$rid=0f%20", payload).await;
        let (topic, body) = device.publication().await;
        assert_eq!(topic, format!("$iothub/twin/res/{status}/?$rid=0f%20"), "{payload}");
        assert_eq!(body["errorCode"], code, "{body}");
        assert!(body["message"].as_str().expect("a message").starts_with(message), "{body}");
        assert!(body["trackingId"].is_string() && body["timestampUtc"].is_string(), "{body}");
    }
    let deep = (0..200).fold("1".to_owned(), |inner, _| format!("{{\"a\":{inner}}}"));
    device.publish("$iothub/twin/PATCH/properties/reported/?$rid=deep", deep).await;
    assert_eq!(device.publication().await.0, "$iothub/twin/res/400/?$rid=deep");

    device.publish("$iothub/twin/PATCH/properties/reported/?$rid=1&$version=1", "{}").await;
    let (topic, body) = device.publication().await;
    assert_eq!((topic.as_str(), &body["errorCode"]), ("$iothub/twin/res/412/?$rid=1", &json!(412001)));
    device.publish("$iothub/twin/PATCH/properties/reported/?$rid=1&$version=2", "{\"k0\": null}").await;
    assert_eq!(device.publication().await.0, "$iothub/twin/res/204/?$rid=1&$version=3");
    device.quiet().await;
}

#[tokio::test]
async fn desired_patches_are_what_was_sent() {
    let (hub, mut device) = connected("d").await;
    device.subscribe(&[DESIRED]).await;
    let desired = |value: Value| json!({"properties": {"desired": value}});
    for (version, method, body, patch) in [
        (2, "PATCH", desired(json!({"a": {"b": 1, "c": 2}, "e": [1]})), json!({"a": {"b": 1, "c": 2}, "e": [1]})),
        // Equal values are told as well, and only what was sent.
        (3, "PATCH", desired(json!({"a": {"b": 1}})), json!({"a": {"b": 1}})),
        (4, "PATCH", desired(json!({"a": {"c": null}})), json!({"a": {"c": null}})),
        (5, "PATCH", desired(json!({"a": null, "n": {"o": {}}})), json!({"a": null, "n": {"o": {}}})),
        // A replacement is the whole new document, with null for what it drops.
        (6, "PUT", desired(json!({"e": [1], "n": {"p": 1}})), json!({"e": [1], "n": {"o": null, "p": 1}})),
        (7, "PUT", desired(json!({"e": {"f": 1}})), json!({"e": {"f": 1}, "n": null})),
        // Null for all of them is null for each.
        (8, "PATCH", desired(json!(null)), json!({"e": null})),
    ] {
        let answer = hub.ask(method, "/twins/d", &[], Some(body)).await;
        assert_eq!(answer.body["properties"]["desired"]["$version"], version);
        let mut expected = patch;
        expected["$version"] = version.into();
        let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
        assert_eq!(device.publication().await, (topic, expected));
    }
    // Neither tags, nor reports, nor removing what is not there.
    hub.ask("PATCH", "/twins/d", &[], Some(desired(json!(null)))).await;
    hub.ask("PATCH", "/twins/d", &[], Some(json!({"tags": {"a": 1}}))).await;
    hub.ask("PATCH", "/twins/d", &[], Some(desired(json!({"not there": null})))).await;
    device.report(json!({"a": 1})).await;
    device.quiet().await;
}

#[tokio::test]
async fn only_subscribers_hear_of_changes_and_never_later() {
    let (hub, mut device) = connected("d").await;
    register(&hub, "other").await;
    let mut other = Client::login(&hub, "other").await;
    other.subscribe(&[DESIRED]).await;
    let change = || json!({"properties": {"desired": {"a": 1}}});
    hub.ask("PATCH", "/twins/d", &[], Some(change())).await;
    device.quiet().await;
    other.quiet().await;
    device.subscribe(&[DESIRED, RESPONSES]).await;
    device.quiet().await;
    hub.ask("PATCH", "/twins/d", &[], Some(change())).await;
    assert_eq!(device.publication().await.0, "$iothub/twin/PATCH/properties/desired/?$version=3");
    other.quiet().await;
}

#[tokio::test]
async fn telemetry_is_acknowledged() {
    let (_hub, mut device) = connected("d").await;
    device.publish("devices/d/messages/events/", "{}").await;
    device.publish("devices/d/messages/events/%24.ct=application%2Fjson&a=", vec![0; 256 * 1024]).await;
    let mut forgotten = Publish::new("devices/d/messages/events/", QoS::AtMostOnce, "x");
    forgotten.retain = true;
    device.send(Packet::Publish(forgotten)).await;
    device.quiet().await;
}

#[tokio::test]
async fn members_come_as_they_were_written_and_the_version_last() {
    let (hub, mut device) = connected("d").await;
    device.subscribe(&[DESIRED]).await;
    let token = hub.token("iothubowner");
    let write = async |method: &str, desired: &str| {
        let body = format!(r#"{{"properties":{{"desired":{desired}}}}}"#);
        let path = "/twins/d?api-version=2021-04-12";
        let answer = hub.send(method, path, &[("Authorization", &token)], Some(body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    for (method, desired, told) in [
        ("PATCH", r#"{"z":1,"m":{"y":1,"b":2},"a":3}"#, r#"{"z":1,"m":{"y":1,"b":2},"a":3,"$version":2}"#),
        // As this write has them, whatever their places in the twin are.
        ("PATCH", r#"{"a":4,"m":{"b":null,"y":5},"z":6}"#, r#"{"a":4,"m":{"b":null,"y":5},"z":6,"$version":3}"#),
        ("PATCH", r#"{"n":7,"a":null}"#, r#"{"n":7,"a":null,"$version":4}"#),
        ("PUT", r#"{"q":1,"n":8,"m":{"k":1}}"#, r#"{"q":1,"n":8,"m":{"k":1,"y":null},"z":null,"$version":5}"#),
    ] {
        write(method, desired).await;
        assert_eq!(device.publication_text().await.1, told);
    }
    for report in
        [r#"{"zone":{"y":1,"b":2},"alpha":1.0}"#, r#"{"alpha":2.5,"zone":{"a":1,"y":null},"more":[{"d":1,"c":2}]}"#]
    {
        device.publish("$iothub/twin/PATCH/properties/reported/?$rid=r", report).await;
        device.publication().await;
    }
    device.publish("$iothub/twin/GET/?$rid=twin", "").await;
    let expected = concat!(
        r#"{"desired":{"q":1,"n":8,"m":{"k":1},"$version":5},"#,
        r#""reported":{"zone":{"b":2,"a":1},"alpha":2.5,"more":[{"d":1,"c":2}],"$version":3}}"#
    );
    assert_eq!(device.publication_text().await.1, expected);
    // The same after a restart.
    let hub = restart(hub).await;
    let mut device = Client::login(&hub, "d").await;
    device.publish("$iothub/twin/GET/?$rid=twin", "").await;
    assert_eq!(device.publication_text().await.1, expected);
}

#[tokio::test]
async fn members_of_bulk_requests_come_as_they_were_written() {
    let (hub, mut device) = connected("d").await;
    device.subscribe(&[DESIRED]).await;
    let token = hub.token("iothubowner");
    for (desired, told) in [
        (r#"{"z":1,"m":{"y":1,"b":2},"a":3}"#, r#"{"z":1,"m":{"y":1,"b":2},"a":3,"$version":2}"#),
        (r#"{"a":4,"m":{"b":null,"y":5},"z":null}"#, r#"{"a":4,"m":{"b":null,"y":5},"z":null,"$version":3}"#),
    ] {
        let body = format!(r#"[{{"id":"d","importMode":"updateTwin","properties":{{"desired":{desired}}}}}]"#);
        let path = "/devices?api-version=2021-04-12";
        let answer = hub.send("POST", path, &[("Authorization", &token)], Some(body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(device.publication_text().await.1, told);
    }
}
