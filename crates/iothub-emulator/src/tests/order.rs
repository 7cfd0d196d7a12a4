//! The order of members: as clients wrote them, with the hub's own last, in every answer and after a restart.

use crate::tests::Sandbox;

async fn send(hub: &Sandbox, method: &str, path: &str, body: &str) -> String {
    let token = hub.token("iothubowner");
    let separator = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{separator}api-version=2021-04-12");
    let answer = hub.send(method, &path, &[("Authorization", &token)], Some(body.to_owned())).await;
    assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
    answer.text
}

async fn query(hub: &Sandbox, text: &str) -> String {
    send(hub, "POST", "/devices/query", &serde_json::json!({ "query": text }).to_string()).await
}

/// The members of the value at a path, and of all objects inside, in their order, without times.
fn order(text: &str, path: &[&str]) -> String {
    let twin: iothub_model::twin::OrderedObject = serde_json::from_str(text).expect(text);
    let mut value = twin.into();
    for key in path {
        let iothub_model::twin::OrderedValue::Object(mut object) = value else { panic!("no object over {key}") };
        value = object.remove(key).unwrap_or_else(|| panic!("no {key}: {object}"));
    }
    fn write(value: &iothub_model::twin::OrderedValue) -> String {
        let Some(object) = value.as_object() else { return String::new() };
        let members = object.iter().map(|(key, value)| match write(value) {
            inside if inside.is_empty() => key.to_owned(),
            inside => format!("{key}({inside})"),
        });
        members.collect::<Vec<_>>().join(" ")
    }
    write(&value)
}

const BODY: &str = r#"{"tags":{"z":1,"m":{"y":1,"b":2},"a":3},
    "properties":{"desired":{"zone":{"to":1,"from":{"y":1,"a":2}},"alpha":1.0,"list":[{"d":1,"c":2}]}}}"#;

#[tokio::test]
async fn twins_keep_the_order_of_their_writes() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let text = send(&hub, "PATCH", "/twins/d", BODY).await;
    assert_eq!(order(&text, &["tags"]), "z m(y b) a");
    let desired = order(&text, &["properties", "desired"]);
    let stamp = "$lastUpdated $lastUpdatedVersion";
    let metadata =
        format!("{stamp} zone({stamp} to({stamp}) from({stamp} y({stamp}) a({stamp}))) alpha({stamp}) list({stamp})");
    assert_eq!(desired, format!("zone(to from(y a)) alpha list $metadata({metadata}) $version"));
    assert!(text.contains(r#""list":[{"d":1,"c":2}]"#) && text.contains(r#""alpha":1.0,"#), "{text}");

    // What is there keeps its place, and what is new or comes back goes to the end.
    let body =
        r#"{"tags":{"a":4,"n":1,"z":2,"m":null},"properties":{"desired":{"beta":1,"zone":{"from":{"z":1,"a":1}}}}}"#;
    send(&hub, "PATCH", "/twins/d", body).await;
    let text = send(&hub, "PATCH", "/twins/d", r#"{"tags":{"m":1}}"#).await;
    assert_eq!(order(&text, &["tags"]), "z a n m");
    let desired = order(&text, &["properties", "desired"]);
    assert!(desired.starts_with("zone(to from(y a z)) alpha list beta $metadata("), "{desired}");
    assert!(desired.ends_with(" $version"), "{desired}");

    let text = send(
        &hub,
        "PUT",
        "/twins/d",
        r#"{"tags":{"b":1,"a":1},"properties":{"desired":{"zone":1,"beta":2,"alpha":3}}}"#,
    )
    .await;
    assert_eq!(order(&text, &["tags"]), "b a");
    assert!(order(&text, &["properties", "desired"]).starts_with("zone beta alpha $metadata("), "{text}");

    let hub = hub.restart().await;
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.text, text);
}

#[tokio::test]
async fn queries_keep_the_order_of_twins_and_of_their_lists() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let twin = send(&hub, "PATCH", "/twins/d", BODY).await;
    assert_eq!(query(&hub, "SELECT * FROM devices").await, format!("[{twin}]"));
    for (text, rows) in [
        ("SELECT tags, deviceId FROM devices", r#"[{"tags":{"z":1,"m":{"y":1,"b":2},"a":3},"deviceId":"d"}]"#),
        ("SELECT tags.z AS z, tags.m AS m, tags.a AS a FROM devices", r#"[{"z":1,"m":{"y":1,"b":2},"a":3}]"#),
        ("SELECT properties.desired.zone FROM devices WHERE tags.z = 1", r#"[{"zone":{"to":1,"from":{"y":1,"a":2}}}]"#),
        ("SELECT tags.z AS z, COUNT() AS n FROM devices GROUP BY tags.z", r#"[{"z":1,"n":1}]"#),
        ("SELECT COUNT() AS n, tags.z AS a FROM devices GROUP BY tags.z", r#"[{"n":1,"a":1}]"#),
    ] {
        assert_eq!(query(&hub, text).await, rows, "{text}");
    }
}

/// A group's value is as the first device has it; devices that differ in the order alone are of one group.
#[tokio::test]
async fn groups_keep_the_order_of_what_they_are_grouped_by() {
    let hub = Sandbox::new().await;
    for (id, tags) in [
        ("d", r#"{"o":{"z":1.0,"a":{"y":1,"b":[{"q":1,"c":2}]}},"arr":[{"z":1,"a":2},[{"y":1,"b":2}],3]}"#),
        ("e", r#"{"o":{"a":{"b":[{"c":2,"q":1}],"y":1},"z":1},"arr":[{"a":2,"z":1},[{"b":2,"y":1}],3]}"#),
    ] {
        hub.create(id).await;
        send(&hub, "PATCH", &format!("/twins/{id}"), &format!(r#"{{"tags":{tags}}}"#)).await;
    }
    for (text, rows) in [
        (
            "SELECT tags.o, COUNT() AS n FROM devices GROUP BY tags.o",
            r#"[{"o":{"z":1,"a":{"y":1,"b":[{"q":1,"c":2}]}},"n":2}]"#,
        ),
        (
            "SELECT COUNT() AS n, tags.arr AS x FROM devices GROUP BY tags.arr",
            r#"[{"n":2,"x":[{"z":1,"a":2},[{"y":1,"b":2}],3]}]"#,
        ),
        (
            "SELECT tags.o.a, tags.arr, MAX(tags.o.z) AS m FROM devices GROUP BY tags.o.a, tags.arr",
            r#"[{"a":{"y":1,"b":[{"q":1,"c":2}]},"arr":[{"z":1,"a":2},[{"y":1,"b":2}],3],"m":1}]"#,
        ),
    ] {
        assert_eq!(query(&hub, text).await, rows, "{text}");
    }
}

#[tokio::test]
async fn bulk_jobs_and_configurations_keep_the_order_too() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let entry = r#"[{"id":"d","importMode":"updateTwin","tags":{"z":1,"a":{"y":1,"b":2}},"properties":{"desired":{"q":1,"c":2}}}]"#;
    send(&hub, "POST", "/devices", entry).await;
    let job = r#"{"type":"scheduleUpdateTwin","queryCondition":"deviceId = 'd'","updateTwin":{"etag":"*","tags":{"x":1,"f":2}}}"#;
    let made = send(&hub, "PUT", "/jobs/v2/order", job).await;
    assert!(made.contains(r#""updateTwin":{"etag":"*","tags":{"x":1,"f":2}}"#), "{made}");
    let content = r#"{"deviceContent":{"properties.desired.w":{"t":1,"g":{"s":1,"h":2}},"properties.desired.e":1}}"#;
    let body = format!(r#"{{"content":{content},"targetCondition":"*","priority":1}}"#);
    let made = send(&hub, "PUT", "/configurations/order", &body).await;
    assert!(made.contains(&format!(r#""content":{content}"#)), "{made}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let answer = hub.ask("GET", "/twins/d", &[], None).await;
        let written = answer.body["tags"]["f"] == 2 && answer.body["properties"]["desired"]["e"] == 1;
        if written {
            assert_eq!(order(&answer.text, &["tags"]), "z a(y b) x f");
            let desired = order(&answer.text, &["properties", "desired"]);
            assert!(desired.starts_with("q c w(t g(s h)) e $metadata("), "{desired}");
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{}", answer.text);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn configurations_keep_the_order_of_names_that_users_make_up() {
    let hub = Sandbox::new().await;
    let queries = |names: [&str; 3]| {
        names.map(|name| format!(r#""{name}":"SELECT deviceId FROM devices WHERE tags.{name} = 1""#)).join(",")
    };
    let body = |labels: &str, names| {
        let content = r#"{"deviceContent":{"properties.desired.z":1,"properties.desired.a":2}}"#;
        format!(r#"{{"content":{content},"labels":{labels},"metrics":{{"queries":{{{}}}}}}}"#, queries(names))
    };
    let labels = r#"{"team":"b","area":"x","10":"y","9":"z"}"#;
    let made = send(&hub, "PUT", "/configurations/c", &body(labels, ["zulu", "alpha", "mike"])).await;
    assert!(made.contains(&format!(r#""labels":{labels}"#)), "{made}");
    assert!(made.contains(&format!(r#""queries":{{{}}}"#, queries(["zulu", "alpha", "mike"]))), "{made}");
    assert_eq!(order(&made, &["systemMetrics"]), "results queries(targetedCount appliedCount)");

    // An update that changes nothing but the order has the new one.
    let path = "/configurations/c?api-version=2021-04-12";
    let (token, other) = (hub.token("iothubowner"), r#"{"9":"z","team":"b","10":"y","area":"x"}"#);
    let headers = [("Authorization", token.as_str()), ("If-Match", "*")];
    let updated = hub.send("PUT", path, &headers, Some(body(other, ["mike", "zulu", "alpha"]))).await;
    assert!(updated.text.contains(&format!(r#""labels":{other}"#)), "{updated:?}");
    let queries = format!(r#""queries":{{{}}}"#, queries(["mike", "zulu", "alpha"]));
    assert!(updated.text.contains(&queries), "{updated:?}");

    // The results of an evaluation have the order of their queries, and all of it lasts.
    let evaluated = |text: &str| text.contains(r#""results":{"mike":0,"zulu":0,"alpha":0}"#);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !evaluated(&hub.ask("GET", "/configurations/c", &[], None).await.text) {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let before = hub.ask("GET", "/configurations/c", &[], None).await.text;
    assert!(before.contains(&format!(r#""labels":{other}"#)) && before.contains(&queries), "{before}");
    assert!(before.contains(r#""results":{"targetedCount":0,"appliedCount":0}"#), "{before}");
    let hub = hub.restart().await;
    assert_eq!(hub.ask("GET", "/configurations/c", &[], None).await.text, before);

    let body = r#"{"customMetricQueries":{"z":"SELECT","a":"SELECT","m":"SELECT"}}"#;
    let tested = send(&hub, "POST", "/configurations/testQueries", body).await;
    let errors: iothub_model::twin::OrderedObject = serde_json::from_str(&tested).expect("JSON");
    let names = errors.get("customMetricQueryErrors").and_then(|it| it.as_object()).expect("errors");
    assert_eq!(names.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["z", "a", "m"]);
}

#[tokio::test]
async fn modules_of_a_content_are_made_in_its_order() {
    let hub = Sandbox::new().await;
    let device = r#"{"capabilities":{"iotEdge":true}}"#;
    send(&hub, "PUT", "/devices/e", device).await;
    let content = r#"{"modulesContent":{"zulu":{"properties.desired":{"b":1,"a":2}},"$edgeAgent":{"properties.desired":{"x":1}},
        "alpha":{"properties.desired":{}}}}"#;
    let path = "/devices/e/applyConfigurationContent";
    let content = serde_json::value::RawValue::from_string(content.to_owned()).expect("JSON");
    let token = hub.token("iothubowner");
    let applied = hub
        .send(
            "POST",
            &format!("{path}?api-version=2021-04-12"),
            &[("Authorization", &token)],
            Some(content.get().to_owned()),
        )
        .await;
    assert_eq!(applied.status, 204, "{applied:?}");
    let modules = hub.ask("GET", "/devices/e/modules", &[], None).await.body;
    let names: Vec<_> = modules.as_array().expect("modules").iter().map(|it| it["moduleId"].as_str()).collect();
    assert_eq!(names, [Some("$edgeAgent"), Some("$edgeHub"), Some("zulu"), Some("alpha")]);
}
