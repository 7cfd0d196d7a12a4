//! What an error of the client means for the twin that it befell, and in which words it is reported.

use crate::client::{Error, Trouble};
use iothub_model::wire::ErrorCode;

/// What an error says about what to do, whatever the request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// The etag is not the current one.
    Moved,
    /// The same request may go through later.
    Trouble {
        /// The hub has too much to do: it asks for patience.
        busy: bool,
        /// Whether it was done nevertheless is not known.
        maybe_done: bool,
    },
    /// It may have been done.
    Lost,
    /// There is no such device or module.
    Gone,
    /// There is such a device or module.
    Exists,
    /// This request will never do better, and no other will either.
    Futile,
    /// The hub does not let this request through, and it is not clear whether any other would pass.
    Denied,
    /// This request will never do better.
    Refused,
}

impl ErrorClass {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::PreconditionFailed { .. } => Self::Moved,
            Error::Throttled { .. } => Self::Trouble { busy: true, maybe_done: false },
            Error::NotFound { .. } => Self::Gone,
            Error::AlreadyExists { .. } => Self::Exists,
            // Whoever answered nonsense to a write had it in hand.
            Error::Lost { .. } | Error::Nonsense { .. } => Self::Lost,
            Error::Unavailable { .. } => {
                Self::Trouble { busy: matches!(error.trouble(), Some(Trouble::Busy { .. })), maybe_done: true }
            }
            Error::Unreachable { .. } if error.trouble().is_some() => Self::Trouble { busy: false, maybe_done: false },
            Error::Unreachable { .. } => Self::Futile,
            Error::Unauthorized { hub, .. } => match hub.code() {
                Some(ErrorCode::GenericForbidden) | None => Self::Denied,
                Some(_) => Self::Futile,
            },
            Error::Refused { hub, .. } => match (hub.status, hub.code()) {
                (
                    _,
                    Some(
                        ErrorCode::IotHubQuotaExceeded
                        | ErrorCode::IotHubSuspended
                        | ErrorCode::OperationNotAvailableInCurrentTier,
                    ),
                ) => Self::Futile,
                // A code that is not known here, or no code at all: a gateway's word.
                (401, None) => Self::Denied,
                (403, None) if hub.code_name.is_none() => Self::Denied,
                _ => Self::Refused,
            },
            Error::Unsendable { .. } => Self::Refused,
        }
    }

    /// Returns `true` if the request may have been done nevertheless.
    pub(super) fn maybe_done(self) -> bool {
        matches!(self, Self::Lost | Self::Trouble { maybe_done: true, .. })
    }

    /// Says whether the hub, or the way to it, is to blame, and not the request.
    pub(super) fn is_transient(self) -> bool {
        matches!(self, Self::Trouble { .. } | Self::Lost)
    }
}

pub(super) fn is_no_device(error: &Error) -> bool {
    let code = error.hub_error().and_then(|hub| hub.code());
    matches!(code, Some(ErrorCode::DeviceNotFound | ErrorCode::ModuleNotFound))
}

/// An error and its causes, a line.
pub(super) fn explain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// An error in a few words.
pub(super) fn in_short(error: &Error) -> String {
    match error {
        Error::Throttled { .. } => "too many requests".to_owned(),
        Error::Lost { .. } => "the answer did not come".to_owned(),
        Error::Nonsense { .. } => "the answer makes no sense".to_owned(),
        Error::Unreachable { .. } => "the hub cannot be reached".to_owned(),
        other => match other.hub_error() {
            Some(hub) => format!("the hub answers {}", hub.status),
            None => other.to_string(),
        },
    }
}
