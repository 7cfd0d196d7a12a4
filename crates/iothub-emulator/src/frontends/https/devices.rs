//! `/devices` and `/devices/{id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use crate::core::command::{Command, Refusal, Reply};
use crate::frontends::https::call::{Call, RegistryRead, RegistryWrite, read_json};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::{array, document, json, no_content};
use crate::handle;

/// Identities in one list, at most, and when nobody says how many.
const LIST_MAX: usize = 1000;

pub(crate) async fn get(State(context): State<Arc<Context>>, call: Call<RegistryRead>) -> Result<Response, Refusal> {
    let reply = context.live.handle(Command::GetDevice { id: call.device()? }).await?;
    Ok(answer(reply))
}

pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    call: Call<RegistryWrite>,
    body: Body,
) -> Result<Response, Refusal> {
    let (id, if_match) = (call.device()?, call.if_match());
    let body = Box::new(read_json(body).await?);
    let entropy = handle::entropy()?;
    Ok(answer(context.live.handle(Command::PutDevice { id, body, if_match, entropy }).await?))
}

pub(crate) async fn delete(
    State(context): State<Arc<Context>>,
    call: Call<RegistryWrite>,
) -> Result<Response, Refusal> {
    let (id, if_match) = (call.device()?, call.if_match());
    Ok(answer(context.live.handle(Command::DeleteDevice { id, if_match }).await?))
}

pub(crate) async fn list(State(context): State<Arc<Context>>, call: Call<RegistryRead>) -> Result<Response, Refusal> {
    let asked = call.parameter("top").and_then(|top| top.parse().ok());
    let top = asked.filter(|top| (1..=LIST_MAX).contains(top)).unwrap_or(LIST_MAX);
    Ok(answer(context.live.handle(Command::ListDevices { top }).await?))
}

fn answer(reply: Reply) -> Response {
    match reply {
        Reply::Device(device) => document(&device.identity, &device.identity_etag),
        Reply::Devices(devices) => json(array(devices.iter().map(|device| device.identity.as_str()))),
        Reply::Deleted => no_content(),
        other => unreachable!("these commands answer with devices, and not {other:?}"),
    }
}
