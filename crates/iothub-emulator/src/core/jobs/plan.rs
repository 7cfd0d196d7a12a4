//! Which jobs there can be.

use time::Duration;
use time::OffsetDateTime;

use crate::core::command::{Refusal, invalid};
use crate::core::jobs::job::Jobs;
use crate::core::timestamp::timestamp;
use iothub_model::twin::IfMatch;
use iothub_model::twin::OrderedValue;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::jobs::CONDITION_MAX_BYTES;
use iothub_model::wire::jobs::DeviceJobStatistics;
use iothub_model::wire::jobs::JOB_ID_MAX_CHARS;
use iothub_model::wire::jobs::JobBody;
use iothub_model::wire::jobs::JobResponse;
use iothub_model::wire::jobs::JobStatus;
use iothub_model::wire::jobs::JobType;
use iothub_model::wire::jobs::parse_time;
use iothub_model::wire::members;
use iothub_model::wire::members::with_names;
use iothub_model::wire::methods::MethodBody;
use iothub_model::wire::raw_json::RawJson;
use iothub_model::wire::twins::TwinBody;

/// A job cannot be planned further ahead.
const START_MAX: Duration = Duration::hours(168);
/// A job that does not say how long it may take may take so many seconds.
const EXECUTION_SECONDS: u64 = 3600;

impl Jobs {
    /// Reads what a PUT says: the job, and when it begins.
    pub(in crate::core) fn plan(
        &self,
        id: &str,
        body: JobBody,
        now: OffsetDateTime,
    ) -> Result<(JobResponse, OffsetDateTime), Refusal> {
        let JobBody {
            job_id,
            kind,
            cloud_to_device_method,
            update_twin,
            query_condition,
            start_time,
            max_execution_time_in_seconds,
        } = body;
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '\'';
        if !(1..=JOB_ID_MAX_CHARS).contains(&id.len()) || !id.chars().all(allowed) {
            return Err(invalid(format!(
                "`{}` is not a job's id, which has 1 to {JOB_ID_MAX_CHARS} letters, digits, - and '",
                id.escape_debug()
            )));
        }
        if let Some(named) = job_id.filter(|named| named != id) {
            return Err(invalid(format!("the body names the job `{}` and the path `{id}`", named.escape_debug())));
        }
        let unknown = |kind: Option<&str>| {
            let text = format!("`{}` is no type of a job", kind.unwrap_or_default().escape_debug());
            Refusal::new(ErrorCode::GenericBadRequest, text)
        };
        let kind = kind.as_deref().and_then(JobType::from_name).ok_or_else(|| unknown(kind.as_deref()))?;
        let null = |what: &str| Refusal::new(ErrorCode::ArgumentNull, format!("the job has no {what}"));
        let query_condition = query_condition.filter(|condition| !condition.trim().is_empty());
        let query_condition = query_condition.ok_or_else(|| null("queryCondition"))?;
        if query_condition.len() > CONDITION_MAX_BYTES {
            // The service says so in words that have nothing to do with it.
            let text = format!("the queryCondition has {} bytes", query_condition.len());
            return Err(Refusal::new(ErrorCode::PreconditionFailed, text));
        }
        let (cloud_to_device_method, update_twin) = match kind {
            JobType::ScheduleUpdateTwin => (None, Some(check_twin(update_twin.ok_or_else(|| null("updateTwin"))?)?)),
            JobType::ScheduleDeviceMethod => {
                let method = cloud_to_device_method.ok_or_else(|| null("cloudToDeviceMethod"))?;
                // What else is wrong with it is found out when it is called.
                let method = match members::read::<MethodBody>(method.as_str().as_bytes()) {
                    Ok(body) if body.method_name.as_deref().is_none_or(str::is_empty) => {
                        return Err(null("methodName"));
                    }
                    Ok(body) => RawJson::of(&body),
                    Err(_) => method,
                };
                (Some(method), None)
            }
        };
        let due = match start_time.as_deref() {
            None => now,
            Some(text) => parse_time(text)
                .ok_or_else(|| invalid(format!("the startTime `{}` is no time in ISO 8601", text.escape_debug())))?,
        };
        if due - now > START_MAX {
            return Err(invalid(format!("the startTime is more than {} hours ahead", START_MAX.whole_hours())));
        }
        let seconds = max_execution_time_in_seconds.unwrap_or(EXECUTION_SECONDS);
        if seconds == 0 {
            return Err(invalid("maxExecutionTimeInSeconds is 0"));
        }
        if self.by_id.contains_key(id) {
            return Err(Refusal::new(ErrorCode::JobAlreadyExists, format!("a job with ID '{id}' is there already")));
        }
        let response = JobResponse {
            job_id: id.to_owned(),
            query_condition,
            created_time: timestamp(now),
            start_time: timestamp(due.max(now)),
            end_time: None,
            max_execution_time_in_seconds: seconds,
            kind,
            cloud_to_device_method,
            update_twin,
            status: JobStatus::Queued,
            failure_reason: None,
            status_message: None,
            device_job_statistics: DeviceJobStatistics::default(),
        };
        Ok((response, due))
    }
}

/// Looks at the twin of a job: it overwrites, so the service wants it to say so.
fn check_twin(twin: OrderedValue) -> Result<OrderedValue, Refusal> {
    let twin = match twin {
        OrderedValue::Object(twin) => {
            let mut twin = with_names(twin, &["etag", "tags", "properties"]);
            if let Some(properties) = twin.get_mut("properties").and_then(OrderedValue::as_object_mut) {
                *properties = with_names(std::mem::take(properties), &["desired", "reported"]);
            }
            OrderedValue::Object(twin)
        }
        other => other,
    };
    let etag = twin.as_object().and_then(|twin| twin.get("etag")).and_then(OrderedValue::as_str);
    if IfMatch::of_body(etag) != IfMatch::Any {
        let text = "a job overwrites whatever is there, so the etag of its updateTwin must be \"*\"";
        return Err(Refusal::new(ErrorCode::PreconditionFailed, text));
    }
    TwinBody::decode(twin.clone()).map_err(|error| invalid(format!("updateTwin: {error}")))?;
    Ok(twin)
}
