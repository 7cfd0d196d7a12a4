//! The changes of one twin: its declared leaves, what this fleet owns beside them, and what stands under paths that are exact.

use std::collections::BTreeMap;

use serde_json::Value;

use super::change::{Conflict, PlannedChange, Taken, Verdict};
use super::ownership::{OwnershipRecord, Records, Wanted, records_path, verdict};
use super::rules::{DeclaredTwin, PlanRules};
use super::target::TwinSections;
use crate::manifest::{FleetName, Leaf, Origin, Ownership, PolicyPath};
use iothub_model::twin::TwinPath;

/// What is different between what a twin should be and what it is.
#[derive(Debug)]
pub(super) struct TwinDifferences {
    /// Sorted by path.
    pub(super) changes: Vec<PlannedChange>,
    /// Sorted.
    pub(super) taken: Vec<Taken>,
    /// Where there are any, the rest is of no use.
    pub(super) conflicts: Vec<Conflict>,
}

impl TwinDifferences {
    pub(super) fn find(
        rules: &PlanRules,
        declared: &DeclaredTwin<'_>,
        records: &Records,
        own: Option<&OwnershipRecord>,
        live: TwinSections<'_>,
    ) -> Self {
        let mut finding = DifferenceFinder {
            rules,
            declared,
            records,
            own,
            live,
            found: BTreeMap::new(),
            taken: Vec::new(),
            conflicts: Vec::new(),
        };
        for leaf in declared.leaves {
            finding.may_be_written(&leaf.path, &leaf.origin);
            finding.declared(leaf);
        }
        if declared.is_declared {
            for exact in &rules.policy.exact {
                finding.exact(exact);
            }
        }
        finding.taken.sort();
        finding.taken.dedup();
        if finding.conflicts.is_empty() {
            finding.owned();
        }
        let DifferenceFinder { found, taken, conflicts, .. } = finding;
        Self { changes: found.into_values().collect(), taken, conflicts }
    }
}

/// Differences in the making.
struct DifferenceFinder<'t> {
    rules: &'t PlanRules,
    declared: &'t DeclaredTwin<'t>,
    records: &'t Records,
    own: Option<&'t OwnershipRecord>,
    live: TwinSections<'t>,
    found: BTreeMap<TwinPath, PlannedChange>,
    taken: Vec<Taken>,
    conflicts: Vec<Conflict>,
}

impl DifferenceFinder<'_> {
    fn applied(&self, path: &TwinPath) -> Option<u16> {
        self.own.and_then(|record| record.owns.get(path)).copied()
    }

    fn released(&self, path: &TwinPath) -> Option<&PolicyPath> {
        self.rules.policy.released.iter().find(|released| released.path.covers(path))
    }

    /// Says whether an undeclared leaf goes since it lies under an exact path. What is released stays.
    fn goes_as_undeclared(&self, path: &TwinPath) -> bool {
        self.declared.is_declared
            && self.rules.policy.exact.iter().any(|exact| exact.path.covers(path))
            && self.released(path).is_none()
            && !records_path().covers(path)
    }

    /// Finds what other fleets own at a path that is to be written: a conflict, unless it is to be taken over.
    fn may_be_written(&mut self, path: &TwinPath, origin: &Origin) {
        for (fleet, revision, owned) in overlaps(self.records, path) {
            if self.rules.take_ownership {
                self.taken.push(Taken { fleet, path: owned });
            } else {
                self.conflicts.push(Conflict::OwnedByOther {
                    path: path.clone(),
                    owned,
                    fleet,
                    revision,
                    origin: Some(origin.clone()),
                });
            }
        }
    }

    fn change(
        &mut self,
        path: &TwinPath,
        verdict: Verdict,
        before: Option<&Value>,
        after: Option<&Value>,
        origin: Option<&Origin>,
    ) {
        let change = PlannedChange {
            path: path.clone(),
            verdict,
            before: before.cloned().into(),
            after: after.cloned().into(),
            moved_from: None,
            origin: origin.cloned(),
            sensitive: self.rules.policy.sensitive.covers(path),
        };
        self.found.insert(path.clone(), change);
    }

    /// Finds what is to be done about a declared leaf, or what would be destroyed by it.
    fn declared(&mut self, leaf: &Leaf) {
        // An object that is in the way loses all that is in it. An empty object that is declared is no exception: it means
        // that the object must be there and empty.
        let may_go = |path: &TwinPath| {
            self.goes_as_undeclared(path) || (self.applied(path).is_some() && self.released(path).is_none())
        };
        let strangers: Vec<TwinPath> =
            self.live.leaves_under(&leaf.path).into_iter().filter(|path| !may_go(path)).collect();
        if !strangers.is_empty() {
            self.conflicts.push(Conflict::WouldDestroy {
                path: leaf.path.clone(),
                leaves: strangers,
                origin: Some(leaf.origin.clone()),
            });
            return;
        }
        let live = self.live.leaf(&leaf.path);
        let wanted = leaf.value.as_ref().map_or(Wanted::Absent, Wanted::Value);
        let Some(verdict) = verdict(self.applied(&leaf.path), wanted, live) else { return };
        if verdict == Verdict::Adopt && self.rules.ownership == Ownership::None {
            return;
        }
        if leaf.value.is_some()
            && let Some((path, value)) = self.live.blocked_by(&leaf.path)
            && !self.found.contains_key(&path)
        {
            // A scalar where an object is declared: replaced, and listed. If this fleet put it there it is *removed* instead,
            // which is found later.
            self.change(&path, Verdict::Overwrite, Some(value), None, Some(&leaf.origin));
        }
        self.change(&leaf.path, verdict, live, leaf.value.as_ref(), Some(&leaf.origin));
    }

    /// Says whether a value is declared under a path.
    fn becomes_object(&self, path: &TwinPath) -> bool {
        self.declared.leaves.iter().any(|leaf| leaf.value.is_some() && path.covers(&leaf.path))
    }

    /// Finds what nobody declares under an exact path. What this fleet alone owns there is found as such.
    fn exact(&mut self, exact: &PolicyPath) {
        let strangers: Vec<TwinPath> = self
            .live
            .leaves_within(&exact.path)
            .into_iter()
            .filter(|path| self.goes_as_undeclared(path) && (self.applied(path).is_none() || self.is_anothers(path)))
            .filter(|path| !self.found.contains_key(path) && !self.becomes_object(path))
            .collect();
        for path in strangers {
            self.may_be_written(&path, &exact.origin);
            self.change(&path, Verdict::Undeclared, self.live.leaf(&path), None, Some(&exact.origin));
        }
    }

    /// Says whether another fleet's record owns something at a path that is not taken over.
    fn is_anothers(&self, path: &TwinPath) -> bool {
        overlaps(self.records, path)
            .into_iter()
            .any(|(fleet, _, owned)| !self.taken.contains(&Taken { fleet, path: owned }))
    }

    /// Finds what becomes of what this fleet owns and no longer declares: it is removed, renamed or released.
    ///
    /// What another fleet's record owns by now is let go, and neither removed nor a conflict: this fleet asks for nothing there
    /// any more, but where it is exact.
    fn owned(&mut self) {
        let Some(own) = self.own else { return };
        for (path, &hash) in own.owns.iter().filter(|(path, _)| !self.declared.owns.contains_key(path)) {
            let live = self.live.leaf(path);
            let Some(verdict) = verdict(Some(hash), Wanted::Undeclared, live) else { continue };
            if let Some(origin) = self.released(path).map(|released| released.origin.clone()) {
                if self.becomes_object(path) {
                    // What gives way to a value that is declared under it cannot stay, released or not.
                    continue;
                }
                self.change(path, Verdict::Released, live, live, Some(&origin));
                continue;
            }
            if self.is_anothers(path) {
                continue;
            }
            match self.destination(path).filter(|_| verdict == Verdict::Removed) {
                Some((to, origin)) => {
                    self.change(path, Verdict::Moved, live, None, Some(&origin));
                    if let Some(change) = self.found.get_mut(&to) {
                        (change.verdict, change.moved_from) = (Verdict::Moved, Some(path.clone()));
                    }
                }
                None => self.change(path, verdict, live, None, None),
            }
        }
    }

    /// Returns where the manifest moved a path to, where that is declared now and neither owned nor live yet. A path may have been
    /// moved more than once since this twin was last applied.
    fn destination(&self, path: &TwinPath) -> Option<(TwinPath, Origin)> {
        let moved = &self.rules.policy.moved;
        let mut at = path.clone();
        // No longer than there are renames: they may go in a circle.
        for _ in moved {
            let (to, origin) =
                moved.iter().find_map(|moved| Some((at.renamed(&moved.from, &moved.to)?, &moved.origin)))?;
            if self.declared.owns.contains_key(&to) {
                let is_new = self.found.get(&to).is_some_and(|change| change.verdict == Verdict::New);
                return is_new.then(|| (to, origin.clone()));
            }
            at = to;
        }
        None
    }
}

fn overlaps(records: &Records, path: &TwinPath) -> Vec<(FleetName, String, TwinPath)> {
    let mut found = Vec::new();
    records.overlapping(path, |fleet, record, owned| {
        found.push((fleet.clone(), record.revision.clone(), owned.clone()));
    });
    found
}
