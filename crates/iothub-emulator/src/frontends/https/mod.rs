//! HTTPS in, requests of the hub out, and back: one file per resource of the service API.
//!
//! [`Service::answer`] is the whole of it: what every answer has (request id, error body, log) is done there, what a request
//! must have (version, right, a turn under the throttles) in [`call`], and the rest by the resources. Misbehaviour that was asked
//! for stands in front of it all.

// In reading order: a module uses those above it, and none below.
mod context;
mod refusal;
mod response;
mod admission;
mod call;
mod bulk;
mod configurations;
mod device_messages;
mod devices;
mod digital_twins;
mod faults;
mod faulty_response;
mod keys;
mod methods;
mod modules;
mod query;
mod jobs;
mod statistics;
mod transfers;
mod twins;
mod unread;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::body::HttpBody;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::any;
use axum::routing::delete;
use axum::routing::get;
use axum::routing::post;
use futures_util::FutureExt;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::StatusCode;
use http::Uri;
use http::header;
use http::header::HeaderName;
use hyper::body::Incoming;
use tower::ServiceExt;

use crate::access::Access;
use crate::core::command::Refusal;
use crate::core::timestamp::timestamp;
use crate::faults::injection::{BrokenOff, FaultInjector};
use crate::faults::{FaultAction, InjectedFault};
use crate::handle::HubHandle;
use crate::limits::admission::Admission;
use crate::request_log::{RequestObserver, RequestRecord};
use crate::transport::request_id::request_id;
use crate::transport::web_socket;
use crate::transport::web_socket::WebSocketHandlers;
use iothub_model::wire;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::error::ERROR_CODE_HEADER;
use iothub_model::wire::error::REQUEST_ID_HEADER;
use iothub_model::wire::faults::FAULTS_PATH;
use unread::SharedBody;

use admission::Meter;
use context::Context;
use response::{ERROR_CODE_HEADERS, list_of, text_of, unserved};

/// The service API of one hub.
#[derive(Clone)]
pub(crate) struct Service {
    context: Arc<Context>,
    observers: Arc<[RequestObserver]>,
    router: Router,
}

impl Service {
    pub(crate) fn new(
        live: Arc<HubHandle>,
        access: Arc<Access>,
        web_sockets: WebSocketHandlers,
        active_jobs: Option<usize>,
        admission: Arc<Admission>,
        faults: Arc<FaultInjector>,
        observers: Arc<[RequestObserver]>,
    ) -> Self {
        let context = Arc::new(Context { live, access, active_jobs, admission, faults });
        let router = router(&web_sockets).with_state(context.clone());
        Self { context, observers, router }
    }

    /// Answers one request, whatever happens, unless it is to break off.
    pub(crate) async fn answer(&self, mut request: Request<Incoming>) -> Result<Response, BrokenOff> {
        override_method(&mut request);
        let mut record = RequestRecord {
            time: String::new(),
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            api_version: call::api_version(request.uri()),
            if_match: list_of(request.headers(), &header::IF_MATCH),
            status: 0,
            error_code: None,
            fault: None,
            reason: None,
        };
        let injected = self.context.faults.meet(request.method(), request.uri().path());
        let (InjectedFault { delay, action, .. }, fault) = (injected, injected.name());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        record.fault = fault;
        let response = match action {
            Some(FaultAction::ResetBefore) => Err(BrokenOff),
            Some(FaultAction::Status(status)) => {
                Ok(faulty_response::refusal(status, request.method(), request.uri().path()))
            }
            Some(FaultAction::ResetAfter | FaultAction::Half | FaultAction::Garbage(_) | FaultAction::NoAnswer)
            | None => Ok(self.route(request).await),
        };
        let response = response.map(|response| self.finish(response, &mut record));
        if !self.observers.is_empty() {
            record.time = timestamp(self.context.live.now());
            let record = record.without_secrets();
            self.observers.iter().for_each(|observer| observer.observe(&record));
        }
        match action {
            Some(FaultAction::ResetAfter) => Err(BrokenOff),
            Some(FaultAction::Half) => faulty_response::halve(response?).await,
            Some(FaultAction::Garbage(draw)) => Ok(faulty_response::garble(response?, draw)),
            // Until the client has had enough of it, or the hub stops.
            Some(FaultAction::NoAnswer) => std::future::pending().await,
            Some(FaultAction::ResetBefore | FaultAction::Status(_)) | None => response,
        }
    }

    /// Answers one request that came from no connection; a panic is not caught.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) async fn answer_in_process(&self, mut request: Request<Body>) -> Response {
        override_method(&mut request);
        let routed = self.router.clone().oneshot(request);
        let Ok(response) = routed.await;
        let mut record = RequestRecord {
            time: String::new(),
            method: String::new(),
            path: String::new(),
            api_version: None,
            if_match: None,
            status: 0,
            error_code: None,
            fault: None,
            reason: None,
        };
        self.finish(response, &mut record)
    }

    /// Hands a request to its resource, and charges what it comes to.
    async fn route(&self, request: Request<Incoming>) -> Response {
        // A client that waits for the word to go on sends nothing before it.
        let waits = request.headers().contains_key(header::EXPECT);
        let (head, body) = request.into_parts();
        // Most requests have no body, and need no second handle of it.
        let (body, rest) = match body.is_end_stream() {
            true => (Body::empty(), None),
            false => {
                let body = SharedBody::new(body);
                (Body::new(body.clone()), Some(body))
            }
        };
        let request = Request::from_parts(head, body);
        let admission = &self.context.admission;
        let (request, meter) = match admission.is_limited() {
            false => (request, None),
            true => {
                let (request, meter) = Meter::of(request);
                (request, Some(meter))
            }
        };
        let routed = self.router.clone().oneshot(request);
        // A fault in one request's handling is that request's alone.
        let mut response = match AssertUnwindSafe(routed).catch_unwind().await {
            Ok(Ok(response)) => response,
            Err(_panic) => Refusal::new(ErrorCode::ServerError, "the hub failed on this request").into_response(),
        };
        if let Some(meter) = meter {
            meter.charge(admission, &response, self.context.live.now());
        }
        if let Some(rest) = rest
            && response.status().is_client_error()
            && !waits
        {
            rest.drop_rest(&mut response).await;
        }
        response
    }

    /// Gives an answer what every answer has, and notes it.
    fn finish(&self, mut response: Response, record: &mut RequestRecord) -> Response {
        let request_id = request_id();
        let refusal = response.extensions_mut().remove::<Refusal>();
        let nested = response.extensions_mut().remove::<methods::Nested>().is_some();
        if let Some(Refusal { code, text }) = refusal {
            let now = self.context.live.now();
            let tracking_id = wire::error::tracking_id(&request_id, now);
            let now = timestamp(now);
            let body = match code {
                _ if nested => wire::error::encode_nested_body(code, &text, &tracking_id, &now),
                ErrorCode::ModuleNotFound | ErrorCode::ModuleAlreadyExistsOnDevice => {
                    wire::error::encode_numbered_body(code, &text, &tracking_id, &now)
                }
                ErrorCode::JobQuotaExceeded => wire::error::encode_lines_body(code, &text, &now),
                _ => wire::error::encode_body(code, &text, &tracking_id),
            };
            record.reason = Some(text);
            *response.body_mut() = Body::from(body.to_string());
            let headers = response.headers_mut();
            // The router counted the empty body.
            headers.remove(header::CONTENT_LENGTH);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(wire::JSON));
            for name in ERROR_CODE_HEADERS {
                headers.insert(name, HeaderValue::from_static(code.name()));
            }
            if code == ErrorCode::ThrottlingBacklogTimeout {
                // As the service does, which sends no Retry-After. HTTP/2 has no such header, and it is left out there.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
        record.error_code =
            response.headers().get(ERROR_CODE_HEADER).and_then(|code| Some(code.to_str().ok()?.to_owned()));
        if let Ok(request_id) = HeaderValue::try_from(request_id) {
            response.headers_mut().insert(REQUEST_ID_HEADER, request_id);
        }
        record.status = response.status().as_u16();
        response
    }
}

/// The header by which Microsoft's Java service SDK sends each PATCH as a POST: the HTTP client of its Java version has no PATCH.
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// Makes a PATCH of a POST that asks for it, before anything looks at the method.
fn override_method<B>(request: &mut Request<B>) {
    let wanted = text_of(request.headers(), &METHOD_OVERRIDE);
    if request.method() == Method::POST && wanted.is_some_and(|method| method.eq_ignore_ascii_case("PATCH")) {
        *request.method_mut() = Method::PATCH;
    }
}

fn router(web_sockets: &WebSocketHandlers) -> Router<Arc<Context>> {
    let mut router = Router::new();
    // Some SDKs put a slash before the question mark.
    for slash in ["", "/"] {
        let path = |path: &str| format!("{path}{slash}");
        let device = || get(devices::get).put(devices::put).delete(devices::delete);
        let configuration = || get(configurations::get).put(configurations::put).delete(configurations::delete);
        router = router
            .route(&path("/twins/{device}"), get(twins::get).patch(twins::patch).put(twins::put))
            .route(&path("/twins/{device}/modules/{module}"), get(twins::get).patch(twins::patch).put(twins::put))
            .route(&path("/twins/{device}/methods"), post(methods::post))
            .route(&path("/twins/{device}/modules/{module}/methods"), post(methods::post))
            .route(&path("/devices"), get(devices::list).post(bulk::post))
            .route(&path("/devices/keys/regenerate"), post(keys::regenerate))
            .route(&path("/devices/{device}/applyConfigurationContent"), post(configurations::apply))
            .route(&path("/digitaltwins/{device}"), get(digital_twins::get).patch(digital_twins::patch))
            .route(&path("/digitaltwins/{device}/commands/{command}"), any(digital_twins::command))
            .route(
                &path("/digitaltwins/{device}/components/{component}/commands/{command}"),
                any(digital_twins::command),
            )
            .route(&path("/devices/{device}/commands"), delete(methods::purge))
            .route(&path("/devices/{device}"), device())
            .route(
                &path("/devices/{device}/messages/{queue}"),
                get(device_messages::receive).head(device_messages::no_head).post(device_messages::send),
            )
            .route(&path("/devices/{device}/messages/{queue}/{lock}"), delete(device_messages::complete))
            .route(&path("/devices/{device}/messages/{queue}/{lock}/abandon"), post(device_messages::abandon))
            .route(&path("/devices/{device}/modules"), get(modules::list))
            .route(
                &path("/devices/{device}/modules/{module}"),
                get(modules::get).put(modules::put).delete(modules::delete),
            )
            // A device may be called so as well.
            .route(&path("/devices/query"), device().merge(post(query::post)))
            .route(&path("/configurations"), get(configurations::list))
            .route(&path("/configurations/{id}"), configuration())
            // No configuration can be called so.
            .route(&path("/configurations/testQueries"), configuration().post(configurations::test))
            .route(&path("/jobs"), get(transfers::list))
            .route(&path("/jobs/create"), get(transfers::get).delete(transfers::cancel).post(transfers::create))
            .route(&path("/jobs/{id}"), get(transfers::get).delete(transfers::cancel))
            .route(&path("/jobs/v2/{id}"), get(jobs::get).put(jobs::put))
            // A job may be called so as well; to look at it, one queries.
            .route(&path("/jobs/v2/query"), get(jobs::list).put(jobs::put))
            .route(&path("/jobs/v2/{id}/cancel"), post(jobs::cancel))
            .route(&path("/statistics/devices"), get(statistics::devices))
            .route(&path("/statistics/service"), get(statistics::service))
            .route(&path(FAULTS_PATH), get(faults::get).put(faults::put).delete(faults::delete));
    }
    for path in [web_socket::PATH, web_socket::SERVICE_BUS_PATH] {
        // The router compares paths as they come, and some clients escape the `$`.
        for path in [path.to_owned(), path.replace('$', "%24")] {
            router = router.route(&path, web_sockets.route()).route(&format!("{path}/"), web_sockets.route());
        }
    }
    router
        .fallback(|uri: Uri| async move { unserved(StatusCode::NOT_FOUND, missing(uri.path())) })
        .method_not_allowed_fallback(|| async {
            unserved(StatusCode::METHOD_NOT_ALLOWED, "the resource does not have this method on the embedded hub")
        })
}

/// Says what a path stands for that the embedded hub does not have.
fn missing(path: &str) -> &'static str {
    let path = path.trim_matches('/').to_ascii_lowercase();
    let segments: Vec<&str> = path.split('/').collect();
    match segments.as_slice() {
        ["devices", _, "files", ..] => "the embedded hub has no file upload",
        ["devices", _, "modules", _, "messages" | "files", ..] => {
            "the embedded hub has no modules over HTTPS; connect them over MQTT or MQTT over WebSockets"
        }
        ["messages", "servicebound", "filenotifications", ..] => {
            "the embedded hub has no file upload, and so no notifications of it"
        }
        ["messages", "servicebound", "feedback", ..] => {
            "the embedded hub gives feedback about messages over AMQP alone, at /messages/serviceBound/feedback"
        }
        ["messages", "events" | "operationsmonitoringevents", ..] => {
            "the embedded hub has no events endpoint: telemetry is acknowledged and goes nowhere, and nobody can read it"
        }
        _ => "there is no such resource on the embedded hub",
    }
}
