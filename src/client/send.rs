//! One request: what is sent, what came back, and what that means. Reads are sent again; writes never are, here.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use tokio::time::Instant;

use super::auth::Authority;
use super::body::{self, BodyError};
use super::error::{Cause, Error, Obstacle, RequestLine};
use super::retry::{Backoff, random_fraction};
use iothub_model::tiers::{Operation, Usage};
use iothub_model::twin::HubHost;
use iothub_model::wire::error::{ERROR_CODE_HEADER, ErrorCode};
use iothub_model::wire::query::ITEM_TYPE_HEADER;
use iothub_model::wire::redact::Redactor;
use iothub_model::wire::{API_VERSION, HubError, JSON};

/// Is told when a read is about to be sent again, why, and after how long.
pub(crate) type OnRetry = Arc<dyn Fn(&Error, Duration) + Send + Sync>;

/// One request, before it is sent.
pub(super) struct Call {
    method: &'static str,
    path: String,
    /// `None` for what only the embedded hub has.
    operation: Option<Operation>,
    /// `top=10&`, or nothing.
    query: String,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    ceiling: usize,
}

/// The largest answer about one thing. A twin with as many small properties as it may have, each with its metadata, comes to
/// half a megabyte.
const ONE: usize = 4 << 20;

impl Call {
    pub(super) fn new(method: &'static str, path: String) -> Self {
        let operation = Operation::of(method, &path);
        Self { method, path, operation, query: String::new(), headers: HeaderMap::new(), body: None, ceiling: ONE }
    }

    #[cfg(any(test, feature = "embedded"))]
    pub(super) fn top(mut self, top: usize) -> Self {
        self.query = format!("top={top}&");
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(super) fn body(mut self, body: &impl serde::Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("bodies have text for keys and numbers that are finite");
        self.body = Some(body);
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        self
    }

    pub(super) fn ceiling(mut self, bytes: usize) -> Self {
        self.ceiling = bytes;
        self
    }
}

/// What came back: a status of 200 or 201, and a body.
pub(super) struct Answer {
    pub(super) request: RequestLine,
    pub(super) headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    /// Says that the answer makes no sense.
    pub(super) fn nonsense(&self, problem: impl Into<String>) -> Error {
        Error::Nonsense { request: self.request.clone(), problem: problem.into() }
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Reads the body as JSON. The error shows nothing of the body, which may hold keys.
    pub(super) fn json(&self) -> Result<Value, Error> {
        serde_json::from_slice(&self.body).map_err(|error| self.nonsense(self.why_no_json(&error)))
    }

    /// Returns why the body is not JSON that can be read. Shows nothing of it.
    pub(super) fn why_no_json(&self, error: &serde_json::Error) -> String {
        if self.body.is_empty() {
            return "it is empty".to_owned();
        }
        let kind = match self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) {
            Some(kind) => format!("its type is {kind}"),
            None => "its type is not said".to_owned(),
        };
        let problem = match () {
            () if error.is_eof() => "it is cut off".to_owned(),
            // The parser has no category for it.
            () if error.to_string().starts_with("recursion limit") => "its JSON is nested too deeply".to_owned(),
            () => format!("it is not JSON, {kind}"),
        };
        format!("{problem} (line {}, column {})", error.line(), error.column())
    }
}

/// The connections to one hub.
pub(super) struct Transport {
    pub(super) host: HubHost,
    http: reqwest::Client,
    authority: Authority,
    backoff: Backoff,
    timeout: Duration,
    on_retry: Option<OnRetry>,
    /// Whether a proxy may stand between, for messages.
    through_proxy: bool,
    /// Whether the hub has ever answered: until then, that it cannot be reached is a mistake rather than a mishap.
    answered: AtomicBool,
    usage: Mutex<Usage>,
    /// By how many seconds this machine's clock is ahead of the hub's, as the last answer with a date told.
    clock_ahead: Mutex<Option<i64>>,
}

impl Transport {
    pub(super) fn new(
        host: HubHost,
        http: reqwest::Client,
        authority: Authority,
        backoff: Backoff,
        timeout: Duration,
        on_retry: Option<OnRetry>,
        through_proxy: bool,
    ) -> Self {
        Self {
            host,
            http,
            authority,
            backoff,
            timeout,
            on_retry,
            through_proxy,
            answered: AtomicBool::new(false),
            usage: Mutex::default(),
            clock_ahead: Mutex::default(),
        }
    }

    pub(super) fn clock_ahead(&self) -> Option<i64> {
        *self.clock_ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what has been asked so far.
    pub(super) fn usage(&self) -> Usage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request that is sent.
    fn count_sent(&self, call: &Call) {
        if let Some(operation) = call.operation {
            self.usage.lock().unwrap_or_else(PoisonError::into_inner).send(operation);
        }
    }

    /// Counts what a request and its response are billed as.
    fn count_billed(&self, call: &Call, status: u16, headers: &HeaderMap, body: &[u8]) {
        let Some(operation) = call.operation else { return };
        let item_type = headers.get(ITEM_TYPE_HEADER).and_then(|item_type| item_type.to_str().ok());
        let charge = operation.charge_after(status, item_type);
        let request = call.body.as_ref().map_or(0, Vec::len);
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.bill(operation.class(), charge, request as u64, body.len() as u64);
    }

    pub(super) fn request(&self, call: &Call) -> RequestLine {
        RequestLine { method: call.method, path: call.path.clone(), host: self.host.clone() }
    }

    /// Sends a request that changes nothing, again and again while its trouble may pass and the budget lasts.
    pub(super) async fn read(&self, call: &Call) -> Result<Answer, Error> {
        let started = Instant::now();
        let mut failures = 0;
        loop {
            let error = match self.once(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let hopeless = matches!(error, Error::Unreachable { .. }) && !self.answered.load(Ordering::Relaxed);
            let wait = self.backoff.delay(&error, failures, started.elapsed(), random_fraction()).filter(|_| !hopeless);
            let Some(wait) = wait else { return Err(error) };
            if let Some(on_retry) = &self.on_retry {
                on_retry(&error, wait);
            }
            tokio::time::sleep(wait).await;
            failures += 1;
        }
    }

    /// Sends a request once.
    pub(super) async fn once(&self, call: &Call) -> Result<Answer, Error> {
        let request = self.build(call)?;
        self.count_sent(call);
        let mut response = self.http.execute(request).await.map_err(|error| self.failure(call, error))?;
        self.answered.store(true, Ordering::Relaxed);
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        if let Some(date) = headers.get(DATE).and_then(|date| date.to_str().ok()) {
            let ahead = ahead(self.authority.now(), date);
            *self.clock_ahead.lock().unwrap_or_else(PoisonError::into_inner) = ahead;
        }
        if !response.status().is_success() {
            let body = body::read_start(&mut response).await;
            return Err(refusal(self.request(call), status, &headers, &body, self.authority.now()));
        }
        let body = body::read(&mut response, call.ceiling).await.map_err(|error| match error {
            BodyError::TooLong { ceiling } => {
                let problem = format!("it is longer than {} MiB", ceiling >> 20);
                Error::Nonsense { request: self.request(call), problem }
            }
            BodyError::Lost(error) => self.failure(call, error),
        })?;
        match status {
            // What is deleted is nothing to answer.
            204 if call.method == "DELETE" => Ok(Answer { request: self.request(call), headers, body }),
            200 | 201 => {
                self.count_billed(call, status, &headers, &body);
                Ok(Answer { request: self.request(call), headers, body })
            }
            _ => {
                let problem = format!("its status is {status}");
                Err(Error::Nonsense { request: self.request(call), problem })
            }
        }
    }

    fn build(&self, call: &Call) -> Result<reqwest::Request, Error> {
        let unsendable = |problem: &str| Error::Unsendable { request: self.request(call), problem: problem.to_owned() };
        let url = format!("https://{}{}?{}api-version={API_VERSION}", self.host, call.path, call.query);
        let url = reqwest::Url::parse(&url).map_err(|_| unsendable("it cannot be written as a URL"))?;
        // A URL cannot name `.` or `..`, escaped or not, which ids may be: another path would be asked for.
        if url.path() != call.path {
            return Err(unsendable("a URL cannot hold this id"));
        }
        let method = Method::from_bytes(call.method.as_bytes()).expect("methods are written down in this folder");
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().insert(AUTHORIZATION, self.authority.header());
        *request.body_mut() = call.body.clone().map(reqwest::Body::from);
        Ok(request)
    }

    /// Says what the failure of a request means.
    fn failure(&self, call: &Call, error: reqwest::Error) -> Error {
        let request = self.request(call);
        let (obstacle, innermost) = look_into(&error);
        if error.is_builder() {
            return Error::Unsendable { request, problem: innermost };
        }
        if error.is_connect() {
            let reason = if error.is_timeout() { Obstacle::TimedOut } else { obstacle };
            let note = if self.through_proxy { ", where a proxy is set" } else { "" };
            return Error::Unreachable { request, reason, source: Cause(format!("{innermost}{note}")) };
        }
        let why = if error.is_timeout() { format!("none within {:?}", self.timeout) } else { innermost };
        Error::Lost { request, source: Cause(why) }
    }
}

/// Walks down to the cause of all causes, and looks on the way for one that has a name.
pub(crate) fn look_into(error: &(dyn StdError + 'static)) -> (Obstacle, String) {
    let mut obstacle = Obstacle::Other;
    let mut is_proxy = false;
    let mut current = error;
    loop {
        if let Some(found) = recognise(current) {
            obstacle = found;
        }
        is_proxy |= current.to_string() == "tunnel error: failed to create underlying connection";
        let io = current.downcast_ref::<std::io::Error>();
        // An I/O error that wraps another error passes over it in `source`.
        let wrapped = io.and_then(|io| io.get_ref()).map(|inner| inner as &(dyn StdError + 'static));
        match wrapped.or_else(|| current.source()) {
            Some(next) => current = next,
            None if is_proxy => return (Obstacle::NoProxy, current.to_string()),
            None => return (obstacle, current.to_string()),
        }
    }
}

fn recognise(error: &(dyn StdError + 'static)) -> Option<Obstacle> {
    use rustls::CertificateError as C;
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(match error {
            rustls::Error::InvalidCertificate(
                C::UnknownIssuer | C::BadSignature | C::UnhandledCriticalExtension | C::Revoked,
            ) => Obstacle::Untrusted,
            rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
                Obstacle::WrongName
            }
            rustls::Error::InvalidCertificate(
                C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. },
            ) => Obstacle::OutOfDate,
            rustls::Error::InvalidCertificate(_) => Obstacle::Untrusted,
            rustls::Error::InvalidMessage(_) => Obstacle::NotTls,
            _ => return None,
        });
    }
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return match error.kind() {
            std::io::ErrorKind::ConnectionRefused => Some(Obstacle::Closed),
            std::io::ErrorKind::TimedOut => Some(Obstacle::TimedOut),
            _ => None,
        };
    }
    // The connector has no types for these.
    match error.to_string().as_str() {
        "dns error" => Some(Obstacle::NoSuchName),
        "tunnel error: proxy authorization required" => Some(Obstacle::ProxyLogin),
        "tunnel error: unsuccessful" | "tunnel error: unexpected end of file" => Some(Obstacle::Proxy),
        _ => None,
    }
}

/// Says what an answer other than success means.
///
/// A 404, 409 or 403 is the hub's own only when it has one of the hub's codes: a proxy's must not be read as an absent twin.
/// A 401 or 403 that has a code of another kind is about what was asked, and not about who asks.
fn refusal(request: RequestLine, status: u16, headers: &HeaderMap, body: &[u8], now: u64) -> Error {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let code = text(http::HeaderName::from_static(ERROR_CODE_HEADER));
    let mut hub = Box::new(HubError::decode(status, code, body));
    // Whoever answers may repeat what was sent, the signature too.
    hub.message = Redactor::suspicious().redact(&hub.message).into_owned();
    if (300..400).contains(&status) && hub.message.is_empty() {
        hub.message = "a redirect, which is not followed".to_owned();
    }
    let retry_after = text(RETRY_AFTER).and_then(|text| wait_until(text, text_of_date(headers), now));
    match (status, hub.code()) {
        (401 | 403, Some(code)) if code.is_about_credentials() => {
            Error::Unauthorized { request, hub, clock_ahead: text(DATE).and_then(|date| ahead(now, date)) }
        }
        // No word about why: whoever answers so means the credentials.
        (401, None) if hub.code_name.is_none() => {
            Error::Unauthorized { request, hub, clock_ahead: text(DATE).and_then(|date| ahead(now, date)) }
        }
        (404, Some(_)) => Error::NotFound { request, hub },
        (409, Some(ErrorCode::DeviceAlreadyExists | ErrorCode::ModuleAlreadyExistsOnDevice)) => {
            Error::AlreadyExists { request, hub }
        }
        (412, _) => Error::PreconditionFailed { request, hub },
        (429, _) => Error::Throttled { request, hub, retry_after },
        (408 | 500 | 502 | 503 | 504, _) => Error::Unavailable { request, hub, retry_after },
        _ => Error::Refused { request, hub },
    }
}

fn text_of_date(headers: &HeaderMap) -> Option<&str> {
    headers.get(DATE)?.to_str().ok()
}

/// By how many seconds `now` is ahead of an HTTP date.
fn ahead(now: u64, date: &str) -> Option<i64> {
    Some(i64::try_from(now).ok()? - i64::try_from(unix_time(date)?).ok()?)
}

/// Returns how long `Retry-After` asks to wait: so many seconds, or until an HTTP date, which counts from the answer's own date
/// so that clocks that differ do no harm. A date that is past asks for no wait.
fn wait_until(retry_after: &str, date: Option<&str>, now: u64) -> Option<Duration> {
    let retry_after = retry_after.trim();
    let seconds = retry_after.parse().ok().or_else(|| {
        let now = date.and_then(unix_time).unwrap_or(now);
        Some(unix_time(retry_after)?.saturating_sub(now))
    })?;
    Some(Duration::from_secs(seconds))
}

fn unix_time(date: &str) -> Option<u64> {
    Some(httpdate::parse_http_date(date).ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared() {
        for (now, date, expected) in [
            (1_795_552_000, "Tue, 24 Nov 2026 20:26:40 GMT", Some(0)),
            (1_795_552_600, "Tue, 24 Nov 2026 20:26:40 GMT", Some(600)),
            (1_795_551_990, "Tue, 24 Nov 2026 20:26:40 GMT", Some(-10)),
            (1_795_552_000, "yesterday", None),
        ] {
            assert_eq!(ahead(now, date), expected, "{now} {date}");
        }
    }

    #[test]
    fn waits_are_seconds_or_dates() {
        const NOW: u64 = 1_795_552_000; // Tue, 24 Nov 2026 20:26:40 GMT
        for (asked, date, expected) in [
            ("7", None, Some(7)),
            (" 7 ", None, Some(7)),
            ("0", None, Some(0)),
            ("-7", None, None),
            ("soon", None, None),
            ("", None, None),
            ("Tue, 24 Nov 2026 20:26:50 GMT", None, Some(10)),
            ("Tuesday, 24-Nov-26 20:26:50 GMT", None, Some(10)),
            ("Tue Nov 24 20:26:50 2026", None, Some(10)),
            // By the hub's clock, which is an hour ahead.
            ("Tue, 24 Nov 2026 21:26:50 GMT", Some("Tue, 24 Nov 2026 21:26:40 GMT"), Some(10)),
            ("Tue, 24 Nov 2026 20:26:50 GMT", Some("yesterday"), Some(10)),
            ("Tue, 24 Nov 2026 20:00:00 GMT", None, Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", None, Some(253_402_300_799 - NOW)),
        ] {
            assert_eq!(wait_until(asked, date, NOW), expected.map(Duration::from_secs), "{asked:?} {date:?}");
        }
    }
}
