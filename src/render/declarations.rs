//! What the manifests come to, twin by twin: YAML or JSON, sorted, the same for the same declarations.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::view;
use crate::manifest::{self, Body, Declarations, Missing, Ownership, Sensitive};
use iothub_model::twin::{MergePatch, Object};

/// The published shape of `twinctl render`. Nulls are declared absences.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeclarationsDocument<'d> {
    version: u32,
    fleet: &'d str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hub: Option<&'d str>,
    missing: Missing,
    ownership: Ownership,
    /// The digest of all this, by value.
    digest: &'d str,
    /// `exact`, `sensitive`, `limits`, `moved`, `released`, `rollout`: those that are said.
    #[serde(skip_serializing_if = "Object::is_empty")]
    policy: Object,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<&'d str, GroupJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    selectors: Vec<SelectorJson<'d>>,
    twins: BTreeMap<String, SectionsJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<CheckJson<'d>>,
}

#[derive(Serialize)]
struct SectionsJson {
    #[serde(skip_serializing_if = "Object::is_empty")]
    tags: Object,
    #[serde(skip_serializing_if = "Object::is_empty")]
    desired: Object,
}

#[derive(Serialize)]
struct GroupJson {
    members: usize,
    #[serde(flatten)]
    sections: SectionsJson,
}

#[derive(Serialize)]
struct SelectorJson<'d> {
    name: &'d str,
    #[serde(rename = "where")]
    condition: &'d str,
}

#[derive(Serialize)]
struct CheckJson<'d> {
    name: &'d str,
    query: &'d str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    gate: bool,
}

/// What is said about enforcement, in the manifest's own words and shape.
fn policy(policy: &manifest::Policy) -> Object {
    let mut shown = Object::new();
    for (name, value) in policy.settings().into_iter().filter(|(_, value)| !value.is_null()) {
        match name.split_once('.') {
            None => _ = shown.insert(name.to_owned(), value),
            Some((part, field)) => {
                let part = shown.entry(part).or_insert_with(|| Object::new().into());
                part[field] = value;
            }
        }
    }
    shown
}

impl SectionsJson {
    fn of(body: &Body, sensitive: &Sensitive) -> Self {
        let mut all = MergePatch::default();
        for leaf in body.leaves().iter() {
            // That nothing is there is no secret.
            let value = match &leaf.value {
                None => Value::Null,
                Some(value) => view::value(&leaf.path, value, sensitive).into_owned(),
            };
            all.set(&leaf.path, value);
        }
        Self { tags: all.tags, desired: all.desired }
    }
}

fn document(declarations: &Declarations) -> DeclarationsDocument<'_> {
    let Declarations { fleet, hub, ownership, missing, checks, policy, groups, selectors, twins, digest, .. } =
        declarations;
    let sections = |body: &Body| SectionsJson::of(body, &policy.sensitive);
    DeclarationsDocument {
        version: 1,
        fleet: fleet.as_str(),
        hub: hub.as_ref().map(|hub| hub.as_str()),
        missing: *missing,
        ownership: *ownership,
        digest: digest.as_str(),
        twins: twins.iter().map(|(id, declaration)| (id.to_string(), sections(&declaration.body))).collect(),
        policy: self::policy(policy),
        groups: groups
            .iter()
            .map(|(name, group)| (&**name, GroupJson { members: group.members, sections: sections(&group.body) }))
            .collect(),
        selectors: selectors
            .iter()
            .map(|selector| SelectorJson { name: &selector.name, condition: selector.condition.text() })
            .collect(),
        checks: checks
            .iter()
            .map(|check| CheckJson { name: &check.name, query: check.query.text(), gate: check.gate })
            .collect(),
    }
}

/// Writes declarations as YAML.
pub(crate) fn yaml(declarations: &Declarations) -> String {
    super::yaml::document(&document(declarations))
}

/// Writes declarations as JSON.
pub(crate) fn json(declarations: &Declarations) -> String {
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
