//! `/configurations`, `/configurations/{id}` and `/configurations/testQueries`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use crate::core::command::{Command, Refusal, Reply};
use crate::core::configurations::{ConfigurationCommand, test_queries};
use crate::frontends::https::call::{Call, Configurations, read_json};
use crate::frontends::https::{Context, array, json, no_content, with_etag};
use iothub_model::wire::configurations::CONTENT_NAMES;
use iothub_model::wire::configurations::TestQueriesBody;
use iothub_model::wire::members::with_names;

pub(crate) async fn get(State(context): State<Arc<Context>>, call: Call<Configurations>) -> Result<Response, Refusal> {
    ask(&context, ConfigurationCommand::Get { id: call.second_segment()? }).await
}

/// There is no paging, and `top` is passed over.
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    _call: Call<Configurations>,
) -> Result<Response, Refusal> {
    ask(&context, ConfigurationCommand::List).await
}

pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    call: Call<Configurations>,
    body: Body,
) -> Result<Response, Refusal> {
    let (id, if_match) = (call.second_segment()?, call.if_match());
    let body = Box::new(read_json(body).await?);
    let limit = context.admission.configurations();
    change(&context, ConfigurationCommand::Put { id, body, if_match, limit }).await
}

pub(crate) async fn delete(
    State(context): State<Arc<Context>>,
    call: Call<Configurations>,
) -> Result<Response, Refusal> {
    let (id, if_match) = (call.second_segment()?, call.if_match());
    change(&context, ConfigurationCommand::Delete { id, if_match }).await
}

/// Applies content to one edge device at once.
pub(crate) async fn apply(
    State(context): State<Arc<Context>>,
    call: Call<Configurations>,
    body: Body,
) -> Result<Response, Refusal> {
    let device = call.device()?;
    let content = with_names(read_json(body).await?, &CONTENT_NAMES);
    ask(&context, ConfigurationCommand::Apply { device, content }).await
}

pub(crate) async fn test(_call: Call<Configurations>, body: Body) -> Result<Response, Refusal> {
    let body: TestQueriesBody = read_json(body).await?;
    Ok(json(serde_json::to_string(&test_queries(&body)).expect("text is JSON")))
}

async fn change(context: &Context, command: ConfigurationCommand) -> Result<Response, Refusal> {
    let answer = ask(context, command).await?;
    context.live.configurations_changed.notify_one();
    Ok(answer)
}

async fn ask(context: &Context, command: ConfigurationCommand) -> Result<Response, Refusal> {
    Ok(match context.live.handle(Command::Configuration(command)).await? {
        Reply::Configuration(configuration) => with_etag(json(configuration.to_json()), &configuration.etag),
        Reply::Configurations(configurations) => {
            let texts: Vec<String> = configurations.iter().map(|it| it.to_json()).collect();
            json(array(texts.iter().map(String::as_str)))
        }
        Reply::Deleted | Reply::Done => no_content(),
        other => unreachable!("these commands answer with configurations, and not {other:?}"),
    })
}
