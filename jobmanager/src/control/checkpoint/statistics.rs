//! What users are told of a job's checkpoints: counts over its life, and how the last one of each kind ended.

use super::{Kind, Written};

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

/// A checkpoint that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finished {
    /// What it was for.
    pub kind: Kind,
    /// When it began.
    pub triggered_unix_millis: i64,
    /// How long it took.
    pub duration_millis: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    counts: Counts,
    last_completed: Option<Finished>,
    last_savepoint: Option<Finished>,
    last_failed: Option<Finished>,
}

impl Statistics {
    pub(super) const fn trigger(&mut self) {
        self.counts.triggered += 1;
    }

    pub(super) fn complete(&mut self, finished: &Finished) {
        self.counts.completed += 1;
        let last =
            if finished.kind.is_savepoint() { &mut self.last_savepoint } else { &mut self.last_completed };
        *last = Some(finished.clone());
    }

    pub(super) fn fail(&mut self, finished: &Finished) {
        self.counts.failed += 1;
        self.last_failed = Some(finished.clone());
    }

    /// The counts so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The last checkpoint that completed.
    #[must_use]
    pub const fn last_completed(&self) -> Option<&Finished> {
        self.last_completed.as_ref()
    }

    /// The last savepoint that completed.
    #[must_use]
    pub const fn last_savepoint(&self) -> Option<&Finished> {
        self.last_savepoint.as_ref()
    }

    /// The last one that failed.
    #[must_use]
    pub const fn last_failed(&self) -> Option<&Finished> {
        self.last_failed.as_ref()
    }
}
