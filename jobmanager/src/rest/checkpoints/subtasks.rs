//! What vertices and subtasks have of a checkpoint.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use weir_api::error::{Code, Error};
use weir_api::id::{SubtaskIndex, VertexId, VertexIndex};

use super::entry::Shown;
use super::summary::Spread;
use super::{OfCheckpoint, with_checkpoint};
use crate::control::checkpoint::part::PartSummary;
use crate::control::job::Job;
use crate::rest::App;
use crate::rest::error::Answer;

/// The vertices' parts, by id.
pub(super) fn by_vertex(job: &Job, shown: &Shown<'_>) -> BTreeMap<String, Value> {
    let vertices = job.spec().graph.vertices().iter().zip(0..);
    vertices
        .map(|(vertex, index)| {
            (vertex.id.to_string(), of(job, shown, VertexIndex(index), vertex.parallelism))
        })
        .collect()
}

fn of(job: &Job, shown: &Shown<'_>, vertex: VertexIndex, parallelism: u32) -> Value {
    let parts: Vec<&PartSummary> =
        (0..parallelism).filter_map(|subtask| shown.parts.get(&(vertex, SubtaskIndex(subtask)))).collect();
    let sizes = parts.iter().map(|part| (part.full_bytes, part.new_bytes));
    let (all, new) = sizes.fold((0, 0), |(all, new), (a, n)| (all + a, new + n));
    let last = parts.iter().map(|part| part.unix_millis).max().unwrap_or(-1);
    let id = job.spec().graph.vertices().get(vertex.0 as usize).map(|vertex| vertex.id.to_string());
    json!({
        "id": id,
        "status": if parts.len() == parallelism as usize { "COMPLETED" } else { shown.status() },
        "latest_ack_timestamp": last,
        "checkpointed_size": new,
        "state_size": all,
        "end_to_end_duration": last.saturating_sub(shown.triggered).max(0),
        "alignment_buffered": 0,
        "processed_data": 0,
        "persisted_data": 0,
        "num_subtasks": parallelism,
        "num_acknowledged_subtasks": parts.len(),
    })
}

/// What the subtasks of one vertex have of a checkpoint.
#[utoipa::path(get, path = "/jobs/{jobid}/checkpoints/details/{checkpointid}/subtasks/{vertexid}", tag = "checkpoints",
    params(("jobid" = String, Path), ("checkpointid" = u64, Path), ("vertexid" = String, Path)),
    responses((status = 200), (status = 404, body = crate::rest::error::Errors)))]
pub(in crate::rest) async fn of_vertex(
    State(app): State<App>,
    Path(path): Path<OfCheckpoint>,
) -> Answer<Value> {
    let (id, checkpoint) = path.ids()?;
    let vertex: VertexId = path.vertexid.unwrap_or_default().parse()?;
    let answer = app.client.ask(move |core, _| {
        let job = core.job(id)?;
        let mut vertices = job.spec().graph.vertices().iter().zip(0..);
        let (found, index) = vertices
            .find(|(each, _)| each.id == vertex)
            .ok_or_else(|| Error::new(Code::NotFound, format!("job {id} has no vertex {vertex}")))?;
        with_checkpoint(job, checkpoint, |shown| subtasks(job, shown, VertexIndex(index), found.parallelism))
    });
    Ok(Json(answer.await??))
}

fn subtasks(job: &Job, shown: &Shown<'_>, vertex: VertexIndex, parallelism: u32) -> Value {
    let part = |subtask| shown.parts.get(&(vertex, SubtaskIndex(subtask)));
    let parts: Vec<_> = (0..parallelism).filter_map(part).collect();
    let spread =
        |value: &dyn Fn(&PartSummary) -> u64| Spread::of(parts.iter().map(|part| value(part)).collect());
    let duration = |part: &PartSummary| part.unix_millis.saturating_sub(shown.triggered).max(0) as u64;
    let mut answer = of(job, shown, vertex, parallelism);
    answer["summary"] = json!({
        "checkpointed_size": spread(&|part| part.new_bytes),
        "state_size": spread(&|part| part.full_bytes),
        "end_to_end_duration": spread(&duration),
        "checkpoint_duration": {
            "sync": spread(&|part| part.freeze_micros / 1_000),
            "async": spread(&|part| part.upload_millis),
        },
        "alignment": {
            "buffered": Spread::default(),
            "processed": Spread::default(),
            "persisted": Spread::default(),
            "duration": spread(&|part| part.alignment_millis),
        },
        "freeze-micros": spread(&|part| part.freeze_micros),
    });
    answer["subtasks"] = (0..parallelism)
        .map(|index| match part(index) {
            None => json!({ "index": index, "status": "pending_or_failed" }),
            Some(part) => json!({
                "index": index,
                "status": "completed",
                "ack_timestamp": part.unix_millis,
                "end_to_end_duration": duration(part),
                "checkpointed_size": part.new_bytes,
                "state_size": part.full_bytes,
                "checkpoint": { "sync": part.freeze_micros / 1_000, "async": part.upload_millis },
                "freeze-micros": part.freeze_micros,
                "alignment": { "buffered": 0, "processed": 0, "persisted": 0, "duration": part.alignment_millis },
                "start_delay": duration(part).saturating_sub(part.alignment_millis + part.upload_millis),
                "unaligned_checkpoint": false,
                "aborted": false,
            }),
        })
        .collect();
    answer
}
