//! Savepoints that users no longer want: 202 with a number at once, what became of it when asked again.
//!
//! Invariant: a savepoint that a job may still read goes neither before nor while the job lives; so many requests are remembered, and
//! those under way are never forgotten.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use weir_api::config::options;
use weir_api::error::{Code, Error, Result};
use weir_api::id::JobId;
use weir_api::storage::Location;
use weir_snapshots::dispose::dispose;
use weir_snapshots::layout::SnapshotFolder;

use super::App;
use super::error::{Answer, Refusal};
use super::operations::{Accepted, Taken, request_of};
use crate::control::Core;
use crate::control::job::effective;
use crate::snapshots::Snapshots;

/// Requests that are remembered.
const REMEMBERED: usize = 100;

/// The requests. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Disposals(Arc<Mutex<VecDeque<Disposal>>>);

struct Disposal {
    request: u128,
    /// `None`: under way.
    result: Option<Result<(), String>>,
}

impl Disposals {
    fn locked(&self) -> std::sync::MutexGuard<'_, VecDeque<Disposal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is a new request, which there is room for.
    fn begin(&self, request: u128) -> Result<bool> {
        let mut all = self.locked();
        if all.iter().any(|one| one.request == request) {
            return Ok(false);
        }
        if all.len() >= REMEMBERED {
            let Some(oldest) = all.iter().position(|one| one.result.is_some()) else {
                let what = format!("{REMEMBERED} savepoints are being deleted; ask again later");
                return Err(Error::new(Code::InvalidArgument, what));
            };
            all.remove(oldest);
        }
        all.push_back(Disposal { request, result: None });
        Ok(true)
    }

    fn end(&self, request: u128, result: Result<(), String>) {
        if let Some(one) = self.locked().iter_mut().find(|one| one.request == request) {
            one.result = Some(result);
        }
    }
}

/// A savepoint that goes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DisposalBody {
    /// The savepoint's folder, or its `_metadata`.
    #[serde(rename = "savepoint-path")]
    savepoint_path: String,
    #[serde(rename = "triggerId")]
    trigger_id: Option<String>,
}

/// Deletes a savepoint.
#[utoipa::path(post, path = "/savepoint-disposal", tag = "savepoints", request_body = DisposalBody,
    responses((status = 202, body = Accepted), (status = 400, body = super::error::Errors)))]
pub(super) async fn begin(State(app): State<App>, sent: Result<Json<DisposalBody>, JsonRejection>) -> Taken {
    let Json(DisposalBody { savepoint_path, trigger_id }) = sent?;
    let request = request_of(trigger_id)?;
    let path = savepoint_path.trim().trim_end_matches('/').to_owned();
    if path.is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "savepoint-path names no folder"));
    }
    // What can't be a place is refused at once.
    app.dispatcher.snapshots.locate(&path)?;
    if app.disposals.begin(request).map_err(|error| Refusal::conflict(&error))? {
        let done = app.clone();
        app.tasks.spawn(async move {
            let result = run(&done, &path).await;
            match &result {
                Ok(()) => tracing::info!(path, "a savepoint was deleted"),
                Err(error) => tracing::warn!(path, error = error.chain(), "a savepoint wasn't deleted"),
            }
            done.disposals.end(request, result.map_err(|error| error.chain()));
        });
    }
    Ok((StatusCode::ACCEPTED, Json(Accepted::of(request))))
}

async fn run(app: &App, path: &str) -> Result<()> {
    let snapshots = app.dispatcher.snapshots.clone();
    let cluster = Arc::clone(&app.configuration);
    let wanted = path.to_owned();
    let user = app.client.ask(move |core, _| user_of(core, &snapshots, &cluster, &wanted)).await?;
    if let Some(job) = user {
        return Err(Error::new(
            Code::InvalidArgument,
            format!(
                "{path} isn't deleted, as job {job} goes on from it or has claimed it; cancel the job first"
            ),
        ));
    }
    let (storage, folder) = app.dispatcher.snapshots.open(path)?;
    dispose(&storage, &SnapshotFolder::named(&folder)).await.map(drop)
}

/// The job that may read the savepoint.
fn user_of(
    core: &Core,
    snapshots: &Snapshots,
    cluster: &weir_api::config::Configuration,
    path: &str,
) -> Option<JobId> {
    let is_it = |other: &str| is_same(snapshots, path, other);
    let uses = |job: &&crate::control::job::Job| {
        if job.ended().is_none() && job.record().snapshots.retained.iter().any(|one| is_it(&one.path)) {
            return true;
        }
        let configuration = effective(cluster, job.spec());
        let claims = configuration.get(&options::RECOVERY_CLAIM_MODE).trim().eq_ignore_ascii_case("CLAIM");
        claims && is_it(&configuration.get(&options::RECOVERY_PATH))
    };
    core.jobs().find(uses).map(|job| job.id())
}

/// Whether two texts name one folder.
fn is_same(snapshots: &Snapshots, one: &str, other: &str) -> bool {
    let bare = |text: &str| {
        let text = text.trim().trim_end_matches('/');
        text.strip_suffix("/_metadata").unwrap_or(text).to_owned()
    };
    match (snapshots.locate(&bare(one)), snapshots.locate(&bare(other))) {
        (Ok(Location::Local(one)), Ok(Location::Local(other))) => one == other,
        (Ok(Location::Object(one)), Ok(Location::Object(other))) => {
            one.bucket.url() == other.bucket.url() && one.key == other.key
        }
        _ => false,
    }
}

/// What became of it.
#[utoipa::path(get, path = "/savepoint-disposal/{triggerid}", tag = "savepoints", params(("triggerid" = String, Path)),
    responses((status = 200), (status = 404, body = super::error::Errors)))]
pub(super) async fn result(State(app): State<App>, Path(trigger): Path<String>) -> Answer<Value> {
    let request = request_of(Some(trigger))?;
    let all = app.disposals.locked();
    let found = all.iter().find(|one| one.request == request).ok_or_else(|| {
        let what = format!("there is no request {request:032x}; only the last {REMEMBERED} are remembered");
        Error::new(Code::NotFound, what)
    })?;
    Ok(Json(match &found.result {
        None => json!({ "status": { "id": "IN_PROGRESS" } }),
        Some(Ok(())) => json!({ "status": { "id": "COMPLETED" }, "operation": {} }),
        Some(Err(reason)) => json!({
            "status": { "id": "COMPLETED" },
            "operation": { "failure-cause": { "class": "SavepointDisposalException", "stack-trace": reason } },
        }),
    }))
}
