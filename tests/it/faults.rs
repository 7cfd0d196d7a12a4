//! A hub that is told to misbehave, by its command line and while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::hub::try_request;
use crate::support::{Hub, Sandbox};

const FLEET: &str = "fleet: demo\ndevices:\n  \"d-{01..20}\": { desired: { power_level: 2 } }\n";

#[test]
fn apply_gets_through() {
    let sandbox = Sandbox::new();
    let rules =
        sandbox.write("faults.txt", "# one in four\nPATCH  /twins/*  502  10%\nPATCH  /twins/*  reset-after  15%\n");
    let hub = Hub::serve(&sandbox, &["--faults", rules.to_str().expect("a path")]);
    (1..=20).for_each(|n| hub.create(&format!("d-{n:02}")));
    sandbox.write("fleet.yaml", FLEET);
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    for n in 1..=20 {
        assert_eq!(hub.twin(&format!("d-{n:02}"))["properties"]["desired"]["power_level"], 2);
    }
    let met = hub.requests().iter().filter(|request| !request["fault"].is_null()).count();
    assert!(met > 0, "with the seed 0 some of twenty meet something");
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
}

#[test]
fn rules_are_shown_set_and_cleared() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d1");
    let faults = |args: &[&str]| sandbox.on(&hub, [&["hub", "faults"], args].concat());

    let run = faults(&["set", "GET /twins/* 503 first 2; * * slow 1ms; MQTT twin/get 429"]);
    assert_eq!(run.code, 0, "{run}");
    let status = || hub.send("GET", "/twins/d1", None, None).status;
    assert_eq!([status(), status(), status()], [503, 503, 200]);
    assert_eq!(
        faults(&["show"]).success(),
        "requests  due  rule\n       3    2  GET /twins/* 503 first 2\n       1    1  * * slow 1ms\n       0    0  MQTT twin/get 429\n",
    );

    let run = faults(&["set", "GTE /twins/* 503"]);
    assert_eq!(run.code, 1, "{run}");
    let shown = run.to_string();
    for part in ["there is no method `GTE`", "<faults>:1:1", "did you mean `GET`?"] {
        assert!(shown.contains(part), "{shown}");
    }
    let run = faults(&["set", "no-such-file"]);
    assert!(run.code == 1 && run.to_string().contains("there is no file no-such-file"), "{run}");

    faults(&["clear"]).success();
    assert_eq!(status(), 200);
    let run = faults(&["show"]);
    assert!(run.to_string().contains("no faults"), "{run}");
}

#[test]
fn options_that_are_wrong() {
    let sandbox = Sandbox::new();
    for (args, expected) in [
        (vec!["--tier", "S9"], "there is no tier `S9`; these are: F1, B1, B2, B3, S1, S2, S3"),
        (vec!["--tier", "F1", "--units", "2"], "a hub of the tier F1 has 1 unit, and not 2"),
        (vec!["--units", "2"], "--tier"),
        (vec!["--faults", "* * explode"], "there is no fault `explode`"),
        (vec!["--entra-issuer", "nowhere.json"], "nowhere.json"),
    ] {
        let command = ["hub", "serve", "--data", "hub", "--https", "127.0.0.1:0"];
        let run = sandbox.twinctl(command.into_iter().chain(args.iter().copied()));
        assert_eq!(run.code, 1, "{args:?}: {run}");
        assert!(run.to_string().contains(expected), "{args:?}: {run}");
    }
}

#[test]
fn limits_and_lag_from_the_command_line() {
    let sandbox = Sandbox::new();
    let hub = Hub::serve(&sandbox, &["--tier", "b1", "--query-lag", "1h", "--latency", "1ms"]);
    hub.create("d1");
    let answer = hub.send("GET", "/twins/d1", None, None);
    assert_eq!(answer.status, 403, "{}", answer.body);
    let message = answer.body["Message"].as_str().expect("a message");
    assert!(message.starts_with("ErrorCode:OperationNotAvailableInCurrentTier;"), "{message}");
    let query = json!({ "query": "SELECT deviceId FROM devices" });
    assert_eq!(hub.send("POST", "/devices/query", None, Some(query)).body, json!([]), "not to be seen for an hour");
}

/// Writes a tag of its own to every device, again and again, with no regard to anybody, until it is dropped.
struct OtherWriter {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl OtherWriter {
    fn start(hub: &Hub, ids: Vec<String>, every: Duration) -> Self {
        let (client, owner) = (hub.new_client(), hub.connection_string("iothubowner").to_owned());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let write = async move {
            for tick in 0.. {
                for id in &ids {
                    let body = json!({ "tags": { "heartbeat": tick } });
                    let _ = try_request(&client, &owner, "PATCH", &format!("/twins/{id}"), None, Some(body)).await;
                }
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                tokio::time::sleep(every).await;
            }
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(write);
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for OtherWriter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn a_hub_that_shed_load_and_another_writer_cost_seconds() {
    let sandbox = Sandbox::new();
    let hub = Hub::start_with(&sandbox, |hub| hub.query_lag(Duration::from_secs(2)));
    let ids: Vec<String> = (1..=140).map(|n| format!("d-{n:03}")).collect();
    ids.iter().for_each(|id| hub.create(id));
    sandbox.write("fleet.yaml", &FLEET.replace("{01..20}", "{001..140}"));
    sandbox.on(&hub, ["hub", "faults", "set", "PATCH /twins/* 503 first 24"]).success();
    let shed = |hub: &Hub| hub.requests().iter().filter(|request| request["status"] == 503).count();
    let begun = Instant::now();
    let apply = sandbox.command_on(&hub, ["apply", "fleet.yaml", "--yes"]).stdout(std::process::Stdio::piped()).spawn();
    let apply = apply.expect("apply starts");
    while shed(&hub) < 24 {
        assert!(begun.elapsed() < Duration::from_secs(60), "apply meets the faults");
        std::thread::sleep(Duration::from_millis(5));
    }
    let writer = OtherWriter::start(&hub, ids.clone(), Duration::from_secs(2));
    let output = apply.wait_with_output().expect("apply ends");
    drop(writer);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("Applied: 140 twins written"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}: {text}", begun.elapsed());
    for id in &ids {
        assert_eq!(hub.twin(id)["properties"]["desired"]["power_level"], 2, "{id}");
    }
}

#[test]
fn a_run_that_ends_for_the_quota_says_when_there_is_more() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    (1..=20).for_each(|n| hub.create(&format!("d-{n:02}")));
    sandbox.write("fleet.yaml", FLEET);
    let set = |rules: &str| sandbox.on(&hub, ["hub", "faults", "set", rules]).success();
    set("PATCH /twins/* 403");
    let arguments = ["apply", "fleet.yaml", "--yes", "--concurrency", "1"];
    let run = sandbox.on(&hub, arguments);
    assert_eq!(run.code, 5, "{run}");
    for part in [
        "failed d-01  PATCH https://",
        "the hub answers 403: IotHubQuotaExceeded",
        "not attempted: d-02, d-03, d-04, d-05, d-06, d-07, d-08, d-09, d-10, d-11 and 9 more",
        "hint: the hub's daily quota of messages is used up, and reading twins costs some too; it starts anew at 00:00 UTC",
        "hint: what is done already is not sent twice when you plan and apply again",
    ] {
        assert!(run.stdout.contains(part), "{part}: {run}");
    }
    let run = sandbox.on(&hub, [&arguments[..], &["--full"]].concat());
    assert!(run.stdout.contains("d-11, d-12, d-13, d-14, d-15, d-16, d-17, d-18, d-19, d-20\n"), "{run}");

    let json = [&arguments[..], &["--format", "json"]].concat();
    let document = |code: i32| -> Value {
        serde_json::from_str(&sandbox.on(&hub, &json).exits(code)).expect("nothing but the document is on stdout")
    };
    let stopped = document(5);
    assert_eq!((&stopped["outcome"], &stopped["exitCode"]), (&json!("twins-failed"), &json!(5)));
    assert_eq!(stopped["notAttempted"].as_array().map(Vec::len), Some(19), "{stopped}");
    assert!(stopped["halted"]["advice"].as_str().is_some_and(|advice| advice.contains("00:00 UTC")), "{stopped}");

    set("PATCH /twins/d-07 401 ; PATCH /twins/d-09 409");
    let failed = document(5);
    assert_eq!((&failed["summary"]["written"], &failed["summary"]["failed"]), (&json!(18), &json!(2)), "{failed}");
    assert_eq!(failed["halted"], Value::Null, "what others of this run were granted is not withdrawn for one");

    sandbox.on(&hub, ["hub", "faults", "clear"]).success();
    let done = document(0);
    assert_eq!((&done["outcome"], &done["summary"]["written"]), (&json!("done"), &json!(2)), "{done}");
    assert_eq!(document(0)["summary"]["written"], 0, "nothing is left to do");
}
