//! `/configurations`, `/configurations/{id}` and `/configurations/testQueries`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use crate::core::command::Refusal;
use crate::core::configurations::{Configuration, test_queries};
use crate::core::requests::configurations::{
    DeleteConfiguration, GetConfiguration, ListConfigurations, PutConfiguration,
};
use crate::core::requests::edge_content::ApplyContent;
use crate::frontends::https::call::{Configurations, ServiceCall, read_json};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::{array, json, no_content, with_etag};
use iothub_model::wire::configurations::CONTENT_NAMES;
use iothub_model::wire::configurations::TestQueriesBody;
use iothub_model::wire::members::with_names;

pub(crate) async fn get(
    State(context): State<Arc<Context>>,
    call: ServiceCall<Configurations>,
) -> Result<Response, Refusal> {
    let configuration = context.live.handle(GetConfiguration { id: call.second_segment()? }).await?;
    Ok(answer(&configuration))
}

/// There is no paging, and `top` is passed over.
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    _call: ServiceCall<Configurations>,
) -> Result<Response, Refusal> {
    let all = context.live.handle(ListConfigurations).await?;
    let texts: Vec<String> = all.iter().map(|it| it.to_json()).collect();
    Ok(json(array(texts.iter().map(String::as_str))))
}

pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    call: ServiceCall<Configurations>,
    body: Body,
) -> Result<Response, Refusal> {
    let (id, if_match) = (call.second_segment()?, call.if_match());
    let body = Box::new(read_json(body).await?);
    let limit = context.admission.configurations();
    let configuration = context.live.handle(PutConfiguration { id, body, if_match, limit }).await?;
    context.live.configurations_changed.notify_one();
    Ok(answer(&configuration))
}

pub(crate) async fn delete(
    State(context): State<Arc<Context>>,
    call: ServiceCall<Configurations>,
) -> Result<Response, Refusal> {
    let (id, if_match) = (call.second_segment()?, call.if_match());
    context.live.handle(DeleteConfiguration { id, if_match }).await?;
    context.live.configurations_changed.notify_one();
    Ok(no_content())
}

/// Applies content to one edge device at once.
pub(crate) async fn apply(
    State(context): State<Arc<Context>>,
    call: ServiceCall<Configurations>,
    body: Body,
) -> Result<Response, Refusal> {
    let device = call.device()?;
    let content = with_names(read_json(body).await?, &CONTENT_NAMES);
    context.live.handle(ApplyContent { device, content }).await?;
    Ok(no_content())
}

pub(crate) async fn test(_call: ServiceCall<Configurations>, body: Body) -> Result<Response, Refusal> {
    let body: TestQueriesBody = read_json(body).await?;
    Ok(json(serde_json::to_string(&test_queries(&body)).expect("text is JSON")))
}

fn answer(configuration: &Configuration) -> Response {
    with_etag(json(configuration.to_json()), &configuration.etag)
}
