//! `/jobs/v2/{id}`, `/jobs/v2/{id}/cancel` and `/jobs/v2/query`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use crate::core::command::{Command, Refusal, Reply};
use crate::core::jobs::{Job, JobCommand};
use crate::frontends::https::call::{Call, Jobs, read_json_with_bytes};
use crate::frontends::https::{Context, json, query};
use iothub_model::wire::query::ItemType;

pub(crate) async fn get(State(context): State<Arc<Context>>, call: Call<Jobs>) -> Result<Response, Refusal> {
    answer(&context, JobCommand::Get { id: call.third_segment()? }).await
}

pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    call: Call<Jobs>,
    body: Body,
) -> Result<Response, Refusal> {
    let id = call.third_segment()?;
    let body = Box::new(read_json_with_bytes(body).await?);
    let active_limit = context.active_jobs.unwrap_or_else(|| context.admission.active_jobs());
    let answer = answer(&context, JobCommand::Create { id, body, active_limit }).await?;
    context.live.jobs_changed.notify_one();
    Ok(answer)
}

pub(crate) async fn cancel(State(context): State<Arc<Context>>, call: Call<Jobs>) -> Result<Response, Refusal> {
    answer(&context, JobCommand::Cancel { id: call.third_segment()? }).await
}

pub(crate) async fn list(State(context): State<Arc<Context>>, call: Call<Jobs>) -> Result<Response, Refusal> {
    let wanted = |name: &str| call.parameter(name).filter(|value| !value.is_empty());
    let (kind, status) = (wanted("jobType"), wanted("jobStatus"));
    let (kind, status) = (kind.as_deref(), status.as_deref());
    let Reply::Jobs(jobs) = context.live.handle(Command::Job(JobCommand::List)).await? else {
        unreachable!("the command answers with jobs")
    };
    // Names come in whatever case the client's language has.
    let is = |wanted: Option<&str>, name: &str| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name));
    let found = jobs.iter().filter(|job| is(kind, job.response.kind.name()) && is(status, job.response.status.name()));
    let rows = found.map(|job| (job.sequence, text_of(job)));
    let of = format!("jobs {} {}", kind.unwrap_or_default(), status.unwrap_or_default());
    query::page_of(&call.headers, &of, rows, ItemType::JobResponse)
}

async fn answer(context: &Context, command: JobCommand) -> Result<Response, Refusal> {
    Ok(match context.live.handle(Command::Job(command)).await? {
        Reply::Job(Some(job)) => json(text_of(&job)),
        // The service knows an answer even where there is no job.
        Reply::Job(None) => json(json!({ "type": "unknown", "status": "unknown" }).to_string()),
        other => unreachable!("these commands answer with a job, and not {other:?}"),
    })
}

fn text_of(job: &Job) -> String {
    serde_json::to_string(&job.response).expect("own types with text as keys are always JSON")
}
