//! `POST /devices/query`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use super::Context;
use super::call::{Call, ServiceConnect, read_json};
use crate::hub::command::Refusal;
use crate::wire::ErrorCode;
use crate::wire::query::QueryBody;

pub(super) async fn post(
    State(_context): State<Arc<Context>>,
    _call: Call<ServiceConnect>,
    body: Body,
) -> Result<Response, Refusal> {
    let QueryBody { query } = read_json(body).await?;
    if query.as_deref().is_none_or(|query| query.trim().is_empty()) {
        return Err(Refusal::new(ErrorCode::ArgumentNull, "the body has no query"));
    }
    Err(Refusal::new(ErrorCode::ArgumentInvalid, "BadRequest"))
}
