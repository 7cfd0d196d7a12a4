//! The sensitive values that no printed command may hold.

use super::args::VarArgs;
use crate::manifest::Declarations;

/// The sensitive values of a fleet, which no printed command may hold.
#[derive(Default)]
pub(super) struct CommandSecrets {
    /// As texts; `None` where they are not known, so that every value may be one.
    pub(super) known: Option<Vec<String>>,
}

impl CommandSecrets {
    /// Collects the sensitive values of these declarations, if variables are given at all.
    pub(super) fn of(declarations: &Declarations, vars: &VarArgs) -> Self {
        let sensitive = &declarations.policy.sensitive;
        let mut known = Vec::new();
        if !sensitive.is_empty() && !vars.vars.is_empty() {
            let leaves = declarations.twins.values().flat_map(|declaration| declaration.body.leaves().into_owned());
            let given = declarations.selectors.iter().flat_map(|selector| declarations.given_by(&selector.name));
            for leaf in leaves.chain(given.cloned()).filter(|leaf| sensitive.covers(&leaf.path)) {
                known.extend(leaf.value.iter().flat_map(scalars));
            }
        }
        known.sort_unstable();
        known.dedup();
        Self { known: Some(known) }
    }

    /// Returns the secrets of a command without values that may be one.
    pub(super) fn none() -> Self {
        Self { known: Some(Vec::new()) }
    }

    /// Returns `true` if a value may be a sensitive one, have one in it, or be part of one. Nothing is no secret.
    pub(super) fn hold(&self, value: &str) -> bool {
        let is_near = |secret: &String| value.contains(secret.as_str()) || secret.contains(value);
        !value.is_empty() && self.known.as_ref().is_none_or(|known| known.iter().any(is_near))
    }
}

/// Returns the scalars in a value as texts; those without a character say nothing.
fn scalars(value: &serde_json::Value) -> Vec<String> {
    use serde_json::Value;
    match value {
        Value::Null => Vec::new(),
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Bool(_) | Value::Number(_) => vec![value.to_string()],
        Value::Array(items) => items.iter().flat_map(scalars).collect(),
        Value::Object(members) => members.values().flat_map(scalars).collect(),
    }
}
