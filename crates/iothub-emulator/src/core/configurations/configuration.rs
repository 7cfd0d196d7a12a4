//! One configuration, as clients and the disk have it.

use indexmap::IndexMap;
use serde::Deserialize;
use serde::Serialize;
use time::OffsetDateTime;

use crate::core::command::{Refusal, check_etag};
use crate::core::configurations::check::{Checked, metric};
use crate::core::identity::{counter_of, etag_of, is_count, next_etag};
use crate::core::timestamp::timestamp;
use iothub_model::twin::ETag;
use iothub_model::twin::IfMatch;
use iothub_model::twin::OrderedObject;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::configurations::CONTENT_NAMES;
use iothub_model::wire::configurations::ConfigurationBody;
use iothub_model::wire::configurations::Metrics;
use iothub_model::wire::members::with_names;

/// A configuration as `GET /configurations/{id}` answers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Configuration {
    /// Its place in the order of creation, among all that the hub keeps.
    #[serde(skip)]
    pub(crate) sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    #[serde(skip)]
    pub(crate) revision: u64,
    /// Its id.
    pub(crate) id: String,
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
    pub(crate) etag: ETag,
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

impl Configuration {
    /// Makes a new one of what a PUT says.
    pub(in crate::core) fn create(
        sequence: u64,
        id: String,
        body: ConfigurationBody,
        now: OffsetDateTime,
    ) -> Result<Self, Refusal> {
        let content = with_names(body.content.clone().ok_or_else(no_content)?, &CONTENT_NAMES);
        let now = timestamp(now);
        let mut configuration = Self {
            sequence,
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

    /// Returns it as a PUT under a condition makes it.
    pub(in crate::core) fn updated(
        &self,
        body: ConfigurationBody,
        if_match: &IfMatch,
        now: OffsetDateTime,
    ) -> Result<Self, Refusal> {
        // The service takes an etag without quotes for none, and so the update for a creation.
        if matches!(if_match, IfMatch::Unquoted(_)) {
            return Err(exists(&self.id));
        }
        check_etag(if_match, &self.etag)?;
        if body.content.is_none() {
            return Err(no_content());
        }
        let mut configuration = self.clone();
        configuration.take(body)?;
        configuration.last_updated_time_utc = timestamp(now);
        configuration.etag = next_etag(&self.etag);
        Ok(configuration)
    }

    /// Takes over all of a body but its content, which never changes: another one is passed over without a word.
    fn take(&mut self, body: ConfigurationBody) -> Result<(), Refusal> {
        let ConfigurationBody { id: _, schema_version, labels, content: _, target_condition, priority, metrics } = body;
        let target_condition = target_condition.unwrap_or_default();
        let checked = Checked::of(&self.content, &target_condition)?;
        let queries = metrics.and_then(|metrics| metrics.queries).unwrap_or_default();
        for (name, query) in &queries {
            metric(query).map_err(|problem| {
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

pub(in crate::core) fn exists(id: &str) -> Refusal {
    let text =
        format!("the configuration `{id}` is there already; an update needs an If-Match header with a quoted etag");
    Refusal::new(ErrorCode::ConfigurationAlreadyExists, text)
}

fn no_content() -> Refusal {
    Refusal::new(ErrorCode::InvalidConfigurationContent, "the body has no content")
}
