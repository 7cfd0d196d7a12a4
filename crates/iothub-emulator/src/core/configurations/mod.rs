//! Automatic device configurations: what one is, who may change what of it, and where all are found (docs: Automatic device and
//! module management using the Azure portal).
//!
//! Read [`Configuration`] first. `check` says which contents, conditions and metrics there can be; `evaluation` is what makes
//! them true in the twins, a slice of the fleet at a time.

mod apply;
mod check;
mod evaluation;

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;
use serde::Serialize;
use time::OffsetDateTime;

use crate::core::command::{Record, Refusal, Reply};
use crate::core::identity::{counter_of, etag_of, invalid, is_count};
use crate::core::state::check_etag;
use crate::core::timestamp::timestamp;
use check::Checked;
use evaluation::Evaluation;
use iothub_model::twin::DeviceId;
use iothub_model::twin::ETag;
use iothub_model::twin::IfMatch;
use iothub_model::twin::OrderedObject;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::configurations::CONTENT_NAMES;
use iothub_model::wire::configurations::ConfigurationBody;
use iothub_model::wire::configurations::Metrics;
use iothub_model::wire::members::with_names;

pub(crate) use check::test_queries;

/// One thing asked about configurations.
#[derive(Clone, Debug)]
pub enum ConfigurationCommand {
    /// A configuration as it is.
    Get {
        /// Which.
        id: String,
    },
    /// All of them, in order of creation.
    List,
    /// Creates one (no condition), or updates one (with a condition).
    Put {
        /// Which.
        id: String,
        /// What to write.
        body: Box<ConfigurationBody>,
        /// Under which condition.
        if_match: IfMatch,
        /// So many there can be.
        limit: usize,
    },
    /// Removes one. What it has written stays.
    Delete {
        /// Which.
        id: String,
        /// Under which condition.
        if_match: IfMatch,
    },
    /// Applies content to one edge device at once.
    Apply {
        /// The device.
        device: DeviceId,
        /// The content, as a configuration has it.
        content: OrderedObject,
    },
    /// Takes the evaluation under way, or a new one, a step on.
    Evaluate {
        /// So many twins at most.
        limit: usize,
    },
}

impl ConfigurationCommand {
    /// Says whether it may change something.
    pub fn writes(&self) -> bool {
        match self {
            Self::Put { .. } | Self::Delete { .. } | Self::Apply { .. } | Self::Evaluate { .. } => true,
            Self::Get { .. } | Self::List => false,
        }
    }
}

/// A configuration as `GET /configurations/{id}` answers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// Its place in the order of creation, among all that the hub keeps.
    #[serde(skip)]
    pub sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    #[serde(skip)]
    pub revision: u64,
    /// Its id.
    pub id: String,
    schema_version: Option<String>,
    labels: Option<IndexMap<String, String>>,
    pub(crate) content: OrderedObject,
    pub(crate) target_condition: String,
    created_time_utc: String,
    last_updated_time_utc: String,
    pub(crate) priority: i64,
    pub(crate) system_metrics: Metrics,
    pub(crate) metrics: Metrics,
    /// Its etag.
    pub etag: ETag,
}

impl Configuration {
    /// Writes it for clients and for the disk.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("own types with text as keys are always JSON")
    }

    /// Reads it from the disk, and looks that it is what this program writes.
    pub(crate) fn from_record(sequence: u64, record: &[u8]) -> Result<Self, serde_json::Error> {
        let mut read = Self { sequence, ..serde_json::from_slice(record)? };
        match Checked::of(&read.content, &read.target_condition) {
            Ok(checked) if counter_of(&read.etag).is_some_and(is_count) => read.set_system_queries(&checked),
            _ => return Err(serde::de::Error::custom("a configuration that this program does not write")),
        }
        Ok(read)
    }
}

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

    /// Decides what a command comes to that is about configurations themselves. `sequence` and `revision` are those of what
    /// would be new.
    pub(crate) fn decide(
        &self,
        command: ConfigurationCommand,
        sequence: u64,
        revision: u64,
        now: OffsetDateTime,
    ) -> Result<(Reply, Option<Record>), Refusal> {
        match command {
            ConfigurationCommand::Get { id } => Ok((Reply::Configuration(self.get(&id)?.clone()), None)),
            ConfigurationCommand::List => Ok((Reply::Configurations(self.all()), None)),
            ConfigurationCommand::Put { id, body, if_match, limit } => {
                check::id(&id)?;
                if let Some(named) = body.id.as_deref().filter(|named| *named != id) {
                    let text =
                        format!("the body names the configuration `{}` and the path `{id}`", named.escape_debug());
                    return Err(invalid(text));
                }
                let configuration = match if_match {
                    IfMatch::Absent => self.create(id, *body, limit, now)?,
                    if_match => self.update(&id, *body, &if_match, now)?,
                };
                let sequence = if configuration.sequence == 0 { sequence } else { configuration.sequence };
                let configuration = Arc::new(Configuration { sequence, revision, ..configuration });
                Ok((
                    Reply::Configuration(configuration.clone()),
                    Some(Record::Configuration(sequence, Some(configuration))),
                ))
            }
            ConfigurationCommand::Delete { id, if_match } => {
                let current = self.get(&id)?;
                check_etag(&if_match, &current.etag)?;
                Ok((Reply::Deleted, Some(Record::Configuration(current.sequence, None))))
            }
            ConfigurationCommand::Apply { .. } | ConfigurationCommand::Evaluate { .. } => {
                unreachable!("done elsewhere")
            }
        }
    }

    fn create(
        &self,
        id: String,
        body: ConfigurationBody,
        limit: usize,
        now: OffsetDateTime,
    ) -> Result<Configuration, Refusal> {
        if self.by_id.contains_key(&id) {
            return Err(exists(&id));
        }
        if self.by_id.len() >= limit {
            let text = format!("the hub has {limit} configurations, and can have no more");
            return Err(Refusal::new(ErrorCode::ConfigurationCountLimitExceeded, text));
        }
        let content = with_names(body.content.clone().ok_or_else(no_content)?, &CONTENT_NAMES);
        let now = timestamp(now);
        let mut configuration = Configuration {
            sequence: 0,
            revision: 0,
            id,
            schema_version: None,
            labels: None,
            content,
            target_condition: String::new(),
            created_time_utc: now.clone(),
            last_updated_time_utc: now,
            priority: 0,
            system_metrics: Metrics::default(),
            metrics: Metrics::default(),
            etag: etag_of(1),
        };
        configuration.take(body)?;
        Ok(configuration)
    }

    fn update(
        &self,
        id: &str,
        body: ConfigurationBody,
        if_match: &IfMatch,
        now: OffsetDateTime,
    ) -> Result<Configuration, Refusal> {
        // The service takes an etag without quotes for none, and so the update for a creation.
        if matches!(if_match, IfMatch::Unquoted(_)) {
            self.get(id)?;
            return Err(exists(id));
        }
        let current = self.get(id)?;
        check_etag(if_match, &current.etag)?;
        if body.content.is_none() {
            return Err(no_content());
        }
        let mut configuration = Configuration::clone(current);
        configuration.take(body)?;
        configuration.last_updated_time_utc = timestamp(now);
        configuration.etag = etag_of(counter_of(&current.etag).unwrap_or(0) + 1);
        Ok(configuration)
    }
}

impl Configuration {
    /// Takes over all of a body but its content, which never changes: another one is passed over without a word.
    fn take(&mut self, body: ConfigurationBody) -> Result<(), Refusal> {
        let ConfigurationBody { id: _, schema_version, labels, content: _, target_condition, priority, metrics } = body;
        let target_condition = target_condition.unwrap_or_default();
        let checked = Checked::of(&self.content, &target_condition)?;
        let queries = metrics.and_then(|metrics| metrics.queries).unwrap_or_default();
        for (name, query) in &queries {
            check::metric(query).map_err(|problem| {
                let text = format!("the metric `{}`: {problem}", name.escape_debug());
                Refusal::new(ErrorCode::InvalidConfigurationCustomMetricsQuery, text)
            })?;
        }
        self.metrics.set_queries(queries);
        self.schema_version = schema_version;
        self.labels = labels;
        self.target_condition = target_condition;
        self.priority = priority.unwrap_or(0);
        self.set_system_queries(&checked);
        Ok(())
    }

    /// Takes over the queries of the metrics that every configuration has, which follow from its condition.
    fn set_system_queries(&mut self, checked: &Checked) {
        let queries = checked.system_queries(&self.id, &self.target_condition);
        self.system_metrics.set_queries(queries);
    }
}

fn exists(id: &str) -> Refusal {
    let text =
        format!("the configuration `{id}` is there already; an update needs an If-Match header with a quoted etag");
    Refusal::new(ErrorCode::ConfigurationAlreadyExists, text)
}

fn no_content() -> Refusal {
    Refusal::new(ErrorCode::InvalidConfigurationContent, "the body has no content")
}
