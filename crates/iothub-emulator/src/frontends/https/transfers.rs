//! `/jobs`, `/jobs/create` and `/jobs/{id}`: import and export jobs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use crate::core::command::Refusal;
use crate::core::requests::transfers::{CancelTransfer, CreateTransfer, GetTransfer, ListTransfers};
use crate::core::transfer;
use crate::frontends::https::call::{RegistryWrite, ServiceCall, read_json};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::{array, json, no_content};
use crate::transport::request_id::request_id;
use iothub_model::wire::transfers::TransferProperties;

pub(crate) async fn create(
    State(context): State<Arc<Context>>,
    _call: ServiceCall<RegistryWrite>,
    body: Body,
) -> Result<Response, Refusal> {
    let properties: Box<TransferProperties> = Box::new(read_json(body).await?);
    let id = request_id();
    transfer::check(&properties)?;
    // The fuzzer sends requests to no storage account.
    if !cfg!(fuzzing) {
        crate::background::probe::containers(&properties, &id).await?;
    }
    let transfer = context.live.handle(CreateTransfer { id, properties }).await?;
    context.live.transfers_changed.notify_one();
    Ok(json(transfer.answer()))
}

pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    _call: ServiceCall<RegistryWrite>,
) -> Result<Response, Refusal> {
    let transfers = context.live.handle(ListTransfers).await?;
    let texts: Vec<String> = transfers.iter().map(|transfer| transfer.answer()).collect();
    Ok(json(array(texts.iter().map(String::as_str))))
}

pub(crate) async fn get(
    State(context): State<Arc<Context>>,
    call: ServiceCall<RegistryWrite>,
) -> Result<Response, Refusal> {
    Ok(json(context.live.handle(GetTransfer { id: call.second_segment()? }).await?.answer()))
}

pub(crate) async fn cancel(
    State(context): State<Arc<Context>>,
    call: ServiceCall<RegistryWrite>,
) -> Result<Response, Refusal> {
    context.live.handle(CancelTransfer { id: call.second_segment()? }).await?;
    context.live.transfers_changed.notify_one();
    Ok(no_content())
}
