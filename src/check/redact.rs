//! What a check must not tell, and the one place that keeps it back.

use super::{Check, Difference};
use iothub_model::query::BoundQuery;
use iothub_model::twin::TwinPath;

/// Leaves no more of what was found than the devices concerned, where the check may tell one of the secrets.
pub(super) fn redact(check: &Check, found: Difference, secrets: &[TwinPath]) -> Difference {
    if !secrets.iter().any(|secret| check.may_tell(secret)) {
        return found;
    }
    let summary = "what was found is not shown, since the query reads sensitive values".to_owned();
    Difference { summary, details: Vec::new(), devices: found.devices }
}

impl Check {
    /// Says whether rows may have the value at a path in them, or tell one twin from another by it. A device may report what it
    /// was told to be, so a path of `desired` names the same keys of `reported`.
    pub fn may_tell(&self, path: &TwinPath) -> bool {
        let tells =
            |query: &BoundQuery| query.selects_documents() || query.looks_at(path) || query.looks_at_reported(path);
        std::iter::once(&self.query).chain(self.expect.whole()).any(tells)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::check::{Bound, Expectation, Severity, evaluate};
    use iothub_model::query::compile;

    fn check(query: &str, of: Option<&str>) -> Check {
        let compile = |query: &str| compile(query).expect("a query");
        let share = |of: &str| Expectation::Share {
            bound: Bound::parse_percent(">= 95%").expect("a bound"),
            of: Box::new(compile(of)),
        };
        Check {
            name: "a check".to_owned(),
            query: compile(query),
            expect: of.map_or(Expectation::None, share),
            within: Duration::ZERO,
            severity: Severity::Error,
            gate: false,
        }
    }

    #[test]
    fn checks_that_may_tell_a_secret() {
        for (query, path, tells) in [
            ("SELECT * FROM devices", "desired.wifi.psk", true),
            ("SELECT properties FROM devices", "desired.wifi.psk", true),
            ("SELECT properties.desired.wifi AS w FROM devices", "desired.wifi.psk", true),
            ("SELECT properties.desired.wifi.psk FROM devices", "desired.wifi", true),
            ("SELECT deviceId FROM devices WHERE properties.desired.wifi.psk = 'x'", "desired.wifi.psk", true),
            ("SELECT properties.desired.wifi.ssid FROM devices", "desired.wifi.psk", false),
            ("SELECT tags.wifi.psk FROM devices", "desired.wifi.psk", false),
            ("SELECT tags FROM devices", "tags.pin", true),
            ("SELECT deviceId FROM devices", "tags.pin", false),
            ("SELECT properties.reported.wifi.psk FROM devices", "desired.wifi.psk", true),
            ("SELECT properties.reported.wifi.ssid FROM devices", "desired.wifi.psk", false),
            ("SELECT properties.reported.pin FROM devices", "tags.pin", false),
        ] {
            let path = path.parse().expect("a path");
            assert_eq!(check(query, None).may_tell(&path), tells, "{query} {path}");
            let all = "SELECT COUNT() AS n FROM devices";
            assert_eq!(check(all, Some(query)).may_tell(&path), tells, "a share of {query} {path}");
        }
    }

    #[test]
    fn of_secrets_no_more_is_told_than_whose() {
        let check = check("SELECT deviceId, tags.pin FROM devices", None);
        let found = [json!({ "deviceId": "a", "pin": 1234 })];
        let told = |secrets: &[&str]| {
            let secrets: Vec<TwinPath> = secrets.iter().map(|path| path.parse().expect("a path")).collect();
            evaluate(&check, &found, None, &secrets).expect_err("a row is there")
        };
        let kept = told(&["tags.x", "tags.pin"]);
        assert!(kept.summary.contains("not shown") && !format!("{kept:?}").contains("1234"), "{kept:?}");
        assert_eq!(kept.devices, ["a"]);
        assert_eq!(told(&["tags.x"]).details, [r#"+ {"deviceId":"a","pin":1234}"#]);
    }
}
