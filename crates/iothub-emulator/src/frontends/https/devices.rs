//! `/devices` and `/devices/{id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use crate::core::command::Refusal;
use crate::core::device::Device;
use crate::core::requests::devices::{DeleteDevice, GetDevice, ListDevices, PutDevice};
use crate::frontends::https::call::{RegistryRead, RegistryWrite, ServiceCall, read_json};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::{array, document, json, no_content};
use crate::handle;

/// Identities in one list, at most, and when nobody says how many.
const LIST_MAX: usize = 1000;

pub(crate) async fn get(
    State(context): State<Arc<Context>>,
    call: ServiceCall<RegistryRead>,
) -> Result<Response, Refusal> {
    let device = context.live.handle(GetDevice { id: call.device()? }).await?;
    Ok(answer(&device))
}

pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    call: ServiceCall<RegistryWrite>,
    body: Body,
) -> Result<Response, Refusal> {
    let (id, if_match) = (call.device()?, call.if_match());
    let body = Box::new(read_json(body).await?);
    let entropy = handle::entropy()?;
    let device = context.live.handle(PutDevice { id, body, if_match, entropy }).await?;
    Ok(answer(&device))
}

pub(crate) async fn delete(
    State(context): State<Arc<Context>>,
    call: ServiceCall<RegistryWrite>,
) -> Result<Response, Refusal> {
    let (id, if_match) = (call.device()?, call.if_match());
    context.live.handle(DeleteDevice { id, if_match }).await?;
    Ok(no_content())
}

pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    call: ServiceCall<RegistryRead>,
) -> Result<Response, Refusal> {
    let asked = call.parameter("top").and_then(|top| top.parse().ok());
    let top = asked.filter(|top| (1..=LIST_MAX).contains(top)).unwrap_or(LIST_MAX);
    let devices = context.live.handle(ListDevices { top }).await?;
    Ok(json(array(devices.iter().map(|device| device.identity.as_str()))))
}

fn answer(device: &Device) -> Response {
    document(&device.identity, &device.identity_etag)
}
