//! Values by hand for the tests of this folder, and where their snapshots go.

use std::time::Duration;

use serde_json::json;

use crate::apply::{ApplyReport, MovedPath};
use crate::check::{CheckResult, CheckStatus, Difference, Severity};
use crate::manifest::{Layer, Origin};

/// Compares with `snapshots/<name>.snap`.
pub(crate) fn snapshot(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../../snapshots",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

/// One check that held at once, one that did later, one of each kind that did not.
pub(crate) fn check_results() -> Vec<CheckResult> {
    let result = |name: &str, query: &str, severity, status, attempts, waited| CheckResult {
        name: name.to_owned(),
        query: query.to_owned(),
        severity,
        status,
        attempts,
        waited: Duration::from_millis(waited),
    };
    vec![
        result(
            "plant has its thermostats",
            "SELECT COUNT() AS n FROM devices WHERE tags.location.plant = 'Redmond43'",
            Severity::Error,
            CheckStatus::Held,
            1,
            34,
        ),
        result("all settled", "SELECT * FROM devices", Severity::Error, CheckStatus::Held, 4, 8200),
        result(
            "nobody on cellular",
            "SELECT deviceId FROM devices WHERE properties.reported.connectivity = 'cellular'",
            Severity::Error,
            CheckStatus::Failed(Difference {
                summary: "expected no row, found 3".to_owned(),
                details: Vec::new(),
                devices: ["press-003", "press-007", "press-009"].map(str::to_owned).to_vec(),
            }),
            12,
            60_100,
        ),
        result(
            "firmware \u{1b}[5mmix",
            "SELECT properties.reported.fw AS fw, COUNT() AS n FROM devices GROUP BY properties.reported.fw",
            Severity::Warn,
            CheckStatus::Failed(Difference {
                summary: "expected 2 rows, found others".to_owned(),
                details: vec!["- {\"fw\":\"1.2\",\"n\":7}".to_owned(), "+ {\"fw\":\"1.3\u{7}\",\"n\":7}".to_owned()],
                devices: Vec::new(),
            }),
            1,
            12,
        ),
        result(
            "many",
            "SELECT deviceId FROM devices",
            Severity::Error,
            CheckStatus::Failed(Difference {
                summary: "expected no row, found 1234".to_owned(),
                details: Vec::new(),
                devices: (1..=1234).map(|n| format!("d-{n:04}")).take(25).collect(),
            }),
            1,
            12,
        ),
        result(
            "out of reach",
            "SELECT deviceId FROM devices",
            Severity::Error,
            CheckStatus::Errored("POST https://hub/devices/query: the answer did not come: timed out".to_owned()),
            1,
            30_000,
        ),
    ]
}

/// A run in which everything happened.
pub(crate) fn apply_report() -> ApplyReport {
    let moved = |path: &str, seen, found, planned, written_at: Option<&str>| MovedPath {
        path: path.parse().expect("a path"),
        seen,
        found,
        planned,
        written_at: written_at.map(str::to_owned),
        origin: Some(origin(14)),
    };
    let id = |text: &str| text.parse().expect("an id");
    ApplyReport {
        written: 9980,
        rebased: 12,
        registered: 3,
        converged: 3,
        conflicts: vec![
            (
                id("thermostat-004"),
                vec![
                    moved(
                        "desired.power_level",
                        Some(json!(1)),
                        Some(json!(5)),
                        Some(json!(2)),
                        Some("2026-11-24T10:00:00Z"),
                    ),
                    moved("tags.note", None, Some(json!("by hand \u{1b}[2J")), Some(json!("by git")), None),
                ],
            ),
            (id("gateway-01/telemetry"), vec![moved("desired.batch", Some(json!(50)), None, None, None)]),
        ],
        failed: vec![(
            id("press-007"),
            "PATCH https://hub/twins/press-007: the answer did not come: timed out".to_owned(),
        )],
        not_attempted: Vec::new(),
        retries: 1204,
        interrupted: false,
        halted: None,
    }
}

/// A line of `fleet.yaml`.
pub(crate) fn origin(line: u32) -> Origin {
    Origin { file: "fleet.yaml".into(), line, layer: Layer::Group("redmond43".into()) }
}
