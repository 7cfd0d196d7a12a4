//! `/twins/{id}` and `/twins/{id}/modules/{id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use crate::core::command::{Refusal, TwinWrite};
use crate::core::requests::twins::{GetTwin, TwinReply, WriteTwin};
use crate::frontends::https::call::{ServiceCall, ServiceConnect, read_json};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::document;
use iothub_model::twin::OrderedValue;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::twins::TwinBody;

pub(crate) async fn get(
    State(context): State<Arc<Context>>,
    call: ServiceCall<ServiceConnect>,
) -> Result<Response, Refusal> {
    Ok(answer(&context.live.handle(GetTwin { id: call.twin()? }).await?))
}

pub(crate) async fn patch(
    State(context): State<Arc<Context>>,
    call: ServiceCall<ServiceConnect>,
    body: Body,
) -> Result<Response, Refusal> {
    write(&context, &call, TwinWrite::Merge, body).await
}

pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    call: ServiceCall<ServiceConnect>,
    body: Body,
) -> Result<Response, Refusal> {
    write(&context, &call, TwinWrite::Replace, body).await
}

async fn write(
    context: &Context,
    call: &ServiceCall<ServiceConnect>,
    how: TwinWrite,
    body: Body,
) -> Result<Response, Refusal> {
    let (id, if_match) = (call.twin()?, call.if_match());
    let body: OrderedValue = read_json(body).await?;
    let invalid = |error| Refusal::new(ErrorCode::ArgumentInvalid, format!("{error}"));
    let body = TwinBody::decode(body).map_err(invalid)?;
    Ok(answer(&context.live.handle(WriteTwin { id, how, body, if_match }).await?))
}

fn answer(twin: &TwinReply) -> Response {
    document(twin.document(), twin.etag())
}
