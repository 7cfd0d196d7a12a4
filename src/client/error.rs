//! What can go wrong between here and the hub, by what a caller does about it.

use std::fmt;
use std::time::Duration;

use iothub_model::tiers::{Class, Operation};
use iothub_model::twin::HubHost;
use iothub_model::wire::faults::FAULTS_PATH;
use iothub_model::wire::{ErrorCode, HubError};

/// Trouble that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The hub has too much to do (429, 503).
    Busy {
        /// How long it asks to wait, if it says.
        retry_after: Option<Duration>,
    },
    /// The hub failed, or the network did (408, 500, 502, 504, a lost answer, no connection).
    Passing,
}

/// Which request: for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLine {
    /// `GET`, `PATCH`, …
    pub method: &'static str,
    /// The path, without the query string.
    pub path: String,
    /// The hub's host.
    pub host: HubHost,
}

impl fmt::Display for RequestLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} https://{}{}", self.method, self.host, self.path)
    }
}

/// Why a request did not get what it asked for.
///
/// No variant holds a token or a key, nor an answer's body.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 412: the etag is not the current one any more.
    #[error("{request}: the twin has changed since it was read")]
    PreconditionFailed {
        /// Which request.
        request: RequestLine,
        /// What the hub said.
        hub: Box<HubError>,
    },
    /// 429: too many requests, this one's attempts included.
    #[error("{request}: the hub answers that there are too many requests{}", said(.hub))]
    Throttled {
        /// Which request.
        request: RequestLine,
        /// What the hub said.
        hub: Box<HubError>,
        /// How long it asks to wait. The public service is not known to say.
        retry_after: Option<Duration>,
    },
    /// 408 or 5xx: the hub cannot now. Whether a write was done is not known.
    #[error("{request}: the hub cannot answer now, it says {}{}", .hub.status, said(.hub))]
    Unavailable {
        /// Which request.
        request: RequestLine,
        /// What the hub said.
        hub: Box<HubError>,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// 404, in the hub's own words.
    #[error("{request}: there is no such thing on the hub{}", said(.hub))]
    NotFound {
        /// Which request.
        request: RequestLine,
        /// What the hub said.
        hub: Box<HubError>,
    },
    /// 409: it is there already.
    #[error("{request}: it is on the hub already{}", said(.hub))]
    AlreadyExists {
        /// Which request.
        request: RequestLine,
        /// What the hub said.
        hub: Box<HubError>,
    },
    /// 401 or 403 about the credentials: a wrong key, an expired token, or a policy without the right.
    #[error("{request}: the hub refuses the credentials{}", said(.hub))]
    Unauthorized {
        /// Which request.
        request: RequestLine,
        /// What the hub said.
        hub: Box<HubError>,
        /// By how many seconds this machine's clock is ahead of the hub's, as far as the answer tells.
        clock_ahead: Option<i64>,
    },
    /// The request may have left and no answer came: whether it was done is not known.
    #[error("{request}: the answer did not come")]
    Lost {
        /// Which request.
        request: RequestLine,
        /// Why.
        #[source]
        source: Cause,
    },
    /// Nothing left: no name, no connection, no trust.
    #[error("{request}: the hub cannot be reached: {reason}")]
    Unreachable {
        /// Which request.
        request: RequestLine,
        /// What stands in the way.
        reason: Obstacle,
        /// Why, in the words of the layer that failed.
        #[source]
        source: Cause,
    },
    /// Any other refusal.
    #[error("{request}: the hub answers {}{}", .hub.status, said(.hub))]
    Refused {
        /// Which request.
        request: RequestLine,
        /// What the hub said.
        hub: Box<HubError>,
    },
    /// An answer that is not what the service sends.
    #[error("{request}: the answer makes no sense: {problem}")]
    Nonsense {
        /// Which request.
        request: RequestLine,
        /// In what way.
        problem: String,
    },
    /// A request that cannot be written down, so nothing was sent.
    #[error("{request}: nothing was sent: {problem}")]
    Unsendable {
        /// Which request.
        request: RequestLine,
        /// Why.
        problem: String,
    },
}

/// What a lower layer said: its innermost cause, which is the one that tells something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub String);

/// What stands between here and the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The host's name leads nowhere.
    NoSuchName,
    /// Nothing listens there.
    Closed,
    /// No connection within the time for one.
    TimedOut,
    /// The certificate is signed by nobody who is trusted here.
    Untrusted,
    /// The certificate is another host's.
    WrongName,
    /// The certificate has expired, or is not valid yet.
    OutOfDate,
    /// What listens there does not speak TLS.
    NotTls,
    /// The proxy asks who we are (407).
    ProxyLogin,
    /// The proxy does not lead there.
    Proxy,
    /// The proxy itself cannot be reached.
    NoProxy,
    /// Something else.
    Other,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchName => "its name is not known",
            Self::Closed => "nothing listens there",
            Self::TimedOut => "no connection came about in time",
            Self::Untrusted => "its certificate is signed by nobody who is trusted here",
            Self::WrongName => "its certificate is made for another name",
            Self::OutOfDate => "its certificate has expired, or is not valid yet",
            Self::NotTls => "what listens there does not speak TLS",
            Self::ProxyLogin => "the proxy asks for a user and a password (407)",
            Self::Proxy => "the proxy does not lead there",
            Self::NoProxy => "the proxy itself cannot be reached",
            Self::Other => "no connection came about",
        })
    }
}

impl Obstacle {
    /// Returns what a person can do about it.
    pub fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::NoSuchName => "look at `HostName` of the connection string, and at this machine's DNS",
            Self::Closed => "look at the host and port, and whether the hub runs",
            Self::TimedOut => "look whether a firewall or a proxy stands between here and the hub",
            Self::Untrusted => {
                "give the certificate of its authority with --ca-file; `twinctl hub serve` says where its own is"
            }
            Self::WrongName => "use the host name that the certificate was made for",
            Self::OutOfDate => "look at this machine's clock, then at the certificate",
            Self::NotTls => "give the port on which the hub serves HTTPS",
            Self::ProxyLogin => {
                "put both into the proxy's address, special characters as %XX: HTTPS_PROXY=http://USER:PASSWORD@PROXY:PORT; or name the hub's host in NO_PROXY to go without the proxy"
            }
            Self::NoProxy => "look at the proxy's address in HTTPS_PROXY or ALL_PROXY",
            Self::Proxy => {
                "let the proxy pass the hub's host and port, or name the host in NO_PROXY to go without the proxy"
            }
            Self::Other => return None,
        })
    }

    /// Says whether it may go away by itself within minutes.
    fn may_pass(self) -> bool {
        matches!(self, Self::NoSuchName | Self::Closed | Self::TimedOut | Self::Proxy | Self::NoProxy | Self::Other)
    }
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

fn out_of_quota(host: &HubHost) -> String {
    let units = match host.name().split_once(".azure-devices.") {
        Some((hub, _)) => format!(": `az iot hub update --name {hub} --unit UNITS`"),
        None => String::new(),
    };
    format!(
        "the hub's daily quota of messages is used up, and reading twins costs some too; it starts anew at 00:00 UTC, and more units bring more at once{units}"
    )
}

impl Error {
    /// Returns which request it was.
    pub fn request(&self) -> &RequestLine {
        match self {
            Self::PreconditionFailed { request, .. }
            | Self::Throttled { request, .. }
            | Self::Unavailable { request, .. }
            | Self::NotFound { request, .. }
            | Self::AlreadyExists { request, .. }
            | Self::Unauthorized { request, .. }
            | Self::Lost { request, .. }
            | Self::Unreachable { request, .. }
            | Self::Refused { request, .. }
            | Self::Nonsense { request, .. }
            | Self::Unsendable { request, .. } => request,
        }
    }

    /// Returns what the hub said, when it said anything.
    pub fn hub_error(&self) -> Option<&HubError> {
        match self {
            Self::PreconditionFailed { hub, .. }
            | Self::Throttled { hub, .. }
            | Self::Unavailable { hub, .. }
            | Self::NotFound { hub, .. }
            | Self::AlreadyExists { hub, .. }
            | Self::Unauthorized { hub, .. }
            | Self::Refused { hub, .. } => Some(hub),
            Self::Lost { .. } | Self::Unreachable { .. } | Self::Nonsense { .. } | Self::Unsendable { .. } => None,
        }
    }

    /// Returns `true` if an answer came, be it the hub's or that of something before it.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Lost { .. } | Self::Unreachable { .. } | Self::Unsendable { .. })
    }

    /// Returns `true` if the credentials were not accepted.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Unauthorized { .. })
    }

    /// Writes it and its causes in a line.
    pub fn in_a_line(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    /// Returns what kind of trouble it is, when it is one that may pass; asking again is of no use otherwise.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Throttled { retry_after, .. } => Some(Trouble::Busy { retry_after: *retry_after }),
            // The service says 503 when it sheds load, and means the same patience by it.
            Self::Unavailable { hub, retry_after, .. } if hub.status == 503 || retry_after.is_some() => {
                Some(Trouble::Busy { retry_after: *retry_after })
            }
            Self::Unavailable { .. } | Self::Lost { .. } => Some(Trouble::Passing),
            Self::Unreachable { reason, .. } if reason.may_pass() => Some(Trouble::Passing),
            Self::Unreachable { .. }
            | Self::PreconditionFailed { .. }
            | Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::Unauthorized { .. }
            | Self::Refused { .. }
            | Self::Nonsense { .. }
            | Self::Unsendable { .. } => None,
        }
    }

    /// Returns what a person can do about it, when there is something.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Unreachable { reason, .. } => reason.advice().map(str::to_owned),
            // Tokens are made for an hour from now, so that only a clock hours off is the reason for a refusal.
            Self::Unauthorized { clock_ahead: Some(seconds), .. } if seconds.abs() >= 300 => Some(format!(
                "this machine's clock is {} minutes {} the hub's; a token is only good at its time",
                seconds.abs() / 60,
                if *seconds > 0 { "ahead of" } else { "behind" }
            )),
            Self::Unauthorized { request, .. } if request.path == FAULTS_PATH => Some(
                "faults are for the policy `iothubowner` alone: give its connection string, which `twinctl hub serve` prints"
                    .to_owned(),
            ),
            Self::Unauthorized { request, .. } => {
                let operation = Operation::of(request.method, &request.path);
                let is_registry = operation.is_some_and(|it| it.class() == Class::IdentityRegistry);
                let (doing, right, policies) = match (is_registry, request.method) {
                    (false, _) => ("reading and writing twins", "ServiceConnect", "`service` and `iothubowner`"),
                    (true, "GET") => (
                        "reading device identities",
                        "RegistryRead",
                        "`registryRead`, `registryReadWrite` and `iothubowner`",
                    ),
                    (true, _) => ("creating devices", "RegistryWrite", "`registryReadWrite` and `iothubowner`"),
                };
                Some(format!(
                    "look at the key, and at the policy's rights: {doing} needs {right}, which {policies} have by default"
                ))
            }
            Self::Throttled { retry_after: Some(wait), .. } => {
                Some(format!("the hub asks for {} seconds of patience: try again after that", wait.as_secs()))
            }
            Self::Throttled { .. } => Some("try again later, or with a smaller --concurrency".to_owned()),
            Self::Refused { request, hub } => match hub.code() {
                Some(ErrorCode::IotHubQuotaExceeded) => Some(out_of_quota(&request.host)),
                Some(ErrorCode::SystemModuleModifyUnauthorizedAccess) => Some(
                    "the module is IoT Edge's own: a deployment's `modulesContent` writes its twin, and nobody else may; take it out of the manifest"
                        .to_owned(),
                ),
                Some(ErrorCode::IotHubSuspended) => {
                    Some("the hub is suspended: look at its subscription in the portal".to_owned())
                }
                None if hub.status == 407 => Obstacle::ProxyLogin.advice().map(str::to_owned),
                None if hub.code_name.is_none() => {
                    Some("this does not look like IoT Hub's own words: look at the host name".to_owned())
                }
                _ => None,
            },
            Self::Nonsense { .. } => {
                Some("look whether the host is an IoT hub, and whether a proxy stands between".to_owned())
            }
            Self::Unavailable { .. } | Self::Lost { .. } => Some("try again later".to_owned()),
            Self::PreconditionFailed { .. }
            | Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::Unsendable { .. } => None,
        }
    }
}
