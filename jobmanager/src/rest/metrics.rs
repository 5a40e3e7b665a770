//! Metrics under Flink's names: `…/metrics?get=a,b` of cluster, TaskManager, job, vertex and subtasks.
//!
//! Without `get` the names are listed. One table ([`TASK`]) holds every task metric; Prometheus reads it too.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weir_api::id::TaskManagerId;

use super::App;
use super::error::Answer;
use super::managers::find;
use super::path::{OfJob, OfVertex};
use crate::control::Core;
use crate::control::checkpoint::Outcome;
use crate::control::execution::Task;
use crate::control::job::Job;
use crate::control::job::status::JobStatus;
use crate::control::managers::Manager;
use crate::control::now::Now;

/// A metric of tasks: its name and how it is read; `None` while there is no value.
pub(super) type TaskMetric = (&'static str, fn(&Task) -> Option<f64>);

/// Every metric of tasks.
pub(super) const TASK: &[TaskMetric] = &[
    ("numRecordsIn", |task| Some(task.measure.last()?.num_records_in as f64)),
    ("numRecordsOut", |task| Some(task.measure.last()?.num_records_out as f64)),
    ("numBytesIn", |task| Some(task.measure.last()?.num_bytes_in as f64)),
    ("numBytesOut", |task| Some(task.measure.last()?.num_bytes_out as f64)),
    ("numRecordsInPerSecond", |task| Some(task.measure.per_second(|metrics| metrics.num_records_in))),
    ("numRecordsOutPerSecond", |task| Some(task.measure.per_second(|metrics| metrics.num_records_out))),
    ("numBytesInPerSecond", |task| Some(task.measure.per_second(|metrics| metrics.num_bytes_in))),
    ("numBytesOutPerSecond", |task| Some(task.measure.per_second(|metrics| metrics.num_bytes_out))),
    ("numSideOutputRecords", |task| Some(task.measure.last()?.num_side_output_records as f64)),
    ("numLateRecordsDropped", |task| Some(task.measure.last()?.num_late_records_dropped as f64)),
    ("numRecordsInErrors", |task| Some(task.measure.last()?.num_records_in_errors as f64)),
    ("commitsSucceeded", |task| Some(task.measure.last()?.commits_succeeded as f64)),
    ("commitsFailed", |task| Some(task.measure.last()?.commits_failed as f64)),
    ("busyTimeMsPerSecond", |task| Some(task.measure.shares().busy * 1_000.0)),
    ("idleTimeMsPerSecond", |task| Some(task.measure.shares().idle * 1_000.0)),
    ("backPressuredTimeMsPerSecond", |task| Some(task.measure.shares().back_pressured * 1_000.0)),
    ("accumulateBusyTimeMs", |task| Some(task.measure.last()?.busy_millis as f64)),
    ("accumulateIdleTimeMs", |task| Some(task.measure.last()?.idle_millis as f64)),
    ("accumulateBackPressuredTimeMs", |task| Some(task.measure.last()?.back_pressured_millis as f64)),
    ("isBackPressured", |task| Some(f64::from(u8::from(task.measure.shares().back_pressured > 0.1)))),
    ("currentInputWatermark", |task| Some(task.measure.last()?.current_input_watermark? as f64)),
    ("currentOutputWatermark", |task| Some(task.measure.last()?.current_output_watermark? as f64)),
    ("buffers.inputQueueLength", |task| Some(task.measure.last()?.input_queue_length as f64)),
    ("buffers.outputQueueLength", |task| Some(task.measure.last()?.output_queue_length as f64)),
    ("buffers.inPoolUsage", |task| Some(f64::from(task.measure.last()?.in_pool_usage_percent) / 100.0)),
    ("buffers.outPoolUsage", |task| Some(f64::from(task.measure.last()?.out_pool_usage_percent) / 100.0)),
];

/// The cluster's metrics.
pub(super) fn cluster_metrics(core: &Core) -> Vec<(&'static str, f64)> {
    let running = core.jobs().filter(|job| job.history().current() == JobStatus::Running).count();
    vec![
        ("numRegisteredTaskManagers", core.managers().len() as f64),
        ("numRunningJobs", running as f64),
        ("taskSlotsAvailable", f64::from(core.slots().free())),
        ("taskSlotsTotal", f64::from(core.slots().total())),
    ]
}

/// A job's metrics; times in milliseconds.
pub(super) fn job_metrics(job: &Job, now: Now) -> Vec<(&'static str, f64)> {
    use JobStatus as S;
    let history = job.history();
    let names: [(S, &str, &str, &str); 5] = [
        (S::Created, "createdState", "createdTime", "createdTimeTotal"),
        (S::Running, "runningState", "runningTime", "runningTimeTotal"),
        (S::Restarting, "restartingState", "restartingTime", "restartingTimeTotal"),
        (S::Cancelling, "cancellingState", "cancellingTime", "cancellingTimeTotal"),
        (S::Failing, "failingState", "failingTime", "failingTimeTotal"),
    ];
    let mut metrics = vec![
        ("numRestarts", f64::from(job.restarts())),
        ("numFailedSplitDiscoveries", job.failed_discoveries() as f64),
    ];
    metrics.extend(checkpoint_metrics(job));
    for (status, state, time, total) in names {
        let here = history.current() == status;
        metrics.push((state, f64::from(u8::from(here))));
        metrics.push((time, if here { history.present_millis(now.unix_millis) as f64 } else { 0.0 }));
        metrics.push((total, history.total_millis(status, now.unix_millis) as f64));
    }
    metrics
}

/// What a job's checkpoints take.
fn checkpoint_metrics(job: &Job) -> Vec<(&'static str, f64)> {
    let coordinator = job.coordinator();
    let (statistics, counts) = (coordinator.statistics(), coordinator.statistics().counts());
    let mut metrics = vec![
        ("totalNumberOfCheckpoints", counts.triggered as f64),
        ("numberOfInProgressCheckpoints", coordinator.under_way().count() as f64),
        ("numberOfCompletedCheckpoints", counts.completed as f64),
        ("numberOfFailedCheckpoints", counts.failed as f64),
        ("numFailedCommits", f64::from(job.failed_commits())),
    ];
    if let Some(restored) = job.restored() {
        metrics.push(("lastCheckpointRestoreTimestamp", restored.unix_millis as f64));
    }
    if let Some(last) = statistics.last_completed()
        && let Outcome::Completed(written) = &last.outcome
    {
        let end = last.triggered_unix_millis.saturating_add_unsigned(last.duration_millis);
        metrics.extend([
            ("lastCompletedCheckpointId", last.checkpoint.0 as f64),
            ("lastCheckpointDuration", last.duration_millis as f64),
            ("lastCheckpointSize", written.new_size as f64),
            ("lastCheckpointFullSize", written.full_size as f64),
            ("lastCheckpointCompletedTimestamp", end as f64),
        ]);
    }
    metrics
}

/// A TaskManager's metrics.
pub(super) fn manager_metrics(manager: &Manager) -> Vec<(&'static str, f64)> {
    let Some(process) = &manager.process else { return Vec::new() };
    let used = process.network_segments_total.saturating_sub(process.network_segments_available);
    vec![
        ("Status.Process.Memory.ResidentBytes", process.resident_bytes as f64),
        ("Status.Process.CPU.Time", process.cpu_millis as f64),
        ("Status.Process.Threads.Count", f64::from(process.threads)),
        ("Status.Shuffle.Netty.TotalMemorySegments", process.network_segments_total as f64),
        ("Status.Shuffle.Netty.AvailableMemorySegments", process.network_segments_available as f64),
        ("Status.Shuffle.Netty.UsedMemorySegments", used as f64),
    ]
}

/// Which metrics are wanted.
#[derive(Deserialize, IntoParams)]
pub(super) struct Wanted {
    /// Names, separated by commas; without them the names that there are get listed.
    get: Option<String>,
    /// Of `min`, `max`, `avg`, `sum`, `skew`; all by default.
    agg: Option<String>,
    /// Subtasks such as `1,3,5-9`; all by default.
    subtasks: Option<String>,
}

/// A metric, with its value if that was asked for.
#[derive(Serialize, ToSchema)]
pub(super) struct Metric {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

type Query_ = Result<Query<Wanted>, QueryRejection>;

/// Names, or the values of the wanted ones.
fn select(all: Vec<(String, f64)>, get: Option<&str>) -> Vec<Metric> {
    match get {
        None => all.into_iter().map(|(id, _)| Metric { id, value: None }).collect(),
        Some(names) => {
            let wanted = |id: &str| names.split(',').any(|name| name.trim() == id);
            all.into_iter()
                .filter(|(id, _)| wanted(id))
                .map(|(id, value)| Metric { id, value: Some(value.to_string()) })
                .collect()
        }
    }
}

fn owned(metrics: Vec<(&'static str, f64)>) -> Vec<(String, f64)> {
    metrics.into_iter().map(|(id, value)| (id.to_owned(), value)).collect()
}

/// The JobManager's metrics.
#[utoipa::path(get, path = "/jobmanager/metrics", tag = "metrics", params(Wanted), responses((status = 200, body = [Metric])))]
pub(super) async fn of_cluster(State(app): State<App>, wanted: Query_) -> Answer<Vec<Metric>> {
    let metrics = app.client.ask(|core, _| owned(cluster_metrics(core))).await?;
    Ok(Json(select(metrics, wanted?.0.get.as_deref())))
}

/// A TaskManager's metrics.
#[utoipa::path(get, path = "/taskmanagers/{managerid}/metrics", tag = "metrics", params(("managerid" = String, Path), Wanted),
    responses((status = 200, body = [Metric]), (status = 404, body = super::error::Errors)))]
pub(super) async fn of_manager(
    State(app): State<App>,
    Path(id): Path<String>,
    wanted: Query_,
) -> Answer<Vec<Metric>> {
    let id = TaskManagerId::new(id)?;
    let metrics =
        app.client.ask(move |core, _| find(core, &id).map(|manager| owned(manager_metrics(manager))));
    Ok(Json(select(metrics.await??, wanted?.0.get.as_deref())))
}

/// A job's metrics.
#[utoipa::path(get, path = "/jobs/{jobid}/metrics", tag = "metrics", params(("jobid" = String, Path), Wanted),
    responses((status = 200, body = [Metric]), (status = 404, body = super::error::Errors)))]
pub(super) async fn of_job(State(app): State<App>, OfJob(id): OfJob, wanted: Query_) -> Answer<Vec<Metric>> {
    let metrics = app.client.ask(move |core, now| core.job(id).map(|job| owned(job_metrics(job, now))));
    Ok(Json(select(metrics.await??, wanted?.0.get.as_deref())))
}

/// The metrics of a vertex, `SUBTASK.NAME` each.
#[utoipa::path(get, path = "/jobs/{jobid}/vertices/{vertexid}/metrics", tag = "metrics",
    params(("jobid" = String, Path), ("vertexid" = String, Path), Wanted),
    responses((status = 200, body = [Metric]), (status = 404, body = super::error::Errors)))]
pub(super) async fn of_vertex(State(app): State<App>, of: OfVertex, wanted: Query_) -> Answer<Vec<Metric>> {
    let metrics = app.client.ask(move |core, _| {
        let found = of.find(core)?;
        let tasks = found.job.execution().vertex(found.index).iter().enumerate();
        let of_task = |(subtask, task): (usize, &Task)| {
            let values =
                TASK.iter().filter_map(|(name, read)| Some((format!("{subtask}.{name}"), read(task)?)));
            values.collect::<Vec<_>>()
        };
        Ok(tasks.flat_map(of_task).collect())
    });
    let metrics: weir_api::Result<Vec<(String, f64)>> = metrics.await?;
    Ok(Json(select(metrics?, wanted?.0.get.as_deref())))
}

/// A metric over several tasks.
#[derive(Serialize, ToSchema, Default, Debug, PartialEq)]
pub(super) struct Aggregate {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<f64>,
}

/// The metrics of a vertex over its subtasks.
#[utoipa::path(get, path = "/jobs/{jobid}/vertices/{vertexid}/subtasks/metrics", tag = "metrics",
    params(("jobid" = String, Path), ("vertexid" = String, Path), Wanted),
    responses((status = 200, body = [Aggregate]), (status = 404, body = super::error::Errors)))]
pub(super) async fn of_subtasks(
    State(app): State<App>,
    of: OfVertex,
    wanted: Query_,
) -> Answer<Vec<Aggregate>> {
    let wanted = wanted?.0;
    let subtasks = wanted.subtasks.as_deref().map(ranges).transpose()?;
    let values = app.client.ask(move |core, _| {
        let found = of.find(core)?;
        let mut values: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        for (subtask, task) in found.job.execution().vertex(found.index).iter().enumerate() {
            let chosen = subtasks.as_ref().is_none_or(|all| all.iter().any(|range| range.contains(&subtask)));
            for (name, read) in TASK.iter().filter(|_| chosen) {
                values.entry(name).or_default().extend(read(task));
            }
        }
        Ok(values)
    });
    let values: weir_api::Result<BTreeMap<&'static str, Vec<f64>>> = values.await?;
    Ok(Json(aggregate(values?, wanted.get.as_deref(), wanted.agg.as_deref())))
}

fn aggregate(
    values: BTreeMap<&'static str, Vec<f64>>,
    get: Option<&str>,
    agg: Option<&str>,
) -> Vec<Aggregate> {
    let named = values.into_iter().filter(|(_, values)| !values.is_empty());
    let Some(get) = get else {
        return named.map(|(name, _)| Aggregate { id: name.to_owned(), ..Default::default() }).collect();
    };
    let shown = |what: &str| agg.is_none_or(|agg| agg.split(',').any(|word| word.trim() == what));
    named
        .filter(|(name, _)| get.split(',').any(|wanted| wanted.trim() == *name))
        .map(|(name, values)| {
            let sum: f64 = values.iter().sum();
            let min = values.iter().copied().fold(f64::INFINITY, f64::min);
            let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            Aggregate {
                id: name.to_owned(),
                min: shown("min").then_some(min),
                max: shown("max").then_some(max),
                avg: shown("avg").then_some(sum / values.len() as f64),
                sum: shown("sum").then_some(sum),
            }
        })
        .collect()
}

/// Reads `1,3,5-9`.
fn ranges(text: &str) -> weir_api::Result<Vec<std::ops::RangeInclusive<usize>>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    text.split(',').map(range).collect::<Option<_>>().ok_or_else(|| {
        weir_api::Error::new(
            weir_api::error::Code::InvalidArgument,
            format!("the subtasks '{text}' can't be read; 1,3,5-9 is how they are written"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtasks_are_chosen_by_ranges() {
        let all = ranges("1,3,5-9").expect("valid");
        let chosen: Vec<usize> = (0..12).filter(|n| all.iter().any(|range| range.contains(n))).collect();
        assert_eq!(chosen, [1, 3, 5, 6, 7, 8, 9]);
        assert!(ranges("a").is_err() && ranges("1-").is_err());
    }

    #[test]
    fn aggregates_are_those_asked_for() {
        let values = || BTreeMap::from([("numRecordsIn", vec![1.0, 3.0]), ("numRecordsOut", vec![])]);
        let named = aggregate(values(), None, None);
        assert_eq!(named, [Aggregate { id: "numRecordsIn".to_owned(), ..Default::default() }]);
        let all = aggregate(values(), Some("numRecordsIn,numRecordsOut"), None);
        assert_eq!(all.len(), 1);
        assert_eq!(
            (all[0].min, all[0].max, all[0].avg, all[0].sum),
            (Some(1.0), Some(3.0), Some(2.0), Some(4.0))
        );
        let some = aggregate(values(), Some("numRecordsIn"), Some("sum,min"));
        assert_eq!((some[0].min, some[0].max, some[0].sum), (Some(1.0), None, Some(4.0)));
    }
}
