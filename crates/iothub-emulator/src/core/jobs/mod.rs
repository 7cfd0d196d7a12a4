//! Scheduled jobs: what one is, which there can be, and where they and their outcomes are found (docs: Schedule jobs on multiple
//! devices).
//!
//! Read [`Job`] first. What can be asked about jobs, and the steps that carry them out, are in `core::requests`.

pub(in crate::core) mod methods;

pub(in crate::core) mod job;
pub(in crate::core) mod plan;

#[cfg(test)]
pub(crate) use job::JobStep;
pub(crate) use job::{DeviceJob, Job, Jobs};
pub(crate) use methods::{JobMethodCall, MethodOutcome};
