//! `/devices/{id}/messages/…`: what devices do over HTTPS with their own keys and certificates.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderMap;
use http::StatusCode;
use http::Uri;
use http::header;
use http::header::HeaderName;
use http::header::HeaderValue;
use http::request::Parts;
use time::OffsetDateTime;

use crate::core::command::Refusal;
use crate::core::messages::{CloudMessage, LOCK, Settlement};
use crate::core::requests::deliveries::{ReceiveMessage, SettleMessage, TakeTelemetry};
use crate::core::session::Proof;
use crate::faults::by_message::{NO_FAULTS_BY_MESSAGES, asks_for_fault};
use crate::frontends::https::admission::admit;
use crate::frontends::https::call::{api_version, parameter, read};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::{no_content, text_of, unserved};
use crate::transport::request_id::request_id;
use crate::transport::web_socket::ClientCertificate;
use iothub_model::tiers::Feature;
use iothub_model::twin::DeviceId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::decode_segment;
use iothub_model::wire::messages::ACK;

/// Bytes of a message from a device, at most (docs: IoT Hub quotas and throttling).
const MESSAGE_MAX_BYTES: usize = 256 * 1024;
/// How long a device may have a message, at most, in seconds.
const LOCK_MAX_SECONDS: i64 = 300;
/// For how long a device wants to have a message, in seconds.
const LOCK_TIMEOUT: HeaderName = HeaderName::from_static("iothub-messagelocktimeout");
/// What stands before the name of a message's property.
const PROPERTY: &str = "iothub-app-";

/// A request of a device, as far as it can be judged without the registry.
pub(crate) struct DeviceCall {
    device: DeviceId,
    proof: Proof,
    uri: Uri,
    headers: HeaderMap,
}

impl FromRequestParts<Arc<Context>> for DeviceCall {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context>) -> Result<Self, Refusal> {
        // Clients of devices name versions from 2016 on, and the service takes them all.
        if !api_version(&parts.uri).as_deref().is_some_and(is_date) {
            let text = "the request names no api-version such as 2020-03-13";
            return Err(Refusal::new(ErrorCode::InvalidProtocolVersion, text));
        }
        let Extension(ClientCertificate(certificate)) =
            Extension::from_request_parts(parts, context).await.unwrap_or(Extension(ClientCertificate(None)));
        let (authorization, now) = (text_of(&parts.headers, &header::AUTHORIZATION), context.live.now());
        let path = parts.uri.path();
        let proof = context.access.device_proof(authorization, certificate.as_ref(), path, now)?;
        let id = segment(&parts.uri, 1).unwrap_or_default();
        let device = id.parse().map_err(|error| Refusal::new(ErrorCode::ArgumentInvalid, format!("{error}")))?;
        if context.admission.is_limited() {
            admit(&context.admission, parts, now).await?;
        }
        Ok(Self { device, proof, uri: parts.uri.clone(), headers: parts.headers.clone() })
    }
}

impl DeviceCall {
    /// Returns `true` if the path's fourth segment is a name, whose case does not count.
    fn is_of(&self, name: &str) -> bool {
        segment(&self.uri, 3).is_some_and(|segment| segment.eq_ignore_ascii_case(name))
    }

    /// Returns the lock that the path names, with quotes or without.
    fn lock(&self) -> String {
        segment(&self.uri, 4).unwrap_or_default().trim_matches('"').to_owned()
    }
}

fn segment(uri: &Uri, index: usize) -> Option<String> {
    decode_segment(uri.path().trim_start_matches('/').split('/').nth(index)?)
}

/// Returns `true` if a text is a date, perhaps with a word after it.
fn is_date(version: &str) -> bool {
    let date = version.as_bytes().get(..10);
    let is_date = date.is_some_and(|date| {
        date.iter().enumerate().all(|(at, byte)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() })
    });
    is_date && matches!(&version[10..], "" | "-preview")
}

/// Refuses HEAD, which would lock a message and not show it.
pub(crate) async fn no_head() -> Response {
    unserved(StatusCode::METHOD_NOT_ALLOWED, "a message is received with GET")
}

/// Gives a device its next message.
pub(crate) async fn receive(State(context): State<Arc<Context>>, call: DeviceCall) -> Result<Response, Refusal> {
    if !call.is_of("devicebound") {
        return Ok(nowhere());
    }
    context.admission.check(Feature::CloudToDeviceMessages)?;
    let lasts = match call.headers.get(&LOCK_TIMEOUT) {
        None => LOCK,
        Some(value) => {
            let seconds = value.to_str().ok().and_then(|text| text.trim().parse().ok());
            let seconds = seconds.filter(|seconds| (1..=LOCK_MAX_SECONDS).contains(seconds)).ok_or_else(|| {
                let text = format!("IotHub-MessageLockTimeout must be from 1 to {LOCK_MAX_SECONDS} seconds");
                Refusal::new(ErrorCode::ArgumentInvalid, text)
            })?;
            time::Duration::seconds(seconds)
        }
    };
    let lock = request_id();
    let DeviceCall { device, proof, .. } = call;
    let receive = ReceiveMessage { device, proof, lock: lock.clone(), lasts };
    let message = context.live.handle(receive).await?;
    Ok(message.map_or_else(no_content, |message| given(&message, &lock)))
}

/// Writes a time as the service writes it in these headers.
fn header_time(at: OffsetDateTime) -> String {
    let hour = match at.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let half = if at.hour() < 12 { "AM" } else { "PM" };
    let (month, day, year) = (u8::from(at.month()), at.day(), at.year());
    format!("{month}/{day}/{year} {hour}:{:02}:{:02} {half}", at.minute(), at.second())
}

/// Writes a message as a device gets it over HTTPS. Headers of what the sender did not set are there and empty, as in a record of a
/// live hub (azure-iot-cli-extension's tests).
fn given(message: &CloudMessage, lock: &str) -> Response {
    let mut response = Response::new(Body::from(message.payload.clone()));
    let properties = message.properties();
    let is_ack = |name: &str| name.eq_ignore_ascii_case(ACK);
    let ack = properties.others.iter().find(|(name, _)| is_ack(name)).and_then(|(_, value)| value.clone());
    let system = [
        ("etag", Some(format!("\"{lock}\""))),
        ("iothub-messageid", Some(properties.message_id.unwrap_or_default())),
        ("iothub-to", properties.to),
        ("iothub-correlationid", Some(properties.correlation_id.unwrap_or_default())),
        ("iothub-userid", Some(properties.user_id.unwrap_or_default())),
        // Not the headers of HTTP, which describe the response itself (live suite of azure-iot-cli-extension).
        ("contenttype", properties.content_type),
        ("contentencoding", properties.content_encoding),
        ("iothub-expiry", Some(properties.expiry.map(|_| header_time(message.expires())).unwrap_or_default())),
        (ACK, Some(ack.unwrap_or_else(|| "none".to_owned()))),
        ("iothub-enqueuedtime", message.enqueued().map(header_time)),
        ("iothub-sequencenumber", Some(message.sequence.to_string())),
        ("iothub-deliverycount", Some(message.deliveries().to_string())),
    ];
    let system = system.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let own = properties.others.into_iter().filter(|(name, _)| !is_ack(name));
    let own = own.map(|(name, value)| (format!("{PROPERTY}{name}"), value.unwrap_or_default()));
    for (name, value) in system.chain(own) {
        // What cannot stand in a header is left out: HTTP has no way to write it.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Takes that a device has a message, or (`?reject`) that it will never do anything with it.
pub(crate) async fn complete(State(context): State<Arc<Context>>, call: DeviceCall) -> Result<Response, Refusal> {
    let rejects = parameter(&call.uri, "reject").is_some();
    settle(&context, call, if rejects { Settlement::Reject } else { Settlement::Complete }).await
}

/// Takes that a device could not do anything with a message now.
pub(crate) async fn abandon(State(context): State<Arc<Context>>, call: DeviceCall) -> Result<Response, Refusal> {
    settle(&context, call, Settlement::Abandon).await
}

async fn settle(context: &Context, call: DeviceCall, how: Settlement) -> Result<Response, Refusal> {
    if !call.is_of("devicebound") {
        return Ok(nowhere());
    }
    context.admission.check(Feature::CloudToDeviceMessages)?;
    let lock = call.lock();
    let DeviceCall { device, proof, .. } = call;
    let settle = SettleMessage { device, proof, lock, how };
    context.live.handle(settle).await?;
    context.live.messages_changed.notify_one();
    Ok(no_content())
}

/// Takes a device's message. It goes nowhere.
pub(crate) async fn send(
    State(context): State<Arc<Context>>,
    call: DeviceCall,
    body: Body,
) -> Result<Response, Refusal> {
    if !call.is_of("events") {
        return Ok(nowhere());
    }
    let names = call.headers.keys().filter_map(|name| name.as_str().strip_prefix(PROPERTY));
    if names.into_iter().any(asks_for_fault) {
        return Err(Refusal::new(ErrorCode::InvalidOperation, NO_FAULTS_BY_MESSAGES));
    }
    let DeviceCall { device, proof, .. } = call;
    context.live.handle(TakeTelemetry { device, proof }).await?;
    let bytes = read(body).await?.len();
    if bytes > MESSAGE_MAX_BYTES {
        let text = format!("the message has {bytes} bytes, and {MESSAGE_MAX_BYTES} are allowed");
        return Err(Refusal::new(ErrorCode::MessageTooLarge, text));
    }
    Ok(no_content())
}

fn nowhere() -> Response {
    unserved(StatusCode::NOT_FOUND, "a device's messages are at messages/events and messages/deviceBound")
        .into_response()
}
