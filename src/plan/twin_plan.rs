//! The plan for one twin.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::manifest::{FleetName, Sensitive};
use crate::plan::change::{Conflict, PlannedChange, Side, Taken};
use crate::plan::redact::{ChangePhase, redact, redacted_paths};
use iothub_model::twin::{ETag, MergePatch, TwinId, TwinPath};

/// What is to be done about one twin.
#[derive(Clone, PartialEq)]
pub struct TwinPlan {
    /// Which.
    pub id: TwinId,
    /// In whose name: what the records of a fresher twin are judged by.
    pub fleet: FleetName,
    /// Whose values are never shown.
    pub sensitive: Sensitive,
    /// What kind of thing is to be done.
    pub action: Action,
    /// The etag that the plan was computed from; `None` for a device or module that is yet to be registered.
    pub etag: Option<ETag>,
    /// The paths, sorted. Twins whose changes are the same share them.
    pub changes: Arc<[PlannedChange]>,
    /// What is taken out of other fleets' records, sorted; empty unless that was asked for.
    pub taken: Arc<[Taken]>,
    /// The one request's body: values and record together. Holds exactly what differs.
    pub patch: Arc<MergePatch>,
    /// What would take it back, but for [`Self::not_restored`].
    pub inverse: Arc<MergePatch>,
    /// What stands in the way; nothing is sent while there is any, and patch and changes are empty.
    pub conflicts: Vec<Conflict>,
}

/// What kind of thing is to be done about a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is there and differs.
    Update,
    /// The hub lacks the device or module, and the manifest says to create it first: a module after its device.
    Register,
    /// The device or module left the manifest: what was owned and the record go. Its identity stays.
    Release,
    /// The hub lacks the device or module, and the manifest says that this is an error.
    Missing,
    /// The hub lacks the device or module, and the manifest says to leave it out.
    Skip,
}

impl TwinPlan {
    /// Starts the plan of a twin about which nothing is decided yet.
    pub(super) fn bare(id: TwinId, fleet: FleetName, sensitive: Sensitive, action: Action, etag: Option<ETag>) -> Self {
        Self {
            id,
            fleet,
            sensitive,
            action,
            etag,
            changes: Arc::default(),
            taken: Arc::default(),
            patch: Arc::default(),
            inverse: Arc::default(),
            conflicts: Vec::new(),
        }
    }

    /// Says whether applying sends something for this twin.
    pub fn is_sent(&self) -> bool {
        self.conflicts.is_empty()
            && match self.action {
                // In a plan that was read from a file there may be nothing but what is withheld.
                Action::Update | Action::Release => {
                    !self.patch.is_empty() || self.changes.iter().any(PlannedChange::lacks_value)
                }
                Action::Register => true,
                Action::Missing | Action::Skip => false,
            }
    }

    /// Returns the patch as it may be shown and written down: without sensitive values and what is derived from them.
    pub fn redacted_patch(&self) -> Cow<'_, MergePatch> {
        redact(&self.patch, &self.sensitive)
    }

    /// Returns the paths, sorted, whose values the patch sets and [`Self::redacted_patch`] leaves out.
    pub fn redacted_paths(&self) -> impl Iterator<Item = &TwinPath> {
        redacted_paths(&self.changes, ChangePhase::After)
    }

    /// Takes sensitive values out of a text that came from elsewhere, as from a hub that says of a request what it did not like.
    pub fn redact_text(&self, mut text: String) -> String {
        let sensitive = self.changes.iter().filter(|change| change.sensitive);
        for value in sensitive.flat_map(|change| [&change.before, &change.after]).filter_map(Side::known) {
            redact_value(&mut text, value);
        }
        text
    }

    /// Returns the paths, sorted, that the inverse does not bring back, since what was there is not known: sensitive ones of a
    /// plan that was read from a file.
    pub fn not_restored(&self) -> impl Iterator<Item = &TwinPath> {
        let unknown = |change: &&PlannedChange| change.before == Side::Redacted && change.verdict.touches_value();
        self.changes.iter().filter(unknown).map(|change| &change.path)
    }
}

/// Values shorter than this are words like any other: taken out, they would leave no text.
const TELLING: usize = 4;

fn redact_value(text: &mut String, value: &Value) {
    if value.is_null() || value.is_boolean() {
        return;
    }
    let json = value.to_string();
    let bare = value.as_str().map(str::to_owned);
    for secret in [Some(json), bare].into_iter().flatten().filter(|secret| secret.len() >= TELLING) {
        if text.contains(&secret) {
            *text = text.replace(&secret, "(sensitive)");
        }
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| redact_value(text, item)),
        Value::Object(members) => members.values().for_each(|member| redact_value(text, member)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Without sensitive values.
impl fmt::Debug for TwinPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, fleet, sensitive, action, etag, changes, taken, patch, inverse, conflicts } = self;
        f.debug_struct("TwinPlan")
            .field("id", id)
            .field("fleet", fleet)
            .field("action", action)
            .field("etag", etag)
            .field("changes", changes)
            .field("taken", taken)
            .field("patch", &redact(patch, sensitive))
            .field("inverse", &redact(inverse, sensitive))
            .field("conflicts", conflicts)
            .finish()
    }
}
