//! What a plan leads to, by hand.

use std::time::Duration;

use serde_json::{Value, json};

use super::{origin, sensitive};
use crate::check::{Check, Difference, Expectation, Severity, evaluate};
use crate::manifest::{Layer, Origin};
use crate::plan::{Cost, Divergence, Forecast, Impact, Prediction, SharedPath, Spent, Writer};
use iothub_model::query::compile;

const FULL_POWER: &str =
    "SELECT deviceId, properties.desired.power_level AS p FROM devices WHERE properties.desired.power_level > 1";
const KEYS: &str = "SELECT properties.desired.wifi.psk FROM devices WHERE properties.desired.wifi.psk != ''";
const CELLULAR: &str =
    "SELECT deviceId, tags.location.plant AS p FROM devices WHERE properties.reported.connectivity = 'cellular'";

/// What is told of these rows where there should be none.
fn failing(query: &str, rows: &[Value]) -> Difference {
    let check = Check {
        name: "a check".to_owned(),
        query: compile(query).expect("a query"),
        expect: Expectation::None,
        within: Duration::ZERO,
        severity: Severity::Error,
        gate: false,
    };
    evaluate(&check, rows, None, sensitive().paths()).expect_err("there are rows")
}

/// One of each forecast and writer, and what it costs.
pub(crate) fn impact() -> Impact {
    let prediction = |name: &str, query: &str, severity, forecast| Prediction {
        name: name.to_owned(),
        query: query.to_owned(),
        severity,
        forecast,
    };
    let path = |text: &str| text.parse().expect("a path");
    let id = |text: &str| text.parse().expect("an id");
    let failing = |query: &str, rows: Value| failing(query, rows.as_array().expect("rows"));
    Impact {
        predictions: vec![
            prediction(
                "all there",
                "SELECT COUNT() AS n FROM devices WHERE tags.location.plant = 'Redmond43'",
                Severity::Error,
                Forecast::WillHold,
            ),
            prediction(
                "nobody at full power",
                FULL_POWER,
                Severity::Error,
                Forecast::WillFail(failing(FULL_POWER, json!([{ "deviceId": "thermostat-001", "p": 2 }]))),
            ),
            prediction(
                "keys are strong",
                KEYS,
                Severity::Warn,
                Forecast::WillFail(failing(KEYS, json!([{ "deviceId": "press-001", "psk": "hunter2-101" }]))),
            ),
            prediction(
                "nobody on cellular",
                CELLULAR,
                Severity::Error,
                Forecast::DependsOnDevices {
                    reads: vec!["properties.reported.connectivity".to_owned()],
                    as_it_is: Some(failing(
                        CELLULAR,
                        json!([{ "deviceId": "press-001", "p": "Oslo" }, { "deviceId": "press-002" }]),
                    )),
                },
            ),
            prediction(
                "all connected",
                "SELECT COUNT() AS n FROM devices WHERE connectionState = 'Connected'",
                Severity::Warn,
                Forecast::DependsOnDevices { reads: vec!["connectionState".to_owned()], as_it_is: None },
            ),
            prediction(
                "jobs",
                "SELECT * FROM devices.jobs",
                Severity::Error,
                Forecast::Unknown("jobs are not what a plan reads".to_owned()),
            ),
        ],
        writers: vec![
            Writer::Configuration {
                id: "power-saver".to_owned(),
                priority: 10,
                condition: "tags.location.plant='Redmond43'".to_owned(),
                paths: vec![
                    SharedPath {
                        declared: path("desired.power_level"),
                        theirs: path("desired.power_level"),
                        agree: false,
                    },
                    SharedPath { declared: path("desired.wifi.psk"), theirs: path("desired.wifi"), agree: true },
                ],
                twins: vec![id("press-001"), id("thermostat-001")],
            },
            Writer::Fleet {
                fleet: "oslo".parse().expect("a name"),
                revisions: vec!["abc123".to_owned(), "def456".to_owned()],
                twins: 6,
                paths: vec![path("desired.power_level")],
            },
            Writer::Fleet { fleet: "lab".parse().expect("a name"), revisions: Vec::new(), twins: 1, paths: Vec::new() },
        ],
        cost: Some(Cost {
            tier: "S1, 2 units".to_owned(),
            read: Spent { requests: 12, messages: 48, seconds: 0.6 },
            apply: Some(Spent { requests: 9992, messages: 9992, seconds: 192.0 }),
            notifications: 9987,
        }),
        unread: vec!["the configuration odd: it has no content".to_owned()],
        diverging: vec![Divergence {
            selector: "savers".to_owned(),
            origin: Origin { layer: Layer::Selector("savers".into()), ..origin(20) },
            altered_by: Some(origin(14)),
            path: Some(path("desired.power_level")),
            leaving: vec![id("press-001")],
            joining: vec![id("press-002")],
        }],
    }
}
