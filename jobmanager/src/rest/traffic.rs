//! `/jobs/:id/vertices/:vid/backpressure` and `/watermarks`: how data flows through a vertex.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::error::Answer;
use super::path::{Found, OfVertex};
use super::vertices::attempt_number;
use crate::control::now::Now;

/// Who waits for room, and how much of the time.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Backpressure {
    status: &'static str,
    #[serde(rename = "backpressureLevel")]
    level: &'static str,
    backpressure_level: &'static str,
    end_timestamp: i64,
    subtasks: Vec<Subtask>,
}

/// How one task spends its time.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Subtask {
    subtask: usize,
    #[serde(rename = "attempt-number")]
    attempt: u32,
    #[serde(rename = "backpressureLevel")]
    level: &'static str,
    #[serde(rename = "backpressure-level")]
    level_old: &'static str,
    /// Without room for output.
    ratio: f64,
    idle_ratio: f64,
    busy_ratio: f64,
}

/// Flink's words for a share of time without room.
fn level(ratio: f64) -> &'static str {
    match ratio {
        ratio if ratio <= 0.1 => "ok",
        ratio if ratio <= 0.5 => "low",
        _ => "high",
    }
}

/// Who waits for room, and how much of the time, between the last two reports.
#[utoipa::path(get, path = "/jobs/{jobid}/vertices/{vertexid}/backpressure", tag = "vertices",
    params(("jobid" = String, Path), ("vertexid" = String, Path)),
    responses((status = 200, body = Backpressure), (status = 404, body = super::error::Errors)))]
pub(super) async fn backpressure(State(app): State<App>, of: OfVertex) -> Answer<Backpressure> {
    let answer = app.client.ask(move |core, now| of.find(core).map(|found| Backpressure::of(&found, now)));
    Ok(Json(answer.await??))
}

impl Backpressure {
    fn of(found: &Found<'_>, now: Now) -> Self {
        let tasks = found.job.execution().vertex(found.index);
        let subtasks: Vec<Subtask> = tasks
            .iter()
            .enumerate()
            .map(|(subtask, task)| {
                // A task that has ended waits for nothing.
                let shares =
                    if task.state().is_terminal() { Default::default() } else { task.measure.shares() };
                Subtask {
                    subtask,
                    attempt: attempt_number(found.job, found.index),
                    level: level(shares.back_pressured),
                    level_old: level(shares.back_pressured),
                    ratio: shares.back_pressured,
                    idle_ratio: shares.idle,
                    busy_ratio: shares.busy,
                }
            })
            .collect();
        let worst = subtasks.iter().map(|subtask| subtask.ratio).fold(0.0, f64::max);
        Self {
            status: "ok",
            level: level(worst),
            backpressure_level: level(worst),
            end_timestamp: now.unix_millis,
            subtasks,
        }
    }
}

/// A metric of one task.
#[derive(Serialize, ToSchema)]
pub(super) struct Watermark {
    /// `SUBTASK.currentInputWatermark`
    id: String,
    value: String,
}

/// The event time that each task has reached; tasks without a watermark yet aren't named.
#[utoipa::path(get, path = "/jobs/{jobid}/vertices/{vertexid}/watermarks", tag = "vertices",
    params(("jobid" = String, Path), ("vertexid" = String, Path)),
    responses((status = 200, body = [Watermark]), (status = 404, body = super::error::Errors)))]
pub(super) async fn watermarks(State(app): State<App>, of: OfVertex) -> Answer<Vec<Watermark>> {
    let watermarks = app.client.ask(move |core, _| {
        let found = of.find(core)?;
        let tasks = found.job.execution().vertex(found.index).iter().enumerate();
        let watermark = |(subtask, task): (usize, &crate::control::execution::Task)| {
            let value = task.measure.last()?.current_input_watermark?;
            Some(Watermark { id: format!("{subtask}.currentInputWatermark"), value: value.to_string() })
        };
        Ok(tasks.filter_map(watermark).collect())
    });
    let watermarks: weir_api::Result<Vec<Watermark>> = watermarks.await?;
    Ok(Json(watermarks?))
}

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn flinks_levels() {
        assert_eq!(
            [level(0.0), level(0.1), level(0.11), level(0.5), level(0.51), level(1.0)],
            ["ok", "ok", "low", "low", "high", "high"]
        );
    }
}
