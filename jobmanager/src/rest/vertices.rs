//! `/jobs/:id/vertices/:vid` with `subtasktimes` and `taskmanagers`: one vertex, task by task.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use weir_api::id::{SubtaskIndex, TaskManagerId, VertexIndex};

use super::App;
use super::error::Answer;
use super::path::{Found, OfVertex};
use crate::control::Core;
use crate::control::execution::{Task, aggregate_state, counts_by_name};
use crate::control::job::Job;
use crate::control::now::Now;
use crate::control::task::TaskState;

/// Counters of tasks, summed up. `…-complete`: every task has reported them.
#[derive(Serialize, ToSchema, Default, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) struct IoMetrics {
    read_bytes: u64,
    read_bytes_complete: bool,
    write_bytes: u64,
    write_bytes_complete: bool,
    read_records: u64,
    read_records_complete: bool,
    write_records: u64,
    write_records_complete: bool,
    accumulated_backpressured_time: u64,
    accumulated_idle_time: u64,
    accumulated_busy_time: u64,
}

impl IoMetrics {
    pub(super) fn sum<'a>(tasks: impl IntoIterator<Item = &'a Task>) -> Self {
        let mut sum = Self::default();
        let mut complete = true;
        for task in tasks {
            let Some(metrics) = task.measure.last() else {
                complete = false;
                continue;
            };
            sum.read_bytes = sum.read_bytes.saturating_add(metrics.num_bytes_in);
            sum.write_bytes = sum.write_bytes.saturating_add(metrics.num_bytes_out);
            sum.read_records = sum.read_records.saturating_add(metrics.num_records_in);
            sum.write_records = sum.write_records.saturating_add(metrics.num_records_out);
            sum.accumulated_backpressured_time =
                sum.accumulated_backpressured_time.saturating_add(metrics.back_pressured_millis);
            sum.accumulated_idle_time = sum.accumulated_idle_time.saturating_add(metrics.idle_millis);
            sum.accumulated_busy_time = sum.accumulated_busy_time.saturating_add(metrics.busy_millis);
        }
        sum.read_bytes_complete = complete;
        sum.write_bytes_complete = complete;
        sum.read_records_complete = complete;
        sum.write_records_complete = complete;
        sum
    }
}

/// When tasks ran: from the first deployed to the last ended.
#[derive(Clone, Copy)]
struct Times {
    /// -1: not yet.
    start: i64,
    /// -1: not yet.
    end: i64,
    /// -1: not yet.
    duration: i64,
}

impl Times {
    fn of<'a>(tasks: impl IntoIterator<Item = &'a Task> + Clone, now: Now) -> Self {
        let start = tasks.clone().into_iter().filter_map(Task::started).min();
        let over = tasks.clone().into_iter().all(|task| task.state().is_terminal());
        let end = tasks.into_iter().filter_map(Task::ended).max().filter(|_| over && start.is_some());
        Self {
            start: start.unwrap_or(-1),
            end: end.unwrap_or(-1),
            duration: start.map_or(-1, |start| end.unwrap_or(now.unix_millis).saturating_sub(start).max(0)),
        }
    }
}

/// A vertex of a job in short.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Vertex {
    id: String,
    #[serde(rename = "slotSharingGroupId")]
    slot_sharing_group: String,
    name: String,
    #[serde(rename = "maxParallelism")]
    max_parallelism: u32,
    parallelism: u32,
    status: &'static str,
    start_time: i64,
    end_time: i64,
    duration: i64,
    /// How many tasks are in each state.
    tasks: BTreeMap<&'static str, u32>,
    metrics: IoMetrics,
    #[serde(skip)]
    state: TaskState,
}

impl Vertex {
    pub(super) fn all_of(job: &Job, now: Now) -> Vec<Self> {
        let graph = &job.spec().graph;
        let vertex = |(index, vertex): (usize, &weir_api::graph::JobVertex)| {
            let tasks = job.execution().vertex(index);
            let counts = job.execution().counts_of(index);
            let times = Times::of(tasks, now);
            let state = aggregate_state(&counts);
            Self {
                id: vertex.id.to_string(),
                // There is one slot sharing group per job.
                slot_sharing_group: job.id().to_string(),
                name: vertex.name.clone(),
                max_parallelism: graph.max_parallelism(),
                parallelism: vertex.parallelism,
                status: state.as_str(),
                start_time: times.start,
                end_time: times.end,
                duration: times.duration,
                tasks: counts_by_name(&counts),
                metrics: IoMetrics::sum(tasks),
                state,
            }
        };
        graph.vertices().iter().enumerate().map(vertex).collect()
    }

    pub(super) const fn state(&self) -> TaskState {
        self.state
    }
}

/// Where a task runs, by host name.
fn endpoint(core: &Core, job: &Job, subtask: usize) -> (String, String) {
    let manager = job.execution().manager_of(SubtaskIndex(subtask as u32));
    manager.map_or_else(
        || ("(unassigned)".to_owned(), "(unassigned)".to_owned()),
        |id| (endpoint_of(core, id), id.to_string()),
    )
}

fn endpoint_of(core: &Core, id: &TaskManagerId) -> String {
    core.managers().get(id).map_or_else(|| id.to_string(), |manager| manager.info.data_address.clone())
}

/// A vertex in full.
#[derive(Serialize, ToSchema)]
pub(super) struct Details {
    id: String,
    name: String,
    parallelism: u32,
    #[serde(rename = "maxParallelism")]
    max_parallelism: u32,
    now: i64,
    subtasks: Vec<Subtask>,
}

/// One of its tasks.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct Subtask {
    subtask: usize,
    status: &'static str,
    attempt: u32,
    endpoint: String,
    host: String,
    start_time: i64,
    /// The same under the name that older tools read.
    #[serde(rename = "start_time")]
    start_time_old: i64,
    end_time: i64,
    duration: i64,
    metrics: IoMetrics,
    taskmanager_id: String,
    /// How long it has been in each state; -1: never.
    status_duration: BTreeMap<&'static str, i64>,
}

/// A vertex in full.
#[utoipa::path(get, path = "/jobs/{jobid}/vertices/{vertexid}", tag = "vertices",
    params(("jobid" = String, Path), ("vertexid" = String, Path)),
    responses((status = 200, body = Details), (status = 404, body = super::error::Errors)))]
pub(super) async fn details(State(app): State<App>, of: OfVertex) -> Answer<Details> {
    let details = app.client.ask(move |core, now| of.find(core).map(|found| Details::of(core, &found, now)));
    Ok(Json(details.await??))
}

impl Details {
    fn of(core: &Core, found: &Found<'_>, now: Now) -> Self {
        let tasks = found.job.execution().vertex(found.index);
        let subtask = |(subtask, task): (usize, &Task)| {
            let times = Times::of([task], now);
            let (endpoint, manager) = endpoint(core, found.job, subtask);
            Subtask {
                subtask,
                status: task.state().as_str(),
                attempt: attempt_number(found.job, found.index),
                host: endpoint.clone(),
                endpoint,
                start_time: times.start,
                start_time_old: times.start,
                end_time: times.end,
                duration: times.duration,
                metrics: IoMetrics::sum([task]),
                taskmanager_id: manager,
                status_duration: durations(task, now),
            }
        };
        Self {
            id: found.vertex.id.to_string(),
            name: found.vertex.name.clone(),
            parallelism: found.vertex.parallelism,
            max_parallelism: found.job.spec().graph.max_parallelism(),
            now: now.unix_millis,
            subtasks: tasks.iter().enumerate().map(subtask).collect(),
        }
    }
}

/// Flink counts attempts from 0.
pub(super) fn attempt_number(job: &Job, vertex: usize) -> u32 {
    job.execution().attempt_of(VertexIndex(vertex as u32)).unwrap_or_default().0.saturating_sub(1)
}

fn durations(task: &Task, now: Now) -> BTreeMap<&'static str, i64> {
    let mut durations = BTreeMap::new();
    for state in TaskState::ALL.into_iter().filter(|state| !state.is_terminal()) {
        let left =
            || TaskState::ALL.into_iter().skip(state.index() + 1).filter_map(|next| task.entered(next)).min();
        let duration = task
            .entered(state)
            .map_or(-1, |entered| left().unwrap_or(now.unix_millis).saturating_sub(entered).max(0));
        durations.insert(state.as_str(), duration);
    }
    durations
}

/// When the tasks of a vertex entered which state.
#[derive(Serialize, ToSchema)]
pub(super) struct SubtaskTimes {
    id: String,
    name: String,
    now: i64,
    subtasks: Vec<OneSubtaskTimes>,
}

/// When a task entered which state.
#[derive(Serialize, ToSchema)]
struct OneSubtaskTimes {
    subtask: usize,
    host: String,
    endpoint: String,
    duration: i64,
    /// 0: never.
    timestamps: BTreeMap<&'static str, i64>,
}

/// When the tasks of a vertex entered which state.
#[utoipa::path(get, path = "/jobs/{jobid}/vertices/{vertexid}/subtasktimes", tag = "vertices",
    params(("jobid" = String, Path), ("vertexid" = String, Path)),
    responses((status = 200, body = SubtaskTimes), (status = 404, body = super::error::Errors)))]
pub(super) async fn times(State(app): State<App>, of: OfVertex) -> Answer<SubtaskTimes> {
    let times = app.client.ask(move |core, now| {
        let found = of.find(core)?;
        let tasks = found.job.execution().vertex(found.index).iter().enumerate();
        let one = |(subtask, task): (usize, &Task)| {
            let (endpoint, _) = endpoint(core, found.job, subtask);
            let entered = |state: TaskState| (state.as_str(), task.entered(state).unwrap_or(0));
            OneSubtaskTimes {
                subtask,
                host: endpoint.clone(),
                endpoint,
                duration: Times::of([task], now).duration,
                timestamps: TaskState::ALL.map(entered).into(),
            }
        };
        Ok(SubtaskTimes {
            id: found.vertex.id.to_string(),
            name: found.vertex.name.clone(),
            now: now.unix_millis,
            subtasks: tasks.map(one).collect(),
        })
    });
    let times: weir_api::Result<SubtaskTimes> = times.await?;
    Ok(Json(times?))
}

/// A vertex by the TaskManagers that run it.
#[derive(Serialize, ToSchema)]
pub(super) struct Managers {
    id: String,
    name: String,
    now: i64,
    taskmanagers: Vec<OneManager>,
}

/// A TaskManager's part of a vertex.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct OneManager {
    endpoint: String,
    host: String,
    taskmanager_id: String,
    status: &'static str,
    start_time: i64,
    end_time: i64,
    duration: i64,
    metrics: IoMetrics,
    status_counts: BTreeMap<&'static str, u32>,
}

/// A vertex by the TaskManagers that run it.
#[utoipa::path(get, path = "/jobs/{jobid}/vertices/{vertexid}/taskmanagers", tag = "vertices",
    params(("jobid" = String, Path), ("vertexid" = String, Path)),
    responses((status = 200, body = Managers), (status = 404, body = super::error::Errors)))]
pub(super) async fn managers(State(app): State<App>, of: OfVertex) -> Answer<Managers> {
    let managers = app.client.ask(move |core, now| {
        let found = of.find(core)?;
        let mut by_manager: BTreeMap<(String, String), Vec<&Task>> = BTreeMap::new();
        for (subtask, task) in found.job.execution().vertex(found.index).iter().enumerate() {
            by_manager.entry(endpoint(core, found.job, subtask)).or_default().push(task);
        }
        let one = |((endpoint, manager), tasks): ((String, String), Vec<&Task>)| {
            let counts = crate::control::execution::count(tasks.iter().copied());
            let times = Times::of(tasks.iter().copied(), now);
            OneManager {
                host: endpoint.clone(),
                endpoint,
                taskmanager_id: manager,
                status: aggregate_state(&counts).as_str(),
                start_time: times.start,
                end_time: times.end,
                duration: times.duration,
                metrics: IoMetrics::sum(tasks),
                status_counts: counts_by_name(&counts),
            }
        };
        Ok(Managers {
            id: found.vertex.id.to_string(),
            name: found.vertex.name.clone(),
            now: now.unix_millis,
            taskmanagers: by_manager.into_iter().map(one).collect(),
        })
    });
    let managers: weir_api::Result<Managers> = managers.await?;
    Ok(Json(managers?))
}
