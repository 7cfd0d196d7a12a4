//! What the hub does without being asked: it evaluates configurations and carries jobs out, scheduled ones and transfers.
//!
//! Each task is a loop that asks the machine for one bounded step after another, like any client would; what a step does is the
//! machine's.

pub(crate) mod blob;
pub(crate) mod job_methods;
pub(crate) mod probe;
pub(crate) mod transfer_error;
pub(crate) mod transferred_configurations;
pub(crate) mod transfers;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::clock::EmulatorClock;
use crate::core::requests::configurations::{EvaluateConfigurations, Evaluated};
use crate::core::requests::job_runs::{FinishDeviceJob, RunJobs};
use crate::core::requests::messages::{SweepMessages, Swept};
use crate::handle::HubHandle;
use crate::limits::admission::Admission;

/// Twins that one step looks at: about a millisecond's work.
const SLICE: usize = 128;
/// From a change of a configuration to the evaluation that it brings about, at most: several changes in a row are one.
const AFTER_CHANGE: Duration = Duration::from_secs(1);

/// How often it is looked whether the time of a job has come.
const JOBS_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked whether messages' time is over.
const MESSAGES_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked whether a job is to be forgotten, when nobody makes any.
const HISTORY_EVERY: Duration = Duration::from_secs(3600);

/// How often the hub does what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    /// From one evaluation of configurations to the next.
    pub(crate) evaluate_configurations: Duration,
}

/// The tasks that run beside the requests. Dropped, they end.
pub(crate) struct Background {
    tasks: JoinSet<()>,
}

impl Background {
    /// Starts all tasks.
    pub(crate) fn start(
        live: &Arc<HubHandle>,
        rhythm: Rhythm,
        admission: Arc<Admission>,
        clock: EmulatorClock,
    ) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(evaluate_configurations(live.clone(), rhythm.evaluate_configurations));
        tasks.spawn(run_jobs(live.clone()));
        tasks.spawn(transfers::run(live.clone(), admission));
        tasks.spawn(sweep_messages(live.clone()));
        tasks.spawn(follow(clock, live.clone()));
        Self { tasks }
    }

    /// Ends all tasks. What they were at is taken up again at the next start.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Has jobs and messages looked at whenever the clock is moved: they may be due.
async fn follow(clock: EmulatorClock, live: Arc<HubHandle>) {
    let mut moves = clock.moves();
    // The clock outlives this task, which has it.
    while moves.changed().await.is_ok() {
        live.jobs_changed.notify_one();
        live.messages_changed.notify_one();
    }
}

async fn evaluate_configurations(live: Arc<HubHandle>, every: Duration) {
    loop {
        tokio::time::sleep(AFTER_CHANGE.min(every)).await;
        loop {
            let step = EvaluateConfigurations { limit: SLICE };
            match live.handle(step).await {
                Ok(Evaluated { done: false }) => tokio::task::yield_now().await,
                // A store that takes no more writes says so to everybody; here it is enough to try again later.
                Ok(Evaluated { done: true }) | Err(_) => break,
            }
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = live.configurations_changed.notified() => {}
        }
    }
}

async fn run_jobs(live: Arc<HubHandle>) {
    let mut calls = JoinSet::new();
    loop {
        let wait = match live.handle(RunJobs { limit: SLICE }).await {
            Ok(step) => {
                for call in step.calls {
                    // A device that takes its time holds no other up.
                    let live = live.clone();
                    calls.spawn(async move {
                        let outcome = job_methods::call(&live, &call).await;
                        let finish = FinishDeviceJob { device_job: call.device_job, outcome };
                        let _ = live.handle(finish).await;
                    });
                }
                match (step.more, step.waiting) {
                    (true, _) => Duration::ZERO,
                    (false, true) => JOBS_EVERY,
                    (false, false) => HISTORY_EVERY,
                }
            }
            // As above.
            Err(_) => JOBS_EVERY,
        };
        if wait.is_zero() {
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = live.jobs_changed.notified() => {}
            Some(_) = calls.join_next() => {}
        }
    }
}

async fn sweep_messages(live: Arc<HubHandle>) {
    loop {
        match live.handle(SweepMessages).await {
            Ok(Swept { waiting: false }) => live.messages_changed.notified().await,
            // As above.
            Ok(Swept { waiting: true }) | Err(_) => tokio::time::sleep(MESSAGES_EVERY).await,
        }
    }
}
