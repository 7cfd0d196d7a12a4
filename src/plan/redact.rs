//! What of a plan may be shown and written down: all but sensitive values and what is derived from them.
//!
//! A value's hash in an ownership record is derived from it: of 16 bits, but enough to tell a guess from another. So a patch that
//! leaves the process has neither such values nor such hashes; an entry reads `PATH=withheld` in the hash's place. What apply
//! needs of it comes from the manifest again ([`Plan::restore`](super::Plan::restore)). What was there before comes from nowhere: the
//! inverse does without it.

use std::borrow::Cow;

use serde_json::Value;

use super::change::PlannedChange;
use super::ownership::records_path;
use crate::manifest::Sensitive;
use iothub_model::twin::{MergePatch, TwinPath};

/// What stands in the place of a hash.
const WITHHELD: &str = "withheld";

/// Returns a patch without sensitive values and their hashes. That a path goes stays in it.
pub(super) fn redact<'p>(patch: &'p MergePatch, sensitive: &Sensitive) -> Cow<'p, MergePatch> {
    if sensitive.is_empty() {
        return Cow::Borrowed(patch);
    }
    let mut shown = MergePatch::default();
    patch.paths(|path, value| {
        if records_path().covers(&path) {
            let mut value = value.clone();
            redact_hashes(&mut value, sensitive);
            shown.set(&path, value);
        } else if value.is_null() || !sensitive.covers(&path) {
            shown.set(&path, value.clone());
        }
    });
    Cow::Owned(shown)
}

/// Returns the paths, sorted, where [`redact`] leaves a value out of the patch, or out of its inverse.
pub(super) fn redacted_paths(changes: &[PlannedChange], side: ChangePhase) -> impl Iterator<Item = &TwinPath> {
    let has_value = move |change: &&PlannedChange| match side {
        ChangePhase::Before => change.before.has_value(),
        ChangePhase::After => change.after.has_value(),
    };
    let writes = |change: &&PlannedChange| change.sensitive && change.verdict.touches_value();
    changes.iter().filter(writes).filter(has_value).map(|change| &change.path)
}

/// Puts [`WITHHELD`] in the place of the hashes of sensitive values, wherever in a record or what looks like one they stand.
pub(super) fn redact_hashes(record: &mut Value, sensitive: &Sensitive) {
    match record {
        Value::String(entry) => {
            if let Some((path, _)) = entry.rsplit_once('=')
                && let Ok(path) = path.parse::<TwinPath>()
                && sensitive.covers(&path)
            {
                *entry = format!("{path}={WITHHELD}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact_hashes(item, sensitive)),
        Value::Object(members) => members.values_mut().for_each(|value| redact_hashes(value, sensitive)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Reads an entry whose hash is withheld.
pub(super) fn redacted_entry(entry: &str) -> Option<TwinPath> {
    let (path, hash) = entry.rsplit_once('=')?;
    if hash == WITHHELD { path.parse().ok() } else { None }
}

/// One of a patch's two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangePhase {
    /// What was there: the inverse.
    Before,
    /// What is to be: the patch.
    After,
}
