//! Equal parts of many twins' plans held once: a fleet of ten thousand mostly has a handful of different changes.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::change::{PlannedChange, Taken};
use super::decide::Decision;
use super::twin_plan::TwinPlan;
use iothub_model::twin::MergePatch;

/// Hands out shared copies.
#[derive(Default)]
pub(super) struct Interner {
    changes: HashMap<u64, Vec<Arc<[PlannedChange]>>>,
    taken: HashMap<u64, Vec<Arc<[Taken]>>>,
    patches: HashMap<u64, Vec<Arc<MergePatch>>>,
}

impl Interner {
    /// Makes a twin's plan out of what was decided, and `bare` for the rest.
    pub(super) fn twin_plan(&mut self, bare: TwinPlan, decision: Decision) -> TwinPlan {
        let Decision { changes, taken, patch, inverse, conflicts, record: _ } = decision;
        TwinPlan {
            changes: self.changes(changes),
            taken: share(&mut self.taken, hash_of(&taken), |shared| **shared == *taken, || taken.as_slice().into()),
            patch: self.patch(patch),
            inverse: self.patch(inverse),
            conflicts,
            ..bare
        }
    }

    fn changes(&mut self, changes: Vec<PlannedChange>) -> Arc<[PlannedChange]> {
        share(&mut self.changes, hash_of(&changes), |shared| **shared == *changes, || changes.as_slice().into())
    }

    fn patch(&mut self, patch: MergePatch) -> Arc<MergePatch> {
        let MergePatch { tags, desired } = &patch;
        let hash = hash_of(&(tags, desired));
        share(&mut self.patches, hash, |shared| **shared == patch, || Arc::new(patch.clone()))
    }
}

fn share<T: Clone>(
    pool: &mut HashMap<u64, Vec<T>>,
    hash: u64,
    is_same: impl Fn(&T) -> bool,
    make: impl FnOnce() -> T,
) -> T {
    let candidates = pool.entry(hash).or_default();
    match candidates.iter().find(|candidate| is_same(candidate)) {
        Some(found) => found.clone(),
        None => {
            let made = make();
            candidates.push(made.clone());
            made
        }
    }
}

/// Hashes a value with fixed keys, so that nothing depends on the run.
pub(super) fn hash_of(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
