//! What can be asked about configurations.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::ask::{Ask, Subject};
use crate::core::command::{Refusal, check_etag, invalid};
use crate::core::configurations::check;
use crate::core::configurations::configuration::{Configuration, exists};
use crate::core::configurations::evaluation::{Evaluation, applied, value_of};
use crate::core::device::Device;
use crate::core::module::Module;
use crate::core::record::Record;
use crate::core::state::Hub;
use iothub_model::query::Collection;
use iothub_model::twin::IfMatch;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::configurations::ConfigurationBody;

/// A configuration as it is.
#[derive(Clone, Debug)]
pub(crate) struct GetConfiguration {
    /// Which.
    pub(crate) id: String,
}

impl Ask for GetConfiguration {
    type Reply = Arc<Configuration>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Configurations
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        hub.configurations.get(&self.id).cloned()
    }

    fn shown(configuration: &Self::Reply, _: &Hub) -> Option<u64> {
        Some(configuration.revision)
    }
}

/// All configurations, in order of creation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListConfigurations;

impl Ask for ListConfigurations {
    type Reply = Vec<Arc<Configuration>>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Configurations
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        Ok(hub.configurations.all())
    }
}

/// Creates a configuration (no condition), or updates one (with a condition).
#[derive(Clone, Debug)]
pub(crate) struct PutConfiguration {
    /// Which.
    pub(crate) id: String,
    /// What to write.
    pub(crate) body: Box<ConfigurationBody>,
    /// Under which condition.
    pub(crate) if_match: IfMatch,
    /// So many there can be.
    pub(crate) limit: usize,
}

impl Ask for PutConfiguration {
    type Reply = Arc<Configuration>;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Configurations
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { id, body, if_match, limit } = self;
        check::id(&id)?;
        if let Some(named) = body.id.as_deref().filter(|named| *named != id) {
            let text = format!("the body names the configuration `{}` and the path `{id}`", named.escape_debug());
            return Err(invalid(text));
        }
        let mut configuration = if if_match == IfMatch::Absent {
            if hub.configurations.get(&id).is_ok() {
                return Err(exists(&id));
            }
            if hub.configurations.len() >= limit {
                let text = format!("the hub has {limit} configurations, and can have no more");
                return Err(Refusal::new(ErrorCode::ConfigurationCountLimitExceeded, text));
            }
            Configuration::create(hub.last_sequence() + 1, id, *body, now)?
        } else {
            hub.configurations.get(&id)?.updated(*body, &if_match, now)?
        };
        configuration.revision = hub.next_revision();
        let configuration = Arc::new(configuration);
        hub.write(Record::Configuration(configuration.sequence, Some(configuration.clone())), records);
        Ok(configuration)
    }
}

/// Removes a configuration. What it has written stays.
#[derive(Clone, Debug)]
pub(crate) struct DeleteConfiguration {
    /// Which.
    pub(crate) id: String,
    /// Under which condition.
    pub(crate) if_match: IfMatch,
}

impl Ask for DeleteConfiguration {
    type Reply = ();
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Configurations
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, records: &mut Vec<Record>) -> Result<(), Refusal> {
        let current = hub.configurations.get(&self.id)?;
        check_etag(&self.if_match, &current.etag)?;
        hub.write(Record::Configuration(current.sequence, None), records);
        Ok(())
    }
}

/// Takes the evaluation under way, or a new one, a step on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EvaluateConfigurations {
    /// So many twins at most.
    pub(crate) limit: usize,
}

/// How far the evaluation of configurations is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evaluated {
    /// All twins have been seen.
    pub(crate) done: bool,
}

impl Ask for EvaluateConfigurations {
    type Reply = Evaluated;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Configurations
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Evaluated, Refusal> {
        Ok(Evaluated { done: hub.evaluate(self.limit, now, records) })
    }
}

impl Hub {
    /// Takes the evaluation under way, or a new one, over the next `limit` twins. Says whether it is done.
    fn evaluate(&mut self, limit: usize, now: OffsetDateTime, records: &mut Vec<Record>) -> bool {
        let mut evaluation = match self.configurations.evaluation.take() {
            Some(evaluation) => evaluation,
            None => {
                let all = self.configurations.all();
                if all.is_empty() && !self.configurations.leftovers {
                    return true;
                }
                self.configurations.leftovers = false;
                Evaluation::begin(all)
            }
        };
        let there: Vec<u64> = self.configurations.all().iter().map(|configuration| configuration.sequence).collect();
        let is_there = |sequence: u64| there.contains(&sequence);
        match evaluation.collection {
            Collection::Devices => {
                let slice: Vec<Arc<Device>> = self.devices_after(evaluation.after).take(limit).cloned().collect();
                for device in &slice {
                    let value = value_of(device.twin.as_str());
                    let wanted = evaluation.look(&value, is_there);
                    if let Some(twin) = applied(&value, || device.twin(), wanted, now) {
                        let device = device.with_twin(self.next_revision(), &twin);
                        self.write(Record::Device(device.sequence, Some(Arc::new(device))), records);
                    }
                }
                match slice.last() {
                    Some(last) => evaluation.after = last.sequence,
                    None => (evaluation.collection, evaluation.after) = (Collection::Modules, 0),
                }
            }
            _ => {
                let slice: Vec<Arc<Module>> = self.modules.after(evaluation.after).take(limit).cloned().collect();
                for module in &slice {
                    let value = value_of(module.twin.as_str());
                    let wanted = evaluation.look(&value, is_there);
                    if let Some(twin) = applied(&value, || module.twin(), wanted, now) {
                        let module = module.with_twin(self.next_revision(), &twin);
                        self.write(Record::Module(module.sequence, Some(Arc::new(module))), records);
                    }
                }
                match slice.last() {
                    Some(last) => evaluation.after = last.sequence,
                    None => {
                        self.publish(evaluation, records);
                        return true;
                    }
                }
            }
        }
        self.configurations.evaluation = Some(evaluation);
        false
    }

    /// Writes what all metrics came to.
    fn publish(&mut self, evaluation: Evaluation, records: &mut Vec<Record>) {
        for subject in evaluation.subjects {
            let Ok(current) = self.configurations.get(&subject.configuration.id) else { continue };
            if current.sequence != subject.configuration.sequence {
                continue;
            }
            let mut updated = Configuration::clone(current);
            let count = |name: &String| match name.as_str() {
                "targetedCount" => subject.targeted,
                "appliedCount" => subject.applied,
                // No deployment is carried out, so no agent reports about one.
                _ => 0,
            };
            let names = updated.system_metrics.queries.keys();
            updated.system_metrics.results = names.map(|name| (name.clone(), count(name))).collect();
            // A metric that was changed or removed meanwhile waits for the next evaluation.
            let still =
                |name: &String| current.metrics.queries.get(name) == subject.configuration.metrics.queries.get(name);
            updated.metrics.results = subject
                .metrics
                .iter()
                .filter(|(name, ..)| current.metrics.queries.contains_key(name) && still(name))
                .map(|(name, _, count)| (name.clone(), *count))
                .collect();
            if updated != **current {
                updated.revision = self.next_revision();
                self.write(Record::Configuration(updated.sequence, Some(Arc::new(updated))), records);
            }
        }
    }
}
