//! A live twin that was read whole, with the document that queries see.

use std::cell::OnceCell;

use serde_json::Value;

use iothub_model::twin::{Lookup, Twin, TwinId};
use iothub_model::wire::twins::encode_twin;

/// What the hub has of a twin. The planner reads the twin, and whoever asks queries of it shares one document.
pub(crate) struct SeenTwin {
    lookup: Lookup,
    document: OnceCell<Value>,
}

impl SeenTwin {
    /// Takes what was read.
    pub(crate) fn new(lookup: Lookup) -> Self {
        Self { lookup, document: OnceCell::new() }
    }

    /// Returns what was read.
    pub(crate) fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Returns the id of the twin, whether the hub has it or not.
    pub(crate) fn id(&self) -> &TwinId {
        self.lookup.id()
    }

    /// Returns the twin, if the hub has it.
    pub(crate) fn twin(&self) -> Option<&Twin> {
        match &self.lookup {
            Lookup::Found(twin) => Some(twin),
            Lookup::Absent(_) => None,
        }
    }

    /// Returns the twin as a query sees it, if the hub has it. The first call makes the document.
    pub(crate) fn document(&self) -> Option<&Value> {
        self.twin().map(|twin| self.document.get_or_init(|| encode_twin(twin)))
    }
}
