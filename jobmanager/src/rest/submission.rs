//! `POST /jobs` and `POST /jobs/explain`: SQL or YAML in, a job or a plan out.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_api::config::options;
use weir_api::error::{Code, Error, Result};
use weir_sql::StatementResult;
use weir_sql::explain::PlanDocument;

use super::App;
use super::error::Refusal;
use crate::submit::{Submission, job_file};

/// A job to run: either `sql` or `yaml`; the other fields go over what a YAML says.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    /// Statements.
    sql: Option<String>,
    /// A job file.
    yaml: Option<String>,
    /// The job's name.
    name: Option<String>,
    /// How many parallel subtasks.
    parallelism: Option<u32>,
    /// Configuration keys over the cluster's.
    #[serde(default)]
    config: BTreeMap<String, Setting>,
    /// The savepoint or retained checkpoint that it starts from.
    #[serde(rename = "savepointPath")]
    savepoint_path: Option<String>,
    /// Whether state that no operator of it takes may be left behind.
    #[serde(rename = "allowNonRestoredState")]
    allow_non_restored_state: Option<bool>,
    /// `NO_CLAIM` (the default) or `CLAIM`: whose the savepoint is from then on.
    #[serde(rename = "claimMode", alias = "restoreMode")]
    claim_mode: Option<String>,
}

/// A value of the configuration.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Setting {
    Text(String),
    Boolean(bool),
    #[schema(value_type = f64)]
    Number(serde_json::Number),
}

impl Body {
    fn into_submission(self) -> Result<Submission> {
        let mut submission = match (self.sql, self.yaml) {
            (Some(sql), None) => Submission { sql, ..Default::default() },
            (None, Some(yaml)) => job_file::parse(&yaml)?,
            _ => {
                return Err(Error::new(
                    Code::InvalidArgument,
                    "a submission has either the field 'sql' with statements or 'yaml' with a job file",
                ));
            }
        };
        submission.name = self.name.or(submission.name);
        submission.parallelism = self.parallelism.or(submission.parallelism);
        submission.config.extend(self.config.into_iter().map(|(key, value)| {
            let value = match value {
                Setting::Text(text) => text,
                Setting::Boolean(value) => value.to_string(),
                Setting::Number(number) => number.to_string(),
            };
            (key, value)
        }));
        let fields = [
            (options::RECOVERY_PATH.key, self.savepoint_path),
            (
                options::RECOVERY_IGNORE_UNCLAIMED.key,
                self.allow_non_restored_state.map(|may| may.to_string()),
            ),
            (options::RECOVERY_CLAIM_MODE.key, self.claim_mode),
        ];
        let given = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        submission.config.extend(given);
        Ok(submission)
    }
}

/// A text that was taken.
#[derive(Serialize, ToSchema)]
pub(super) struct Submitted {
    /// The job's id; null if the text only asks.
    jobid: Option<String>,
    /// What its SHOW, DESCRIBE and EXPLAIN statements answer, in their order.
    results: Vec<Answered>,
    /// What its author should hear about.
    warnings: Vec<String>,
}

/// What a statement answers.
#[derive(Serialize, ToSchema)]
struct Answered {
    /// The statement.
    statement: String,
    /// The line where it begins.
    line: u64,
    /// The columns' names; `result` alone: the one cell is a text of lines.
    columns: Vec<String>,
    /// The rows.
    rows: Vec<Vec<Option<String>>>,
}

impl From<StatementResult> for Answered {
    fn from(result: StatementResult) -> Self {
        let StatementResult { statement, line, columns, rows } = result;
        Self { statement, line, columns, rows }
    }
}

/// Submits a job; it is recorded when this answers. A text that only asks makes none: 200, without a job's id.
#[utoipa::path(post, path = "/jobs", tag = "jobs", request_body = Body,
    responses((status = 202, body = Submitted), (status = 200, body = Submitted), (status = 400, body = super::error::Errors)))]
pub(super) async fn submit(
    State(app): State<App>,
    body: Result<Json<Body>, JsonRejection>,
) -> Result<(StatusCode, Json<Submitted>), Refusal> {
    if !app.configuration.get(&options::WEB_SUBMIT) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "jobs can't be submitted by REST here (web.submit.enable)",
        ));
    }
    let submission = body?.0.into_submission()?;
    let dispatcher = Arc::clone(&app.dispatcher);
    // A client that hangs up must not leave a job that is recorded and not known.
    let submitted = app.tasks.spawn(async move { dispatcher.submit(submission).await }).await;
    let submitted =
        submitted.map_err(|error| Error::internal("submitting the job panicked").with_source(error))??;
    let status = if submitted.job.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    let answer = Submitted {
        jobid: submitted.job.map(|job| job.to_string()),
        results: submitted.results.into_iter().map(Answered::from).collect(),
        warnings: submitted.warnings,
    };
    Ok((status, Json(answer)))
}

/// How a job would be run.
#[derive(Serialize, ToSchema)]
pub(super) struct Explained {
    /// For people.
    plan: String,
    /// For programs: a plan for each EXPLAIN and SELECT, and one for all INSERTs; its shape is in docs/sql.md.
    #[schema(value_type = Vec<Object>)]
    plans: Vec<PlanDocument>,
    /// What its author should hear about.
    warnings: Vec<String>,
}

/// Plans a job without running it.
#[utoipa::path(post, path = "/jobs/explain", tag = "jobs", request_body = Body,
    responses((status = 200, body = Explained), (status = 400, body = super::error::Errors)))]
pub(super) async fn explain(
    State(app): State<App>,
    body: Result<Json<Body>, JsonRejection>,
) -> Result<Json<Explained>, Refusal> {
    let explained = app.dispatcher.explain(body?.0.into_submission()?).await?;
    Ok(Json(Explained { plan: explained.text, plans: explained.plans, warnings: explained.warnings }))
}
