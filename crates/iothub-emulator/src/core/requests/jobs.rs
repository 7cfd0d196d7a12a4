//! What can be asked about scheduled jobs.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::ask::{Ask, Subject};
use crate::core::command::Refusal;
use crate::core::jobs::job::{DeviceJob, Job, Progress};
use crate::core::record::Record;
use crate::core::state::Hub;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::jobs::JobBody;
use iothub_model::wire::jobs::JobStatus;

/// Plans a job.
#[derive(Clone, Debug)]
pub(crate) struct CreateJob {
    /// Its id.
    pub(crate) id: String,
    /// What it does.
    pub(crate) body: Box<JobBody>,
    /// So many may wait or run at once.
    pub(crate) active_limit: usize,
}

impl Ask for CreateJob {
    type Reply = Arc<Job>;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Jobs
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Arc<Job>, Refusal> {
        let Self { id, body, active_limit } = self;
        let (response, due) = hub.jobs.plan(&id, *body, now)?;
        let active = hub.jobs.by_sequence.values().filter(|job| !job.is_over()).count();
        if active >= active_limit {
            let text = format!("{active} jobs wait or run, and the hub takes {active_limit} at once");
            return Err(Refusal::new(ErrorCode::ThrottlingMaxActiveJobCountExceeded, text));
        }
        let progress = Progress::Waiting { due: due.unix_timestamp() };
        Ok(hub.write_job(Job { sequence: hub.last_sequence() + 1, revision: 0, response, progress }, records))
    }
}

/// A job as it is, if there is one.
#[derive(Clone, Debug)]
pub(crate) struct GetJob {
    /// Which.
    pub(crate) id: String,
}

impl Ask for GetJob {
    type Reply = Option<Arc<Job>>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Jobs
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        Ok(hub.jobs.get(&self.id).cloned())
    }
}

/// All jobs, in order of creation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListJobs;

impl Ask for ListJobs {
    type Reply = Vec<Arc<Job>>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Jobs
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        Ok(hub.jobs.by_sequence.values().cloned().collect())
    }
}

/// Takes a job back that has not begun.
#[derive(Clone, Debug)]
pub(crate) struct CancelJob {
    /// Which.
    pub(crate) id: String,
}

impl Ask for CancelJob {
    type Reply = Arc<Job>;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Jobs
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Arc<Job>, Refusal> {
        let id = &self.id;
        let missing = || Refusal::new(ErrorCode::JobNotFound, format!("there is no job `{}`", id.escape_debug()));
        let job = hub.jobs.get(id).ok_or_else(missing)?;
        if !matches!(job.response.status, JobStatus::Queued | JobStatus::Scheduled) {
            let text = format!("the job is {}, and only one that waits can be cancelled", job.response.status.name());
            return Err(Refusal::new(ErrorCode::OperationNotAllowedInCurrentState, text));
        }
        let mut job = Job::clone(job);
        job.end(JobStatus::Cancelled, None, now);
        Ok(hub.write_job(job, records))
    }
}

/// The next outcomes on devices, in order of creation: what a query is asked of, a slice at a time.
#[derive(Clone, Debug)]
pub(crate) struct ScanDeviceJobs {
    /// The [`DeviceJob::sequence`] of the last one seen; 0 for none.
    pub(crate) after: u64,
    /// So many at most.
    pub(crate) limit: usize,
}

impl Ask for ScanDeviceJobs {
    type Reply = Vec<Arc<DeviceJob>>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Jobs
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let next = hub.jobs.device_jobs.range((std::ops::Bound::Excluded(self.after), std::ops::Bound::Unbounded));
        Ok(next.take(self.limit).map(|(_, it)| it.clone()).collect())
    }
}

impl Hub {
    /// Writes a job as it is to be, and returns it.
    pub(in crate::core) fn write_job(&mut self, job: Job, records: &mut Vec<Record>) -> Arc<Job> {
        let job = Arc::new(Job { revision: self.next_revision(), ..job });
        self.write(Record::Job(job.sequence, Some(job.clone())), records);
        job
    }
}
