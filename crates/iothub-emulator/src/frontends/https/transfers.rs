//! `/jobs`, `/jobs/create` and `/jobs/{id}`: import and export jobs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use crate::core::command::{Command, Refusal, Reply};
use crate::core::transfers;
use crate::core::transfers::TransferCommand;
use crate::frontends::https::call::{Call, RegistryWrite, read_json};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::{array, json, no_content};
use crate::transport::request_id::request_id;
use iothub_model::wire::transfers::TransferProperties;

pub(crate) async fn create(
    State(context): State<Arc<Context>>,
    _call: Call<RegistryWrite>,
    body: Body,
) -> Result<Response, Refusal> {
    let properties: Box<TransferProperties> = Box::new(read_json(body).await?);
    let id = request_id();
    transfers::check(&properties)?;
    // The fuzzer sends requests to no storage account.
    if !cfg!(fuzzing) {
        crate::background::probe::containers(&properties, &id).await?;
    }
    let answer = ask(&context, TransferCommand::Create { id, properties }).await?;
    context.live.transfers_changed.notify_one();
    Ok(answer)
}

pub(crate) async fn list(State(context): State<Arc<Context>>, _call: Call<RegistryWrite>) -> Result<Response, Refusal> {
    ask(&context, TransferCommand::List).await
}

pub(crate) async fn get(State(context): State<Arc<Context>>, call: Call<RegistryWrite>) -> Result<Response, Refusal> {
    ask(&context, TransferCommand::Get { id: call.second_segment()? }).await
}

pub(crate) async fn cancel(
    State(context): State<Arc<Context>>,
    call: Call<RegistryWrite>,
) -> Result<Response, Refusal> {
    ask(&context, TransferCommand::Cancel { id: call.second_segment()? }).await.map(|_| no_content())
}

async fn ask(context: &Context, command: TransferCommand) -> Result<Response, Refusal> {
    Ok(match context.live.handle(Command::Transfer(command)).await? {
        Reply::Transfer(Some(transfer)) => json(transfer.answer()),
        Reply::Transfers(transfers) => {
            let texts: Vec<String> = transfers.iter().map(|transfer| transfer.answer()).collect();
            json(array(texts.iter().map(String::as_str)))
        }
        other => unreachable!("these commands answer with jobs, and not {other:?}"),
    })
}
