//! `/devices` and `/devices/{id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::call::{Call, RegistryRead, RegistryWrite, read_json};
use super::{Context, document, json};
use crate::hub::command::{Command, Refusal, Reply};
use crate::hub::device::Device;
use crate::hub::live;

/// Identities in one list, at most, and when nobody says how many.
const LIST_MAX: usize = 1000;

pub(super) async fn get(State(context): State<Arc<Context>>, call: Call<RegistryRead>) -> Result<Response, Refusal> {
    let reply = context.live.handle(Command::GetDevice { id: call.device()? }).await?;
    Ok(answer(reply))
}

pub(super) async fn put(
    State(context): State<Arc<Context>>,
    call: Call<RegistryWrite>,
    body: Body,
) -> Result<Response, Refusal> {
    let (id, if_match) = (call.device()?, call.if_match());
    let body = Box::new(read_json(body).await?);
    let entropy = live::entropy()?;
    Ok(answer(context.live.handle(Command::PutDevice { id, body, if_match, entropy }).await?))
}

pub(super) async fn delete(
    State(context): State<Arc<Context>>,
    call: Call<RegistryWrite>,
) -> Result<Response, Refusal> {
    let (id, if_match) = (call.device()?, call.if_match());
    Ok(answer(context.live.handle(Command::DeleteDevice { id, if_match }).await?))
}

pub(super) async fn list(State(context): State<Arc<Context>>, call: Call<RegistryRead>) -> Result<Response, Refusal> {
    let asked = call.parameter("top").and_then(|top| top.parse().ok());
    let top = asked.filter(|top| (1..=LIST_MAX).contains(top)).unwrap_or(LIST_MAX);
    Ok(answer(context.live.handle(Command::ListDevices { top }).await?))
}

fn answer(reply: Reply) -> Response {
    match reply {
        Reply::Device(device) => document(&device.identity, &device.identity_etag),
        Reply::Devices(devices) => json(list_of(&devices)),
        Reply::Deleted => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Reply::Counts { .. } | Reply::Session(_) | Reply::Reported(_) | Reply::Done => {
            unreachable!("these commands answer with devices")
        }
    }
}

fn list_of(devices: &[Arc<Device>]) -> String {
    let mut text = String::from("[");
    for device in devices {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(device.identity.as_str());
    }
    text.push(']');
    text
}
