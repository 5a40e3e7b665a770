//! `/jobs/:id/checkpoints…`: how a job's checkpoints go, and what is in the last ones.
//!
//! Shapes are Flink's; sizes are of the files that a snapshot refers to (`state_size`) and of those written for it
//! (`checkpointed_size`). Data in flight isn't part of a snapshot here, so what Flink says of it is zero.

mod entry;
pub(super) mod subtasks;
mod summary;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use weir_api::error::{Code, Error, Result};
use weir_api::id::{CheckpointId, JobId};

pub(super) use self::subtasks::of_vertex;

use self::entry::{Entry, Shown};
use self::summary::Summary;
use super::App;
use super::error::Answer;
use super::path::OfJob;
use crate::control::checkpoint::Retention;
use crate::control::job::Job;

/// How a job's checkpoints go.
#[derive(Serialize, ToSchema)]
pub(super) struct Checkpoints {
    counts: Counts,
    summary: Summary,
    latest: Latest,
    /// The newest first.
    history: Vec<Entry>,
}

#[derive(Serialize, ToSchema)]
struct Counts {
    restored: u64,
    total: u64,
    in_progress: u64,
    completed: u64,
    failed: u64,
}

#[derive(Serialize, ToSchema)]
struct Latest {
    completed: Option<Entry>,
    savepoint: Option<Entry>,
    failed: Option<Entry>,
    restored: Option<Restored>,
}

/// What the present attempt goes on from.
#[derive(Serialize, ToSchema)]
struct Restored {
    id: u64,
    restore_timestamp: i64,
    is_savepoint: bool,
    external_path: String,
}

/// How a job's checkpoints go.
#[utoipa::path(get, path = "/jobs/{jobid}/checkpoints", tag = "checkpoints", params(("jobid" = String, Path)),
    responses((status = 200, body = Checkpoints), (status = 404, body = super::error::Errors)))]
pub(super) async fn statistics(State(app): State<App>, OfJob(id): OfJob) -> Answer<Checkpoints> {
    Ok(Json(
        app.client.ask(move |core, now| Ok::<_, Error>(overview(core.job(id)?, now.unix_millis))).await??,
    ))
}

fn overview(job: &Job, now: i64) -> Checkpoints {
    let coordinator = job.coordinator();
    let statistics = coordinator.statistics();
    let counts = statistics.counts();
    let entry = |finished| Entry::new(&Shown::ended(finished), now);
    let ended = statistics.history().map(entry);
    let history = coordinator.under_way().rev().map(|pending| Entry::new(&Shown::under_way(&pending), now));
    Checkpoints {
        counts: Counts {
            restored: job.restores(),
            total: counts.triggered,
            in_progress: coordinator.under_way().count() as u64,
            completed: counts.completed,
            failed: counts.failed,
        },
        summary: Summary::of(statistics.history().map(entry)),
        latest: Latest {
            completed: statistics.last_completed().map(entry),
            savepoint: statistics.last_savepoint().map(entry),
            failed: statistics.last_failed().map(entry),
            restored: job.restored().map(|restored| Restored {
                id: restored.snapshot.checkpoint.0,
                restore_timestamp: restored.unix_millis,
                is_savepoint: restored.snapshot.is_savepoint,
                external_path: restored.snapshot.path.clone(),
            }),
        },
        history: history.chain(ended).collect(),
    }
}

/// How a job's checkpoints are configured.
#[utoipa::path(get, path = "/jobs/{jobid}/checkpoints/config", tag = "checkpoints", params(("jobid" = String, Path)),
    responses((status = 200), (status = 404, body = super::error::Errors)))]
pub(super) async fn config(State(app): State<App>, OfJob(id): OfJob) -> Answer<Value> {
    Ok(Json(app.client.ask(move |core, _| Ok::<_, Error>(configuration(core.job(id)?))).await??))
}

fn configuration(job: &Job) -> Value {
    let settings = job.coordinator().settings();
    json!({
        "mode": "exactly_once",
        // Flink's word for no interval.
        "interval": settings.interval.map_or(i64::MAX, |interval| interval.as_millis() as i64),
        "timeout": settings.timeout.as_millis() as u64,
        "min_pause": settings.min_pause.as_millis() as u64,
        "max_concurrent": settings.max_concurrent,
        "externalization": {
            "enabled": settings.on_cancel == Retention::Retain,
            "delete_on_cancellation": settings.on_cancel == Retention::Delete,
        },
        "unaligned_checkpoints": false,
        "aligned_checkpoint_timeout": 0,
        "tolerable_failed_checkpoints": settings.tolerable_failures.unwrap_or(i32::MAX as u32),
        "state_backend": "hashmap",
        "checkpoint_storage": job.snapshot_places().checkpoints,
        "checkpoints_after_tasks_finish": true,
        "state_changelog_enabled": false,
        "num_retained": settings.retained,
    })
}

#[derive(Deserialize)]
pub(super) struct OfCheckpoint {
    jobid: String,
    checkpointid: String,
    vertexid: Option<String>,
}

impl OfCheckpoint {
    fn ids(&self) -> Result<(JobId, CheckpointId)> {
        let checkpoint = self.checkpointid.parse().map(CheckpointId).map_err(|_| {
            let what = format!("'{}' isn't a checkpoint's number", self.checkpointid);
            Error::new(Code::InvalidArgument, what)
        })?;
        Ok((self.jobid.parse()?, checkpoint))
    }
}

/// One of the last checkpoints.
#[utoipa::path(get, path = "/jobs/{jobid}/checkpoints/details/{checkpointid}", tag = "checkpoints",
    params(("jobid" = String, Path), ("checkpointid" = u64, Path)),
    responses((status = 200, body = Entry), (status = 404, body = super::error::Errors)))]
pub(super) async fn details(State(app): State<App>, Path(path): Path<OfCheckpoint>) -> Answer<Entry> {
    let (id, checkpoint) = path.ids()?;
    let answer = app.client.ask(move |core, now| {
        let job = core.job(id)?;
        with_checkpoint(job, checkpoint, |shown| {
            let tasks = subtasks::by_vertex(job, shown);
            Entry::new(shown, now.unix_millis).with(tasks)
        })
    });
    Ok(Json(answer.await??))
}

/// Looks at a checkpoint that is under way or was one of the last to end.
fn with_checkpoint<T>(job: &Job, checkpoint: CheckpointId, look: impl FnOnce(&Shown<'_>) -> T) -> Result<T> {
    let coordinator = job.coordinator();
    if let Some(pending) = coordinator.under_way().find(|pending| pending.checkpoint == checkpoint) {
        return Ok(look(&Shown::under_way(&pending)));
    }
    let mut history = coordinator.statistics().history();
    match history.find(|finished| finished.checkpoint == checkpoint) {
        Some(finished) => Ok(look(&Shown::ended(finished))),
        None => Err(Error::new(
            Code::NotFound,
            format!(
                "nothing is known of checkpoint {checkpoint} of job {}; the last ones are at …/checkpoints",
                job.id()
            ),
        )),
    }
}
