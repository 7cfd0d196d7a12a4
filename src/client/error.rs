//! What can go wrong between here and the hub, by what a caller does about it.

use std::fmt;

use crate::wire::HubError;

/// Which request: for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `PATCH`, …
    pub method: &'static str,
    /// The path, without the query string.
    pub path: String,
    /// The hub's host.
    pub host: String,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} https://{}{}", self.method, self.host, self.path)
    }
}

/// Why a request did not get what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 412: the etag is not the current one any more.
    #[error("{request}: the twin has changed since it was read")]
    PreconditionFailed {
        /// Which request.
        request: Request,
        /// What the hub said.
        hub: HubError,
    },
    /// 429, and the time budget for trying again is used up.
    #[error("{request}: the hub still answers that there are too many requests{}", said(.hub))]
    Throttled {
        /// Which request.
        request: Request,
        /// What the hub said.
        hub: HubError,
    },
    /// 404.
    #[error("{request}: there is no such thing on the hub{}", said(.hub))]
    NotFound {
        /// Which request.
        request: Request,
        /// What the hub said.
        hub: HubError,
    },
    /// 409: it is there already.
    #[error("{request}: it is on the hub already{}", said(.hub))]
    AlreadyExists {
        /// Which request.
        request: Request,
        /// What the hub said.
        hub: HubError,
    },
    /// 401 or 403: a wrong key, an expired token, or a policy without the right.
    #[error("{request}: the hub refuses the credentials{}", said(.hub))]
    Unauthorized {
        /// Which request.
        request: Request,
        /// What the hub said.
        hub: HubError,
    },
    /// The request may have left and no answer came: whether it was done is not known.
    #[error("{request}: the answer did not come")]
    Lost {
        /// Which request.
        request: Request,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing left: no name, no connection, no trust.
    #[error("{request}: the hub cannot be reached")]
    Unreachable {
        /// Which request.
        request: Request,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Any other refusal.
    #[error("{request}: the hub answers {}{}", .hub.status, said(.hub))]
    Refused {
        /// Which request.
        request: Request,
        /// What the hub said.
        hub: HubError,
    },
    /// An answer that is not what the service sends.
    #[error("{request}: the answer makes no sense: {problem}")]
    Nonsense {
        /// Which request.
        request: Request,
        /// In what way.
        problem: String,
    },
}

/// `: CODE: text (tracking id …)`, as far as the hub said anything.
fn said(hub: &HubError) -> String {
    let mut text = String::new();
    if let Some(code) = &hub.code_name {
        text.push_str(": ");
        text.push_str(code);
    }
    if !hub.message.is_empty() {
        text.push_str(": ");
        text.push_str(&hub.message);
    }
    if let Some(tracking) = &hub.tracking_id {
        text.push_str(" (tracking id ");
        text.push_str(tracking);
        text.push(')');
    }
    text
}

impl Error {
    /// Returns what the hub said, when it said anything.
    pub fn hub_error(&self) -> Option<&HubError> {
        match self {
            Self::PreconditionFailed { hub, .. }
            | Self::Throttled { hub, .. }
            | Self::NotFound { hub, .. }
            | Self::AlreadyExists { hub, .. }
            | Self::Unauthorized { hub, .. }
            | Self::Refused { hub, .. } => Some(hub),
            Self::Lost { .. } | Self::Unreachable { .. } | Self::Nonsense { .. } => None,
        }
    }
}
