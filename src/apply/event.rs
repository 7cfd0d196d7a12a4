//! What happened while a plan was applied, as data; what is said about it is a renderer's.

use std::time::Duration;

use crate::plan::Action;
pub(crate) use crate::plan::MovedPath;
use iothub_model::twin::TwinId;

/// Something that happened, in the past tense.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ApplyEvent {
    /// Applying began.
    Started {
        /// How many twins there are to write.
        twins: usize,
    },
    /// The hub asked for patience, or did not answer; the request is sent again.
    Retrying {
        /// Whose.
        id: TwinId,
        /// Why, in a few words.
        reason: String,
        /// After how long.
        after: Duration,
    },
    /// A twin is done with, one way or another.
    TwinDone {
        /// Which.
        id: TwinId,
        /// What was to be done.
        action: Action,
        /// What came of it.
        outcome: TwinOutcome,
    },
    /// The user asked to stop: what is under way finishes, nothing new begins.
    Interrupted,
    /// What befell one twin would befall the others as well (the hub refuses the credentials, or takes nothing any more): what
    /// is under way finishes, nothing new begins.
    Halted(Halt),
    /// Applying ended.
    Finished,
}

/// Why a run ended before all of its twins were tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Halt {
    /// An error and its causes, in a line.
    pub reason: String,
    /// What a person can do about it, if there is something.
    pub advice: Option<String>,
}

/// What came of one twin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TwinOutcome {
    /// Written, and the hub's answer equals the target.
    Written {
        /// The twin had moved, elsewhere than on the patch's paths; it was sent again under the new etag.
        rebased: bool,
        /// The identity was created first.
        registered: bool,
    },
    /// Somebody else had already made it as declared; nothing was sent.
    Converged,
    /// A path of the patch had moved to something else; the twin was left alone.
    Conflict(Vec<MovedPath>),
    /// It could not be done.
    Failed {
        /// Why: an error and its causes, a line.
        reason: String,
    },
    /// The run was stopped before its turn.
    NotAttempted,
}

/// The whole run: a fold of its events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ApplyReport {
    /// Twins written, the next three included.
    pub written: usize,
    /// Of these, sent again under a new etag.
    pub rebased: usize,
    /// Of these, registered first.
    pub registered: usize,
    /// Twins that needed nothing any more.
    pub converged: usize,
    /// Twins left alone since they had moved.
    pub conflicts: Vec<(TwinId, Vec<MovedPath>)>,
    /// Twins that failed, and why.
    pub failed: Vec<(TwinId, String)>,
    /// Twins that were not tried.
    pub not_attempted: Vec<TwinId>,
    /// How many requests had to be sent again.
    pub retries: usize,
    /// The user stopped it.
    pub interrupted: bool,
    /// It stopped by itself before all twins were tried, and why.
    pub halted: Option<Halt>,
}

impl ApplyReport {
    /// Adds what happened.
    pub(crate) fn record(&mut self, event: &ApplyEvent) {
        match event {
            ApplyEvent::Started { .. } | ApplyEvent::Finished => {}
            ApplyEvent::Retrying { .. } => self.retries += 1,
            ApplyEvent::Interrupted => self.interrupted = true,
            ApplyEvent::Halted(halt) => self.halted = Some(halt.clone()),
            ApplyEvent::TwinDone { id, action: _, outcome } => match outcome {
                TwinOutcome::Written { rebased, registered } => {
                    self.written += 1;
                    self.rebased += usize::from(*rebased);
                    self.registered += usize::from(*registered);
                }
                TwinOutcome::Converged => self.converged += 1,
                TwinOutcome::Conflict(moved) => self.conflicts.push((id.clone(), moved.clone())),
                TwinOutcome::Failed { reason } => self.failed.push((id.clone(), reason.clone())),
                TwinOutcome::NotAttempted => self.not_attempted.push(id.clone()),
            },
        }
    }

    /// Says whether some twin could not be written, for another reason than that somebody else wrote it.
    pub(crate) fn has_failures(&self) -> bool {
        !self.failed.is_empty() || self.halted.is_some()
    }

    /// Says whether some twin was left alone since it had moved.
    pub(crate) fn has_conflicts(&self) -> bool {
        !self.conflicts.is_empty()
    }

    /// Returns how many twins there is something to say about.
    #[cfg(test)]
    pub(crate) fn twins(&self) -> usize {
        self.written + self.converged + self.conflicts.len() + self.failed.len() + self.not_attempted.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_the_fold_of_its_events() {
        let done = |id: &str, outcome| ApplyEvent::TwinDone {
            id: id.parse().expect("an id"),
            action: Action::Update,
            outcome,
        };
        let mut report = ApplyReport::default();
        for event in [
            ApplyEvent::Started { twins: 7 },
            done("a", TwinOutcome::Written { rebased: false, registered: false }),
            done("b", TwinOutcome::Written { rebased: true, registered: true }),
            ApplyEvent::Retrying {
                id: "c".parse().expect("an id"),
                reason: "503".into(),
                after: Duration::from_secs(1),
            },
            done("c", TwinOutcome::Converged),
        ] {
            report.record(&event);
        }
        assert!(!report.has_failures() && !report.has_conflicts());
        for event in [
            done("d", TwinOutcome::Conflict(Vec::new())),
            done("e", TwinOutcome::Failed { reason: "no".into() }),
            ApplyEvent::Halted(Halt { reason: "no".into(), advice: None }),
            ApplyEvent::Interrupted,
            done("f", TwinOutcome::NotAttempted),
            done("g", TwinOutcome::NotAttempted),
            ApplyEvent::Finished,
        ] {
            report.record(&event);
        }
        assert!(report.has_failures() && report.has_conflicts());
        assert_eq!(report.twins(), 7);
        let id = |text: &str| text.parse().expect("an id");
        let expected = ApplyReport {
            written: 2,
            rebased: 1,
            registered: 1,
            converged: 1,
            conflicts: vec![(id("d"), Vec::new())],
            failed: vec![(id("e"), "no".into())],
            not_attempted: vec![id("f"), id("g")],
            retries: 1,
            interrupted: true,
            halted: Some(Halt { reason: "no".into(), advice: None }),
        };
        assert_eq!(report, expected);
    }
}
