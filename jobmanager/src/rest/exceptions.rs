//! `/jobs/:id/exceptions`: why a job failed or was restarted.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::Answer;
use super::path::OfJob;
use crate::control::job::Job;
use crate::control::job::exceptions::Exception;

/// How many failures are shown unless asked for more.
const SHOWN: usize = 20;

/// How much is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wanted {
    /// The most failures to show.
    max_exceptions: Option<usize>,
}

/// A job's failures.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Exceptions {
    /// The newest failure; none: it never failed.
    root_exception: Option<String>,
    timestamp: Option<i64>,
    all_exceptions: Vec<OldEntry>,
    truncated: bool,
    #[serde(rename = "exceptionHistory")]
    history: History,
}

/// A failure in the shape that older tools read.
#[derive(Serialize, ToSchema)]
struct OldEntry {
    exception: String,
    task: Option<String>,
    location: Option<String>,
    timestamp: i64,
    #[serde(rename = "taskManagerId")]
    manager: Option<String>,
}

/// Failures, newest first.
#[derive(Serialize, ToSchema)]
struct History {
    entries: Vec<Entry>,
    truncated: bool,
}

/// One failure.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Entry {
    /// Its stable code.
    exception_name: String,
    stacktrace: String,
    timestamp: i64,
    failure_labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_manager_id: Option<String>,
    /// What failed in its wake.
    #[schema(no_recursion)]
    concurrent_exceptions: Vec<Entry>,
}

/// A job's failures, newest first.
#[utoipa::path(get, path = "/jobs/{jobid}/exceptions", tag = "jobs", params(("jobid" = String, Path), Wanted),
    responses((status = 200, body = Exceptions), (status = 404, body = super::error::Errors)))]
pub(super) async fn exceptions(
    State(app): State<App>,
    OfJob(id): OfJob,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Answer<Exceptions> {
    let limit = wanted?.0.max_exceptions.unwrap_or(SHOWN);
    let exceptions = app.client.ask(move |core, _| core.job(id).map(|job| Exceptions::of(job, limit)));
    Ok(Json(exceptions.await??))
}

impl Exceptions {
    fn of(job: &Job, limit: usize) -> Self {
        let exceptions = job.exceptions();
        let truncated = exceptions.truncated() || exceptions.iter().count() > limit;
        Self {
            root_exception: exceptions.root().map(text),
            timestamp: exceptions.root().map(|root| root.unix_millis),
            all_exceptions: exceptions.iter().take(limit).map(OldEntry::of).collect(),
            truncated,
            history: History { entries: exceptions.iter().take(limit).map(Entry::of).collect(), truncated },
        }
    }
}

fn text(exception: &Exception) -> String {
    format!("[{}] {}", exception.code, exception.message)
}

impl OldEntry {
    fn of(exception: &Exception) -> Self {
        let manager = exception.manager.as_ref().map(ToString::to_string);
        Self {
            exception: text(exception),
            task: exception.task.clone(),
            location: manager.clone(),
            timestamp: exception.unix_millis,
            manager,
        }
    }
}

impl Entry {
    fn of(exception: &Exception) -> Self {
        let manager = exception.manager.as_ref().map(ToString::to_string);
        Self {
            exception_name: exception.code.clone(),
            stacktrace: text(exception),
            timestamp: exception.unix_millis,
            failure_labels: BTreeMap::new(),
            task_name: exception.task.clone(),
            endpoint: manager.clone(),
            task_manager_id: manager,
            concurrent_exceptions: exception.concurrent.iter().map(Self::of).collect(),
        }
    }
}
