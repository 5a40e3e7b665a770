//! One checkpoint as the history shows it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use weir_api::id::CheckpointId;

use crate::control::checkpoint::part::PartSummary;
use crate::control::checkpoint::{Finished, InProgress, Kind, Outcome, Task};

/// A checkpoint, ended or not.
pub(super) struct Shown<'a> {
    pub(super) checkpoint: CheckpointId,
    pub(super) kind: &'a Kind,
    pub(super) triggered: i64,
    pub(super) duration: Option<u64>,
    pub(super) tasks: usize,
    pub(super) parts: &'a BTreeMap<Task, PartSummary>,
    pub(super) outcome: Option<&'a Outcome>,
}

impl<'a> Shown<'a> {
    pub(super) fn ended(finished: &'a Finished<PartSummary>) -> Self {
        Self {
            checkpoint: finished.checkpoint,
            kind: &finished.kind,
            triggered: finished.triggered_unix_millis,
            duration: Some(finished.duration_millis),
            tasks: finished.tasks,
            parts: &finished.parts,
            outcome: Some(&finished.outcome),
        }
    }

    pub(super) fn under_way(pending: &'a InProgress<'a, PartSummary>) -> Self {
        Self {
            checkpoint: pending.checkpoint,
            kind: pending.kind,
            triggered: pending.triggered_unix_millis,
            duration: None,
            tasks: pending.tasks,
            parts: &pending.parts,
            outcome: None,
        }
    }

    pub(super) const fn status(&self) -> &'static str {
        match self.outcome {
            None => "IN_PROGRESS",
            Some(Outcome::Completed(_)) => "COMPLETED",
            Some(Outcome::Failed(_)) => "FAILED",
        }
    }

    /// When the last part came; the beginning before any has.
    pub(super) fn last_part(&self) -> i64 {
        self.parts.values().map(|part| part.unix_millis).max().unwrap_or(self.triggered).max(self.triggered)
    }
}

/// See the module.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct Entry {
    #[serde(rename = "className")]
    class_name: &'static str,
    id: u64,
    status: &'static str,
    is_savepoint: bool,
    #[serde(rename = "savepointFormat", skip_serializing_if = "Option::is_none")]
    savepoint_format: Option<&'static str>,
    trigger_timestamp: i64,
    latest_ack_timestamp: i64,
    pub(super) checkpointed_size: u64,
    pub(super) state_size: u64,
    pub(super) end_to_end_duration: u64,
    alignment_buffered: u64,
    processed_data: u64,
    persisted_data: u64,
    num_subtasks: usize,
    num_acknowledged_subtasks: usize,
    /// What each vertex has of it; in lists of checkpoints nothing, as in Flink's.
    tasks: BTreeMap<String, Value>,
    checkpoint_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discarded: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_message: Option<String>,
    /// The longest that a task's thread was held up, in microseconds.
    freeze_micros_max: u64,
    #[serde(skip)]
    pub(super) is_completed: bool,
}

impl Entry {
    /// Says of each vertex, by id, what it has of it.
    pub(super) fn with(self, tasks: BTreeMap<String, Value>) -> Self {
        Self { tasks, ..self }
    }

    pub(super) fn new(shown: &Shown<'_>, now: i64) -> Self {
        let (mut state_size, mut checkpointed_size) = shown
            .parts
            .values()
            .map(|part| (part.full_bytes, part.new_bytes))
            .fold((0, 0), |(all, new), (a, n)| (all + a, new + n));
        let (mut path, mut failure) = (None, None);
        match shown.outcome {
            Some(Outcome::Completed(written)) => {
                path = Some(written.path.clone());
                (state_size, checkpointed_size) = (written.full_size, written.new_size);
            }
            Some(Outcome::Failed(reason)) => failure = Some(reason.clone()),
            None => {}
        }
        let elapsed = u64::try_from(now.saturating_sub(shown.triggered)).unwrap_or(0);
        let ended = shown.duration.map(|duration| shown.triggered.saturating_add_unsigned(duration));
        Self {
            class_name: match shown.outcome {
                None => "in_progress",
                Some(Outcome::Completed(_)) => "completed",
                Some(Outcome::Failed(_)) => "failed",
            },
            id: shown.checkpoint.0,
            status: shown.status(),
            is_savepoint: shown.kind.is_savepoint(),
            savepoint_format: shown.kind.is_savepoint().then_some("CANONICAL"),
            trigger_timestamp: shown.triggered,
            latest_ack_timestamp: shown.last_part(),
            checkpointed_size,
            state_size,
            end_to_end_duration: shown.duration.unwrap_or(elapsed),
            alignment_buffered: 0,
            processed_data: 0,
            persisted_data: 0,
            num_subtasks: shown.tasks,
            num_acknowledged_subtasks: shown.parts.len(),
            tasks: BTreeMap::new(),
            checkpoint_type: match (shown.kind.is_savepoint(), shown.kind.stops_job()) {
                (_, true) => "SYNC_SAVEPOINT",
                (true, _) => "SAVEPOINT",
                _ => "CHECKPOINT",
            },
            discarded: path.as_ref().map(|_| false),
            external_path: path,
            failure_timestamp: failure.as_ref().and(ended),
            failure_message: failure,
            freeze_micros_max: shown.parts.values().map(|part| part.freeze_micros).max().unwrap_or(0),
            is_completed: matches!(shown.outcome, Some(Outcome::Completed(_))),
        }
    }
}
