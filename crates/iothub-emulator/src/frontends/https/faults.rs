//! `/$twinctl/faults`, which the real service does not have: how the hub is to misbehave.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use crate::core::command::Refusal;
use crate::faults::FaultSpec;
use crate::frontends::https::call::{Administer, ServiceCall, read_json};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::json;
use iothub_model::diagnostic::Diagnostic;
use iothub_model::diagnostic::Source;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::faults::FaultsBody;

pub(crate) async fn get(State(context): State<Arc<Context>>, _call: ServiceCall<Administer>) -> Response {
    report(&context)
}

pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    _call: ServiceCall<Administer>,
    body: Body,
) -> Result<Response, Refusal> {
    let FaultsBody { spec } = read_json(body).await?;
    let spec = FaultSpec::parse(&Source::new("spec", spec)).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(Diagnostic::to_string).collect();
        Refusal::new(ErrorCode::ArgumentInvalid, errors.join("; "))
    })?;
    context.faults.set(spec);
    Ok(report(&context))
}

pub(crate) async fn delete(State(context): State<Arc<Context>>, _call: ServiceCall<Administer>) -> Response {
    context.faults.set(FaultSpec::default());
    report(&context)
}

fn report(context: &Context) -> Response {
    json(serde_json::to_string(&context.faults.report()).expect("text and numbers are JSON"))
}
