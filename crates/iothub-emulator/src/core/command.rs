//! The words of all that is asked of the hub: refusals, conditions, notices, and what is random.

use std::sync::Arc;

use crate::core::outbox::{CutReason, DesiredPatch};
use iothub_model::twin::ETag;
use iothub_model::twin::IfMatch;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;

/// What a write does with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TwinWrite {
    /// PATCH: merged into it.
    Merge,
    /// PUT: put in its place.
    Replace,
}

/// Random bytes for what the hub makes up: two keys, a generation and the first etag of an identity.
#[derive(Clone)]
pub(crate) struct Entropy(pub(crate) [u8; 80]);

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(…)")
    }
}

/// Why the hub rejects a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct Refusal {
    /// The service's code.
    pub code: ErrorCode,
    /// What is wrong, in a sentence.
    pub text: String,
}

impl Refusal {
    /// Creates a refusal from an error code and a message.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// What a connected client is to hear of, or to feel.
#[derive(Clone, Debug)]
pub(crate) enum Notice {
    /// Its desired properties were written.
    DesiredPatch {
        /// The twin that was written.
        id: TwinId,
        /// The write, with its version.
        patch: Arc<DesiredPatch>,
    },
    /// Messages from the cloud wait for it.
    MessagesWait {
        /// Whom for.
        id: TwinId,
    },
    /// It may no longer be connected.
    Cut {
        /// Who.
        id: TwinId,
        /// Why.
        reason: CutReason,
    },
}

/// Refuses what is wrong in itself.
pub(crate) fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::ArgumentInvalid, text)
}

/// Refuses a delete without a condition.
pub(crate) fn check_delete(if_match: &IfMatch) -> Result<(), Refusal> {
    match if_match {
        IfMatch::Absent => Err(Refusal::new(
            ErrorCode::PreconditionFailed,
            "ETag missing: a delete needs an If-Match header, \"*\" for whatever is there",
        )),
        _ => Ok(()),
    }
}

/// Refuses a write under a condition that does not hold. An etag counts with quotes and without.
pub(crate) fn check_etag(if_match: &IfMatch, current: &ETag) -> Result<(), Refusal> {
    if if_match.holds_for(current) {
        return Ok(());
    }
    let text = format!("the If-Match header names {if_match}, and the current one is {current}");
    Err(Refusal::new(ErrorCode::PreconditionFailed, text))
}
