//! What the manifests come to, twin by twin: YAML or JSON, sorted, the same for the same declarations.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::escape;
use crate::manifest::{Body, Declarations, Missing, Ownership};
use crate::twin::{MergePatch, Object};

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

#[derive(Serialize)]
struct Check<'d> {
    name: &'d str,
    query: &'d str,
}

impl Sections {
    fn of(body: &Body) -> Self {
        let mut all = MergePatch::default();
        for leaf in &body.leaves {
            all.set(&leaf.path, leaf.value.clone().unwrap_or(Value::Null));
        }
        Self { tags: all.tags, desired: all.desired }
    }
}

fn document(declarations: &Declarations) -> Document<'_> {
    let Declarations { fleet, hub, ownership, missing, checks, twins, digest, .. } = declarations;
    Document {
        version: 1,
        fleet: fleet.as_str(),
        hub: hub.as_ref().map(|hub| hub.as_str()),
        missing: *missing,
        ownership: *ownership,
        digest: digest.as_str(),
        twins: twins.iter().map(|(id, declaration)| (id.to_string(), Sections::of(&declaration.body))).collect(),
        checks: checks.iter().map(|check| Check { name: &check.name, query: check.query.text() }).collect(),
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
}
