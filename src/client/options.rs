//! What a client is made of, and why none could be made.

use std::net::SocketAddr;
use std::time::Duration;

use super::auth::Clock;
use super::ca_file::CaFileProblem;
use super::retry::Backoff;
use super::send::OnRetry;
use iothub_model::wire::{ConnectionString, Secret};

/// What a client is made of.
#[derive(Clone)]
pub(crate) struct ClientOptions {
    /// Which hub, and by which policy's key.
    pub connection: ConnectionString,
    /// Where the host is, in place of what its name leads to: for a hub in this process, whose port is another each time.
    pub address: Option<SocketAddr>,
    /// The only authorities to trust, in PEM; without it, those of the system.
    pub ca_pem: Option<Vec<u8>>,
    /// The way out of this network, if there is one. Never used for a hub on this machine.
    pub proxy: Option<ProxySettings>,
    /// How many requests will be under way at once: so many connections are kept.
    pub concurrency: usize,
    /// How long one attempt may take. The hub queues requests before it refuses them, so be patient.
    pub request_timeout: Duration,
    /// How patient reads are.
    pub backoff: Backoff,
    /// How twinctl names itself to the hub.
    pub user_agent: String,
    /// The time of day.
    pub clock: Clock,
    /// Is told of each read that is tried again.
    pub on_retry: Option<OnRetry>,
}

/// An HTTP proxy, as `HTTPS_PROXY` and `NO_PROXY` name one. The library reads no environment by itself.
#[derive(Clone, Debug)]
pub(crate) struct ProxySettings {
    /// Its URL, which may hold a password.
    pub url: Secret,
    /// Which hosts are reached without it, as in `NO_PROXY`.
    pub except: Option<String>,
}

impl ProxySettings {
    /// Makes what the HTTP client takes.
    pub(crate) fn for_https(&self) -> Result<reqwest::Proxy, SetupError> {
        let except = self.except.as_deref().and_then(reqwest::NoProxy::from_string);
        let proxy = reqwest::Proxy::https(self.url.expose()).map_err(|_| SetupError::Proxy)?;
        Ok(proxy.no_proxy(except))
    }
}

impl ClientOptions {
    /// Returns what suits most: the system's authorities, no proxy, 32 connections, 100 seconds an attempt.
    pub(crate) fn new(connection: ConnectionString, clock: Clock) -> Self {
        Self {
            connection,
            address: None,
            ca_pem: None,
            proxy: None,
            concurrency: 32,
            request_timeout: Duration::from_secs(100),
            backoff: Backoff::default(),
            user_agent: concat!("twinctl/", env!("CARGO_PKG_VERSION")).to_owned(),
            clock,
            on_retry: None,
        }
    }
}

/// Why no client could be made; nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A device's connection string.
    #[error("the connection string is a device's; the service API needs one with a `SharedAccessKeyName`")]
    NotAService,
    /// `--ca-file` without a usable certificate.
    #[error("the CA file: {problem}")]
    CaFile {
        /// In what way.
        problem: CaFileProblem,
    },
    /// The system has no authorities to trust.
    #[error("this system has no certificate authorities to trust: install its `ca-certificates`, or give --ca-file")]
    NoRoots {
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The proxy's URL is none.
    #[error("the proxy's URL cannot be read")]
    Proxy,
    /// The user agent is no header, or the HTTP client finds something else amiss.
    #[error("the HTTP client cannot be made")]
    Http {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}
