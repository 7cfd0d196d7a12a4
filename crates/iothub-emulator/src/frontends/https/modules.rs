//! `/devices/{id}/modules` and `/devices/{id}/modules/{id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use crate::core::command::{Command, Refusal, Reply};
use crate::core::modules::ModuleCommand;
use crate::frontends::https::call::{Call, RegistryRead, RegistryWrite, read_json};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::{array, document, json, no_content};
use crate::handle;

pub(crate) async fn get(State(context): State<Arc<Context>>, call: Call<RegistryRead>) -> Result<Response, Refusal> {
    let (device, module) = call.module()?;
    ask(&context, ModuleCommand::Get { device, module }).await
}

pub(crate) async fn list(State(context): State<Arc<Context>>, call: Call<RegistryRead>) -> Result<Response, Refusal> {
    ask(&context, ModuleCommand::List { device: call.device()? }).await
}

pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    call: Call<RegistryWrite>,
    body: Body,
) -> Result<Response, Refusal> {
    let ((device, module), if_match) = (call.module()?, call.if_match());
    let body = Box::new(read_json(body).await?);
    let entropy = handle::entropy()?;
    ask(&context, ModuleCommand::Put { device, module, body, if_match, entropy }).await
}

pub(crate) async fn delete(
    State(context): State<Arc<Context>>,
    call: Call<RegistryWrite>,
) -> Result<Response, Refusal> {
    let ((device, module), if_match) = (call.module()?, call.if_match());
    ask(&context, ModuleCommand::Delete { device, module, if_match }).await
}

async fn ask(context: &Context, command: ModuleCommand) -> Result<Response, Refusal> {
    Ok(match context.live.handle(Command::Module(command)).await? {
        Reply::Module(module) => document(&module.identity, &module.identity_etag),
        Reply::Modules(modules) => json(array(modules.iter().map(|module| module.identity.as_str()))),
        Reply::Deleted => no_content(),
        other => unreachable!("these commands answer with modules, and not {other:?}"),
    })
}
