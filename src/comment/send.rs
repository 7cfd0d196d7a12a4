//! Finding and writing a comment, over HTTPS.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::Value;

use super::host::HostCall;
use super::{CommentTarget, Host, Marker};
use crate::client::body::{self, BodyError};
use crate::client::send::look_into;
use crate::client::{Obstacle, ProxySettings, SetupError, tls};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Pages that are looked at: ten thousand comments.
const PAGES_MAX: usize = 100;
/// How often a request that reads is sent again after no answer, a 429 or a 5xx.
const RETRIES: u32 = 3;
/// The largest answer, in bytes: a hundred comments of the longest that any host takes, as JSON writes them.
const ANSWER_MAX: usize = 128 << 20;
/// How much of a refusal's own words is repeated, in characters.
const WORDS_MAX: usize = 300;

/// What came of a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// There was none with this marker.
    Created,
    /// There was one, and it was written over.
    Updated,
}

/// Why a comment was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommentError {
    /// No client could be made.
    #[error("setting up a client for {host}")]
    Setup {
        /// For whom.
        host: Host,
        /// Why.
        #[source]
        source: SetupError,
    },
    /// No answer.
    #[error("{doing} the pull request's comment on {host}: no answer from {address}")]
    Unreachable {
        /// What was being done.
        doing: &'static str,
        /// Where.
        host: Host,
        /// From which host and port.
        address: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A refusal.
    #[error("{doing} the pull request's comment on {host}: it answers with {status}{}", said(.words))]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// Where.
        host: Host,
        /// The HTTP status.
        status: u16,
        /// What it says, cut.
        words: String,
    },
    /// An answer that is none.
    #[error("looking for the pull request's comment on {host}: the answer is no list of comments")]
    Nonsense {
        /// Where.
        host: Host,
    },
}

fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

impl CommentError {
    /// Says whether the token lacks a right, or is over.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Refused { status: 401 | 403 | 404, .. })
    }

    /// Returns what a person can do about a proxy that stands in the way.
    pub(crate) fn proxy_advice(&self) -> Option<&'static str> {
        match self {
            Self::Refused { status: 407, .. } => Obstacle::ProxyLogin.advice(),
            Self::Unreachable { source, .. } => match look_into(source).0 {
                obstacle @ (Obstacle::ProxyLogin | Obstacle::NoProxy) => obstacle.advice(),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Writes the comment that begins with `marker`: over the one that is there, or as a new one.
///
/// # Errors
///
/// Nothing was written, unless there was no answer to the writing itself.
pub(crate) async fn post(
    target: &CommentTarget,
    marker: &Marker,
    body: &str,
    proxy: Option<&ProxySettings>,
) -> Result<Posted, CommentError> {
    let host = target.host;
    let setup = |source| CommentError::Setup { host, source };
    let mut client = Client::builder()
        .tls_backend_preconfigured(tls::config(None).map_err(setup)?)
        // The token is for one address.
        .redirect(reqwest::redirect::Policy::none())
        // A comment that was made is not made a second time.
        .retry(reqwest::retry::never())
        .timeout(TIMEOUT)
        .no_proxy()
        .user_agent(concat!("twinctl/", env!("CARGO_PKG_VERSION")));
    if let Some(proxy) = proxy {
        client = client.proxy(proxy.for_https().map_err(setup)?);
    }
    let client = client.build().map_err(|source| setup(SetupError::Http { source }))?;
    let exchange = Exchange { client, target };
    match exchange.find(marker).await? {
        Some(comment) => {
            exchange.once("updating", &target.update(comment, body)).await?;
            Ok(Posted::Updated)
        }
        None => {
            exchange.once("writing", &target.create(body)).await?;
            Ok(Posted::Created)
        }
    }
}

struct Exchange<'t> {
    client: Client,
    target: &'t CommentTarget,
}

impl Exchange<'_> {
    async fn find(&self, marker: &Marker) -> Result<Option<reqwest::Url>, CommentError> {
        for page in 1..=PAGES_MAX {
            let Some(call) = self.target.list(page) else { break };
            let answer = self.patiently("looking for", &call).await?;
            let host = self.target.host;
            let (found, more) = self.target.find(&answer, marker).ok_or(CommentError::Nonsense { host })?;
            if found.is_some() || !more {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn patiently(&self, doing: &'static str, call: &HostCall) -> Result<Value, CommentError> {
        for attempt in 0..RETRIES {
            match self.once(doing, call).await {
                Err(CommentError::Unreachable { .. } | CommentError::Refused { status: 429 | 500..=599, .. }) => {
                    tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
                }
                result => return result,
            }
        }
        self.once(doing, call).await
    }

    async fn once(&self, doing: &'static str, call: &HostCall) -> Result<Value, CommentError> {
        let host = self.target.host;
        let unreachable = |source: reqwest::Error| CommentError::Unreachable {
            doing,
            host,
            address: call.url.authority().to_owned(),
            source: source.without_url(),
        };
        let mut request = self.client.request(call.method.clone(), call.url.clone());
        for (name, value) in self.target.headers() {
            request = request.header(name, value.expose());
        }
        if let Some(body) = &call.body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        // Azure DevOps answers a token that is none with a page to sign in, and 203 or a redirection.
        if !status.is_success() || status == StatusCode::NON_AUTHORITATIVE_INFORMATION {
            let words = serde_json::from_slice::<Value>(&body::read_start(&mut response).await).ok();
            let words = words.as_ref().and_then(|words| words.get("message")?.as_str()).unwrap_or_default();
            let words = words.chars().take(WORDS_MAX).collect();
            let status = if status == StatusCode::NON_AUTHORITATIVE_INFORMATION { 401 } else { status.as_u16() };
            return Err(CommentError::Refused { doing, host, status, words });
        }
        let answer = body::read(&mut response, ANSWER_MAX).await.map_err(|error| match error {
            BodyError::TooLong { .. } => CommentError::Nonsense { host },
            BodyError::Lost(error) => unreachable(error),
        })?;
        serde_json::from_slice(&answer).map_err(|_| CommentError::Nonsense { host })
    }
}
