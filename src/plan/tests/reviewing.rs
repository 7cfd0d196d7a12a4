//! What a review is bound to.

use std::str::FromStr;

use proptest::prelude::*;

use super::planning::owning;
use super::property_tests::{after_a_history, config, live_twin};
use super::*;
use crate::digest::DigestPrefix;
use crate::plan::file::{PlanFileError, read, write};

type Patches = Vec<(TwinId, Value)>;
type Befores = Vec<(TwinPath, Verdict, Option<Value>)>;

/// What a review is bound to, written out: what is sent, and what was there.
fn reviewed(plan: &Plan) -> (Patches, Befores) {
    let sent = || plan.twins.iter().filter(|twin| twin.is_sent());
    let patches = sent().map(|twin| (twin.id.clone(), patch_json(&twin.redacted_patch()))).collect();
    let changes = sent().flat_map(|twin| twin.changes.iter()).map(|change| {
        let before =
            change.before.known().cloned().filter(|_| !change.sensitive && change.verdict != Verdict::Released);
        (change.path.clone(), change.verdict, before)
    });
    (patches, changes.collect())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_digest_changes_with_patches_verdicts_and_befores_alone(
        (_, declared, live) in after_a_history(), other in live_twin(), hides in any::<bool>()
    ) {
        let policy = policy(&[], &[], &[], if hides { &["desired.a", "tags.b"] } else { &[] });
        let other = Twin { etag: ETag::new("AAAAAAAAAAI="), id: live.id.clone(), ..other };
        let [one, two] = [&live, &other].map(|live| plan_under(&policy, declared.clone(), live, false));
        let same = reviewed(&one) == reviewed(&two);
        prop_assert_eq!(one.review_digest() == two.review_digest(), same, "{:?} {:?}", reviewed(&one), reviewed(&two));
        let refusal = guard::check_reviewed(&two, &one.review_digest().as_str().parse().expect("a prefix"));
        let expected = match (two.is_empty() || same, reviewed(&one).0 == reviewed(&two).0) {
            (true, _) => None,
            (false, true) => Some("changed-since-review"),
            (false, false) => Some("other-reviewed"),
        };
        prop_assert_eq!(refusal.err().map(|refusal| refusal.name()), expected);
    }
}

/// The plan for a device with `declared`, of which `recorded` was applied and `live` is there.
fn planned(recorded: Value, live: Value, declared: Value) -> Plan {
    plan_one(declared, &owning(recorded, live))
}

#[test]
fn what_was_there_is_reviewed_as_what_will_be() {
    let of = |value: i64| json!({"desired": {"power": value}});
    let reviewed = planned(of(1), of(1), of(2));
    let refusal = |plan: &Plan| {
        let prefix: DigestPrefix = reviewed.review_digest().short().parse().expect("a prefix");
        guard::check_reviewed(plan, &prefix).map_err(|refusal| (refusal.name(), refusal.to_string()))
    };
    assert_eq!(refusal(&reviewed), Ok(()));
    let moved = planned(of(1), of(7), of(2));
    assert_eq!(moved.patch_digest(), reviewed.patch_digest());
    let (name, text) = refusal(&moved).expect_err("somebody set 7");
    assert_eq!(name, "changed-since-review");
    let (was, is) = (reviewed.review_digest(), moved.review_digest());
    assert_eq!(
        text,
        format!(
            "values changed since the review: the digest {} is of the same patches over other values, and this plan has {}; \
             the live value is not the one that this fleet applied last at desired.power of d; what changed is there or at other paths \
             of the plan",
            was.short(),
            is.short()
        )
    );
    // What is there now may be what was applied last: then no writer is known.
    let back = DigestPrefix::from_str(is.short()).expect("a prefix");
    let text = guard::check_reviewed(&reviewed, &back).expect_err("7 is gone").to_string();
    assert!(text.ends_with(reviewed.review_digest().short()), "{text}");
    assert_eq!(refusal(&planned(of(1), of(1), of(3))).expect_err("another value").0, "other-reviewed");
}

#[test]
fn whatever_becomes_of_a_released_value_is_no_matter_of_the_plan() {
    let of = |value: i64| json!({"desired": {"power": value, "fan": 1}});
    let policy = policy(&[], &[], &["desired.power"], &[]);
    let plan = |live: i64| plan_under(&policy, json!({"desired": {"fan": 1}}), &owning(of(1), of(live)), false);
    assert_eq!(plan(1).twins[0].changes[0].verdict, Verdict::Released);
    assert_eq!(plan(1).review_digest(), plan(7).review_digest());
}

#[test]
fn a_sensitive_value_leaves_its_verdict_alone() {
    let of = |value: &str| json!({"desired": {"psk": value}});
    let policy = policy(&[], &[], &[], &["desired.psk"]);
    let plan = |recorded: &str, live: &str, declared: &str| {
        plan_under(&policy, of(declared), &owning(of(recorded), of(live)), false).review_digest()
    };
    assert_eq!(plan("a", "a", "b"), plan("c", "c", "d"));
    assert_eq!(plan("a", "x", "b"), plan("a", "y", "b"));
    assert_ne!(plan("a", "a", "b"), plan("a", "x", "b"), "it is no longer what was applied");
}

#[test]
fn a_file_of_an_earlier_release_is_still_read() {
    let of = |value: i64| json!({"desired": {"power": value}});
    let plan = planned(of(1), of(1), of(2));
    let text = write(&plan, "0.1.0").replace(plan.review_digest().as_str(), plan.patch_digest().as_str());
    let Err(PlanFileError::Altered { said, found }) = read(&text) else { panic!("altered") };
    let back = read(&text.replace(said.as_str(), found.as_str())).expect("a plan");
    assert_eq!(back.review_digest(), plan.review_digest());
}

/// What the first release wrote: a digest of the patches alone, a rollout, and costs of ways that nobody can choose.
#[test]
fn a_file_of_the_first_release_is_read_for_good() {
    let plan = read(include_str!("../../../tests/data/plan-files/first.json")).expect("a plan");
    assert_eq!(plan.twins.len(), 2);
    assert!(plan.checks[0].gate);
    assert_eq!(plan.impact.cost.expect("reckoned").apply, Some(Spent { requests: 2, messages: 2, seconds: 0.04 }));
}
