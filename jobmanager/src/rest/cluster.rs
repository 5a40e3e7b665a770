//! `/overview`, `/config`, `/jobmanager/config`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use weir_api::config::options;

use super::error::Answer;
use super::{App, FLINK_VERSION};
use crate::control::Core;
use crate::control::job::status::JobStatus;

/// The cluster in numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Overview {
    taskmanagers: usize,
    slots_total: u32,
    slots_available: u32,
    jobs_running: usize,
    jobs_finished: usize,
    jobs_cancelled: usize,
    jobs_failed: usize,
    flink_version: &'static str,
    flink_commit: &'static str,
    weir_version: String,
}

impl Overview {
    fn of(core: &Core) -> Self {
        let count =
            |wanted: fn(JobStatus) -> bool| core.jobs().filter(|job| wanted(job.history().current())).count();
        Self {
            taskmanagers: core.managers().len(),
            slots_total: core.slots().total(),
            slots_available: core.slots().free(),
            jobs_running: count(|status| !status.is_terminal()),
            jobs_finished: count(|status| status == JobStatus::Finished),
            jobs_cancelled: count(|status| status == JobStatus::Canceled),
            jobs_failed: count(|status| status == JobStatus::Failed),
            flink_version: FLINK_VERSION,
            flink_commit: "weir",
            weir_version: core.settings().version.clone(),
        }
    }
}

/// The cluster in numbers.
#[utoipa::path(get, path = "/overview", tag = "cluster", responses((status = 200, body = Overview)))]
pub(super) async fn overview(State(app): State<App>) -> Answer<Overview> {
    Ok(Json(app.client.ask(|core, _| Overview::of(core)).await?))
}

/// What the dashboard must know.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Config {
    refresh_interval: u64,
    timezone_name: &'static str,
    timezone_offset: i64,
    flink_version: &'static str,
    flink_revision: String,
    features: Features,
}

/// What can be done through it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct Features {
    web_submit: bool,
    web_cancel: bool,
    web_rescale: bool,
    web_history: bool,
}

/// What the dashboard must know.
#[utoipa::path(get, path = "/config", tag = "cluster", responses((status = 200, body = Config)))]
pub(super) async fn config(State(app): State<App>) -> Json<Config> {
    Json(Config {
        refresh_interval: 3_000,
        timezone_name: "Coordinated Universal Time",
        timezone_offset: 0,
        flink_version: FLINK_VERSION,
        flink_revision: format!("weir {}", env!("CARGO_PKG_VERSION")),
        features: Features {
            web_submit: app.configuration.get(&options::WEB_SUBMIT),
            web_cancel: app.configuration.get(&options::WEB_CANCEL),
            web_rescale: false,
            web_history: false,
        },
    })
}

/// One key of the configuration.
#[derive(Serialize, ToSchema)]
pub(super) struct Entry {
    key: &'static str,
    value: String,
}

/// The JobManager's configuration: every key, with its default where it isn't set.
#[utoipa::path(get, path = "/jobmanager/config", tag = "cluster", responses((status = 200, body = [Entry])))]
pub(super) async fn configuration(State(app): State<App>) -> Json<Vec<Entry>> {
    let entry = |option: &options::Description| {
        let set = app.configuration.values().get(option.key).map(String::as_str);
        Entry { key: option.key, value: hidden(option.key, set.unwrap_or(option.default)) }
    };
    Json(options::ALL.iter().map(entry).collect())
}

/// Secrets aren't shown.
pub(super) fn hidden(key: &str, value: &str) -> String {
    let key = key.to_ascii_lowercase();
    let secret = ["password", "secret", "token", "credential", "access-key", "apikey", "private"];
    if secret.iter().any(|word| key.contains(word)) { "******".to_owned() } else { value.to_owned() }
}
