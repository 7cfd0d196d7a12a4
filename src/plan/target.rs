//! A twin's two sections as a tree of leaves, and what they become when changes are made to them.
//!
//! The plan and the rebase onto a fresher twin both come here, so that a removal takes the same objects with it in either.

use serde_json::Value;

use super::change::PlannedChange;
use super::ownership::{RECORDS_KEY, record_path};
use crate::manifest::FleetName;
use iothub_model::twin::patch::diff;
use iothub_model::twin::path::leaves;
use iothub_model::twin::{MergePatch, Object, Section, Twin, TwinPath};

/// The two sections that are planned for, borrowed from a twin.
#[derive(Clone, Copy, Debug)]
pub(super) struct TwinSections<'t> {
    pub(super) tags: &'t Object,
    pub(super) desired: &'t Object,
}

impl<'t> TwinSections<'t> {
    pub(super) fn of(twin: &'t Twin) -> Self {
        Self { tags: &twin.tags.0, desired: &twin.desired.0 }
    }

    pub(super) fn section(self, section: Section) -> &'t Object {
        match section {
            Section::Tags => self.tags,
            Section::Desired => self.desired,
        }
    }

    /// Returns whatever stands at a path.
    pub(super) fn find(self, path: &TwinPath) -> Option<&'t Value> {
        path.find(self.section(path.section()))
    }

    /// Returns the leaf at a path: nothing where an object stands that has something in it, for that is only the sum of its
    /// leaves.
    pub(super) fn leaf(self, path: &TwinPath) -> Option<&'t Value> {
        self.find(path).filter(|value| !is_filled_object(value))
    }

    /// Returns the leaves that lie under a path, not the one at it.
    pub(super) fn leaves_under(self, path: &TwinPath) -> Vec<TwinPath> {
        let mut found = Vec::new();
        if let Some(value) = self.find(path).filter(|value| is_filled_object(value)) {
            collect_leaves(path, value, &mut found);
        }
        found
    }

    /// Returns the leaf at a path, or the leaves under it; of a section all.
    pub(super) fn leaves_within(self, path: &TwinPath) -> Vec<TwinPath> {
        let mut found = Vec::new();
        match self.find(path) {
            Some(value) => collect_leaves(path, value, &mut found),
            None if path.parent().is_none() => {
                leaves(path.section(), self.section(path.section()), |path, _| found.push(path));
            }
            None => {}
        }
        found
    }

    /// Returns the scalar or array that stands where `path` needs an object, with its path.
    pub(super) fn blocked_by(self, path: &TwinPath) -> Option<(TwinPath, &'t Value)> {
        let mut at = TwinPath::section_root(path.section());
        let mut object = self.section(path.section());
        let mut keys = path.keys().peekable();
        while let Some(key) = keys.next() {
            keys.peek()?;
            at = at.child(key);
            match object.get(key)? {
                Value::Object(inner) => object = inner,
                value => return Some((at, value)),
            }
        }
        None
    }
}

pub(super) fn is_filled_object(value: &Value) -> bool {
    value.as_object().is_some_and(|object| !object.is_empty())
}

fn collect_leaves(path: &TwinPath, value: &Value, found: &mut Vec<TwinPath>) {
    match value.as_object() {
        Some(object) if !object.is_empty() => {
            for (key, value) in object {
                collect_leaves(&path.child(key), value, found);
            }
        }
        _ => found.push(path.clone()),
    }
}

/// What one fleet's record becomes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RecordWrite {
    pub(super) fleet: FleetName,
    /// The whole record; `None` for none.
    pub(super) after: Option<Value>,
}

/// The two sections as they are to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TwinTarget {
    pub(super) tags: Object,
    pub(super) desired: Object,
}

impl TwinTarget {
    /// Makes the changes to what is live. `changes` are sorted by path.
    ///
    /// An object out of which the last leaf was removed goes too, and so on upwards; one that was empty before stays, for it is
    /// somebody's.
    pub(super) fn reach(live: TwinSections<'_>, changes: &[PlannedChange], records: &[RecordWrite]) -> Self {
        let mut target = Self { tags: live.tags.clone(), desired: live.desired.clone() };
        let mut removed = Vec::new();
        for change in changes.iter().filter(|change| !change.after.has_value()) {
            if live.leaf(&change.path).is_some() {
                target.remove(&change.path);
                removed.push(&change.path);
            }
        }
        for change in changes.iter().filter(|change| change.verdict.touches_value()) {
            if let Some(value) = change.after.known() {
                target.set(&change.path, value.clone());
            }
        }
        let declared_empty = |path: &TwinPath| {
            changes.binary_search_by(|change| change.path.cmp(path)).is_ok_and(|at| changes[at].after.has_value())
        };
        for path in removed {
            target.prune(path, &declared_empty);
        }
        for record in records {
            match &record.after {
                Some(value) => target.set(&record_path(&record.fleet), value.clone()),
                None => target.remove_record(&record.fleet),
            }
        }
        target
    }

    /// Returns the patch from `live` to here, and the one back.
    pub(super) fn patches(&self, live: TwinSections<'_>) -> (MergePatch, MergePatch) {
        let patch = MergePatch { tags: diff(live.tags, &self.tags), desired: diff(live.desired, &self.desired) };
        let inverse = MergePatch { tags: diff(&self.tags, live.tags), desired: diff(&self.desired, live.desired) };
        (patch, inverse)
    }

    pub(super) fn sections(&self) -> TwinSections<'_> {
        TwinSections { tags: &self.tags, desired: &self.desired }
    }

    fn section_mut(&mut self, section: Section) -> &mut Object {
        match section {
            Section::Tags => &mut self.tags,
            Section::Desired => &mut self.desired,
        }
    }

    /// Puts a value at a path, and objects in the place of whatever else is on the way.
    pub(super) fn set(&mut self, path: &TwinPath, value: Value) {
        path.put(self.section_mut(path.section()), value);
    }

    fn remove(&mut self, path: &TwinPath) -> Option<Value> {
        let mut object = self.section_mut(path.section());
        let mut keys = path.keys().peekable();
        while let Some(key) = keys.next() {
            if keys.peek().is_none() {
                return object.remove(key);
            }
            object = object.get_mut(key)?.as_object_mut()?;
        }
        None
    }

    /// Removes the objects over a removed leaf, innermost first, as long as they have nothing left.
    fn prune(&mut self, path: &TwinPath, is_declared: &dyn Fn(&TwinPath) -> bool) {
        let mut above = path.parent();
        while let Some(path) = above {
            let is_empty = self.sections().find(&path).and_then(Value::as_object).is_some_and(Object::is_empty);
            // A section itself is found by no path, so the walk ends there.
            if is_declared(&path) || (!is_empty && self.sections().find(&path).is_some()) || path.parent().is_none() {
                return;
            }
            self.remove(&path);
            above = path.parent();
        }
    }

    fn remove_record(&mut self, fleet: &FleetName) {
        let Some(Value::Object(records)) = self.tags.get_mut(RECORDS_KEY) else { return };
        if records.remove(fleet.as_str()).is_some() && records.is_empty() {
            self.tags.remove(RECORDS_KEY);
        }
    }
}
