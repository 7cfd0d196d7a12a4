//! `/digitaltwins/{id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use iothub_model::twin::OrderedObject;

use crate::core::command::Refusal;
use crate::core::digital_twin::{DigitalTwinChange, view};
use crate::core::requests::devices::GetDevice;
use crate::core::requests::twins::PatchDigitalTwin;
use crate::frontends::https::call::{ServiceCall, ServiceConnect, read_json};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::{json, unserved, with_etag};

pub(crate) async fn get(
    State(context): State<Arc<Context>>,
    call: ServiceCall<ServiceConnect>,
) -> Result<Response, Refusal> {
    let device = context.live.handle(GetDevice { id: call.device()? }).await?;
    let twin: OrderedObject = serde_json::from_str(device.twin.as_str()).expect("a kept document is JSON");
    Ok(with_etag(json(view(&twin).to_string()), &device.twin_etag))
}

/// Answers 202: the device makes a desired property come true when it likes.
pub(crate) async fn patch(
    State(context): State<Arc<Context>>,
    call: ServiceCall<ServiceConnect>,
    body: Body,
) -> Result<Response, Refusal> {
    let (id, if_match) = (call.device()?, call.if_match());
    let location = call.path().to_owned();
    let changes = DigitalTwinChange::read(read_json(body).await?)?;
    let device = context.live.handle(PatchDigitalTwin { id, changes, if_match }).await?;
    let mut response = with_etag(Response::default(), &device.twin_etag);
    *response.status_mut() = StatusCode::ACCEPTED;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A command of a digital twin is a direct method by another path.
pub(crate) async fn command() -> Response {
    unserved(
        StatusCode::NOT_FOUND,
        "the embedded hub does not serve commands of digital twins; call the direct method of the same name, \
         `component*command` for a component's, at /twins/{id}/methods",
    )
}
