//! Jobs, their outcome on each device, and the collection of both.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;
use time::OffsetDateTime;

use crate::core::document::Document;
use crate::core::jobs::methods::JobMethodCall;
use crate::core::timestamp::timestamp;
use iothub_model::twin::DeviceId;
use iothub_model::wire::jobs::DeviceJobDocument;
use iothub_model::wire::jobs::DeviceJobStatus;
use iothub_model::wire::jobs::JobResponse;
use iothub_model::wire::jobs::JobStatus;

/// What a step of the jobs came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct JobStep {
    /// Methods that are to be called now; each outcome is told by `FinishDeviceJob`.
    pub(crate) calls: Vec<JobMethodCall>,
    /// There is more to do at once.
    pub(crate) more: bool,
    /// There are jobs whose time is to come.
    pub(crate) waiting: bool,
}

/// A scheduled job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    /// Its place in the order of creation, among all that the hub keeps.
    #[serde(skip)]
    pub(crate) sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    #[serde(skip)]
    pub(crate) revision: u64,
    /// The job as `GET /jobs/v2/{id}` answers it.
    pub(crate) response: JobResponse,
    pub(in crate::core) progress: Progress,
}

/// How far a job is, as the hub keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::core) enum Progress {
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

    pub(in crate::core) fn is_over(&self) -> bool {
        self.response.status.is_over()
    }
}

/// A job's outcome on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceJob {
    /// Its place in the order of creation, among all that the hub keeps.
    pub(crate) sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    pub(crate) revision: u64,
    /// The job's id.
    pub(crate) job: String,
    /// The device.
    pub(crate) device: DeviceId,
    /// How far it is.
    pub(crate) status: DeviceJobStatus,
    /// The outcome as a query of `devices.jobs` answers it.
    pub(crate) document: Document,
}

impl DeviceJob {
    pub(in crate::core) fn new(sequence: u64, revision: u64, device: DeviceId, document: &DeviceJobDocument) -> Self {
        Self {
            sequence,
            revision,
            job: document.job_id.clone(),
            device,
            status: document.status,
            document: Document::of(document),
        }
    }

    pub(in crate::core) fn document(&self) -> DeviceJobDocument {
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
    pub(in crate::core) by_sequence: BTreeMap<u64, Arc<Job>>,
    pub(in crate::core) by_id: HashMap<String, u64>,
    pub(in crate::core) device_jobs: BTreeMap<u64, Arc<DeviceJob>>,
    pub(in crate::core) of_job: HashMap<String, BTreeSet<u64>>,
    /// Those of `of_job` that are not over.
    pub(in crate::core) open: HashMap<String, BTreeSet<u64>>,
    /// Methods that were asked for and whose outcome is to come. Not kept over a restart: what was under way then is failed.
    pub(in crate::core) called: HashSet<u64>,
    /// The latest revision that changed any of it.
    pub(crate) latest: u64,
}

impl Jobs {
    pub(in crate::core) fn get(&self, id: &str) -> Option<&Arc<Job>> {
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
}

fn take(index: &mut HashMap<String, BTreeSet<u64>>, job: &str, sequence: u64) {
    if let Some(of) = index.get_mut(job) {
        of.remove(&sequence);
        if of.is_empty() {
            index.remove(job);
        }
    }
}

impl Job {
    pub(in crate::core) fn end(&mut self, status: JobStatus, failure_reason: Option<String>, now: OffsetDateTime) {
        self.response.status = status;
        self.response.failure_reason = failure_reason;
        self.response.end_time = Some(timestamp(now));
        self.progress = Progress::Over { at: now.unix_timestamp() };
    }
}
