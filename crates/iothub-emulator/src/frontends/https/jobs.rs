//! `/jobs/v2/{id}`, `/jobs/v2/{id}/cancel` and `/jobs/v2/query`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use crate::core::command::Refusal;
use crate::core::jobs::Job;
use crate::core::requests::jobs::{CancelJob, CreateJob, GetJob, ListJobs};
use crate::frontends::https::call::{Jobs, ServiceCall, read_json_with_bytes};
use crate::frontends::https::context::Context;
use crate::frontends::https::query;
use crate::frontends::https::response::json;
use iothub_model::wire::query::ItemType;

pub(crate) async fn get(State(context): State<Arc<Context>>, call: ServiceCall<Jobs>) -> Result<Response, Refusal> {
    match context.live.handle(GetJob { id: call.third_segment()? }).await? {
        Some(job) => Ok(json(text_of(&job))),
        // The service knows an answer even where there is no job.
        None => Ok(json(json!({ "type": "unknown", "status": "unknown" }).to_string())),
    }
}

pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    call: ServiceCall<Jobs>,
    body: Body,
) -> Result<Response, Refusal> {
    let id = call.third_segment()?;
    let body = Box::new(read_json_with_bytes(body).await?);
    let active_limit = context.active_jobs.unwrap_or_else(|| context.admission.active_jobs());
    let job = context.live.handle(CreateJob { id, body, active_limit }).await?;
    context.live.jobs_changed.notify_one();
    Ok(json(text_of(&job)))
}

pub(crate) async fn cancel(State(context): State<Arc<Context>>, call: ServiceCall<Jobs>) -> Result<Response, Refusal> {
    let job = context.live.handle(CancelJob { id: call.third_segment()? }).await?;
    Ok(json(text_of(&job)))
}

pub(crate) async fn list(State(context): State<Arc<Context>>, call: ServiceCall<Jobs>) -> Result<Response, Refusal> {
    let wanted = |name: &str| call.parameter(name).filter(|value| !value.is_empty());
    let (kind, status) = (wanted("jobType"), wanted("jobStatus"));
    let (kind, status) = (kind.as_deref(), status.as_deref());
    let jobs = context.live.handle(ListJobs).await?;
    // Names come in whatever case the client's language has.
    let is = |wanted: Option<&str>, name: &str| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name));
    let found = jobs.iter().filter(|job| is(kind, job.response.kind.name()) && is(status, job.response.status.name()));
    let rows = found.map(|job| (job.sequence, text_of(job)));
    let of = format!("jobs {} {}", kind.unwrap_or_default(), status.unwrap_or_default());
    query::page_of(&call.headers, &of, rows, ItemType::JobResponse)
}

fn text_of(job: &Job) -> String {
    serde_json::to_string(&job.response).expect("own types with text as keys are always JSON")
}
