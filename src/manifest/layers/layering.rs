//! Which layers a device has, and what they come to together.
//!
//! Laying layers over each other is not associative (a scalar in the middle forgets what was under it), so that where selectors may
//! still come in between, the layers are kept apart: [`Layered`] is what [`Declarations::select`](crate::manifest::Declarations::select) needs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::manifest::layers::body::{Body, Own};
use crate::manifest::layers::merge::{merge, section_of};
use crate::manifest::leaf::{Leaf, Origin};
use iothub_model::diagnostic::{Diagnostic, Source, Span};
use iothub_model::twin::limits::{check_size, section_max_bytes, section_size};
use iothub_model::twin::{DeviceId, ModuleId, Section};

/// All layers of a fleet, each a list of leaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    pub(crate) defaults: Vec<Leaf>,
    pub(crate) selectors: Vec<Vec<Leaf>>,
    pub(crate) groups: Vec<Vec<Leaf>>,
    pub(crate) rows: Vec<Vec<Leaf>>,
    pub(crate) devices: Vec<Own>,
}

/// The layers of one device above the defaults and the selectors, by their places in [`Layers`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stack {
    pub(crate) groups: Vec<usize>,
    pub(crate) row: Option<usize>,
    pub(crate) device: Option<usize>,
}

/// What is kept of the layers beside what they come to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keep<'k> {
    /// What selectors need, where there are any.
    ForSelectors,
    /// All of them.
    Layers,
    /// All of them, and where one device is written.
    Device(&'k DeviceId),
}

/// Where a device is written.
#[derive(Debug, Default)]
pub(crate) struct DevicePlaces {
    /// Its entry under `devices`, as it stands there: a name or a range.
    pub(crate) entry: Option<(String, Origin)>,
    /// Its row in a table.
    pub(crate) row: Option<Origin>,
    /// Its modules: those of the row, then those of the entry.
    pub(crate) modules: Vec<(ModuleId, Origin, Arc<Body>)>,
}

/// The layers of a fleet apart, kept where there are selectors or somebody asked for them.
#[derive(Debug, Default)]
pub(crate) struct Layered {
    pub(crate) layers: Layers,
    /// Where `defaults` stand.
    pub(crate) defaults: Option<Origin>,
    /// Where each group stands.
    pub(crate) groups: Vec<Origin>,
    /// Where the device is written that somebody asked for.
    pub(crate) written: DevicePlaces,
    pub(crate) stacks: Vec<Stack>,
    /// Which stack each declared device has.
    pub(crate) of: BTreeMap<DeviceId, usize>,
    /// Where each selector is written.
    pub(crate) places: Vec<(Arc<Source>, Span)>,
}

/// Lays layers over each other, once for all devices that have the same ones.
pub(crate) struct Bodies<'l> {
    layers: &'l Layers,
    /// Defaults, selectors and groups.
    bases: HashMap<(Vec<usize>, Vec<usize>), Arc<Body>>,
}

impl<'l> Bodies<'l> {
    pub(crate) fn new(layers: &'l Layers) -> Self {
        Self { layers, bases: HashMap::new() }
    }

    /// Returns what a device comes to that these selectors found. The selectors stand in the order of the files.
    pub(crate) fn body(&mut self, selectors: &[usize], stack: &Stack) -> Arc<Body> {
        let layers = self.layers;
        let base = self.bases.entry((selectors.to_vec(), stack.groups.clone())).or_insert_with(|| {
            let selectors = selectors.iter().map(|&selector| &layers.selectors[selector]);
            let over = selectors.chain(stack.groups.iter().map(|&group| &layers.groups[group]));
            Arc::new(over.fold(layers.defaults.clone(), |base, over| merge(&base, over)).into())
        });
        let row = stack.row.map(|row| &layers.rows[row]).filter(|leaves| !leaves.is_empty());
        let base = match row {
            None => Arc::clone(base),
            Some(row) => Arc::new(merge(&base.leaves(), row).into()),
        };
        match stack.device {
            None => base,
            Some(device) => Arc::new(Body::over(&base.shared(), &layers.devices[device])),
        }
    }
}

/// A share of a section's size from which on it is worth a word.
const NEARLY_FULL_PERCENT: usize = 80;

/// Checks the size of each section, which only all layers together have: what the hub would refuse, or soon will. The places are
/// the caller's.
pub(crate) fn sizes(body: &Body) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for section in Section::ALL {
        let most = section_max_bytes(section);
        if body.most_bytes(section).is_some_and(|bytes| bytes <= most * NEARLY_FULL_PERCENT / 100) {
            continue;
        }
        let object = section_of(&body.leaves(), section);
        let diagnostic = match check_size(section, &object) {
            Some(violation) => Diagnostic::error(violation.rule.to_string()),
            None => {
                let size = section_size(&object);
                if size * 100 <= most * NEARLY_FULL_PERCENT {
                    continue;
                }
                let have = if section == Section::Tags { "have" } else { "has" };
                let percent = size * 100 / most;
                let message = format!("{section} {have} {size} bytes, {percent}% of the {most} that the hub takes");
                Diagnostic::warning(message)
            }
        };
        let sizes = object.into_iter().map(|(key, value)| {
            let size = section_size(&[(key.clone(), value)].into_iter().collect::<iothub_model::twin::Object>());
            (size, key)
        });
        found.push(match sizes.max() {
            Some((size, key)) => {
                let key: String = key.chars().take(60).collect();
                diagnostic.help(format!("the largest part is `{section}.{key}` with {size} bytes"))
            }
            None => diagnostic,
        });
    }
    found
}
