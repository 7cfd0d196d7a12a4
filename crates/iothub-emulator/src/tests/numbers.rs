//! Numbers in odd spellings: what a write answers, what is read later, and what is refused.

use crate::tests::Sandbox;

async fn write(hub: &Sandbox, number: &str) -> crate::tests::Answer {
    let token = hub.token("iothubowner");
    let body = format!(r#"{{"tags":{{"n":{number},"l":[{number}]}},"properties":{{"desired":{{"n":{number}}}}}}}"#);
    hub.send("PATCH", "/twins/d?api-version=2021-04-12", &[("Authorization", &token)], Some(body)).await
}

#[tokio::test]
async fn numbers_are_read_as_the_service_reads_them_and_stay_so() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let mut written = Vec::new();
    for (number, answered) in [
        ("-0", "0"),
        (" -0 ", "0"),
        ("-0.0", "-0.0"),
        ("0", "0"),
        ("0.0", "0.0"),
        ("1.50", "1.5"),
        ("0.1e1", "1.0"),
        ("1E5", "100000.0"),
        ("-1e+2", "-100.0"),
        ("1e-7", "1e-7"),
        ("4503599627370495", "4503599627370495"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("1e300", "1e+300"),
    ] {
        let answer = write(&hub, number).await;
        assert_eq!(answer.status, 200, "{number}: {answer:?}");
        for member in [format!(r#""n":{answered},"l":[{answered}]"#), format!(r#""desired":{{"n":{answered},"#)] {
            assert!(answer.text.contains(&member), "{number}: {}", answer.text);
        }
        let read = hub.ask("GET", "/twins/d", &[], None).await.text;
        assert_eq!(read, answer.text, "{number}");
        // What was answered is the same number when it is written again.
        let again = write(&hub, answered).await.text;
        assert!(again.contains(&format!(r#""n":{answered},"l":[{answered}]"#)), "{number}: {again}");
        written.push((number, read));
    }
    for number in [
        "1e400",
        "-1e400",
        "12345678901234567890",
        "99999999999999999999",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "4503599627370496",
        "01",
        "-",
        "1.",
        ".5",
        "+1",
        "NaN",
        "- 0",
    ] {
        let answer = write(&hub, number).await;
        assert_eq!(answer.status, 400, "{number}: {answer:?}");
    }
    let before = hub.ask("GET", "/twins/d", &[], None).await.text;
    let hub = hub.restart().await;
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.text, before);
}

#[tokio::test]
async fn minus_zero_is_zero_in_every_body_and_stays_in_what_passes_as_bytes() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let token = hub.token("iothubowner");
    let send = async |method: &str, path: &str, body: &str| {
        let path = format!("{path}?api-version=2021-04-12");
        hub.send(method, &path, &[("Authorization", &token)], Some(body.to_owned())).await.text
    };
    let text = r#"[{"id":"d","importMode":"updateTwin","tags":{"a":-0,"b":"-0","c":-0.0}}]"#;
    send("POST", "/devices", text).await;
    let twin = hub.ask("GET", "/twins/d", &[], None).await.text;
    assert!(twin.contains(r#""tags":{"a":0,"b":"-0","c":-0.0}"#), "{twin}");
    let made = send("PUT", "/configurations/c", r#"{"content":{"deviceContent":{"properties.desired.a":-0}}}"#).await;
    assert!(made.contains(r#""deviceContent":{"properties.desired.a":0}"#), "{made}");
    send("PATCH", "/digitaltwins/d", r#"[{"op":"add","path":"/p","value":-0}]"#).await;
    let twin = hub.ask("GET", "/twins/d", &[], None).await.text;
    assert!(twin.contains(r#""desired":{"p":0,"#), "{twin}");
    let job = r#"{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"etag":"*","tags":{"j":-0}}}"#;
    let made = send("PUT", "/jobs/v2/j", job).await;
    assert!(made.contains(r#""tags":{"j":0}"#), "{made}");
    let method = r#"{"methodName":"m","payload":{"a": -0}}"#;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let job = format!(r#"{{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{method}}}"#);
        let made = send("PUT", "/jobs/v2/m", &job).await;
        if made.contains("cloudToDeviceMethod") {
            assert!(made.contains(r#""payload":{"a": -0}"#), "{made}");
            return;
        }
        // The first job is still the one that may run.
        assert!(made.contains("ThrottlingMaxActiveJobCountExceeded") && std::time::Instant::now() < deadline, "{made}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
