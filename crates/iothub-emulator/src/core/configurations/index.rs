//! Where all configurations are found, and the evaluation under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::command::Refusal;
use crate::core::configurations::configuration::Configuration;
use crate::core::configurations::evaluation::Evaluation;
use iothub_model::wire::ErrorCode;

/// All configurations, and the evaluation under way.
#[derive(Debug, Default)]
pub(crate) struct Configurations {
    by_id: BTreeMap<String, Arc<Configuration>>,
    /// The latest revision that changed one of them.
    pub(crate) latest: u64,
    pub(crate) evaluation: Option<Evaluation>,
    /// Twins may name configurations that are no more.
    pub(crate) leftovers: bool,
}

impl Configurations {
    pub(crate) fn get(&self, id: &str) -> Result<&Arc<Configuration>, Refusal> {
        let missing = || {
            Refusal::new(ErrorCode::ConfigurationNotFound, format!("there is no configuration `{}`", id.escape_debug()))
        };
        self.by_id.get(id).ok_or_else(missing)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Configuration>> {
        let mut all: Vec<_> = self.by_id.values().cloned().collect();
        all.sort_unstable_by_key(|configuration| configuration.sequence);
        all
    }

    pub(crate) fn put(&mut self, configuration: Arc<Configuration>) {
        self.latest = self.latest.max(configuration.revision);
        self.by_id.insert(configuration.id.clone(), configuration);
    }

    pub(crate) fn remove(&mut self, sequence: u64, revision: u64) {
        self.latest = self.latest.max(revision);
        self.leftovers = true;
        self.by_id.retain(|_, configuration| configuration.sequence != sequence);
    }
}
