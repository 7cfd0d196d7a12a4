//! Queries: pages, item types, and continuations that outlive writes.

use serde_json::Value;
use serde_json::json;

use crate::tests::{Answer, Sandbox};

async fn query(hub: &Sandbox, text: &str, size: Option<&str>, continuation: Option<&str>) -> Answer {
    let mut headers = Vec::new();
    headers.extend(size.map(|size| ("x-ms-max-item-count", size)));
    headers.extend(continuation.map(|continuation| ("x-ms-continuation", continuation)));
    hub.ask("POST", "/devices/query", &headers, Some(json!({ "query": text }))).await
}

/// All pages of a query; each with its rows.
async fn pages(hub: &Sandbox, text: &str, size: &str) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut continuation = None;
    loop {
        let answer = query(hub, text, Some(size), continuation.as_deref()).await;
        assert_eq!(answer.status, 200, "{text}: {answer:?}");
        pages.push(answer.body.as_array().expect("an array").clone());
        continuation = answer.header("x-ms-continuation").map(str::to_owned);
        if continuation.is_none() {
            return pages;
        }
    }
}

/// Seven devices `d0` to `d6`, the even ones in plant `A`.
async fn fleet() -> Sandbox {
    let hub = Sandbox::new().await;
    for n in 0..7 {
        let id = format!("d{n}");
        hub.create(&id).await;
        let plant = if n % 2 == 0 { "A" } else { "B" };
        hub.ask("PATCH", &format!("/twins/{id}"), &[], Some(json!({"tags": {"plant": plant, "n": n}}))).await;
    }
    hub
}

#[tokio::test]
async fn pages_are_full_and_the_last_has_no_continuation() {
    let hub = fleet().await;
    for (text, size, expected) in [
        ("SELECT * FROM devices", "3", "d0 d1 d2|d3 d4 d5|d6"),
        ("SELECT * FROM devices", "7", "d0 d1 d2 d3 d4 d5 d6"),
        ("SELECT deviceId FROM devices WHERE tags.plant = 'A'", "2", "d0 d2|d4 d6"),
        ("SELECT deviceId FROM devices WHERE tags.plant = 'C'", "2", ""),
        ("SELECT TOP 4 deviceId FROM devices", "3", "d0 d1 d2|d3"),
        ("SELECT TOP 4 deviceId FROM devices", "2", "d0 d1|d2 d3"),
        ("SELECT TOP 2 * FROM devices WHERE tags.plant = 'B'", "2", "d1 d3"),
        ("SELECT TOP 2 * FROM devices WHERE tags.plant = 'B'", "1", "d1|d3"),
        ("SELECT * FROM devices WHERE deviceId IN ['d5', 'd9', 'd1']", "1", "d1|d5"),
        ("SELECT * FROM devices WHERE deviceId = 'd3' AND tags.plant = 'A'", "1", ""),
    ] {
        let pages = pages(&hub, text, size).await;
        let ids = |page: &Vec<Value>| -> String {
            let ids: Vec<_> = page.iter().map(|row| row["deviceId"].as_str().expect("an id")).collect();
            ids.join(" ")
        };
        assert_eq!(pages.iter().map(ids).collect::<Vec<_>>().join("|"), expected, "{text} by {size}");
    }
}

#[tokio::test]
async fn aggregates() {
    let hub = fleet().await;
    let groups = "SELECT tags.plant AS plant, COUNT() AS n FROM devices GROUP BY tags.plant";
    let rows = [json!({"plant": "A", "n": 4}), json!({"plant": "B", "n": 3})];
    assert_eq!(pages(&hub, groups, "1").await, [[rows[0].clone()], [rows[1].clone()]]);
    assert_eq!(pages(&hub, groups, "9").await, [rows]);
    let count = "SELECT COUNT() AS n FROM devices WHERE tags.n > 4";
    assert_eq!(pages(&hub, count, "9").await, [[json!({"n": 2})]]);
}

#[tokio::test]
async fn a_minus_inside_of_a_name_belongs_to_it() {
    let hub = Sandbox::new().await;
    for (id, tags) in [("d", json!({"a-b": "x", "a": 7, "b": 2})), ("e", json!({"a-b": "y", "a": 5, "b": 2}))] {
        hub.create(id).await;
        let body = json!({ "tags": tags, "properties": { "desired": { "k-1f": "v" } } });
        hub.ask("PATCH", &format!("/twins/{id}"), &[], Some(body)).await;
    }
    for (text, expected) in [
        // As Microsoft's Java service SDK writes it in its live suite.
        (
            "SELECT properties.desired.k-1f AS k-1f, COUNT() AS numberOfDevices FROM devices GROUP BY properties.desired.k-1f",
            json!([{"k-1f": "v", "numberOfDevices": 2}]),
        ),
        ("SELECT tags.a-b FROM devices WHERE tags.a-b = 'x'", json!([{"a-b": "x"}])),
        ("SELECT deviceId FROM devices WHERE tags.a - tags.b = 5", json!([{"deviceId": "d"}])),
    ] {
        let answer = query(&hub, text, None, None).await;
        assert_eq!((answer.status, answer.body), (200, expected), "{text}");
    }
}

#[tokio::test]
async fn modules_are_asked_for_by_both_names_of_their_document() {
    let hub = Sandbox::new().await;
    for (device, module) in [("d", "one"), ("d", "two"), ("e", "one")] {
        if module == "one" {
            hub.create(device).await;
        }
        let body = json!({ "deviceId": device, "moduleId": module });
        let answer = hub.ask("PUT", &format!("/devices/{device}/modules/{module}"), &[], Some(body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for (text, expected) in [
        ("select * from devices.modules where devices.deviceId = 'd'", "d/one d/two"),
        ("select * from devices.modules where devices.modules.deviceId = 'd'", "d/one d/two"),
        ("select * from devices.modules where deviceId = 'd'", "d/one d/two"),
        ("select * from devices.modules where devices.modules.moduleId = 'one' and devices.deviceId = 'e'", "e/one"),
    ] {
        let answer = query(&hub, text, None, None).await;
        let name = |row: &Value| Some(format!("{}/{}", row["deviceId"].as_str()?, row["moduleId"].as_str()?));
        let names: Option<Vec<_>> = answer.body.as_array().expect(text).iter().map(name).collect();
        assert_eq!(names.expect(text).join(" "), expected, "{text}");
    }
    for text in [
        "SELECT deviceId, COUNT() AS n FROM devices.modules GROUP BY deviceId",
        "SELECT * FROM devices.modules GROUP BY deviceId",
        "SELECT deviceId FROM devices.modules WHERE deviceId = 'd' GROUP BY deviceId",
        "SELECT COUNT() AS n FROM devices.jobs",
    ] {
        assert_eq!(query(&hub, text, None, None).await.refusal(), (400, "ArgumentInvalid"), "{text}");
    }
    let count = query(&hub, "SELECT COUNT() AS n FROM devices.modules", None, None).await;
    assert_eq!(count.body, json!([{"n": 3}]));
}

#[tokio::test]
async fn whole_twins_are_what_get_answers() {
    let hub = fleet().await;
    let twin = hub.ask("GET", "/twins/d3", &[], None).await.body;
    assert_eq!(pages(&hub, "SELECT * FROM devices WHERE deviceId = 'd3'", "9").await, [[twin]]);
}

#[tokio::test]
async fn item_types() {
    let hub = fleet().await;
    for (text, item_type) in [
        ("SELECT * FROM devices", "Twin"),
        ("SELECT * FROM devices.modules", "Twin"),
        ("SELECT * FROM devices.jobs", "DeviceJob"),
        ("SELECT deviceId FROM devices", "Raw"),
        ("SELECT COUNT() AS n FROM devices", "Raw"),
    ] {
        let answer = query(&hub, text, None, None).await;
        assert_eq!(answer.header("x-ms-item-type"), Some(item_type), "{text}");
        assert_eq!(answer.header("x-ms-continuation"), None, "{text}");
        if text.contains("devices.") {
            assert_eq!(answer.body, json!([]), "{text}");
        }
    }
}

#[tokio::test]
async fn page_sizes() {
    let hub = fleet().await;
    for (size, rows) in [("1", Some(1)), ("1000", Some(7)), ("99999999999999999999999", Some(7)), ("007", Some(7))] {
        let answer = query(&hub, "SELECT * FROM devices", Some(size), None).await;
        assert_eq!(answer.body.as_array().map(Vec::len), rows, "{size}");
    }
    for size in ["0", "-1", "x", "1.5", "", "+1", "1 0"] {
        let answer = query(&hub, "SELECT * FROM devices", Some(size), None).await;
        assert_eq!(answer.refusal(), (400, "ArgumentInvalid"), "{size}");
    }
}

#[tokio::test]
async fn a_continuation_outlives_writes_and_restarts() {
    let hub = fleet().await;
    let text = "SELECT deviceId FROM devices WHERE tags.plant = 'A'";
    let first = query(&hub, text, Some("2"), None).await;
    let continuation = first.header("x-ms-continuation").expect("more").to_owned();
    // The page's own last row leaves, a row of the next page changes, a new one comes.
    hub.ask("DELETE", "/devices/d2", &[("If-Match", "*")], None).await;
    hub.ask("PATCH", "/twins/d4", &[], Some(json!({"tags": {"plant": "B"}}))).await;
    hub.create("new").await;
    hub.ask("PATCH", "/twins/new", &[], Some(json!({"tags": {"plant": "A"}}))).await;
    let hub = hub.restart().await;
    let second = query(&hub, text, Some("2"), Some(&continuation)).await;
    assert_eq!(second.body, json!([{"deviceId": "d6"}, {"deviceId": "new"}]));
    assert_eq!(second.header("x-ms-continuation"), None);

    for (text, continuation) in
        [("SELECT deviceId FROM devices", continuation.as_str()), (text, "garbled"), (text, &continuation[2..])]
    {
        let answer = query(&hub, text, Some("2"), Some(continuation)).await;
        assert_eq!(answer.refusal(), (400, "ArgumentInvalid"), "{text} {continuation}");
    }
}
