//! What users are told of a job's checkpoints: counts over its life, how the last one of each kind ended, and the last few.
//!
//! Invariant: of a checkpoint that has ended only sums are kept, so what is remembered doesn't grow with the state.

use std::collections::{BTreeMap, VecDeque};

use weir_api::id::CheckpointId;

use super::{Kind, Task, Written};

/// Ended checkpoints that are remembered, as Flink's `web.checkpoints.history`.
const HISTORY: usize = 10;

/// How many, as REST's `counts`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Ever triggered.
    pub triggered: u64,
    /// Of them completed.
    pub completed: u64,
    /// Of them failed, the subsumed ones included.
    pub failed: u64,
}

/// How a checkpoint ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is there.
    Completed(Written),
    /// It isn't, because of this.
    Failed(String),
}

/// A task's part of a checkpoint, of which little is remembered.
pub trait Summarized: Clone {
    /// What is remembered.
    type Summary: Clone + PartialEq + std::fmt::Debug;

    /// What is remembered of this part of `checkpoint`, which `attempt` has taken.
    fn summary(&self, checkpoint: CheckpointId) -> Self::Summary;
}

/// A checkpoint that has ended; `S` is what is remembered of one task's part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finished<S> {
    /// Which.
    pub checkpoint: CheckpointId,
    /// What it was for.
    pub kind: Kind,
    /// When it began.
    pub triggered_unix_millis: i64,
    /// How long it took.
    pub duration_millis: u64,
    /// How many tasks had to take part.
    pub tasks: usize,
    /// The parts that came.
    pub parts: BTreeMap<Task, S>,
    /// How it ended.
    pub outcome: Outcome,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Statistics<S> {
    counts: Counts,
    last_completed: Option<Finished<S>>,
    last_savepoint: Option<Finished<S>>,
    last_failed: Option<Finished<S>>,
    history: VecDeque<Finished<S>>,
}

impl<S> Default for Statistics<S> {
    fn default() -> Self {
        Self {
            counts: Counts::default(),
            last_completed: None,
            last_savepoint: None,
            last_failed: None,
            history: VecDeque::new(),
        }
    }
}

impl<S: Clone> Statistics<S> {
    pub(super) const fn trigger(&mut self) {
        self.counts.triggered += 1;
    }

    pub(super) fn complete(&mut self, finished: Finished<S>) {
        self.counts.completed += 1;
        let last =
            if finished.kind.is_savepoint() { &mut self.last_savepoint } else { &mut self.last_completed };
        *last = Some(finished.clone());
        self.remember(finished);
    }

    pub(super) fn fail(&mut self, finished: Finished<S>) {
        self.counts.failed += 1;
        self.last_failed = Some(finished.clone());
        self.remember(finished);
    }

    fn remember(&mut self, finished: Finished<S>) {
        self.history.truncate(HISTORY - 1);
        self.history.push_front(finished);
    }

    /// The counts so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The last checkpoint that completed.
    #[must_use]
    pub const fn last_completed(&self) -> Option<&Finished<S>> {
        self.last_completed.as_ref()
    }

    /// The last savepoint that completed.
    #[must_use]
    pub const fn last_savepoint(&self) -> Option<&Finished<S>> {
        self.last_savepoint.as_ref()
    }

    /// The last one that failed.
    #[must_use]
    pub const fn last_failed(&self) -> Option<&Finished<S>> {
        self.last_failed.as_ref()
    }

    /// The last ones that have ended, the newest first.
    pub fn history(&self) -> impl Iterator<Item = &Finished<S>> {
        self.history.iter()
    }
}
