//! Scheduled jobs as JSON: `/jobs/v2/{id}`, and their outcome on one device.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::names::json_names;
use super::raw_json::RawJson;
use super::{encode_segment, lenient, numbers};
use crate::twin::OrderedValue;

/// Where scheduled jobs are queried.
pub const QUERY_PATH: &str = "/jobs/v2/query";
/// Characters of a job's id, at most.
pub const JOB_ID_MAX_CHARS: usize = 64;
/// Bytes of a job's condition, at most.
pub const CONDITION_MAX_BYTES: usize = 8192;

/// Returns the path of a scheduled job.
pub fn job_path(id: &str) -> String {
    format!("/jobs/v2/{}", encode_segment(id))
}

/// What a scheduled job does on each device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobType {
    /// Merges into its twin.
    ScheduleUpdateTwin,
    /// Calls a method.
    ScheduleDeviceMethod,
}

json_names! { JobType, "job type", {
    "scheduleUpdateTwin" => ScheduleUpdateTwin,
    "scheduleDeviceMethod" => ScheduleDeviceMethod,
} }

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// It waits for its turn.
    Queued,
    /// It waits for its time.
    Scheduled,
    /// It is at work.
    Running,
    /// It has done what it could; some devices may have failed.
    Completed,
    /// It could not go on.
    Failed,
    /// Somebody cancelled it before it began.
    Cancelled,
}

json_names! { JobStatus, "job status", {
    "queued" => Queued,
    "scheduled" => Scheduled,
    "running" => Running,
    "completed" => Completed,
    "failed" => Failed,
    "cancelled" => Cancelled,
} }

impl JobStatus {
    /// Says whether nothing more will come of it.
    pub fn is_over(self) -> bool {
        match self {
            Self::Queued | Self::Scheduled | Self::Running => false,
            Self::Completed | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// A job as a PUT sends it and as the service reads it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobBody {
    /// The id, which must be the path's where it is given.
    pub job_id: Option<String>,
    /// A [`JobType`]'s name.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// A method's name, payload and timeouts.
    pub cloud_to_device_method: Option<RawJson>,
    /// A twin to merge, with the etag `*`.
    #[serde(default, deserialize_with = "as_the_service_reads")]
    pub update_twin: Option<OrderedValue>,
    /// Which devices, as a condition without `WHERE`.
    pub query_condition: Option<String>,
    /// Not before.
    pub start_time: Option<String>,
    /// For so long at most.
    #[serde(default, deserialize_with = "lenient::option")]
    pub max_execution_time_in_seconds: Option<u64>,
}

/// Reads JSON with its numbers as the service reads them.
fn as_the_service_reads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OrderedValue>, D::Error> {
    let Some(raw) = Option::<RawJson>::deserialize(deserializer)? else { return Ok(None) };
    let text = numbers::as_the_service_reads(raw.as_str().as_bytes()).map_err(D::Error::custom)?;
    serde_json::from_slice(&text).map(Some).map_err(D::Error::custom)
}

/// A job as the service answers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobResponse {
    /// The id.
    pub job_id: String,
    /// Which devices.
    pub query_condition: String,
    /// When it was made.
    pub created_time: String,
    /// When it was to begin.
    pub start_time: String,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// For so long at most.
    pub max_execution_time_in_seconds: u64,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: JobType,
    /// A method's name, payload and timeouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_to_device_method: Option<RawJson>,
    /// The twin that is merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_twin: Option<OrderedValue>,
    /// How far it is.
    pub status: JobStatus,
    /// Why it could not go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
    /// How many devices are how far.
    pub device_job_statistics: DeviceJobStatistics,
}

/// How many devices are how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceJobStatistics {
    /// All.
    pub device_count: u64,
    /// Those that failed.
    pub failed_count: u64,
    /// Those that are done.
    pub succeeded_count: u64,
    /// Those that are being worked on.
    pub running_count: u64,
    /// Those that wait.
    pub pending_count: u64,
}

/// How far a job is on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceJobStatus {
    /// It waits.
    Scheduled,
    /// It is under way.
    Running,
    /// It is done.
    Completed,
    /// It was refused.
    Failed,
}

json_names! { DeviceJobStatus, "status of a job on a device", {
    "scheduled" => Scheduled,
    "running" => Running,
    "completed" => Completed,
    "failed" => Failed,
} }

/// A job's outcome on one device, as `SELECT * FROM devices.jobs` answers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceJobDocument {
    /// The device.
    pub device_id: String,
    /// The job.
    pub job_id: String,
    /// What the job does.
    pub job_type: JobType,
    /// How far it is.
    pub status: DeviceJobStatus,
    /// When the device had its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time_utc: Option<String>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time_utc: Option<String>,
    /// When the device was found.
    pub created_date_time_utc: String,
    /// When anything of this last changed.
    pub last_updated_date_time_utc: String,
    /// What came of it: `deviceMethodResponse` for a method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RawJson>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<DeviceJobError>,
}

/// Why a job was refused on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceJobError {
    /// A code's name.
    pub code: String,
    /// In words.
    pub description: String,
}

/// Reads a time as clients send it: ISO 8601, in UTC where it does not say.
pub fn parse_time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().or_else(|| {
        let utc = format!("{text}Z");
        let has_offset = PrimitiveDateTime::parse(&utc, &Rfc3339).is_err();
        if has_offset { None } else { OffsetDateTime::parse(&utc, &Rfc3339).ok() }
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_with_and_without_an_offset() {
        for (text, expected) in [
            ("2026-01-02T03:04:05Z", Some(datetime!(2026-01-02 03:04:05 UTC))),
            ("2026-01-02T03:04:05.123456Z", Some(datetime!(2026-01-02 03:04:05.123456 UTC))),
            ("2026-01-02T03:04:05+01:00", Some(datetime!(2026-01-02 02:04:05 UTC))),
            ("2026-01-02T03:04:05", Some(datetime!(2026-01-02 03:04:05 UTC))),
            ("2026-01-02T03:04:05.5", Some(datetime!(2026-01-02 03:04:05.5 UTC))),
            ("2026-01-02", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
    }
}
