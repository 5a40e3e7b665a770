//! `/jobs`, `/jobs/overview`, `/jobs/:id` with `status`, `config` and cancellation.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use weir_api::config::options;

use super::App;
use super::cluster::hidden;
use super::error::{Answer, Refusal};
use super::path::OfJob;
use super::plan::Plan;
use super::vertices::Vertex;
use crate::control::execution::{Counts, counts_by_name};
use crate::control::job::Job;
use crate::control::job::status::JobStatus;
use crate::control::now::Now;
use crate::control::task::TaskState;

/// All jobs by id.
#[derive(Serialize, ToSchema)]
pub(super) struct Jobs {
    jobs: Vec<JobAndStatus>,
}

/// A job's id and state.
#[derive(Serialize, ToSchema)]
struct JobAndStatus {
    id: String,
    status: &'static str,
}

/// All jobs by id.
#[utoipa::path(get, path = "/jobs", tag = "jobs", responses((status = 200, body = Jobs)))]
pub(super) async fn list(State(app): State<App>) -> Answer<Jobs> {
    let jobs = app.client.ask(|core, _| {
        core.jobs()
            .map(|job| JobAndStatus { id: job.id().to_string(), status: job.history().current().as_str() })
            .collect()
    });
    Ok(Json(Jobs { jobs: jobs.await? }))
}

/// All jobs in short.
#[derive(Serialize, ToSchema)]
pub(super) struct JobsOverview {
    jobs: Vec<JobOverview>,
}

/// A job in short.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct JobOverview {
    jid: String,
    name: String,
    start_time: i64,
    /// -1: it hasn't ended.
    end_time: i64,
    duration: i64,
    state: &'static str,
    last_modification: i64,
    /// How many tasks there are, and how many in each state.
    #[schema(value_type = BTreeMap<String, u32>)]
    tasks: Value,
    job_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<String>,
}

/// All jobs in short.
#[utoipa::path(get, path = "/jobs/overview", tag = "jobs", responses((status = 200, body = JobsOverview)))]
pub(super) async fn overview(State(app): State<App>) -> Answer<JobsOverview> {
    let jobs = app.client.ask(|core, now| core.jobs().map(|job| JobOverview::of(job, now)).collect());
    Ok(Json(JobsOverview { jobs: jobs.await? }))
}

impl JobOverview {
    fn of(job: &Job, now: Now) -> Self {
        let counts = job.execution().counts();
        let mut tasks = Map::new();
        tasks.insert("total".to_owned(), counts.iter().sum::<u32>().into());
        for state in TaskState::ALL {
            tasks.insert(state.as_lower_str().to_owned(), counts[state.index()].into());
        }
        tasks.insert("reconciling".to_owned(), 0.into());
        let times = Times::of(job, now);
        Self {
            jid: job.id().to_string(),
            name: job.spec().name.clone(),
            start_time: times.start,
            end_time: times.end,
            duration: times.duration,
            state: job.history().current().as_str(),
            last_modification: job.history().since(),
            tasks: Value::Object(tasks),
            job_type: "STREAMING",
            status_reason: job.phase().describe(),
        }
    }
}

/// A job's life in milliseconds.
struct Times {
    start: i64,
    end: i64,
    duration: i64,
}

impl Times {
    fn of(job: &Job, now: Now) -> Self {
        let start = job.spec().submitted_unix_millis;
        let ended = job.ended().filter(|_| job.history().current().is_terminal());
        Self {
            start,
            end: ended.unwrap_or(-1),
            duration: ended.unwrap_or(now.unix_millis).saturating_sub(start).max(0),
        }
    }
}

/// A job's state.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    status: &'static str,
}

/// A job's state.
#[utoipa::path(get, path = "/jobs/{jobid}/status", tag = "jobs", params(("jobid" = String, Path)),
    responses((status = 200, body = Status), (status = 404, body = super::error::Errors)))]
pub(super) async fn status(State(app): State<App>, OfJob(id): OfJob) -> Answer<Status> {
    let status = app.client.ask(move |core, _| Ok(core.job(id)?.history().current()));
    let status: weir_api::Result<JobStatus> = status.await?;
    Ok(Json(Status { status: status?.as_str() }))
}

/// A job in full.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Details {
    jid: String,
    name: String,
    #[serde(rename = "isStoppable")]
    is_stoppable: bool,
    state: &'static str,
    job_type: &'static str,
    start_time: i64,
    /// -1: it hasn't ended.
    end_time: i64,
    duration: i64,
    #[serde(rename = "maxParallelism")]
    max_parallelism: u32,
    now: i64,
    /// When it entered each state last; 0: never.
    timestamps: BTreeMap<&'static str, i64>,
    vertices: Vec<Vertex>,
    /// How many vertices are in each state.
    status_counts: BTreeMap<&'static str, u32>,
    plan: Plan,
    pending_operators: u32,
    /// Which attempt runs; 0 before the first.
    attempt: u32,
    /// What it waits for, if for anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<String>,
}

/// A job in full.
#[utoipa::path(get, path = "/jobs/{jobid}", tag = "jobs", params(("jobid" = String, Path)),
    responses((status = 200, body = Details), (status = 404, body = super::error::Errors)))]
pub(super) async fn details(State(app): State<App>, OfJob(id): OfJob) -> Answer<Details> {
    let details = app.client.ask(move |core, now| core.job(id).map(|job| Details::of(job, now)));
    Ok(Json(details.await??))
}

impl Details {
    fn of(job: &Job, now: Now) -> Self {
        let vertices: Vec<Vertex> = Vertex::all_of(job, now);
        let mut counts = Counts::default();
        for vertex in &vertices {
            counts[vertex.state().index()] += 1;
        }
        let entered = |status: JobStatus| {
            let initializing =
                (status == JobStatus::Initializing).then_some(job.spec().submitted_unix_millis);
            job.history().entered(status).or(initializing).unwrap_or(0)
        };
        let times = Times::of(job, now);
        Self {
            jid: job.id().to_string(),
            name: job.spec().name.clone(),
            is_stoppable: false,
            state: job.history().current().as_str(),
            job_type: "STREAMING",
            start_time: times.start,
            end_time: times.end,
            duration: times.duration,
            max_parallelism: job.spec().graph.max_parallelism(),
            now: now.unix_millis,
            timestamps: JobStatus::ALL.map(|status| (status.as_str(), entered(status))).into(),
            vertices,
            status_counts: counts_by_name(&counts),
            plan: Plan::of(job),
            pending_operators: 0,
            attempt: job.attempt().0,
            status_reason: job.phase().describe(),
        }
    }
}

/// A job's configuration.
#[derive(Serialize, ToSchema)]
pub(super) struct Config {
    jid: String,
    name: String,
    #[serde(rename = "execution-config")]
    #[schema(value_type = Object)]
    execution: Value,
}

/// A job's configuration.
#[utoipa::path(get, path = "/jobs/{jobid}/config", tag = "jobs", params(("jobid" = String, Path)),
    responses((status = 200, body = Config), (status = 404, body = super::error::Errors)))]
pub(super) async fn config(State(app): State<App>, OfJob(id): OfJob) -> Answer<Config> {
    let config = app.client.ask(move |core, _| core.job(id).map(Config::of));
    Ok(Json(config.await??))
}

impl Config {
    fn of(job: &Job) -> Self {
        let all = job.spec().config.iter().chain(job.spec().graph.config());
        let user: BTreeMap<_, _> = all.map(|(key, value)| (key, hidden(key, value))).collect();
        Self {
            jid: job.id().to_string(),
            name: job.spec().name.clone(),
            execution: json!({
                "restart-strategy": job.strategy().config().describe(),
                "job-parallelism": job.spec().graph.required_slots(),
                "object-reuse-mode": true,
                "user-config": user,
            }),
        }
    }
}

/// How a job is to end.
#[derive(Deserialize, IntoParams)]
pub(super) struct Termination {
    /// `cancel`, which is also the default.
    mode: Option<String>,
}

/// Cancels a job: 202 when its tasks are being stopped.
#[utoipa::path(patch, path = "/jobs/{jobid}", tag = "jobs", params(("jobid" = String, Path), Termination),
    responses((status = 202), (status = 404, body = super::error::Errors), (status = 409, body = super::error::Errors)))]
pub(super) async fn cancel(
    State(app): State<App>,
    OfJob(id): OfJob,
    mode: Result<Query<Termination>, QueryRejection>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    if !app.configuration.get(&options::WEB_CANCEL) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "jobs can't be cancelled by REST here (web.cancel.enable)",
        ));
    }
    match mode?.0.mode.as_deref() {
        None | Some("cancel") => {}
        Some(other) => {
            let message = format!("the mode '{other}' isn't known; 'cancel' is");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
        }
    }
    app.client.cancel(id).await.map_err(|error| Refusal::conflict(&error))?;
    Ok((StatusCode::ACCEPTED, Json(json!({}))))
}
