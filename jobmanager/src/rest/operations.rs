//! Checkpoints, savepoints and stops that users ask for: 202 with a number at once, what became of it when asked again.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use weir_api::error::{Code, Error, Result};
use weir_api::id::JobId;
use weir_snapshots::layout::SnapshotFolder;
use weir_snapshots::storage::StorePath;

use super::App;
use super::error::{Answer, Refusal};
use super::path::OfJob;
use crate::control::checkpoint::{Kind, Savepoint, Stop};

/// A request that was taken.
#[derive(Serialize, ToSchema)]
pub(super) struct Accepted {
    #[serde(rename = "request-id")]
    request_id: String,
}

impl Accepted {
    pub(super) fn of(request: u128) -> Self {
        Self { request_id: format!("{request:032x}") }
    }
}

pub(super) type Taken = Result<(StatusCode, Json<Accepted>), Refusal>;

/// A checkpoint that is wanted now.
#[derive(Deserialize, ToSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CheckpointBody {
    /// `CONFIGURED`, `FULL` or `INCREMENTAL`.
    checkpoint_type: Option<String>,
    trigger_id: Option<String>,
}

/// A savepoint that is wanted.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct SavepointBody {
    /// The folder that the savepoint's own folder goes into; without it `execution.checkpointing.savepoint-dir`.
    #[serde(rename = "target-directory")]
    target_directory: Option<String>,
    /// Whether the job is stopped behind it.
    #[serde(rename = "cancel-job")]
    cancel_job: Option<bool>,
    /// `CANONICAL`, the one that there is, or `NATIVE`, which is taken for it.
    #[serde(rename = "formatType")]
    format_type: Option<String>,
    #[serde(rename = "triggerId")]
    trigger_id: Option<String>,
}

/// A stop that is wanted.
#[derive(Deserialize, ToSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StopBody {
    /// As with savepoints.
    target_directory: Option<String>,
    /// Whether windows that are open fire first, as if the input had ended.
    drain: Option<bool>,
    format_type: Option<String>,
    trigger_id: Option<String>,
}

/// A number that the caller chose, or one of ours.
pub(super) fn request_of(trigger: Option<String>) -> Result<u128> {
    match trigger {
        None => Ok(rand::rng().random()),
        Some(text) => u128::from_str_radix(&text, 16).ok().filter(|_| text.len() == 32).ok_or_else(|| {
            Error::new(Code::InvalidArgument, format!("the trigger id '{text}' isn't 32 hexadecimal digits"))
        }),
    }
}

async fn take(app: &App, job: JobId, kind: Kind) -> Taken {
    let accepted = Accepted::of(kind.request().unwrap_or_default());
    app.client.request(job, kind).await.map_err(|error| Refusal::conflict(&error))?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// A body that may be missing.
fn body<T: Default>(body: Result<Option<Json<T>>, JsonRejection>) -> Result<T, Refusal> {
    Ok(body?.map(|Json(body)| body).unwrap_or_default())
}

/// The folder of a savepoint: the one that was named, or the job's.
async fn target(app: &App, job: JobId, named: Option<String>) -> Result<String, Refusal> {
    match named {
        Some(named) => {
            // What can't be a place is refused before any task is asked for its part.
            app.dispatcher.snapshots.locate(&named)?;
            Ok(named)
        }
        None => Ok(app
            .client
            .ask(move |core, _| Ok::<_, Error>(core.job(job)?.snapshot_places().savepoints.clone()))
            .await??),
    }
}

/// Takes a checkpoint now.
#[utoipa::path(post, path = "/jobs/{jobid}/checkpoints", tag = "checkpoints", params(("jobid" = String, Path)),
    request_body = CheckpointBody, responses((status = 202, body = Accepted), (status = 404, body = super::error::Errors)))]
pub(super) async fn checkpoint(
    State(app): State<App>,
    OfJob(job): OfJob,
    sent: Result<Option<Json<CheckpointBody>>, JsonRejection>,
) -> Taken {
    let CheckpointBody { checkpoint_type, trigger_id } = body(sent)?;
    let full = match checkpoint_type.as_deref().unwrap_or("CONFIGURED") {
        "CONFIGURED" | "INCREMENTAL" => false,
        "FULL" => true,
        other => {
            let what =
                format!("the checkpoint type '{other}' isn't known; CONFIGURED, FULL and INCREMENTAL are");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, what));
        }
    };
    take(&app, job, Kind::Requested { request: request_of(trigger_id)?, full }).await
}

/// Takes a savepoint.
#[utoipa::path(post, path = "/jobs/{jobid}/savepoints", tag = "savepoints", params(("jobid" = String, Path)),
    request_body = SavepointBody, responses((status = 202, body = Accepted), (status = 404, body = super::error::Errors)))]
pub(super) async fn savepoint(
    State(app): State<App>,
    OfJob(job): OfJob,
    sent: Result<Option<Json<SavepointBody>>, JsonRejection>,
) -> Taken {
    let SavepointBody { target_directory, cancel_job, format_type, trigger_id } = body(sent)?;
    check_format(format_type.as_deref())?;
    let stop = cancel_job.unwrap_or(false).then_some(Stop::Suspend);
    let target = target(&app, job, target_directory).await?;
    take(&app, job, Kind::Savepoint(Savepoint { request: request_of(trigger_id)?, target, stop })).await
}

/// Stops a job behind a savepoint.
#[utoipa::path(post, path = "/jobs/{jobid}/stop", tag = "savepoints", params(("jobid" = String, Path)),
    request_body = StopBody, responses((status = 202, body = Accepted), (status = 404, body = super::error::Errors)))]
pub(super) async fn stop(
    State(app): State<App>,
    OfJob(job): OfJob,
    sent: Result<Option<Json<StopBody>>, JsonRejection>,
) -> Taken {
    let StopBody { target_directory, drain, format_type, trigger_id } = body(sent)?;
    check_format(format_type.as_deref())?;
    let stop = Some(if drain.unwrap_or(false) { Stop::Drain } else { Stop::Suspend });
    let target = target(&app, job, target_directory).await?;
    take(&app, job, Kind::Savepoint(Savepoint { request: request_of(trigger_id)?, target, stop })).await
}

fn check_format(format: Option<&str>) -> Result<(), Refusal> {
    match format {
        None | Some("CANONICAL" | "NATIVE") => Ok(()),
        Some(other) => {
            let what = format!("the savepoint format '{other}' isn't known; CANONICAL is");
            Err(Refusal::new(StatusCode::BAD_REQUEST, what))
        }
    }
}

#[derive(Deserialize)]
pub(super) struct OfTrigger {
    jobid: String,
    triggerid: String,
}

/// What became of a checkpoint that was asked for.
#[utoipa::path(get, path = "/jobs/{jobid}/checkpoints/{triggerid}", tag = "checkpoints",
    params(("jobid" = String, Path), ("triggerid" = String, Path)),
    responses((status = 200), (status = 404, body = super::error::Errors)))]
pub(super) async fn checkpoint_result(State(app): State<App>, Path(path): Path<OfTrigger>) -> Answer<Value> {
    result(app, path).await
}

/// What became of a savepoint or a stop.
#[utoipa::path(get, path = "/jobs/{jobid}/savepoints/{triggerid}", tag = "savepoints",
    params(("jobid" = String, Path), ("triggerid" = String, Path)),
    responses((status = 200), (status = 404, body = super::error::Errors)))]
pub(super) async fn savepoint_result(State(app): State<App>, Path(path): Path<OfTrigger>) -> Answer<Value> {
    result(app, path).await
}

async fn result(app: App, path: OfTrigger) -> Answer<Value> {
    let id: JobId = path.jobid.parse()?;
    let request = request_of(Some(path.triggerid))?;
    let answer = app.client.ask(move |core, _| {
        let job = core.job(id)?;
        let operation = job.operation(request).ok_or_else(|| {
            let what = format!("job {id} has no request {request:032x}; only the last ones are remembered");
            Error::new(Code::NotFound, what)
        })?;
        Ok::<_, Error>(match (&operation.result, operation.kind.is_savepoint()) {
            (None, _) => json!({ "status": { "id": "IN_PROGRESS" } }),
            (Some(Ok(path)), true) => json!({ "status": { "id": "COMPLETED" }, "operation": { "location": path } }),
            (Some(Ok(path)), false) => {
                let id = SnapshotFolder::named(&StorePath::from(path.as_str())).checkpoint_id().map(|id| id.0);
                json!({ "status": { "id": "COMPLETED" }, "operation": { "checkpointId": id, "location": path } })
            }
            (Some(Err(reason)), _) => json!({
                "status": { "id": "COMPLETED" },
                "operation": { "failure-cause": { "class": "CheckpointException", "stack-trace": reason } },
            }),
        })
    });
    Ok(Json(answer.await??))
}
