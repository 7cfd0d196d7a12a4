//! That sensitive values, and what is derived from them, are in nothing that leaves.

use super::planning::owning;
use super::*;
use crate::digest::DigestPrefix;
use crate::plan::file::{read, write};
use crate::plan::restore::RestoreError;

/// What stands in every sensitive value, old and new.
const MARK: &str = "hunter2";

/// Fails if a text has a marked value in it, in any spelling that it may have got on the way, or one of these hashes.
fn assert_clean(what: &str, text: &str, hashes: &[u16]) {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{MARK}-old"));
    for secret in [MARK, &encoded[..encoded.len() - 4], "271828182845"] {
        assert!(!text.contains(secret), "{what} has {secret}: {text}");
    }
    for hash in hashes {
        assert!(!text.contains(&format!("={hash:04x}")), "{what} has {hash:04x}: {text}");
    }
}

fn secret(suffix: &str) -> String {
    format!("\"{MARK}-{suffix}\u{e9}\n")
}

fn declared() -> Value {
    json!({
        "tags": {"place": "P", "pin": 271828182845_i64, "same": secret("same")},
        "desired": {
            "wifi": {"ssid": "plant", "psk": secret("new"), "added": [secret("in a list")], "moved": secret("old")},
            "interval": 5,
        },
    })
}

fn owned() -> Value {
    json!({
        "tags": {"pin": 271828182845_i64, "same": secret("same"), "gone": secret("old"), "kept": secret("old")},
        "desired": {"wifi": {"psk": secret("old"), "was": secret("old"), "drifted": secret("old")}},
    })
}

fn live() -> Twin {
    let mut sections = owned();
    sections["tags"]["pin"] = json!(1);
    sections["tags"]["stranger"] = secret("stranger").into();
    sections["desired"]["wifi"]["drifted"] = secret("drifted").into();
    sections["desired"]["interval"] = 5.into();
    owning(owned(), sections)
}

fn secretive() -> Policy {
    let sensitive = ["desired.wifi", "tags.pin", "tags.gone", "tags.kept", "tags.same", "tags.stranger"];
    policy(&["tags"], &[("desired.wifi.was", "desired.wifi.moved")], &["tags.kept"], &sensitive)
}

fn planned() -> Plan {
    plan_under(&secretive(), declared(), &live(), false)
}

/// The hashes of whatever is sensitive here.
fn hashes() -> Vec<u16> {
    let leaves = [body(declared()).leaves(), body(owned()).leaves()].concat();
    let sensitive = secretive().sensitive;
    let leaves = leaves.iter().filter(|leaf| sensitive.covers(&leaf.path));
    leaves.map(|leaf| ownership::value_hash(leaf.value.as_ref())).collect()
}

#[test]
fn the_plan_has_one_of_everything() {
    use Verdict::{Adopt, Drift, Edit, Moved, New, Released, Removed, RemovedOverDrift, Undeclared};
    let plan = planned();
    let mut verdicts: Vec<_> =
        plan.twins[0].changes.iter().filter(|change| change.sensitive).map(|change| change.verdict).collect();
    verdicts.sort();
    assert_eq!(
        verdicts,
        [New, New, Edit, Drift, Removed, RemovedOverDrift, Moved, Moved, Undeclared, Released],
        "{verdicts:?} {Adopt:?}"
    );
    assert!(lines(&plan).join("").contains(MARK), "there is something to hide");
}

#[test]
fn no_output_of_a_plan_has_them() {
    use crate::render::{json, style::Palette, text};
    let plan = planned();
    let shown = |plan: &Plan, full| text::plan(plan, text::TextOptions { palette: Palette::PLAIN, width: 100, full });
    let file = write(&plan, "0.1.0");
    let back = read(&file).expect("a plan");
    for (what, text) in [
        ("the plan file", &file),
        ("text", &shown(&plan, false)),
        ("text in full", &shown(&plan, true)),
        ("JSON", &json::plan(&plan)),
        ("Debug", &format!("{plan:?}")),
        ("pretty Debug", &format!("{:#?}", plan.twins)),
        ("clusters", &format!("{:?}", plan.clusters())),
        ("text out of a file", &shown(&back, true)),
        ("JSON out of a file", &json::plan(&back)),
    ] {
        assert_clean(what, text, &hashes());
        assert!(text.contains("desired.wifi.psk") && text.contains("interval"), "{what} is of this plan: {text}");
    }
}

#[test]
fn digests_do_not_depend_on_them() {
    let other = |text: &str| -> Value { serde_json::from_str(&text.replace(MARK, "hunter3")).expect("JSON") };
    let plan = planned();
    let mut live = live();
    live.tags.0 = object(other(&Value::from(live.tags.0).to_string()));
    live.tags.0["twinctl"]["redmond"] = record(other(&owned().to_string()));
    live.desired.0 = object(other(&Value::from(live.desired.0).to_string()));
    let changed = plan_under(&secretive(), other(&declared().to_string()), &live, false);
    assert_ne!(changed.twins, plan.twins);
    assert_eq!(changed.review_digest(), plan.review_digest());
    assert_eq!(write(&changed, "0.1.0"), write(&plan, "0.1.0"), "the file, its digest included");
    // Clusters do not tell them apart either.
    let mut both = plan.clone();
    both.twins.extend(changed.twins.into_iter().map(|twin| TwinPlan { id: id("e"), ..twin }));
    assert_eq!(both.clusters().len(), 1);
}

#[test]
fn a_plan_from_a_file_needs_the_manifest() {
    let (plan, mut back) = (planned(), read(&write(&planned(), "0.1.0")).expect("a plan"));
    let refusal = approve(back.clone(), Consent::Flag, None).expect_err("values are missing");
    assert_eq!(refusal.to_string(), "the plan sets tags.pin of d, which is sensitive: its file holds the path alone");
    let prefix: DigestPrefix = plan.review_digest().as_str().parse().expect("a digest");
    assert!(approve(back.clone(), Consent::Flag, Some(&prefix)).is_err(), "that is no matter of approval");

    let mut elsewhere = back.clone();
    let error = elsewhere.restore(&declarations([])).expect_err("nothing is declared there");
    assert!(matches!(error, RestoreError::NotDeclared { .. }), "{error}");
    assert_eq!(elsewhere.twins, back.twins);

    let declarations = Declarations { policy: secretive(), ..declarations([(id("d"), body(declared()))]) };
    back.restore(&declarations).expect("it is all declared");
    let (twin, back_twin) = (&plan.twins[0], &back.twins[0]);
    assert_eq!(back_twin.patch, twin.patch);
    let after = twin.patch.apply(&live());
    assert!(back_twin.target_reached(&after));
    let not_restored: Vec<_> = back_twin.not_restored().map(TwinPath::as_str).collect();
    assert_eq!(
        not_restored,
        ["tags.gone", "tags.pin", "tags.stranger", "desired.wifi.drifted", "desired.wifi.psk", "desired.wifi.was"]
    );
    // What the inverse does to the record is still one.
    let undone = back_twin.inverse.apply(&after);
    ownership::OwnershipRecord::read(&undone.tags.0["twinctl"]["redmond"]).expect("a record");
    approve(back, Consent::Flag, None).expect("now it may be applied");
}

#[test]
fn a_file_whose_patch_is_all_withheld_is_still_one() {
    let declared = json!({"desired": {"psk": MARK}});
    let mut live = owning(declared.clone(), json!({"desired": {"psk": "drifted"}}));
    live.tags.0["twinctl"]["redmond"]["rev"] = json!("r1");
    let secretive = policy(&[], &[], &[], &["desired.psk"]);
    let plan = plan_under(&secretive, declared, &live, false);
    assert!(plan.twins[0].redacted_patch().is_empty() && plan.twins[0].is_sent());
    let back = read(&write(&plan, "0.1.0")).expect("a plan");
    assert!(back.twins[0].is_sent());
    assert_eq!(back.review_digest(), plan.review_digest());
    assert_eq!(back.summary(), plan.summary());
}

#[test]
fn conflicts_do_not_show_them() {
    use crate::apply::ApplyReport;
    use crate::render::{report, style::Palette};
    let mut back = read(&write(&planned(), "0.1.0")).expect("a plan");
    let declarations = Declarations { policy: secretive(), ..declarations([(id("d"), body(declared()))]) };
    back.restore(&declarations).expect("it is all declared");
    let mut moved_on = live();
    moved_on.desired.0["wifi"]["psk"] = json!({"inner": secret("meanwhile")});
    moved_on.tags.0.insert("place".to_owned(), json!("elsewhere"));
    moved_on.tags.0["twinctl"]["redmond"] = record(json!({"tags": {"same": secret("other"), "pin": secret("other")}}));
    let mut broken = moved_on.clone();
    let entry = format!("desired.wifi.psk={:04X}", ownership::value_hash(Some(&secret("old").into())));
    broken.tags.0["twinctl"]["redmond"] = json!({"v": 9, "owns": [entry]});
    let mut hashes = hashes();
    hashes.push(ownership::value_hash(Some(&secret("other").into())));
    for fresh in [moved_on, broken] {
        for plan in [&planned(), &back] {
            let Rebase::Conflict(moved) = plan.twins[0].rebase(&fresh) else { panic!("moved") };
            assert!(moved.iter().any(|moved| moved.sensitive) && moved.iter().any(|moved| !moved.sensitive));
            let debug = format!("{moved:?}");
            let report = ApplyReport { conflicts: vec![(id("d"), moved)], ..ApplyReport::default() };
            let text = report::text(&report, std::time::Duration::ZERO, true, Palette::PLAIN);
            assert_clean("the report", &text.to_lowercase(), &hashes);
            assert_clean("Debug", &debug.to_lowercase(), &hashes);
        }
    }
    // Of a value that is not known the record tells that it did not move, and that it did.
    let mut elsewhere = live();
    elsewhere.desired.0.insert("other".to_owned(), json!(1));
    assert!(matches!(back.twins[0].rebase(&elsewhere), Rebase::Send(_)));
    assert!(matches!(planned().twins[0].rebase(&elsewhere), Rebase::Send(_)));
    elsewhere.desired.0["wifi"]["psk"] = json!(secret("meanwhile"));
    let Rebase::Conflict(moved) = back.twins[0].rebase(&elsewhere) else { panic!("moved") };
    assert!(moved.iter().all(|moved| moved.sensitive && moved.seen == Side::Redacted), "{moved:?}");
}

#[test]
fn what_a_hub_says_of_a_request_is_redacted() {
    let plan = planned();
    let text = format!("the hub refuses {} and {}", Value::from(secret("new")), 271828182845_i64);
    assert_eq!(plan.twins[0].redact_text(text), "the hub refuses (sensitive) and (sensitive)");
}

#[test]
fn limits_say_nothing_of_them() {
    let policy = policy(&[], &[], &[], &["desired.pin", "desired.text"]);
    let declared =
        json!({"desired": {"pin": 9007199254740993_i64, "text": "x".repeat(4097), "open": 9007199254740993_i64}});
    let plan = plan_under(&policy, declared, &twin("d", json!({})), false);
    assert_eq!(
        lines(&plan)[..3],
        [
            "conflict desired.open: 9007199254740993 is outside the hub's range for integers, -4503599627370496 to 4503599627370495 (52 bits)",
            "conflict desired.pin: the hub would refuse the value, which is not shown",
            "conflict desired.text: the hub would refuse the value, which is not shown",
        ]
    );
}

#[test]
fn forged_files_that_hold_secrets_are_refused() {
    let forge = |forgery: fn(&mut Plan)| {
        // A file whose writer knew of no sensitive path, read by one who does.
        let mut plan = plan_under(
            &policy(&[], &[], &[], &["desired.psk"]),
            json!({"desired": {"psk": MARK}}),
            &twin("d", json!({})),
            false,
        );
        forgery(&mut plan);
        read(&write(&plan, "0.1.0")).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(forge(|_| {}), Ok(()));
    for (forgery, message) in [
        (
            (|plan: &mut Plan| plan.twins[0].sensitive = Sensitive::default()) as fn(&mut Plan),
            "at the twin of d: it holds a sensitive value, or a hash of one",
        ),
        (
            |plan| {
                let mut changes = plan.twins[0].changes.to_vec();
                changes[0].sensitive = false;
                plan.twins[0].changes = changes.into();
            },
            "at the twin of d: desired.psk is sensitive in one place and not in another",
        ),
        (
            |plan| plan.policy.sensitive = Sensitive::default(),
            "at the twin of d: desired.psk is sensitive in one place and not in another",
        ),
        (
            |plan| Arc::make_mut(&mut plan.twins[0].patch).set(&path("desired.other"), json!(1)),
            "at the twin of d: its patch touches desired.other, which is not among its changes",
        ),
        (
            |plan| Arc::make_mut(&mut plan.twins[0].patch).set(&path("tags.twinctl.redmond.owns"), json!([])),
            "at the twin of d: its record does not agree with the change of desired.psk",
        ),
    ] {
        let expected = format!("the plan file contradicts itself {message}; it must not be applied, plan again");
        assert_eq!(forge(forgery), Err(expected));
    }
}
