//! Scheduled jobs: what one is, which there can be, and where they and their outcomes are found (docs: Schedule jobs on multiple
//! devices).
//!
//! Read [`Job`] first. `run` is what carries jobs out, a step at a time; `methods` is how a device's method is called.
mod methods;
mod run;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;
use time::Duration;
use time::OffsetDateTime;

use crate::core::command::{Record, Refusal, Reply};
use crate::core::device::Document;
use crate::core::identity::invalid;
use crate::core::timestamp::timestamp;
use iothub_model::twin::DeviceId;
use iothub_model::twin::OrderedValue;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::jobs::CONDITION_MAX_BYTES;
use iothub_model::wire::jobs::DeviceJobDocument;
use iothub_model::wire::jobs::DeviceJobStatistics;
use iothub_model::wire::jobs::DeviceJobStatus;
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
pub(crate) use methods::{MethodCall, MethodOutcome};

/// A job cannot be planned further ahead.
const START_MAX: Duration = Duration::hours(168);
/// A job that does not say how long it may take may take so many seconds.
const EXECUTION_SECONDS: u64 = 3600;

/// One thing asked about scheduled jobs.
#[derive(Clone, Debug)]
pub enum JobCommand {
    /// Plans a job.
    Create {
        /// Its id.
        id: String,
        /// What it does.
        body: Box<JobBody>,
        /// So many may wait or run at once.
        active_limit: usize,
    },
    /// A job as it is.
    Get {
        /// Which.
        id: String,
    },
    /// All jobs, in order of creation.
    List,
    /// Takes a job back that has not begun.
    Cancel {
        /// Which.
        id: String,
    },
    /// The next outcomes on devices, in order of creation: what a query is asked of, a slice at a time.
    Scan {
        /// The [`DeviceJob::sequence`] of the last one seen; 0 for none.
        after: u64,
        /// So many at most.
        limit: usize,
    },
    /// Takes the jobs whose time has come a step on.
    Run {
        /// So many devices of each at most.
        limit: usize,
    },
    /// Says what came of a method.
    Finish {
        /// The outcome's [`DeviceJob::sequence`].
        device_job: u64,
        /// What came of it.
        outcome: MethodOutcome,
    },
}

impl JobCommand {
    /// Says whether it may change something.
    pub fn writes(&self) -> bool {
        match self {
            Self::Create { .. } | Self::Cancel { .. } | Self::Run { .. } | Self::Finish { .. } => true,
            Self::Get { .. } | Self::List | Self::Scan { .. } => false,
        }
    }
}

/// What a step of the jobs came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobStep {
    /// Methods that are to be called now; each outcome is told by [`JobCommand::Finish`].
    pub calls: Vec<MethodCall>,
    /// There is more to do at once.
    pub more: bool,
    /// There are jobs whose time is to come.
    pub waiting: bool,
}

/// A scheduled job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its place in the order of creation, among all that the hub keeps.
    #[serde(skip)]
    pub sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    #[serde(skip)]
    pub revision: u64,
    /// The job as `GET /jobs/v2/{id}` answers it.
    pub response: JobResponse,
    progress: Progress,
}

/// How far a job is, as the hub keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Progress {
    /// Its time comes.
    Waiting {
        /// Unix seconds.
        due: i64,
    },
    /// It finds its devices.
    Finding {
        /// Unix seconds.
        since: i64,
        /// The last device looked at, by its place.
        after: u64,
        /// The last device that there was when it began.
        through: u64,
    },
    /// It works on the devices that it found.
    Working {
        /// Unix seconds.
        since: i64,
    },
    /// It is over.
    Over {
        /// Unix seconds.
        at: i64,
    },
}

impl Job {
    /// Writes it for the disk.
    pub(crate) fn to_record(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("own types with text as keys are always JSON")
    }

    /// Reads it from the disk.
    pub(crate) fn from_record(sequence: u64, record: &[u8]) -> Result<Self, serde_json::Error> {
        let read: Self = serde_json::from_slice(record)?;
        Ok(Self { sequence, ..read })
    }

    fn is_over(&self) -> bool {
        self.response.status.is_over()
    }
}

/// A job's outcome on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceJob {
    /// Its place in the order of creation, among all that the hub keeps.
    pub sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    pub revision: u64,
    /// The job's id.
    pub job: String,
    /// The device.
    pub device: DeviceId,
    /// How far it is.
    pub status: DeviceJobStatus,
    /// The outcome as a query of `devices.jobs` answers it.
    pub document: Document,
}

impl DeviceJob {
    fn new(sequence: u64, revision: u64, device: DeviceId, document: &DeviceJobDocument) -> Self {
        Self {
            sequence,
            revision,
            job: document.job_id.clone(),
            device,
            status: document.status,
            document: Document::of(document),
        }
    }

    fn document(&self) -> DeviceJobDocument {
        serde_json::from_str(self.document.as_str())
            .expect("written by DeviceJob::new, or read by DeviceJob::from_record")
    }

    /// Reads it from the disk.
    pub(crate) fn from_record(sequence: u64, record: &[u8]) -> Result<Self, serde_json::Error> {
        let document: DeviceJobDocument = serde_json::from_slice(record)?;
        let device = document.device_id.parse().map_err(serde::de::Error::custom)?;
        Ok(Self::new(sequence, 0, device, &document))
    }
}

/// All jobs, and their outcomes.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    by_sequence: BTreeMap<u64, Arc<Job>>,
    by_id: HashMap<String, u64>,
    device_jobs: BTreeMap<u64, Arc<DeviceJob>>,
    of_job: HashMap<String, BTreeSet<u64>>,
    /// Those of `of_job` that are not over.
    open: HashMap<String, BTreeSet<u64>>,
    /// Methods that were asked for and whose outcome is to come. Not kept over a restart: what was under way then is failed.
    called: HashSet<u64>,
    /// The latest revision that changed any of it.
    pub(crate) latest: u64,
}

impl Jobs {
    fn get(&self, id: &str) -> Option<&Arc<Job>> {
        self.by_sequence.get(self.by_id.get(id)?)
    }

    pub(crate) fn put(&mut self, job: Arc<Job>) {
        self.latest = self.latest.max(job.revision);
        self.by_id.insert(job.response.job_id.clone(), job.sequence);
        self.by_sequence.insert(job.sequence, job);
    }

    pub(crate) fn remove(&mut self, sequence: u64, revision: u64) {
        self.latest = self.latest.max(revision);
        if let Some(job) = self.by_sequence.remove(&sequence) {
            self.by_id.remove(&job.response.job_id);
        }
    }

    pub(crate) fn put_device_job(&mut self, it: Arc<DeviceJob>) {
        self.latest = self.latest.max(it.revision);
        self.of_job.entry(it.job.clone()).or_default().insert(it.sequence);
        match it.status {
            DeviceJobStatus::Scheduled | DeviceJobStatus::Running => {
                self.open.entry(it.job.clone()).or_default().insert(it.sequence);
            }
            DeviceJobStatus::Completed | DeviceJobStatus::Failed => take(&mut self.open, &it.job, it.sequence),
        }
        self.device_jobs.insert(it.sequence, it);
    }

    pub(crate) fn remove_device_job(&mut self, sequence: u64, revision: u64) {
        self.latest = self.latest.max(revision);
        if let Some(it) = self.device_jobs.remove(&sequence) {
            take(&mut self.of_job, &it.job, sequence);
            take(&mut self.open, &it.job, sequence);
        }
    }

    /// Decides what a command comes to that is about jobs themselves. `sequence` and `revision` are those of what would be new.
    pub(crate) fn decide(
        &self,
        command: JobCommand,
        sequence: u64,
        revision: u64,
        now: OffsetDateTime,
    ) -> Result<(Reply, Option<Record>), Refusal> {
        match command {
            JobCommand::Create { id, body, active_limit } => {
                let (response, due) = self.plan(&id, *body, now)?;
                let active = self.by_sequence.values().filter(|job| !job.is_over()).count();
                if active >= active_limit {
                    let text = format!("{active} jobs wait or run, and the hub takes {active_limit} at once");
                    return Err(Refusal::new(ErrorCode::ThrottlingMaxActiveJobCountExceeded, text));
                }
                let progress = Progress::Waiting { due: due.unix_timestamp() };
                Ok(put(Job { sequence, revision, response, progress }))
            }
            JobCommand::Get { id } => Ok((Reply::Job(self.get(&id).cloned()), None)),
            JobCommand::List => Ok((Reply::Jobs(self.by_sequence.values().cloned().collect()), None)),
            JobCommand::Cancel { id } => {
                let missing =
                    || Refusal::new(ErrorCode::JobNotFound, format!("there is no job `{}`", id.escape_debug()));
                let job = self.get(&id).ok_or_else(missing)?;
                if !matches!(job.response.status, JobStatus::Queued | JobStatus::Scheduled) {
                    let text =
                        format!("the job is {}, and only one that waits can be cancelled", job.response.status.name());
                    return Err(Refusal::new(ErrorCode::OperationNotAllowedInCurrentState, text));
                }
                let mut job = Job { revision, ..Job::clone(job) };
                job.end(JobStatus::Cancelled, None, now);
                Ok(put(job))
            }
            JobCommand::Scan { after, limit } => {
                let next = self.device_jobs.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
                Ok((Reply::DeviceJobs(next.take(limit).map(|(_, it)| it.clone()).collect()), None))
            }
            JobCommand::Run { .. } | JobCommand::Finish { .. } => unreachable!("done step by step"),
        }
    }

    /// Reads what a PUT says: the job, and when it begins.
    fn plan(&self, id: &str, body: JobBody, now: OffsetDateTime) -> Result<(JobResponse, OffsetDateTime), Refusal> {
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

fn put(job: Job) -> (Reply, Option<Record>) {
    let job = Arc::new(job);
    (Reply::Job(Some(job.clone())), Some(Record::Job(job.sequence, Some(job))))
}

fn take(index: &mut HashMap<String, BTreeSet<u64>>, job: &str, sequence: u64) {
    if let Some(of) = index.get_mut(job) {
        of.remove(&sequence);
        if of.is_empty() {
            index.remove(job);
        }
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
    if twin.as_object().and_then(|twin| twin.get("etag")).and_then(OrderedValue::as_str) != Some("*") {
        let text = "a job overwrites whatever is there, so the etag of its updateTwin must be \"*\"";
        return Err(Refusal::new(ErrorCode::PreconditionFailed, text));
    }
    TwinBody::decode(twin.clone()).map_err(|error| invalid(format!("updateTwin: {error}")))?;
    Ok(twin)
}

impl Job {
    fn end(&mut self, status: JobStatus, failure_reason: Option<String>, now: OffsetDateTime) {
        self.response.status = status;
        self.response.failure_reason = failure_reason;
        self.response.end_time = Some(timestamp(now));
        self.progress = Progress::Over { at: now.unix_timestamp() };
    }
}
