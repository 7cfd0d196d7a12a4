//! Carrying jobs out, a bounded step at a time.
//!
//! A job first finds its devices, all that its condition holds for among those that there were when it began, and then works on
//! them one by one. Both are on disk as they happen, so that a job goes on after a restart where it was: a twin is merged once
//! more at worst, which comes to the same twin. A method that was under way is failed instead, since it may have been done.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;
use time::OffsetDateTime;

use crate::core::ask::{Ask, Subject};
use crate::core::command::{Refusal, TwinWrite};
use crate::core::device::Device;
use crate::core::jobs::job::{DeviceJob, Job, JobStep, Progress};
use crate::core::jobs::methods::{JobMethodCall, MethodOutcome};
use crate::core::record::Record;
use crate::core::requests::twins::WriteTwin;
use crate::core::state::Hub;
use crate::core::timestamp::timestamp;
use iothub_model::query;
use iothub_model::query::BoundQuery;
use iothub_model::query::Collection;
use iothub_model::twin::IfMatch;
use iothub_model::twin::OrderedValue;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::jobs::DeviceJobDocument;
use iothub_model::wire::jobs::DeviceJobError;
use iothub_model::wire::jobs::DeviceJobStatus;
use iothub_model::wire::jobs::JobStatus;
use iothub_model::wire::jobs::JobType;
use iothub_model::wire::raw_json::RawJson;
use iothub_model::wire::twins::TwinBody;

/// Jobs that ended so many seconds ago are forgotten with their outcomes.
const HISTORY_SECONDS: i64 = 30 * 24 * 60 * 60;

/// Takes the jobs whose time has come a step on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunJobs {
    /// So many devices of each at most.
    pub(crate) limit: usize,
}

impl Ask for RunJobs {
    type Reply = JobStep;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Jobs
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<JobStep, Refusal> {
        Ok(hub.run_jobs(self.limit, now, records))
    }
}

/// Records the outcome of a method.
#[derive(Clone, Debug)]
pub(crate) struct FinishDeviceJob {
    /// The outcome's [`DeviceJob::sequence`].
    pub(crate) device_job: u64,
    /// The outcome.
    pub(crate) outcome: MethodOutcome,
}

impl Ask for FinishDeviceJob {
    type Reply = ();
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Jobs
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<(), Refusal> {
        hub.finish_method(self.device_job, self.outcome, now, records);
        Ok(())
    }
}

impl Hub {
    /// Takes every job a step on: up to `limit` devices of each.
    fn run_jobs(&mut self, limit: usize, now: OffsetDateTime, records: &mut Vec<Record>) -> JobStep {
        let mut step = JobStep::default();
        let jobs: Vec<Arc<Job>> = self.jobs.by_sequence.values().cloned().collect();
        for job in jobs {
            let before = job.clone();
            let mut job = Job::clone(&job);
            match job.progress {
                Progress::Waiting { due } => self.begin(&mut job, due, now, &mut step),
                Progress::Finding { since, after, through } => {
                    self.find_devices(&mut job, (since, after, through), limit, now, records);
                    step.more = true;
                }
                Progress::Working { since } => self.work(&mut job, since, limit, now, &mut step, records),
                Progress::Over { at } if now.unix_timestamp() - at >= HISTORY_SECONDS => {
                    step.more |= self.forget(&job, limit, records);
                    continue;
                }
                Progress::Over { .. } => continue,
            }
            if job != *before {
                self.write_job(job, records);
            }
        }
        step
    }

    fn begin(&self, job: &mut Job, due: i64, now: OffsetDateTime, step: &mut JobStep) {
        let since = now.unix_timestamp();
        if due > since {
            job.response.status = JobStatus::Scheduled;
            step.waiting = true;
            return;
        }
        step.more = true;
        match condition_of(job) {
            Err(problem) => job.end(JobStatus::Failed, Some(problem), now),
            Ok(_) => {
                job.response.status = JobStatus::Running;
                job.progress = Progress::Finding { since, after: 0, through: self.last_sequence() };
            }
        }
    }

    fn find_devices(
        &mut self,
        job: &mut Job,
        (since, after, through): (i64, u64, u64),
        limit: usize,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) {
        let condition = match condition_of(job) {
            Ok(condition) => condition,
            Err(problem) => return job.end(JobStatus::Failed, Some(problem), now),
        };
        let next = self.devices_for_queries(after).take_while(|device| device.sequence <= through);
        let slice: Vec<Arc<Device>> = next.take(limit).cloned().collect();
        let Some(last) = slice.last() else {
            job.progress = Progress::Working { since };
            return;
        };
        job.progress = Progress::Finding { since, after: last.sequence, through };
        for device in slice {
            let holds = condition.as_ref().is_none_or(|condition| {
                let twin = serde_json::from_str(device.twin.as_str()).expect("a kept document is JSON");
                condition.matches(&twin)
            });
            if !holds {
                continue;
            }
            let now = timestamp(now);
            let document = DeviceJobDocument {
                device_id: device.id.as_str().to_owned(),
                job_id: job.response.job_id.clone(),
                job_type: job.response.kind,
                status: DeviceJobStatus::Scheduled,
                start_time_utc: None,
                end_time_utc: None,
                created_date_time_utc: now.clone(),
                last_updated_date_time_utc: now,
                outcome: None,
                error: None,
            };
            let sequence = self.last_sequence() + 1;
            let it = DeviceJob::new(sequence, self.next_revision(), device.id.clone(), &document);
            self.write(Record::DeviceJob(sequence, Some(Arc::new(it))), records);
            job.response.device_job_statistics.device_count += 1;
            job.response.device_job_statistics.pending_count += 1;
        }
    }

    fn work(
        &mut self,
        job: &mut Job,
        since: i64,
        limit: usize,
        now: OffsetDateTime,
        step: &mut JobStep,
        records: &mut Vec<Record>,
    ) {
        // Only so many methods are under way at once.
        let room = match job.response.kind {
            JobType::ScheduleUpdateTwin => limit,
            JobType::ScheduleDeviceMethod => limit.saturating_sub(self.jobs.called.len()),
        };
        let open = self.jobs.open.get(&job.response.job_id).into_iter().flatten();
        let open = open.filter(|it| !self.jobs.called.contains(it));
        let open: Vec<Arc<DeviceJob>> =
            open.filter_map(|it| self.jobs.device_jobs.get(it).cloned()).take(room).collect();
        if open.is_empty() {
            // Methods that are under way are waited for.
            if self.jobs.open.contains_key(&job.response.job_id) {
                step.waiting = true;
            } else if job.response.failure_reason.is_some() {
                let reason = job.response.failure_reason.take();
                job.end(JobStatus::Failed, reason, now);
            } else {
                job.end(JobStatus::Completed, None, now);
            }
            return;
        }
        step.more = true;
        let allowed = i64::try_from(job.response.max_execution_time_in_seconds).unwrap_or(i64::MAX);
        let too_late = now.unix_timestamp().saturating_sub(since) > allowed;
        if too_late {
            job.response.failure_reason = Some(format!("the job took longer than {allowed} s"));
        }
        for it in open {
            if it.status == DeviceJobStatus::Running {
                let text = "the hub was stopped while the method was under way, and does not call it again";
                self.finish(job, &it, Err(Refusal::new(ErrorCode::ServerError, text)), now, records);
                continue;
            }
            let outcome = if too_late {
                Err(Refusal::new(ErrorCode::GenericTimeout, "the job's time was over before the device's turn"))
            } else {
                match (job.response.kind, &job.response.update_twin, &job.response.cloud_to_device_method) {
                    (JobType::ScheduleDeviceMethod, _, Some(method)) => {
                        let method = method.clone();
                        step.calls.push(JobMethodCall { device_job: it.sequence, device: it.device.clone(), method });
                        self.start(job, &it, now, records);
                        continue;
                    }
                    (_, Some(twin), _) => self.merge(&it, twin.clone(), now, records).map(|()| RawJson::of(&json!({}))),
                    (_, None, _) => Err(Refusal::new(ErrorCode::ServerError, "the job has nothing to do")),
                }
            };
            self.finish(job, &it, outcome, now, records);
        }
    }

    fn merge(
        &mut self,
        it: &DeviceJob,
        twin: OrderedValue,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) -> Result<(), Refusal> {
        let body =
            TwinBody::decode(twin).map_err(|error| Refusal::new(ErrorCode::ArgumentInvalid, error.to_string()))?;
        let id = TwinId::device(it.device.clone());
        let write = WriteTwin { id, how: TwinWrite::Merge, body, if_match: IfMatch::Absent };
        write.perform(self, now, records).map(|_| ())
    }

    /// Says that a device's method is being called.
    fn start(&mut self, job: &mut Job, it: &DeviceJob, now: OffsetDateTime, records: &mut Vec<Record>) {
        let now = timestamp(now);
        let mut document = it.document();
        document.status = DeviceJobStatus::Running;
        document.start_time_utc = Some(now.clone());
        document.last_updated_date_time_utc = now;
        self.jobs.called.insert(it.sequence);
        let statistics = &mut job.response.device_job_statistics;
        statistics.pending_count -= 1;
        statistics.running_count += 1;
        let it = DeviceJob::new(it.sequence, self.next_revision(), it.device.clone(), &document);
        self.write(Record::DeviceJob(it.sequence, Some(Arc::new(it))), records);
    }

    /// Records the outcome of a job on a device.
    fn finish(
        &mut self,
        job: &mut Job,
        it: &DeviceJob,
        outcome: MethodOutcome,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) {
        let statistics = &mut job.response.device_job_statistics;
        match it.status {
            DeviceJobStatus::Running => statistics.running_count -= 1,
            _ => statistics.pending_count -= 1,
        }
        let now = timestamp(now);
        let mut document = it.document();
        document.start_time_utc.get_or_insert_with(|| now.clone());
        document.end_time_utc = Some(now.clone());
        document.last_updated_date_time_utc = now;
        match outcome {
            Ok(outcome) => {
                statistics.succeeded_count += 1;
                document.status = DeviceJobStatus::Completed;
                document.outcome = Some(outcome);
            }
            Err(Refusal { code, text }) => {
                statistics.failed_count += 1;
                document.status = DeviceJobStatus::Failed;
                document.error = Some(DeviceJobError { code: code.name().to_owned(), description: text });
            }
        }
        let it = DeviceJob::new(it.sequence, self.next_revision(), it.device.clone(), &document);
        self.write(Record::DeviceJob(it.sequence, Some(Arc::new(it))), records);
    }

    /// Records the outcome of a method that was called.
    fn finish_method(
        &mut self,
        device_job: u64,
        outcome: MethodOutcome,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) {
        // What nobody asked for, or has forgotten, changes nothing.
        if !self.jobs.called.remove(&device_job) {
            return;
        }
        let Some(it) = self.jobs.device_jobs.get(&device_job).cloned() else { return };
        let Some(job) = self.jobs.get(&it.job) else { return };
        let mut job = Job::clone(job);
        let outcome = outcome.map(|response| RawJson::of(&HashMap::from([("deviceMethodResponse", response)])));
        self.finish(&mut job, &it, outcome, now, records);
        self.write_job(job, records);
    }

    /// Forgets up to `limit` outcomes of a job, and then the job. Says whether there is more of it.
    fn forget(&mut self, job: &Job, limit: usize, records: &mut Vec<Record>) -> bool {
        let of = self.jobs.of_job.get(&job.response.job_id).into_iter().flatten();
        let some: Vec<u64> = of.copied().take(limit).collect();
        if some.is_empty() {
            self.write(Record::Job(job.sequence, None), records);
            return false;
        }
        for sequence in some {
            self.write(Record::DeviceJob(sequence, None), records);
        }
        true
    }
}

/// Compiles a job's condition; none for `*`.
fn condition_of(job: &Job) -> Result<Option<BoundQuery>, String> {
    match job.response.query_condition.trim() {
        "*" => Ok(None),
        condition => query::compile_condition(condition, Collection::Devices).map(Some).map_err(|errors| {
            let reason = errors.first().map(ToString::to_string).unwrap_or_default();
            format!("the queryCondition: {reason}")
        }),
    }
}
