//! What a device does with its twin, decided purely: topics and payloads in, publications and events out.
//!
//! On each connection it asks for the twin, then says what it has to report. A patch of the desired properties is taken when its
//! version is the next one; one that is further on says that something was missed (notifications are sent once, and to those
//! who are there), and the twin is asked for again.

use bytes::Bytes;
use serde_json::Value;

use super::event::Event;
use super::goal::{missing, overlay, overlay_report, removals};
use iothub_model::twin::Object;
use iothub_model::twin::patch::{diff, merge};
use iothub_model::wire::topics::{FromDevice, FromHub};

/// What a simulated device is to do with its twin.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Behaviour {
    /// What it reports; null removes.
    pub report: Object,
    /// Whether it reports its desired properties back: each under its own path, so that reported equals desired.
    pub acknowledge: bool,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum SessionStep {
    /// Publish.
    Say { topic: FromDevice, payload: Bytes },
    /// Tell whoever watches.
    Tell(Event),
    /// Wait a while, then [`Session::again`].
    Later,
}

/// A request that the hub has not answered yet.
#[derive(Clone, Debug, PartialEq)]
enum Ask {
    Twin,
    Report(Object),
}

#[derive(Debug)]
struct Desired {
    properties: Object,
    version: u64,
}

/// A device's side of its twin, over all its connections.
#[derive(Debug)]
pub(super) struct Session {
    behaviour: Behaviour,
    /// As last heard of.
    desired: Option<Desired>,
    /// As last heard of.
    reported: Object,
    /// Desired properties that went, as nulls: to be taken out of what is reported.
    removed: Object,
    /// Whether the first report has been taken.
    has_reported: bool,
    /// What the hub would not take: not sent again as it is.
    refused: Option<(Object, u16, String)>,

    /// Whether the hub sends what is subscribed to.
    is_open: bool,
    /// Whether all that was desired before this connection, or before a gap, is known.
    is_current: bool,
    /// Patches that came while the twin was asked for.
    early: Vec<(u64, Object)>,
    waiting: Option<(String, Ask)>,
    postponed: bool,
    last_rid: u64,
}

impl Session {
    pub(super) fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            desired: None,
            reported: Object::new(),
            removed: Object::new(),
            has_reported: false,
            refused: None,
            is_open: false,
            is_current: false,
            early: Vec::new(),
            waiting: None,
            postponed: false,
            last_rid: 0,
        }
    }

    /// Begins a new connection: answers to what was asked on the last one will not come.
    pub(super) fn begin(&mut self) {
        self.is_open = false;
        self.is_current = false;
        self.early.clear();
        self.waiting = None;
        self.postponed = false;
    }

    /// Goes on once the hub sends what is subscribed to.
    pub(super) fn subscribed(&mut self) -> Vec<SessionStep> {
        self.is_open = true;
        self.next().into_iter().collect()
    }

    /// Returns the number of the request that an answer is due to.
    pub(super) fn waiting_for(&self) -> Option<u64> {
        self.waiting.as_ref().map(|_| self.last_rid)
    }

    /// Says whether the twin is known and all is reported that there is to report, if the hub takes it.
    pub(super) fn is_settled(&self) -> bool {
        self.is_current && self.waiting.is_none() && !self.postponed
    }

    /// Returns the hub's status and words when it would not take the report.
    pub(super) fn refusal(&self) -> Option<(u16, &str)> {
        self.refused.as_ref().map(|(_, status, message)| (*status, message.as_str()))
    }

    /// Tries again what was put off.
    pub(super) fn again(&mut self) -> Vec<SessionStep> {
        self.postponed = false;
        self.next().into_iter().collect()
    }

    /// Takes what the hub published.
    pub(super) fn received(&mut self, topic: FromHub, payload: &[u8]) -> Vec<SessionStep> {
        let mut steps = Vec::new();
        match topic {
            FromHub::DesiredPatch { version } => match object(payload) {
                Some(patch) if self.is_current => self.patch(version, patch, &mut steps),
                Some(patch) => self.early.push((version, patch)),
                // A patch that cannot be read is one that was missed.
                None => self.is_current = false,
            },
            FromHub::TwinResponse { status, rid, version } => match self.waiting.take() {
                Some((asked, ask)) if asked == rid => self.answered(ask, status, version, payload, &mut steps),
                other => self.waiting = other,
            },
            FromHub::MethodCall { name, rid } => {
                let topic = FromDevice::MethodResult { status: 200, rid };
                steps.push(SessionStep::Say { topic, payload: Bytes::copy_from_slice(payload) });
                steps.push(SessionStep::Tell(Event::Method { name, payload: payload_of(payload) }));
            }
        }
        steps.extend(self.next());
        steps
    }

    /// Returns the next request, when none is under way and there is one to make.
    fn next(&mut self) -> Option<SessionStep> {
        if !self.is_open || self.waiting.is_some() || self.postponed {
            return None;
        }
        let (ask, payload) = if self.is_current {
            let patch = self.due();
            if patch.is_empty() || self.refused.as_ref().is_some_and(|(refused, ..)| *refused == patch) {
                return None;
            }
            let payload = Value::Object(patch.clone()).to_string().into();
            (Ask::Report(patch), payload)
        } else {
            (Ask::Twin, Bytes::new())
        };
        self.last_rid += 1;
        let rid = self.last_rid.to_string();
        let topic = match &ask {
            Ask::Twin => FromDevice::TwinGet { rid: rid.clone() },
            Ask::Report(_) => FromDevice::TwinPatch { rid: rid.clone(), version: None },
        };
        self.waiting = Some((rid, ask));
        Some(SessionStep::Say { topic, payload })
    }

    /// Returns what is to be reported now.
    fn due(&self) -> Object {
        let mut goal = Object::new();
        if let Some(desired) = self.desired.as_ref().filter(|_| self.behaviour.acknowledge) {
            goal = self.removed.clone();
            overlay(&mut goal, &desired.properties);
        }
        // What the user wants reported stands above what the back end desires.
        overlay_report(&mut goal, &self.behaviour.report, &self.reported);
        let mut patch = missing(&goal, &self.reported);
        if !self.has_reported {
            // The first report is made whether or not the hub has it from another time.
            overlay(&mut patch, &self.behaviour.report);
        }
        patch
    }

    fn answered(&mut self, ask: Ask, status: u16, version: Option<u64>, payload: &[u8], steps: &mut Vec<SessionStep>) {
        let what = match &ask {
            Ask::Twin => "twin",
            Ask::Report(_) => "reported properties",
        };
        match (ask, status) {
            (Ask::Report(patch), 200..=299) => {
                merge(&mut self.reported, &patch);
                self.has_reported = true;
                self.refused = None;
                steps.push(SessionStep::Tell(Event::Reported { patch, version }));
                return;
            }
            (Ask::Twin, 200) if self.twin(payload, steps).is_some() => return,
            // What the hub says no to now it says no to later.
            (Ask::Report(patch), 400..=499) if status != 429 => self.refused = Some((patch, status, words(payload))),
            (Ask::Twin | Ask::Report(_), _) => {
                self.postponed = true;
                steps.push(SessionStep::Later);
            }
        }
        steps.push(SessionStep::Tell(Event::Refused { what, status, message: words(payload) }));
    }

    /// Takes the twin, and the patches that came before it but are newer.
    fn twin(&mut self, payload: &[u8], steps: &mut Vec<SessionStep>) -> Option<()> {
        let mut twin = object(payload)?;
        let mut section = |name: &str| match twin.remove(name) {
            Some(Value::Object(section)) => Some(section),
            _ => None,
        };
        let (mut desired, mut reported) = (section("desired")?, section("reported").unwrap_or_default());
        let version = desired.get("$version")?.as_u64()?;
        desired.retain(|key, _| !key.starts_with('$'));
        reported.retain(|key, _| !key.starts_with('$'));
        self.reported = reported;
        match &self.desired {
            None => steps.push(SessionStep::Tell(Event::Desired { desired: desired.clone(), version })),
            Some(known) => {
                let patch = diff(&known.properties, &desired);
                if !patch.is_empty() {
                    overlay(&mut self.removed, &removals(&patch));
                    steps.push(SessionStep::Tell(Event::Patch { patch, version }));
                }
            }
        }
        self.desired = Some(Desired { properties: desired, version });
        self.is_current = true;
        for (version, patch) in std::mem::take(&mut self.early) {
            self.patch(version, patch, steps);
        }
        Some(())
    }

    fn patch(&mut self, version: u64, mut patch: Object, steps: &mut Vec<SessionStep>) {
        let Some(desired) = self.desired.as_mut().filter(|desired| version > desired.version) else {
            // Known already.
            return;
        };
        if version > desired.version + 1 {
            self.is_current = false;
            return;
        }
        patch.retain(|key, _| !key.starts_with('$'));
        desired.version = version;
        merge(&mut desired.properties, &patch);
        overlay(&mut self.removed, &removals(&patch));
        steps.push(SessionStep::Tell(Event::Patch { patch, version }));
    }
}

/// Reads what the hub hands on: JSON, or else a text.
pub(super) fn payload_of(payload: &[u8]) -> Value {
    match payload {
        [] => Value::Null,
        bytes => serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into()),
    }
}

fn object(payload: &[u8]) -> Option<Object> {
    serde_json::from_slice(payload).ok()
}

/// Returns the message in the body of a refusal.
fn words(payload: &[u8]) -> String {
    let body = object(payload).unwrap_or_default();
    body.get("message").and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A session, what it says as one line each, and what the hub says to it.
    struct Script {
        session: Session,
        said: Vec<String>,
    }

    impl Script {
        fn new(report: Value, acknowledge: bool) -> Self {
            let behaviour = Behaviour { report: report.as_object().expect("an object").clone(), acknowledge };
            Self { session: Session::new(behaviour), said: Vec::new() }
        }

        fn note(&mut self, steps: Vec<SessionStep>) {
            for step in steps {
                let line = match step {
                    SessionStep::Say { topic, payload } => {
                        let topic = topic.topic(&"d".parse().expect("an id"));
                        let payload = String::from_utf8(payload.to_vec()).expect("UTF-8");
                        format!("{} {payload}", topic.trim_start_matches("$iothub/"))
                    }
                    SessionStep::Tell(Event::Desired { desired, version }) => {
                        format!("twin {version} {}", Value::Object(desired))
                    }
                    SessionStep::Tell(Event::Patch { patch, version }) => {
                        format!("patch {version} {}", Value::Object(patch))
                    }
                    SessionStep::Tell(Event::Reported { version, .. }) => format!("reported {version:?}"),
                    SessionStep::Tell(event) => format!("{event:?}"),
                    SessionStep::Later => "later".to_owned(),
                };
                self.said.push(line);
            }
        }

        fn connect(&mut self) -> &mut Self {
            self.session.begin();
            let steps = self.session.subscribed();
            self.note(steps);
            self
        }

        fn hear(&mut self, topic: &str, payload: &str) -> &mut Self {
            let topic = FromHub::parse(&format!("$iothub/{topic}")).expect(topic);
            let steps = self.session.received(topic, payload.as_bytes());
            self.note(steps);
            self
        }

        fn again(&mut self) -> &mut Self {
            let steps = self.session.again();
            self.note(steps);
            self
        }

        #[track_caller]
        fn says(&mut self, lines: &[&str]) -> &mut Self {
            assert_eq!(std::mem::take(&mut self.said), lines);
            self
        }
    }

    const GET: &str = "twin/GET/?$rid=";
    const REPORT: &str = "twin/PATCH/properties/reported/?$rid=";

    fn get(rid: u64) -> String {
        format!("{GET}{rid} ")
    }

    fn report(rid: u64, payload: &str) -> String {
        format!("{REPORT}{rid} {payload}")
    }

    #[test]
    fn the_twin_first_then_the_report() {
        let mut script = Script::new(json!({"connectivity": "cellular"}), false);
        script.connect().says(&[&get(1)]);
        // It has it from another time, and reports all the same.
        script
            .hear(
                "twin/res/200/?$rid=1",
                r#"{"desired":{"a":1,"$version":3},"reported":{"connectivity":"cellular","$version":9}}"#,
            )
            .says(&[r#"twin 3 {"a":1}"#, &report(2, r#"{"connectivity":"cellular"}"#)]);
        assert!(!script.session.is_settled());
        script.hear("twin/res/204/?$rid=2&$version=10", "").says(&["reported Some(10)"]);
        assert!(script.session.is_settled());
        script
            .hear("twin/PATCH/properties/desired/?$version=4", r#"{"a":2,"$version":4}"#)
            .says(&[r#"patch 4 {"a":2}"#]);
        // Once more after a new connection: nothing is new, so nothing is said.
        script.connect().says(&[&get(3)]);
        script
            .hear(
                "twin/res/200/?$rid=3",
                r#"{"desired":{"a":2,"$version":4},"reported":{"connectivity":"cellular","$version":10}}"#,
            )
            .says(&[]);
        // Somebody lost it meanwhile.
        script.connect().says(&[&get(4)]);
        script
            .hear("twin/res/200/?$rid=4", r#"{"desired":{"a":2,"$version":4},"reported":{"$version":1}}"#)
            .says(&[&report(5, r#"{"connectivity":"cellular"}"#)]);
    }

    #[test]
    fn desired_comes_back_as_reported() {
        let mut script = Script::new(json!({"own": 1}), true);
        script.connect().says(&[&get(1)]);
        script
            .hear(
                "twin/res/200/?$rid=1",
                r#"{"desired":{"a":{"b":1,"c":2},"own":5,"$version":1},"reported":{"a":{"b":1,"x":0},"$version":1}}"#,
            )
            // What the user reports stands above what is desired.
            .says(&[r#"twin 1 {"a":{"b":1,"c":2},"own":5}"#, &report(2, r#"{"a":{"c":2},"own":1}"#)]);
        // A patch that comes while the answer is due waits for it.
        script
            .hear("twin/PATCH/properties/desired/?$version=2", r#"{"a":{"b":null,"d":[1]},"$version":2}"#)
            .says(&[r#"patch 2 {"a":{"b":null,"d":[1]}}"#]);
        script
            .hear("twin/res/204/?$rid=2&$version=2", "")
            .says(&["reported Some(2)", &report(3, r#"{"a":{"b":null,"d":[1]}}"#)]);
        script.hear("twin/res/204/?$rid=3&$version=3", "").says(&["reported Some(3)"]);
        assert!(script.session.is_settled());
        // Gone while the device was away.
        script.connect().says(&[&get(4)]);
        script
            .hear(
                "twin/res/200/?$rid=4",
                r#"{"desired":{"a":{"c":2},"$version":4},"reported":{"a":{"c":2,"d":[1],"x":0},"own":1,"$version":3}}"#,
            )
            .says(&[r#"patch 4 {"a":{"d":null},"own":null}"#, &report(5, r#"{"a":{"d":null}}"#)]);
    }

    #[test]
    fn patches_around_the_twin() {
        let mut script = Script::new(json!({}), false);
        script.session.begin();
        // Stored subscriptions deliver before ours is acknowledged.
        script.hear("twin/PATCH/properties/desired/?$version=2", r#"{"a":2}"#).says(&[]);
        let steps = script.session.subscribed();
        script.note(steps);
        script.says(&[&get(1)]);
        script.hear("twin/PATCH/properties/desired/?$version=3", r#"{"a":3}"#).says(&[]);
        script.hear("twin/PATCH/properties/desired/?$version=4", r#"{"a":4}"#).says(&[]);
        script
            .hear("twin/res/200/?$rid=1", r#"{"desired":{"a":3,"$version":3},"reported":{"$version":1}}"#)
            .says(&[r#"twin 3 {"a":3}"#, r#"patch 4 {"a":4}"#]);
        // Twice, and late.
        script.hear("twin/PATCH/properties/desired/?$version=4", r#"{"a":4}"#).says(&[]);
        // One was missed: the twin says which.
        script.hear("twin/PATCH/properties/desired/?$version=6", r#"{"b":6}"#).says(&[&get(2)]);
        script
            .hear("twin/res/200/?$rid=2", r#"{"desired":{"b":6,"$version":6},"reported":{"$version":1}}"#)
            .says(&[r#"patch 6 {"a":null,"b":6}"#]);
        // One that cannot be read was missed, too.
        script.hear("twin/PATCH/properties/desired/?$version=7", "{").says(&[&get(3)]);
    }

    #[test]
    fn refusals() {
        let mut script = Script::new(json!({"a": 1}), false);
        script.connect().says(&[&get(1)]);
        let busy = r#"Refused { what: "twin", status: 429, message: "too much" }"#;
        script.hear("twin/res/429/?$rid=1", r#"{"errorCode":429001,"message":"too much"}"#).says(&["later", busy]);
        assert!(!script.session.is_settled());
        script.hear("twin/res/200/?$rid=1", r#"{"desired":{"$version":1}}"#).says(&[]);
        script.again().says(&[&get(2)]);
        script
            .hear("twin/res/200/?$rid=2", "nonsense")
            .says(&["later", r#"Refused { what: "twin", status: 200, message: "" }"#]);
        script.again().says(&[&get(3)]);
        script
            .hear("twin/res/200/?$rid=3", r#"{"desired":{"$version":1},"reported":{"$version":1}}"#)
            .says(&["twin 1 {}", &report(4, r#"{"a":1}"#)]);
        script
            .hear("twin/res/500/?$rid=4", "")
            .says(&["later", r#"Refused { what: "reported properties", status: 500, message: "" }"#]);
        script.again().says(&[&report(5, r#"{"a":1}"#)]);
        // For good: it is not sent again.
        script
            .hear("twin/res/400/?$rid=5", r#"{"message":"no"}"#)
            .says(&[r#"Refused { what: "reported properties", status: 400, message: "no" }"#]);
        assert!(script.session.is_settled());
        assert_eq!(script.session.refusal(), Some((400, "no")));
        script.hear("twin/PATCH/properties/desired/?$version=2", r#"{"x":1}"#).says(&[r#"patch 2 {"x":1}"#]);
    }

    #[test]
    fn methods_are_echoed() {
        let mut script = Script::new(json!({}), false);
        script.hear("methods/POST/reboot/?$rid=a1", r#"{"in": 5}"#).says(&[
            r#"methods/res/200/?$rid=a1 {"in": 5}"#,
            r#"Method { name: "reboot", payload: Object {"in": Number(5)} }"#,
        ]);
        script
            .hear("methods/POST/x/?$rid=2", "")
            .says(&["methods/res/200/?$rid=2 ", r#"Method { name: "x", payload: Null }"#]);
    }
}
