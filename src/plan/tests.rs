//! What twins, declarations and plans look like in the tests of this folder, and the tests of the folder as a whole.

mod guards;
mod property_tests;
mod impact;
mod plan_file;
mod planning;
mod policies;
mod policy_property_tests;
mod rebasing;
mod reviewing;
mod secrets;
mod sides;
mod unchanged;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::manifest::fields::policy::Moved;
use crate::manifest::{Body, Declaration, Layer, Leaf, Missing, Origin, Ownership, Policy, PolicyPath, Sensitive};
use iothub_model::twin::path::leaves;
use iothub_model::twin::{Desired, ETag, MergePatch, Object, Reported, Section, Tags, Twin, TwinId, TwinPath};

pub(super) fn path(text: &str) -> TwinPath {
    text.parse().expect(text)
}

pub(super) fn id(text: &str) -> TwinId {
    text.parse().expect(text)
}

pub(super) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}

fn origin(line: u32) -> Origin {
    Origin { file: "fleet.yaml".into(), line, layer: Layer::Device }
}

/// Reads `{"tags": …, "desired": …}`, in which null is a declared absence.
pub(super) fn body(declared: Value) -> Body {
    let declared = object(declared);
    let mut found = Vec::new();
    for section in Section::ALL {
        let Some(root) = declared.get(section.name()) else { continue };
        leaves(section, root.as_object().expect("an object"), |path, value| {
            let value = (!value.is_null()).then(|| value.clone());
            found.push(Leaf { path, value, origin: origin(found.len() as u32 + 1) });
        });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Body::new(found)
}

pub(super) fn twin(name: &str, sections: Value) -> Twin {
    let mut sections = object(sections);
    let mut take = |name: &str| sections.remove(name).map(object).unwrap_or_default();
    Twin {
        id: id(name),
        etag: ETag::new("AAAAAAAAAAE="),
        tags: Tags(take("tags")),
        desired: Desired(take("desired")),
        desired_version: 1,
        desired_metadata: Object::new(),
        reported: Reported::default(),
        rest: Object::new(),
    }
}

pub(super) fn sections(twin: &Twin) -> Value {
    json!({ "tags": twin.tags.0, "desired": twin.desired.0 })
}

pub(super) fn patch_json(patch: &MergePatch) -> Value {
    serde_json::to_value(patch).expect("JSON")
}

/// A record as a twin holds it, of these leaves.
pub(super) fn record(declared: Value) -> Value {
    ownership::OwnershipRecord::of(&body(declared).leaves(), "r0").expect("a leaf").write()
}

pub(super) fn context() -> PlanContext {
    PlanContext { hub: "hub.example.net".parse().expect("a host"), revision: "r1".to_owned(), take_ownership: false }
}

pub(super) fn declarations(twins: impl IntoIterator<Item = (TwinId, Body)>) -> Declarations {
    let mut bodies: Vec<Arc<Body>> = Vec::new();
    let mut share = |body: Body| match bodies.iter().find(|known| ***known == body) {
        Some(known) => known.clone(),
        None => {
            bodies.push(Arc::new(body));
            bodies[bodies.len() - 1].clone()
        }
    };
    let twins: BTreeMap<_, _> =
        twins.into_iter().map(|(id, body)| (id, Declaration { body: share(body), origin: origin(1) })).collect();
    Declarations { twins, ..Declarations::empty("redmond".parse().expect("a fleet")) }
}

/// A policy in paths alone. Renames are `from → to`.
pub(super) fn policy(exact: &[&str], moved: &[(&str, &str)], released: &[&str], sensitive: &[&str]) -> Policy {
    let named = |paths: &[&str]| paths.iter().map(|text| PolicyPath { path: path(text), origin: origin(90) }).collect();
    Policy {
        exact: named(exact),
        moved: moved.iter().map(|(from, to)| Moved { from: path(from), to: path(to), origin: origin(91) }).collect(),
        released: named(released),
        sensitive: Sensitive::new(sensitive.iter().map(|text| path(text)).collect()),
        ..Policy::default()
    }
}

pub(super) fn plan_under(policy: &Policy, declared: Value, live: &Twin, take_ownership: bool) -> Plan {
    let declarations = Declarations { policy: policy.clone(), ..declarations([(live.id.clone(), body(declared))]) };
    let context = PlanContext { take_ownership, ..context() };
    plan(&declarations, context, [Lookup::Found(Box::new(live.clone()))], ReadBy::Get)
}

pub(super) fn plan_one(declared: Value, live: &Twin) -> Plan {
    let declarations = declarations([(live.id.clone(), body(declared))]);
    plan(&declarations, context(), [Lookup::Found(Box::new(live.clone()))], ReadBy::Get)
}

/// A twin's plan as lines: its changes, its conflicts, and what is sent.
pub(super) fn lines(plan: &Plan) -> Vec<String> {
    let show = |side: &Side| match side {
        Side::Absent => "–".to_owned(),
        Side::Known(value) => value.to_string(),
        Side::Redacted => "redacted".to_owned(),
    };
    let mut lines = Vec::new();
    for twin in &plan.twins {
        for change in twin.changes.iter() {
            lines.push(format!(
                "{} {} {} → {}",
                change.verdict,
                change.path,
                show(&change.before),
                show(&change.after)
            ));
        }
        for taken in twin.taken.iter() {
            lines.push(format!("taken {} from {}", taken.path, taken.fleet));
        }
        for conflict in &twin.conflicts {
            lines.push(match conflict {
                Conflict::OwnedByOther { path, owned, fleet, revision, .. } => {
                    format!("conflict {path}: {owned} is {fleet}'s at {revision}")
                }
                Conflict::WouldDestroy { path, leaves, .. } => format!("conflict {path}: would destroy {leaves:?}"),
                Conflict::Record { problem } | Conflict::Limit { problem } => format!("conflict {problem}"),
            });
        }
        // The record is in the way of reading; the tests that are about it look at it themselves.
        let mut patch = MergePatch::clone(&twin.patch);
        if patch.tags.contains_key("twinctl") {
            patch.tags.insert("twinctl".to_owned(), "…".into());
        }
        lines.push(format!("patch {}", patch_json(&patch)));
    }
    lines
}

#[test]
fn a_plan_of_nothing_is_empty() {
    let plan = plan_one(json!({}), &twin("d", json!({"tags": {"a": 1}})));
    assert!(plan.is_empty() && plan.twins.is_empty());
    assert_eq!((plan.unchanged, plan.summary().unchanged), (1, 1));
}

#[test]
fn the_story_of_one_key() {
    // Declared, edited, drifted, and taken out of the manifest again.
    let mut live = twin("d", json!({"desired": {"fan": true}}));
    let mut step = |declared: Value, drift: Value, expected: &[&str]| {
        iothub_model::twin::patch::merge(&mut live.desired.0, &object(drift));
        let plan = plan_one(declared.clone(), &live);
        assert_eq!(lines(&plan), expected);
        for twin in &plan.twins {
            live = twin.patch.apply(&live);
            assert!(twin.target_reached(&live));
        }
        assert!(plan_one(declared, &live).is_empty());
    };
    step(
        json!({"desired": {"power": 1}}),
        json!({}),
        &["new desired.power – → 1", r#"patch {"desired":{"power":1},"tags":{"twinctl":"…"}}"#],
    );
    step(
        json!({"desired": {"power": 2}}),
        json!({}),
        &["edit desired.power 1 → 2", r#"patch {"desired":{"power":2},"tags":{"twinctl":"…"}}"#],
    );
    step(
        json!({"desired": {"power": 2}}),
        json!({"power": 9}),
        &["drift desired.power 9 → 2", r#"patch {"desired":{"power":2}}"#],
    );
    step(
        json!({}),
        json!({}),
        &["removed desired.power 2 → –", r#"patch {"desired":{"power":null},"tags":{"twinctl":"…"}}"#],
    );
    assert_eq!(sections(&live), json!({"tags": {}, "desired": {"fan": true}}));
}
