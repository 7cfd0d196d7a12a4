//! Scheduled jobs: what one is, which there can be, and where they and their outcomes are found (docs: Schedule jobs on multiple
//! devices).
//!
//! Read [`Job`] first. `operations` is what can be asked about jobs; `run` is what carries them out, a step at a time.

mod methods;

mod job;
mod plan;

mod operations;
mod run;

#[cfg(test)]
pub(crate) use job::JobStep;
pub(crate) use job::{DeviceJob, Job, Jobs};
pub(crate) use methods::{MethodCall, MethodOutcome};
pub(crate) use operations::{CancelJob, CreateJob, GetJob, ListJobs, ScanDeviceJobs};
pub(crate) use run::{FinishDeviceJob, RunJobs};
