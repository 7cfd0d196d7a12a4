//! `/devices/{id}/modules` and `/devices/{id}/modules/{id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use crate::core::command::Refusal;
use crate::core::module::Module;
use crate::core::requests::modules::{DeleteModule, GetModule, ListModules, PutModule};
use crate::frontends::https::call::{RegistryRead, RegistryWrite, ServiceCall, read_json};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::{array, document, json, no_content};
use crate::handle;

pub(crate) async fn get(
    State(context): State<Arc<Context>>,
    call: ServiceCall<RegistryRead>,
) -> Result<Response, Refusal> {
    let (device, module) = call.module()?;
    let module = context.live.handle(GetModule { device, module }).await?;
    Ok(answer(&module))
}

pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    call: ServiceCall<RegistryRead>,
) -> Result<Response, Refusal> {
    let modules = context.live.handle(ListModules { device: call.device()? }).await?;
    Ok(json(array(modules.iter().map(|module| module.identity.as_str()))))
}

pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    call: ServiceCall<RegistryWrite>,
    body: Body,
) -> Result<Response, Refusal> {
    let ((device, module), if_match) = (call.module()?, call.if_match());
    let body = Box::new(read_json(body).await?);
    let entropy = handle::entropy()?;
    let module = context.live.handle(PutModule { device, module, body, if_match, entropy }).await?;
    Ok(answer(&module))
}

pub(crate) async fn delete(
    State(context): State<Arc<Context>>,
    call: ServiceCall<RegistryWrite>,
) -> Result<Response, Refusal> {
    let ((device, module), if_match) = (call.module()?, call.if_match());
    context.live.handle(DeleteModule { device, module, if_match }).await?;
    Ok(no_content())
}

fn answer(module: &Module) -> Response {
    document(&module.identity, &module.identity_etag)
}
