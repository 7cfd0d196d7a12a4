//! Clocks that are off, which no edge of the program can set.

use std::time::Duration;

use super::{Finding, Health, Patient, Way, examine};
use crate::client::tests::hub::TestHub;

/// What is found with a clock that is so many seconds off.
async fn found(hub: &TestHub, late: Duration, early: Duration) -> Vec<Finding> {
    let patient = Patient { client: hub.client_off(late, early), way: Way::InProcess, ca_pem: None };
    let mut findings = Vec::new();
    examine(&patient, &mut |finding| findings.push(finding)).await;
    findings
}

#[tokio::test]
async fn a_clock_that_is_off() {
    let hub = TestHub::start().await;
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let now = Duration::ZERO;
    for (late, early, clock, credentials) in [
        (now, now, Health::Ok, Health::Ok),
        (Duration::from_secs(600), now, Health::Warn, Health::Ok),
        (hours(2), now, Health::Fail, Health::Fail),
        (now, hours(2), Health::Warn, Health::Ok),
    ] {
        let findings = found(&hub, late, early).await;
        let of = |what: &str| findings.iter().find(|finding| finding.what == what).expect(what);
        assert_eq!((of("clock").health, of("credentials").health), (clock, credentials), "{findings:#?}");
        assert_eq!(of("clock").next.is_some(), clock != Health::Ok, "{findings:#?}");
        let all = [
            "connection",
            "clock",
            "credentials",
            "right to twins",
            "right to read",
            "right to register",
            "tier",
            "query",
            "latency",
        ];
        let looked_at = if credentials == Health::Ok { all.len() } else { 3 };
        assert_eq!(findings.iter().map(|finding| finding.what).collect::<Vec<_>>(), all[..looked_at]);
    }
}
