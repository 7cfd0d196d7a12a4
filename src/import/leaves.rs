//! Distinct leaves, and devices that have them by number.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::ImportedLeaf;
use iothub_model::twin::value::canonical;
use iothub_model::twin::{DeviceId, ModuleId, TwinPath};

/// A set of leaves, by their numbers, sorted. Twins that have the same share it.
pub(super) type Numbers = Arc<[u32]>;

/// Distinct leaves, by number.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    numbers: HashMap<(TwinPath, String), u32>,
    all: Vec<ImportedLeaf>,
}

impl Leaves {
    pub(super) fn number(&mut self, path: TwinPath, value: &Value) -> u32 {
        // Numbers are the same by value, and the canonical text has them so.
        let key = (path.clone(), canonical(value));
        *self.numbers.entry(key).or_insert_with(|| {
            self.all.push(Arc::new((path, value.clone())));
            u32::try_from(self.all.len() - 1).expect("a hub holds fewer leaves than 2^32")
        })
    }

    pub(super) fn get(&self, number: u32) -> &ImportedLeaf {
        &self.all[number as usize]
    }

    /// Returns leaves by their numbers, sorted by path.
    pub(super) fn sorted(&self, numbers: &[u32]) -> Vec<ImportedLeaf> {
        let mut leaves: Vec<_> = numbers.iter().map(|&number| Arc::clone(self.get(number))).collect();
        leaves.sort_by(|a, b| a.0.cmp(&b.0));
        leaves
    }
}

/// A device while it is factored: what is not yet in a shared layer.
#[derive(Clone, Debug)]
pub(super) struct ImportedDevice {
    pub(super) id: DeviceId,
    /// Numbers of leaves, sorted.
    pub(super) own: Numbers,
    pub(super) groups: Vec<usize>,
    pub(super) modules: Vec<(ModuleId, Numbers)>,
}
