//! Commits of a running job: one at a time, the newest checkpoint's, until it succeeds; then the tasks are told.
//!
//! ```text
//! pointer recorded ─▶ commit ─▶ tasks are told
//!                       └─ fails: again after a while, or with what a newer checkpoint holds
//! ```
//!
//! Invariant: tasks hear that a checkpoint is complete only after everything that it holds and the JobManager commits is committed. They
//! drop nothing before they hear it, so a newer checkpoint holds all that older ones hold and that isn't committed: committing the
//! newest is enough. What a task leaves that has finished is in every checkpoint from then on, and is committed with the first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_api::error::Retry;
use weir_api::id::CheckpointId;

use super::checkpoints::Order;
use super::exceptions::Exception;
use super::phase::Phase;
use super::{Effect, Failure, Job};
use crate::control::checkpoint::Task;
use crate::control::checkpoint::part::{Part, Parts, sink_commits};
use crate::control::now::Now;

/// The longest wait between two tries.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// Being committed.
    running: Option<(CheckpointId, Arc<Parts>)>,
    /// To be committed next.
    next: Option<(CheckpointId, Arc<Parts>)>,
    /// What tasks left that have finished, as far as it is committed.
    left: BTreeMap<Task, Arc<Part>>,
    failures: u32,
    retry_at: Option<u64>,
}

impl Commits {
    /// Whether there may be something to commit in a task's part.
    fn is_open(&self, task: &Task, part: &Arc<Part>) -> bool {
        !self.left.get(task).is_some_and(|left| Arc::ptr_eq(left, part))
    }

    /// These are committed.
    fn note_left(&mut self, parts: &Parts) {
        let ended = parts.iter().filter(|(_, part)| part.finished);
        self.left.extend(ended.map(|(task, part)| (*task, Arc::clone(part))));
    }

    pub(super) const fn deadline(&self) -> Option<u64> {
        self.retry_at
    }

    /// How often in a row committing has failed.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }
}

impl Job {
    /// The pointer leads to the checkpoint.
    pub(super) fn commit_checkpoint(
        &mut self,
        checkpoint: CheckpointId,
        parts: Arc<Parts>,
        effects: &mut Vec<Effect>,
    ) {
        let commits = &mut self.checkpoints.commits;
        commits.next = Some((checkpoint, parts));
        commits.retry_at = None;
        self.start_commit(effects);
    }

    fn start_commit(&mut self, effects: &mut Vec<Effect>) {
        let commits = &mut self.checkpoints.commits;
        if commits.running.is_some() || commits.retry_at.is_some() {
            return;
        }
        let Some((checkpoint, parts)) = commits.next.take() else { return };
        let open = parts.iter().filter(|(task, part)| commits.is_open(task, part));
        let sinks = sink_commits(&open.map(|(task, part)| (*task, Arc::clone(part))).collect());
        if sinks.is_empty() {
            commits.failures = 0;
            effects.push(Effect::Order(Order::Complete(checkpoint)));
        } else {
            commits.running = Some((checkpoint, parts));
            effects.push(Effect::Commit(self.attempt, Some(checkpoint), sinks));
        }
    }

    /// A checkpoint's output is visible, or couldn't be made so.
    pub(super) fn checkpoint_committed(
        &mut self,
        checkpoint: CheckpointId,
        result: Result<(), Failure>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let is_running = matches!(self.phase, Phase::Running { .. });
        let commits = &mut self.checkpoints.commits;
        let Some((_, parts)) = commits.running.take_if(|(running, _)| *running == checkpoint) else { return };
        if !is_running {
            return;
        }
        match result {
            Ok(()) => {
                commits.failures = 0;
                commits.note_left(&parts);
                effects.push(Effect::Order(Order::Complete(checkpoint)));
            }
            Err(failure) => {
                let id = self.spec.id;
                tracing::warn!(job = %id, %checkpoint, code = %failure.code, error = failure.message,
                    "a checkpoint's output can't be committed");
                commits.failures = commits.failures.saturating_add(1);
                let wait =
                    Duration::from_millis(100).saturating_mul(1 << commits.failures.min(16)).min(MAX_WAIT);
                commits.retry_at = Some(now.after(wait));
                commits.next.get_or_insert((checkpoint, parts));
                if failure.code.retry() == Retry::Never {
                    let message = format!(
                        "committing the output of checkpoint {checkpoint} failed: {}",
                        failure.message
                    );
                    self.checkpoints.fail(Exception::of_job(failure.code, message, now.unix_millis));
                }
            }
        }
        self.start_commit(effects);
    }

    /// Time has passed.
    pub(super) fn retry_commit(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.checkpoints.commits.retry_at.is_some_and(|at| now.reached(at)) {
            self.checkpoints.commits.retry_at = None;
            self.start_commit(effects);
        }
    }
}
