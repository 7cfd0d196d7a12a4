//! What was asked of the hub and how it ended, for tests that must prove what a client sent. No secrets: no tokens, no bodies.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use serde::Serialize;

use crate::clock::Clock;
use crate::core::command::Refusal;
use crate::core::timestamp::timestamp;
use crate::start_error::HubStartError;
use iothub_model::wire::decode_segment;
use iothub_model::wire::redact::Redactor;
use iothub_model::wire::redact::without_keys;

/// One request and its answer's status; or a refusal or an injected fault over MQTT or AMQP, or a connection that the hub cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RequestRecord {
    /// When it was answered, by the hub's clock, in UTC (RFC 3339).
    pub time: String,
    /// The method; `MQTT`, `AMQP`, or `TLS` for a connection that ended before its client sent anything over it.
    pub method: String,
    /// The path as it came, its escapes untouched.
    pub path: String,
    /// The `api-version` that was asked for.
    pub api_version: Option<String>,
    /// The `If-Match` header as it came.
    pub if_match: Option<String>,
    /// The answer's HTTP status; 0 when the request was broken off before it was done, or a connection cut for what its client
    /// did not do.
    pub status: u16,
    /// The answer's error code.
    pub error_code: Option<String>,
    /// What the hub was asked to do to this request or its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Why the request was refused, or the client of MQTT or AMQP refused or cut, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A function that is called with every request, before its response leaves.
#[derive(Clone)]
pub(crate) struct RequestObserver(Arc<dyn Fn(&RequestRecord) + Send + Sync>);

impl RequestObserver {
    pub(crate) fn new(function: impl Fn(&RequestRecord) + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    pub(crate) fn observe(&self, record: &RequestRecord) {
        (self.0)(record);
    }
}

impl fmt::Debug for RequestObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestObserver")
    }
}

/// Who is told of clients of MQTT and AMQP that are refused, and of connections that the hub cuts.
#[derive(Clone, Default)]
pub(crate) struct ConnectionLog {
    observers: Arc<[RequestObserver]>,
    /// `None` if there is no observer.
    clock: Option<Clock>,
}

/// How a request over MQTT or AMQP, or a connection, ended.
#[derive(Default)]
struct Ended<'a> {
    status: u16,
    code: Option<&'a str>,
    fault: Option<&'a str>,
    reason: Option<&'a str>,
}

/// Characters of a reason or a path, at most: clients choose ids, addresses and topics.
const SHOWN_MAX_CHARS: usize = 400;

impl ConnectionLog {
    pub(crate) fn new(observers: Arc<[RequestObserver]>, clock: Clock) -> Self {
        Self { observers, clock: Some(clock) }
    }

    /// Notes that a client was refused at `path`.
    pub(crate) fn refused(&self, protocol: &str, path: &str, refusal: &Refusal) {
        self.refused_with(protocol, path, refusal, None);
    }

    /// Notes that a client was refused at `path`, perhaps by an injected fault.
    pub(crate) fn refused_with(&self, protocol: &str, path: &str, refusal: &Refusal, fault: Option<&str>) {
        let (status, code) = (refusal.code.status(), Some(refusal.code.name()));
        self.note(protocol, path, Ended { status, code, fault, reason: Some(&refusal.text) });
    }

    /// Notes an injected fault, and the status of what it was done to.
    pub(crate) fn fault(&self, protocol: &str, path: &str, status: u16, fault: &str) {
        let reason = format!("a fault that the hub was told to have: {fault}");
        self.note(protocol, path, Ended { status, code: None, fault: Some(fault), reason: Some(&reason) });
    }

    /// Notes that the hub cut a connection that broke no rule.
    pub(crate) fn cut(&self, protocol: &str, path: &str, reason: &str) {
        self.note(protocol, path, Ended { reason: Some(reason), ..Ended::default() });
    }

    /// Notes that the hub cut a connection because of what others did, whom its client may want to know of.
    pub(crate) fn cut_by_others(&self, protocol: &str, path: &str, code: &str, reason: &str) {
        self.note(protocol, path, Ended { code: Some(code), reason: Some(reason), ..Ended::default() });
    }

    /// Notes that a connection to the port of `front` ended before its client sent anything over TLS.
    pub(crate) fn tls(&self, front: &str, code: &str, reason: &str) {
        let ended = Ended { code: Some(code), reason: Some(reason), ..Ended::default() };
        self.note("TLS", &format!("/{front}"), ended);
    }

    fn note(&self, protocol: &str, path: &str, Ended { status, code, fault, reason }: Ended<'_>) {
        let Some(clock) = self.clock.as_ref().filter(|_| !self.observers.is_empty()) else { return };
        let record = RequestRecord {
            time: timestamp(clock()),
            method: protocol.to_owned(),
            path: shown(path),
            api_version: None,
            if_match: None,
            status,
            error_code: code.map(str::to_owned),
            fault: fault.map(str::to_owned),
            reason: reason.map(shown),
        };
        for observer in &*self.observers {
            observer.observe(&record);
        }
    }
}

/// Returns what may be shown of a text that a client has a part in: a token or a key may stand where a topic, an id or an address was to
/// stand.
fn shown(text: &str) -> String {
    without_keys(&Redactor::suspicious().redact(text))
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(SHOWN_MAX_CHARS)
        .collect()
}

impl RequestRecord {
    /// Returns the id of the device that the path names, its escapes read; `None` for a path that names none.
    ///
    /// ```
    /// # use serde_json::json;
    /// let hub = iothub_emulator::Emulator::builder().start_blocking()?;
    /// // What a client sends is here afterwards, with its answer's status.
    /// for request in hub.requests() {
    ///     println!("{} {} {} {:?}", request.method, request.path, request.status, request.device());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn device(&self) -> Option<String> {
        let mut segments = self.path.trim_matches('/').split('/');
        let (collection, id) = (segments.next()?, segments.next()?);
        let is_of_many = self.method == "POST" && collection == "devices" && matches!(id, "query" | "keys");
        if is_of_many || !matches!(collection, "devices" | "twins" | "digitaltwins") {
            return None;
        }
        decode_segment(id)
    }

    /// Takes out the secrets that a client may have put where they do not belong. Costs more than the request's own record, so that it is
    /// done for those alone who look at records.
    pub(crate) fn without_secrets(self) -> Self {
        let masked = |text: String| without_keys(&text).into_owned();
        Self {
            path: masked(self.path),
            api_version: self.api_version.map(masked),
            if_match: self.if_match.map(masked),
            reason: self.reason.as_deref().map(shown),
            ..self
        }
    }
}

/// Opens a file that gets a line of JSON for each request, after what it holds already.
pub(crate) fn to_file(path: &Path) -> Result<RequestObserver, HubStartError> {
    let file = File::options().create(true).append(true).open(path);
    let file = Mutex::new(file.map_err(|source| HubStartError::File { path: path.to_owned(), source })?);
    Ok(RequestObserver::new(move |record| {
        let mut line = serde_json::to_string(record).expect("text and numbers are JSON");
        line.push('\n');
        // A log that cannot be written must not take the hub down.
        let _ = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }))
}
