//! Scheduled jobs: which there can be, and how they go.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::Emulator;
use crate::core::ask::Ask;
use crate::core::command::{Entropy, Refusal, TwinWrite};
use crate::core::jobs::{DeviceJob, Job, JobMethodCall, JobStep};
use crate::core::requests::devices::{DeleteDevice, PutDevice};
use crate::core::requests::job_runs::{FinishDeviceJob, RunJobs};
use crate::core::requests::jobs::{CancelJob, CreateJob, GetJob, ListJobs, ScanDeviceJobs};
use crate::core::requests::twins::{GetTwin, WriteTwin};
use crate::core::state::Hub;
use crate::tests::Sandbox;
use iothub_model::twin::IfMatch;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::jobs::DeviceJobStatus;
use iothub_model::wire::raw_json::RawJson;
use iothub_model::wire::twins::TwinBody;

const NOW: OffsetDateTime = datetime!(2026-01-01 00:00:00 UTC);

/// A reply in short.
trait Short {
    fn short(&self) -> Value;
}

impl Short for Arc<Job> {
    fn short(&self) -> Value {
        serde_json::to_value(&self.response).expect("JSON")
    }
}

impl Short for Option<Arc<Job>> {
    fn short(&self) -> Value {
        self.as_ref().map_or(Value::Null, Short::short)
    }
}

impl Short for Vec<Arc<Job>> {
    fn short(&self) -> Value {
        self.iter().map(|job| json!(job.response.job_id)).collect()
    }
}

impl Short for Vec<Arc<DeviceJob>> {
    fn short(&self) -> Value {
        self.iter().map(|it| serde_json::from_str::<Value>(it.document.as_str()).expect("JSON")).collect()
    }
}

fn ask_at<A: Ask<Reply: Short>>(hub: &mut Hub, ask: A, now: OffsetDateTime) -> Result<Value, Refusal> {
    Ok(hub.handle(ask, now).reply?.short())
}

fn ask<A: Ask<Reply: Short>>(hub: &mut Hub, ask: A) -> Result<Value, Refusal> {
    ask_at(hub, ask, NOW)
}

fn create(hub: &mut Hub, id: &str, body: Value) -> Result<Value, Refusal> {
    let body = Box::new(serde_json::from_value(body).expect("a body"));
    ask(hub, CreateJob { id: id.to_owned(), body, active_limit: 2 })
}

fn get(hub: &mut Hub, id: &str) -> Value {
    ask(hub, GetJob { id: id.to_owned() }).expect("an answer")
}

fn step(hub: &mut Hub, limit: usize, now: OffsetDateTime) -> JobStep {
    hub.handle(RunJobs { limit }, now).reply.expect("a step")
}

/// Goes on, two devices at a time, until there is nothing to do at once. Returns the methods to call.
fn run(hub: &mut Hub, now: OffsetDateTime) -> Vec<JobMethodCall> {
    let mut calls = Vec::new();
    loop {
        let step = step(hub, 2, now);
        calls.extend(step.calls);
        if !step.more {
            return calls;
        }
    }
}

fn outcomes(hub: &mut Hub) -> Vec<(String, String)> {
    let all = ask(hub, ScanDeviceJobs { after: 0, limit: 99 }).expect("outcomes");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    all.as_array().expect("an array").iter().map(|it| (text(&it["deviceId"]), text(&it["status"]))).collect()
}

fn statistics(job: &Value) -> [u64; 5] {
    ["deviceCount", "succeededCount", "failedCount", "runningCount", "pendingCount"]
        .map(|name| job["deviceJobStatistics"][name].as_u64().expect(name))
}

/// A hub with `d0` to `d4`, the even ones tagged so.
fn hub() -> Hub {
    let mut hub = Hub::default();
    for n in 0..5 {
        let id: iothub_model::twin::DeviceId = format!("d{n}").parse().expect("an id");
        let put =
            PutDevice { id: id.clone(), body: Box::default(), if_match: IfMatch::Absent, entropy: Entropy([1; 80]) };
        hub.handle(put, NOW).reply.expect("a device");
        write(&mut hub, id.as_str(), json!({"tags": {"even": n % 2 == 0, "old": 1}}));
    }
    hub
}

fn write(hub: &mut Hub, id: &str, body: Value) {
    let (id, body) = (id.parse().expect(id), TwinBody::decode(body).expect("a body"));
    let write = WriteTwin { id, how: TwinWrite::Merge, body, if_match: IfMatch::Absent };
    hub.handle(write, NOW).reply.expect("a write");
}

fn twin(hub: &mut Hub, id: &str) -> Value {
    let twin = hub.handle(GetTwin { id: id.parse().expect(id) }, NOW).reply.expect("a twin");
    serde_json::from_str(twin.document().as_str()).expect("JSON")
}

fn update(condition: &str) -> Value {
    json!({
        "type": "scheduleUpdateTwin",
        "queryCondition": condition,
        "updateTwin": {"etag": "*", "tags": {"old": null, "new": 1}, "properties": {"desired": {"a": 1}}},
    })
}

fn method(condition: &str) -> Value {
    json!({
        "type": "scheduleDeviceMethod",
        "queryCondition": condition,
        "cloudToDeviceMethod": {"methodName": "reboot", "payload": {"x": 1}, "responseTimeoutInSeconds": 30},
    })
}

#[test]
fn what_a_job_cannot_be() {
    let with = |name: &str, value: Value| {
        let mut body = update("*");
        body[name] = value;
        body
    };
    use ErrorCode::{ArgumentInvalid, ArgumentNull, GenericBadRequest, PreconditionFailed};
    for (id, body, expected) in [
        ("", update("*"), ArgumentInvalid),
        ("a.b", update("*"), ArgumentInvalid),
        ("é", update("*"), ArgumentInvalid),
        ("a_b", update("*"), ArgumentInvalid),
        (&"x".repeat(65), update("*"), ArgumentInvalid),
        ("a", with("jobId", json!("b")), ArgumentInvalid),
        ("a", with("type", json!("scheduleTwinUpdate")), GenericBadRequest),
        ("a", with("type", json!("updateTwin")), GenericBadRequest),
        ("a", with("type", json!(null)), GenericBadRequest),
        ("a", with("queryCondition", json!(null)), ArgumentNull),
        ("a", with("queryCondition", json!(" ")), ArgumentNull),
        ("a", with("queryCondition", json!("x".repeat(8193))), PreconditionFailed),
        ("a", with("updateTwin", json!(null)), ArgumentNull),
        ("a", with("updateTwin", json!({"tags": {}})), PreconditionFailed),
        ("a", with("updateTwin", json!({"etag": null, "tags": {}})), PreconditionFailed),
        ("a", with("updateTwin", json!({"etag": "AAAAAAAAAAE=", "tags": {}})), PreconditionFailed),
        ("a", with("updateTwin", json!({"etag": "*", "tags": 1})), ArgumentInvalid),
        ("a", with("startTime", json!("tomorrow")), ArgumentInvalid),
        ("a", with("startTime", json!("2026-01-08T00:00:01Z")), ArgumentInvalid),
        ("a", with("maxExecutionTimeInSeconds", json!(0)), ArgumentInvalid),
        ("a", json!({"type": "scheduleDeviceMethod", "queryCondition": "*"}), ArgumentNull),
        ("a", json!({"type": "scheduleDeviceMethod", "queryCondition": "*", "cloudToDeviceMethod": {}}), ArgumentNull),
    ] {
        let mut hub = hub();
        let refusal = create(&mut hub, id, body.clone()).expect_err("a refusal");
        assert_eq!(refusal.code, expected, "{id} {body}");
        assert_eq!(ask(&mut hub, ListJobs).expect("a list"), json!([]));
    }
    for (id, body) in [
        ("a-1'2", with("startTime", json!("2026-01-08T00:00:00Z"))),
        ("DHCMD4f1e2d3c", with("startTime", json!(null))),
        (&"X".repeat(64), with("startTime", json!(null))),
        ("a", with("queryCondition", json!("x".repeat(8192)))),
        ("a", with("startTime", json!("2025-01-01T00:00:00.123"))),
    ] {
        create(&mut hub(), id, body).expect(id);
    }
    let mut hub = hub();
    create(&mut hub, "Job", update("*")).expect("a job");
    create(&mut hub, "job", update("*")).expect("another job");
    assert_eq!((&get(&mut hub, "Job")["jobId"], &get(&mut hub, "job")["jobId"]), (&json!("Job"), &json!("job")));
    assert_eq!(get(&mut hub, "JOB"), Value::Null, "ids count with their case");
}

#[test]
fn a_job_from_beginning_to_end() {
    let mut hub = hub();
    let made = create(&mut hub, "j", update("tags.even = true")).expect("a job");
    assert_eq!((&made["status"], &made["type"]), (&json!("queued"), &json!("scheduleUpdateTwin")));
    assert_eq!(made["createdTime"], made["startTime"]);
    assert_eq!(create(&mut hub, "j", update("*")).expect_err("it is there").code, ErrorCode::JobAlreadyExists);

    step(&mut hub, 2, NOW);
    assert_eq!(get(&mut hub, "j")["status"], "running");
    // Whoever comes now comes too late, and so does whoever matches only now.
    let put = PutDevice {
        id: "late".parse().expect("an id"),
        body: Box::default(),
        if_match: IfMatch::Absent,
        entropy: Entropy([1; 80]),
    };
    hub.handle(put, NOW).reply.expect("a device");
    write(&mut hub, "late", json!({"tags": {"even": true}}));
    for _ in 0..4 {
        step(&mut hub, 2, NOW);
    }
    let waiting = outcomes(&mut hub);
    let scheduled = |id: &str| (id.to_owned(), "scheduled".to_owned());
    assert_eq!(waiting, [scheduled("d0"), scheduled("d2"), scheduled("d4")]);
    assert_eq!(statistics(&get(&mut hub, "j")), [3, 0, 0, 0, 3]);

    assert_eq!(run(&mut hub, NOW), []);
    let job = get(&mut hub, "j");
    assert_eq!((&job["status"], &job["endTime"]), (&json!("completed"), &json!("2026-01-01T00:00:00.0000000Z")));
    assert_eq!(statistics(&job), [3, 3, 0, 0, 0]);
    let changed = twin(&mut hub, "d2");
    assert_eq!(
        (&changed["tags"], &changed["properties"]["desired"]["a"]),
        (&json!({"even": true, "new": 1}), &json!(1))
    );
    assert_eq!(twin(&mut hub, "d1")["tags"]["old"], 1);
    assert!(twin(&mut hub, "late")["tags"].get("new").is_none());
    let found = ask(&mut hub, ScanDeviceJobs { after: 0, limit: 1 }).expect("an outcome");
    let now = "2026-01-01T00:00:00.0000000Z";
    let expected = json!([{
        "deviceId": "d0", "jobId": "j", "jobType": "scheduleUpdateTwin", "status": "completed", "startTimeUtc": now,
        "endTimeUtc": now, "createdDateTimeUtc": now, "lastUpdatedDateTimeUtc": now, "outcome": {},
    }]);
    assert_eq!(found, expected);
}

#[test]
fn devices_fail_alone() {
    let mut hub = hub();
    write(&mut hub, "d1", json!({"tags": {"full": "x".repeat(4096), "fuller": "x".repeat(4055)}}));
    let mut body = update("*");
    body["updateTwin"]["tags"]["new"] = json!("long enough to be too much");
    create(&mut hub, "j", body).expect("a job");
    let gone = DeleteDevice { id: "d3".parse().expect("an id"), if_match: IfMatch::Any };
    for _ in 0..3 {
        step(&mut hub, 5, NOW);
    }
    hub.handle(gone, NOW).reply.expect("a deletion");
    run(&mut hub, NOW);
    let job = get(&mut hub, "j");
    assert_eq!((&job["status"], statistics(&job)), (&json!("completed"), [5, 3, 2, 0, 0]));
    let all = ask(&mut hub, ScanDeviceJobs { after: 0, limit: 9 }).expect("outcomes");
    assert_eq!(
        (&all[1]["status"], &all[1]["error"]["code"]),
        (&json!("failed"), &json!("DeviceModelMaxPropertiesExceeded"))
    );
    assert_eq!(all[3]["error"]["code"], "DeviceNotFound");
    assert!(all[3].get("outcome").is_none());
}

#[test]
fn a_condition_that_is_wrong_fails_the_job_and_not_the_request() {
    let mut hub = hub();
    create(&mut hub, "j", update("tags.even =")).expect("a job");
    run(&mut hub, NOW);
    let job = get(&mut hub, "j");
    assert_eq!((&job["status"], statistics(&job)), (&json!("failed"), [0; 5]));
    assert!(job["failureReason"].as_str().is_some_and(|reason| reason.starts_with("the queryCondition: ")), "{job}");
    create(&mut hub, "k", update("tags.none = 1")).expect("its place is free");
    run(&mut hub, NOW);
    assert_eq!(get(&mut hub, "k")["status"], "completed", "of nobody");
}

#[test]
fn jobs_wait_for_their_time_and_can_be_taken_back() {
    let mut hub = hub();
    let later = NOW + Duration::from_secs(60);
    let mut body = update("*");
    body["startTime"] = json!("2026-01-01T00:01:00Z");
    for id in ["a", "b"] {
        create(&mut hub, id, body.clone()).expect("a job");
    }
    let many = create(&mut hub, "c", update("*")).expect_err("two wait");
    assert_eq!(many.code, ErrorCode::ThrottlingMaxActiveJobCountExceeded);
    assert!(step(&mut hub, 9, NOW).waiting);
    assert_eq!(
        (&get(&mut hub, "a")["status"], &get(&mut hub, "a")["startTime"]),
        (&json!("scheduled"), &json!("2026-01-01T00:01:00.0000000Z"))
    );

    let mut cancel = |id: &str| ask(&mut hub, CancelJob { id: id.to_owned() });
    assert_eq!(cancel("x").expect_err("none").code, ErrorCode::JobNotFound);
    assert_eq!(cancel("b").expect("a job")["status"], "cancelled");
    assert_eq!(cancel("b").expect_err("over").code, ErrorCode::OperationNotAllowedInCurrentState);
    create(&mut hub, "c", update("*")).expect("there is room again");

    step(&mut hub, 9, later);
    let running = ask(&mut hub, CancelJob { id: "a".to_owned() }).expect_err("running");
    assert_eq!(running.code, ErrorCode::OperationNotAllowedInCurrentState);
    run(&mut hub, later);
    assert_eq!(
        (&get(&mut hub, "a")["status"], &get(&mut hub, "b")["status"]),
        (&json!("completed"), &json!("cancelled"))
    );
    assert_eq!(ask(&mut hub, ListJobs).expect("a list"), json!(["a", "b", "c"]));
}

#[test]
fn methods_are_called_and_their_outcomes_kept() {
    let mut hub = hub();
    create(&mut hub, "m", method("tags.even = true")).expect("a job");
    let calls = run(&mut hub, NOW);
    // Two at a time: the third waits for one of them.
    assert_eq!(calls.iter().map(|call| call.device.as_str()).collect::<Vec<_>>(), ["d0", "d2"]);
    assert!(calls[0].method.as_str().contains(r#""methodName":"reboot""#), "{:?}", calls[0].method);
    assert_eq!(statistics(&get(&mut hub, "m")), [3, 0, 0, 2, 1]);
    let mut finish = |call: &JobMethodCall, outcome| {
        let command = FinishDeviceJob { device_job: call.device_job, outcome };
        hub.handle(command, NOW).change.is_some()
    };
    assert!(finish(&calls[0], Ok(RawJson::of(&json!({"status": 200, "payload": {"y": 2}})))));
    assert!(!finish(&calls[0], Ok(RawJson::of(&json!({})))), "once");
    let third = run(&mut hub, NOW);
    assert_eq!(third[0].device.as_str(), "d4");
    let mut finish = |call: &JobMethodCall, outcome| {
        hub.handle(FinishDeviceJob { device_job: call.device_job, outcome }, NOW);
    };
    finish(&calls[1], Err(Refusal::new(ErrorCode::DeviceNotOnline, "off")));
    finish(&third[0], Ok(RawJson::of(&json!({"status": 501, "payload": null}))));
    run(&mut hub, NOW);
    let job = get(&mut hub, "m");
    assert_eq!((&job["status"], statistics(&job)), (&json!("completed"), [3, 2, 1, 0, 0]));
    let all = ask(&mut hub, ScanDeviceJobs { after: 0, limit: 9 }).expect("outcomes");
    assert_eq!(all[0]["outcome"], json!({"deviceMethodResponse": {"status": 200, "payload": {"y": 2}}}));
    assert_eq!(all[1]["error"], json!({"code": "DeviceNotOnline", "description": "off"}));
}

#[test]
fn a_job_that_takes_too_long_fails_with_what_waits() {
    let mut hub = hub();
    let mut body = update("*");
    body["maxExecutionTimeInSeconds"] = json!(60);
    create(&mut hub, "j", body).expect("a job");
    for _ in 0..5 {
        step(&mut hub, 2, NOW);
    }
    assert_eq!(statistics(&get(&mut hub, "j")), [5, 0, 0, 0, 5]);
    step(&mut hub, 2, NOW + Duration::from_secs(60));
    run(&mut hub, NOW + Duration::from_secs(61));
    let job = get(&mut hub, "j");
    assert_eq!((&job["status"], statistics(&job)), (&json!("failed"), [5, 2, 3, 0, 0]));
    assert_eq!(job["failureReason"], "the job took longer than 60 s");
    let all = ask(&mut hub, ScanDeviceJobs { after: 0, limit: 9 }).expect("outcomes");
    assert_eq!(all[4]["error"]["code"], "GenericTimeout");
}

#[test]
fn history_is_forgotten_after_thirty_days() {
    let mut hub = hub();
    create(&mut hub, "j", update("*")).expect("a job");
    run(&mut hub, NOW);
    run(&mut hub, NOW + Duration::from_secs(30 * 24 * 3600 - 1));
    assert_eq!(outcomes(&mut hub).len(), 5);
    run(&mut hub, NOW + Duration::from_secs(30 * 24 * 3600));
    assert_eq!(outcomes(&mut hub), []);
    assert_eq!(get(&mut hub, "j"), Value::Null);
    create(&mut hub, "j", update("*")).expect("the id is free");
}

#[test]
fn jobs_go_on_after_a_restart_and_methods_do_not() {
    let folder = TempDir::new().expect("a folder");
    let open = || Emulator::builder().data_dir(folder.path()).clock(crate::tests::clock()).open().expect("a hub");
    let mut hub = open();
    for n in 0..5 {
        hub.add_device(&format!("d{n}").parse().expect("an id")).expect("a device");
    }
    for (id, body) in [("j", update("*")), ("m", method("deviceId = 'd1' OR deviceId = 'd2'"))] {
        let body = Box::new(serde_json::from_value(body).expect("a body"));
        hub.handle(CreateJob { id: id.to_owned(), body, active_limit: 9 }).expect("a job");
    }
    // Opened again after each step, whatever it was at.
    let mut called = 0;
    for _ in 0..20 {
        called += hub.handle(RunJobs { limit: 2 }).expect("a step").calls.len();
        drop(hub);
        hub = open();
    }
    let mut job = |id: &str| hub.handle(GetJob { id: id.to_owned() }).expect("an answer").short();
    let (updated, methods) = (job("j"), job("m"));
    assert_eq!((&updated["status"], statistics(&updated)), (&json!("completed"), [5, 5, 0, 0, 0]));
    assert_eq!((&methods["status"], statistics(&methods)), (&json!("completed"), [2, 0, 2, 0, 0]));
    assert_eq!(called, 2, "each once");
    let all = hub.handle(ScanDeviceJobs { after: 0, limit: 99 }).expect("outcomes");
    for it in all.iter().filter(|it| it.status == DeviceJobStatus::Failed) {
        assert!(it.document.as_str().contains("does not call it again"), "{}", it.document.as_str());
    }
}

#[tokio::test]
async fn jobs_over_https() {
    let hub = Sandbox::with(TempDir::new().expect("a folder"), |options| options.active_jobs(2)).await;
    for id in ["a", "b"] {
        hub.create(id).await;
    }
    let over = async |hub: &Sandbox, id: &str| {
        for _ in 0..500 {
            let job = hub.ask("GET", &format!("/jobs/v2/{id}"), &[], None).await.body;
            if ["completed", "failed"].contains(&job["status"].as_str().expect("a status")) {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{id} was not over in five seconds");
    };
    assert_eq!(hub.ask("GET", "/jobs/v2/x", &[], None).await.body, json!({"type": "unknown", "status": "unknown"}));
    assert_eq!(hub.ask("POST", "/jobs/v2/x/cancel", &[], None).await.refusal(), (404, "JobNotFound"));
    let made = hub.ask("PUT", "/jobs/v2/j'1", &[], Some(update("deviceId IN ['a', 'b']"))).await;
    assert_eq!((made.status, &made.body["jobId"]), (200, &json!("j'1")));
    assert_eq!(statistics(&over(&hub, "j%271").await), [2, 2, 0, 0, 0]);
    hub.ask("PUT", "/jobs/v2/m/", &[], Some(method("*"))).await;
    assert_eq!(statistics(&over(&hub, "m").await), [2, 0, 2, 0, 0]);
    assert_eq!(
        hub.ask("POST", "/jobs/v2/m/cancel", &[], None).await.refusal(),
        (405, "OperationNotAllowedInCurrentState")
    );
    assert_eq!(hub.ask("PUT", "/jobs/v2/m", &[], Some(method("*"))).await.refusal(), (409, "JobAlreadyExists"));
    let far = json!({
        "type": "scheduleUpdateTwin", "queryCondition": "*", "updateTwin": {"etag": "*"}, "startTime": "2026-11-25T00:00:00Z"
    });
    for (id, expected) in [("f1", 200), ("f2", 200), ("f3", 429)] {
        assert_eq!(hub.ask("PUT", &format!("/jobs/v2/{id}"), &[], Some(far.clone())).await.status, expected, "{id}");
    }

    for (query, expected) in [
        ("", vec!["j'1", "m", "f1", "f2"]),
        ("?jobType=ScheduleUpdateTwin&jobStatus=", vec!["j'1", "f1", "f2"]),
        ("?jobType=scheduleDeviceMethod&jobStatus=Completed", vec!["m"]),
        ("?jobStatus=none", vec![]),
    ] {
        let mut found = Vec::new();
        let mut continuation = String::new();
        loop {
            let headers = [("x-ms-max-item-count", "2"), ("x-ms-continuation", continuation.as_str())];
            let answer = hub.ask("GET", &format!("/jobs/v2/query{query}"), &headers, None).await;
            assert_eq!(answer.header("x-ms-item-type"), Some("JobResponse"));
            let page = answer.body.as_array().expect("an array").clone();
            assert!(page.len() <= 2);
            found.extend(page.iter().map(|job| job["jobId"].as_str().expect("an id").to_owned()));
            match answer.header("x-ms-continuation") {
                Some(next) => continuation = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(found, expected, "{query}");
    }

    let query = async |hub: &Sandbox, text: &str| {
        let answer = hub.ask("POST", "/devices/query", &[], Some(json!({ "query": text }))).await;
        assert_eq!(answer.header("x-ms-item-type"), Some("DeviceJob"));
        answer.body.as_array().expect("an array").len()
    };
    for (text, expected) in [
        ("SELECT * FROM devices.jobs", 4),
        ("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'm'", 2),
        ("SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'a' AND status = 'completed'", 1),
        ("SELECT * FROM devices.jobs WHERE devices.jobs.createdTimeUtc > '2016-09-01'", 4),
        ("SELECT * FROM devices.jobs WHERE error.code = 'DeviceNotOnline'", 2),
    ] {
        assert_eq!(query(&hub, text).await, expected, "{text}");
    }
    let hub = hub.restart().await;
    assert_eq!(query(&hub, "SELECT * FROM devices.jobs").await, 4);
    assert_eq!(hub.ask("GET", "/jobs/v2/f1", &[], None).await.body["status"], "scheduled");
}
