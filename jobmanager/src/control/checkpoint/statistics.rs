//! What users are told of a job's checkpoints: counts over its life, how the last one of each kind ended, and the last few.

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

/// A checkpoint that has ended; `A` is one task's part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finished<A> {
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
    pub parts: BTreeMap<Task, A>,
    /// How it ended.
    pub outcome: Outcome,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Statistics<A> {
    counts: Counts,
    last_completed: Option<Finished<A>>,
    last_savepoint: Option<Finished<A>>,
    last_failed: Option<Finished<A>>,
    history: VecDeque<Finished<A>>,
}

impl<A> Default for Statistics<A> {
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

impl<A: Clone> Statistics<A> {
    pub(super) const fn trigger(&mut self) {
        self.counts.triggered += 1;
    }

    pub(super) fn complete(&mut self, finished: Finished<A>) {
        self.counts.completed += 1;
        let last =
            if finished.kind.is_savepoint() { &mut self.last_savepoint } else { &mut self.last_completed };
        *last = Some(finished.clone());
        self.remember(finished);
    }

    pub(super) fn fail(&mut self, finished: Finished<A>) {
        self.counts.failed += 1;
        self.last_failed = Some(finished.clone());
        self.remember(finished);
    }

    fn remember(&mut self, finished: Finished<A>) {
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
    pub const fn last_completed(&self) -> Option<&Finished<A>> {
        self.last_completed.as_ref()
    }

    /// The last savepoint that completed.
    #[must_use]
    pub const fn last_savepoint(&self) -> Option<&Finished<A>> {
        self.last_savepoint.as_ref()
    }

    /// The last one that failed.
    #[must_use]
    pub const fn last_failed(&self) -> Option<&Finished<A>> {
        self.last_failed.as_ref()
    }

    /// The last ones that have ended, the newest first.
    pub fn history(&self) -> impl Iterator<Item = &Finished<A>> {
        self.history.iter()
    }
}
