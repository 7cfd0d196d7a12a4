//! What happens to simulated devices, as lines: what reached them on stdout, how they fare on stderr.

use std::collections::BTreeMap;

use serde_json::Value;

use super::escape;
use super::number::{counted, grouped};
use super::style::Palette;
use crate::device::{DeviceError, Event};
use iothub_model::duration;
use iothub_model::twin::{Object, TwinId};
use iothub_model::wire::messages::MessageProperties;

/// Returns the line for what the hub sent a device, which is the answer of the command; nothing for other events.
pub(crate) fn answer(id: &TwinId, event: &Event, palette: Palette) -> Option<String> {
    let line = |what: &str, about: String, value: String| {
        Some(format!("{}  {what} {about}  {value}", palette.twin(escape::id(id))))
    };
    match event {
        Event::Desired { desired, version } => line("desired", version.to_string(), json(desired)),
        Event::Patch { patch, version } => line("patch", version.to_string(), json(patch)),
        Event::Method { name, payload } => line("method", escape::line(name).into_owned(), escape::json(payload)),
        Event::Message { properties, payload } => {
            let name = properties.message_id.as_deref().unwrap_or("-");
            line("message", escape::line(name).into_owned(), message(properties, payload))
        }
        Event::Connected
        | Event::Trying { .. }
        | Event::Reported { .. }
        | Event::Refused { .. }
        | Event::Finished
        | Event::Failed(_) => None,
    }
}

/// Returns what there is to say beside the answer when there is one device; failures are said at the end.
pub(crate) fn remark(id: &TwinId, event: &Event) -> Option<String> {
    let id = escape::id(id);
    match event {
        Event::Connected => Some(format!("{id} is connected")),
        Event::Trying { error, after } => {
            Some(format!("{}; trying again in {}", reason(error), duration::rounded(*after)))
        }
        Event::Reported { patch, version } => {
            let version = version.map(|version| format!(" (version {version})")).unwrap_or_default();
            Some(format!("{id} reported {}{version}", json(patch)))
        }
        Event::Refused { what, status, message } => {
            let message = if message.is_empty() { String::new() } else { format!(": {}", escape::line(message)) };
            Some(format!("the hub answers {status} for the {what} of {id}{message}"))
        }
        Event::Desired { .. }
        | Event::Patch { .. }
        | Event::Method { .. }
        | Event::Message { .. }
        | Event::Finished
        | Event::Failed(_) => None,
    }
}

/// Writes an error and its causes on one line.
pub(crate) fn reason(error: &DeviceError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    escape::line(&text).into_owned()
}

/// Writes a message's payload, and after it what its sender gave it of properties.
fn message(properties: &MessageProperties, payload: &Value) -> String {
    let others = properties.others.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    match others.collect::<Object>() {
        none if none.is_empty() => escape::json(payload),
        others => format!("{}  {}", escape::json(payload), json(&others)),
    }
}

fn json(object: &Object) -> String {
    escape::json(&Value::Object(object.clone()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeviceState {
    Connecting,
    Connected,
    Finished,
    Failed,
}

/// How many devices fare how: a fold of their events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    states: Vec<DeviceState>,
    patches: usize,
    reported: usize,
    refused: usize,
    /// Attempts that failed and connections that were lost, by reason.
    troubles: BTreeMap<&'static str, usize>,
    /// Devices that were given up, by reason.
    failures: BTreeMap<&'static str, usize>,
}

impl Tally {
    /// Counts so many devices, none of them connected.
    pub(crate) fn new(devices: usize) -> Self {
        Self {
            states: vec![DeviceState::Connecting; devices],
            patches: 0,
            reported: 0,
            refused: 0,
            troubles: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Takes an event of the device with this number.
    pub(crate) fn count(&mut self, device: usize, event: &Event) {
        let state = &mut self.states[device];
        match event {
            Event::Connected => *state = DeviceState::Connected,
            Event::Trying { error, .. } => {
                *state = DeviceState::Connecting;
                *self.troubles.entry(error.reason()).or_default() += 1;
            }
            Event::Failed(error) => {
                *state = DeviceState::Failed;
                *self.failures.entry(error.reason()).or_default() += 1;
            }
            Event::Finished => *state = DeviceState::Finished,
            Event::Patch { .. } => self.patches += 1,
            Event::Reported { .. } => self.reported += 1,
            Event::Refused { .. } => self.refused += 1,
            Event::Desired { .. } | Event::Method { .. } | Event::Message { .. } => {}
        }
    }

    fn in_state(&self, wanted: DeviceState) -> usize {
        self.states.iter().filter(|&&state| state == wanted).count()
    }

    /// Returns how many are given up.
    pub(crate) fn failed(&self) -> usize {
        self.in_state(DeviceState::Failed)
    }
}

/// One line.
impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let total = self.states.len();
        write!(f, "{} of {} connected", grouped(self.in_state(DeviceState::Connected)), counted(total, "device"))?;
        for (state, word) in
            [(DeviceState::Connecting, "connecting"), (DeviceState::Finished, "done"), (DeviceState::Failed, "failed")]
        {
            match self.in_state(state) {
                0 => {}
                some => write!(f, ", {} {word}", grouped(some))?,
            }
        }
        reasons(f, &self.failures)?;
        write!(f, "; {} received, {} sent", counted(self.patches, "patch"), counted(self.reported, "report"))?;
        if self.refused > 0 {
            write!(f, ", {} of the hub", counted(self.refused, "refusal"))?;
        }
        if !self.troubles.is_empty() {
            write!(f, "; {}", counted(self.troubles.values().sum(), "retry"))?;
            reasons(f, &self.troubles)?;
        }
        Ok(())
    }
}

fn reasons(f: &mut std::fmt::Formatter<'_>, counts: &BTreeMap<&'static str, usize>) -> std::fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    let counts: Vec<String> = counts.iter().map(|(reason, count)| format!("{reason}: {}", grouped(*count))).collect();
    write!(f, " ({})", counts.join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn lines() {
        let id: TwinId = "press-001".parse().expect("an id");
        let desired = Event::Desired { desired: object(json!({"a": {"b": 1}})), version: 3 };
        let patch = Event::Patch { patch: object(json!({"a\u{1b}": null})), version: 4 };
        let method = Event::Method { name: "re\nboot".to_owned(), payload: json!("\u{202e}x") };
        let message = |message_id: Option<&str>, others: &[(&str, Option<&str>)]| {
            let others = others.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect();
            let message_id = message_id.map(str::to_owned);
            let properties = Box::new(MessageProperties { message_id, others, ..MessageProperties::default() });
            Event::Message { properties, payload: json!({"a": 1}) }
        };
        let (plain, full) = (message(None, &[]), message(Some("m\u{7}"), &[("b", Some("\u{202e}")), ("c", None)]));
        for (event, expected) in [
            (&plain, Some("press-001  message -  {\"a\":1}")),
            (&full, Some("press-001  message m\\u0007  {\"a\":1}  {\"b\":\"\\u202e\",\"c\":null}")),
            (&desired, Some("press-001  desired 3  {\"a\":{\"b\":1}}")),
            (&patch, Some("press-001  patch 4  {\"a\\u001b\":null}")),
            (&method, Some("press-001  method re\\nboot  \"\\u202ex\"")),
            (&Event::Connected, None),
        ] {
            assert_eq!(answer(&id, event, Palette::PLAIN).as_deref(), expected);
        }
        let lost = DeviceError::Lost { source: std::io::Error::other("reset\u{7}") };
        for (event, expected) in [
            (Event::Connected, "press-001 is connected"),
            (
                Event::Trying { error: lost, after: Duration::from_millis(1500) },
                "the connection was lost: reset\\u0007; trying again in 1.5 s",
            ),
            (
                Event::Reported { patch: object(json!({"c": "cellular"})), version: Some(2) },
                "press-001 reported {\"c\":\"cellular\"} (version 2)",
            ),
            (
                Event::Refused { what: "twin", status: 429, message: "too\rmuch".to_owned() },
                "the hub answers 429 for the twin of press-001: too\\rmuch",
            ),
        ] {
            assert_eq!(remark(&id, &event).as_deref(), Some(expected));
        }
    }

    #[test]
    fn tallies() {
        let mut tally = Tally::new(1200);
        assert_eq!(
            tally.to_string(),
            "0 of 1,200 devices connected, 1,200 connecting; 0 patches received, 0 reports sent"
        );
        for device in 0..1199 {
            tally.count(device, &Event::Connected);
        }
        tally.count(1199, &Event::Failed(DeviceError::NotAuthorized { host: "h".to_owned(), device: "d".to_owned() }));
        tally.count(0, &Event::Trying { error: DeviceError::Closed, after: Duration::ZERO });
        tally.count(1, &Event::Patch { patch: Object::new(), version: 2 });
        tally.count(1, &Event::Reported { patch: Object::new(), version: None });
        tally.count(1, &Event::Finished);
        tally.count(2, &Event::Refused { what: "twin", status: 429, message: String::new() });
        assert_eq!(
            tally.to_string(),
            "1,197 of 1,200 devices connected, 1 connecting, 1 done, 1 failed (not authorized: 1); 1 patch received, \
             1 report sent, 1 refusal of the hub; 1 retry (connection lost: 1)"
        );
        assert_eq!(tally.failed(), 1);
    }
}
