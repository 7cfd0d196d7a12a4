//! What the manifests come to, twin by twin: YAML or JSON, sorted, the same for the same declarations.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::escape;
use crate::manifest::{self, Amount, Body, Declarations, Limits, Missing, OnFailure, Ownership, Rollout, Sensitive};
use crate::twin::{MergePatch, Object, TwinPath};

/// The published shape of `twinctl render`. Nulls are declared absences.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'d> {
    version: u32,
    fleet: &'d str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hub: Option<&'d str>,
    missing: Missing,
    ownership: Ownership,
    /// The digest of all this, by value.
    digest: &'d str,
    #[serde(skip_serializing_if = "Policy::is_empty")]
    policy: Policy<'d>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<&'d str, Group>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    selectors: Vec<Selector<'d>>,
    twins: BTreeMap<String, Sections>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check<'d>>,
}

#[derive(Serialize)]
struct Sections {
    #[serde(skip_serializing_if = "Object::is_empty")]
    tags: Object,
    #[serde(skip_serializing_if = "Object::is_empty")]
    desired: Object,
}

/// What is said about enforcement, in the manifest's own words.
#[derive(Default, PartialEq, Serialize)]
struct Policy<'d> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exact: Vec<&'d TwinPath>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sensitive: Vec<&'d TwinPath>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    limits: BTreeMap<&'static str, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    moved: Vec<Moved<'d>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    released: Vec<&'d TwinPath>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rollout: BTreeMap<&'static str, Value>,
}

#[derive(PartialEq, Serialize)]
struct Moved<'d> {
    from: &'d TwinPath,
    to: &'d TwinPath,
}

#[derive(Serialize)]
struct Group {
    members: usize,
    #[serde(flatten)]
    sections: Sections,
}

#[derive(Serialize)]
struct Selector<'d> {
    name: &'d str,
    #[serde(rename = "where")]
    condition: &'d str,
}

#[derive(Serialize)]
struct Check<'d> {
    name: &'d str,
    query: &'d str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    gate: bool,
}

impl<'d> Policy<'d> {
    fn of(policy: &'d manifest::Policy) -> Self {
        let manifest::Policy { exact, sensitive, limits, moved, released, rollout } = policy;
        let Limits { max_changed, max_removed_keys, min_population } = limits;
        let Rollout { waves, pause, max_failed, on_failure } = rollout;
        let some = |members: [(&'static str, Option<Value>); 3]| {
            members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
        };
        let mut rollout: BTreeMap<_, _> = some([
            ("waves", (!waves.is_empty()).then(|| waves.iter().map(amount).collect())),
            ("pause", (!pause.is_zero()).then(|| length(*pause).into())),
            ("max_failed", max_failed.map(Value::from)),
        ]);
        if *on_failure == OnFailure::Rollback {
            rollout.insert("on_failure", "rollback".into());
        }
        Self {
            exact: exact.iter().map(|exact| &exact.path).collect(),
            sensitive: sensitive.paths().iter().collect(),
            limits: some([
                ("max_changed", max_changed.as_ref().map(amount)),
                ("max_removed_keys", max_removed_keys.map(Value::from)),
                ("min_population", min_population.map(Value::from)),
            ]),
            moved: moved.iter().map(|manifest::Moved { from, to, origin: _ }| Moved { from, to }).collect(),
            released: released.iter().map(|released| &released.path).collect(),
            rollout,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn length(time: std::time::Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    }
}

fn amount(amount: &Amount) -> Value {
    match amount {
        Amount::Count(count) => (*count).into(),
        Amount::Percent(percent) => format!("{percent}%").into(),
    }
}

/// What stands in the place of a sensitive value.
const SENSITIVE: &str = "(sensitive)";

impl Sections {
    fn of(body: &Body, sensitive: &Sensitive) -> Self {
        let mut all = MergePatch::default();
        for leaf in &body.leaves {
            // That nothing is there is no secret.
            let value = match &leaf.value {
                None => Value::Null,
                Some(_) if sensitive.covers(&leaf.path) => SENSITIVE.into(),
                Some(value) => value.clone(),
            };
            all.set(&leaf.path, value);
        }
        Self { tags: all.tags, desired: all.desired }
    }
}

fn document(declarations: &Declarations) -> Document<'_> {
    let Declarations { fleet, hub, ownership, missing, checks, policy, groups, selectors, twins, digest, .. } =
        declarations;
    let sections = |body: &Body| Sections::of(body, &policy.sensitive);
    Document {
        version: 1,
        fleet: fleet.as_str(),
        hub: hub.as_ref().map(|hub| hub.as_str()),
        missing: *missing,
        ownership: *ownership,
        digest: digest.as_str(),
        twins: twins.iter().map(|(id, declaration)| (id.to_string(), sections(&declaration.body))).collect(),
        policy: Policy::of(policy),
        groups: groups
            .iter()
            .map(|(name, group)| (&**name, Group { members: group.members, sections: sections(&group.body) }))
            .collect(),
        selectors: selectors
            .iter()
            .map(|selector| Selector { name: &selector.name, condition: selector.condition.text() })
            .collect(),
        checks: checks
            .iter()
            .map(|check| Check { name: &check.name, query: check.query.text(), gate: check.gate })
            .collect(),
    }
}

/// Writes declarations as YAML.
pub fn yaml(declarations: &Declarations) -> String {
    let text = serde_yaml::to_string(&document(declarations)).expect("our own types have string keys");
    // YAML's own writer escapes control characters; what turns text around it leaves.
    escape::lines(&text).into_owned()
}

/// Writes declarations as JSON.
pub fn json(declarations: &Declarations) -> String {
    super::json::document(&document(declarations))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::render::samples::{self, snapshot};

    #[test]
    fn declarations_are_sorted_and_whole() {
        let declarations = samples::declarations(&[
            ("thermostat-002", &[("desired.power_level", Some(json!(3))), ("desired.fan", None)]),
            ("thermostat-001", &[("desired.power_level", Some(json!(1))), ("tags.location.plant", Some(json!("yes")))]),
        ]);
        let text = yaml(&declarations);
        snapshot("render", &text);
        let from_yaml: Value = serde_yaml::from_str(&text).expect("YAML");
        let from_json: Value = serde_json::from_str(&json(&declarations)).expect("JSON");
        assert_eq!(from_yaml, from_json);
    }

    #[test]
    fn what_is_said_about_enforcement_is_shown_and_no_secret_is() {
        let text = include_str!("../../tests/data/manifest/good/policies.yaml");
        let selectors = "selectors: [{ name: s, where: tags.a = 1, desired: { wifi: { psk: hush too } } }]\ngroups: { g: { desired: { wifi: { psk: hush again } } } }\n";
        let text =
            format!("{}{selectors}", text.replace("  a: {}", "  a: { groups: [g], desired: { wifi: { old: null } } }"));
        let loaded = manifest::load_texts(&[("fleet.yaml", &text)], &|_| None).expect("a fleet");
        let (yaml, json) = (yaml(&loaded.declarations), json(&loaded.declarations));
        snapshot("render-policies", &yaml);
        assert!(!yaml.contains("hush") && !json.contains("hush"), "{yaml}{json}");
        let from_yaml: Value = serde_yaml::from_str(&yaml).expect("YAML");
        assert_eq!(from_yaml, serde_json::from_str::<Value>(&json).expect("JSON"));
    }
}
