//! A checkpoint under way: what it is for, whose parts it has, how far it came.

use std::collections::{BTreeMap, BTreeSet};

use weir_api::id::{Attempt, CheckpointId};

use super::statistics::{Finished, Outcome, Summarized};
use super::{Now, Task, Written};

/// Tasks that a reason names.
const NAMED_TASKS: usize = 3;

/// What a checkpoint is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The interval has passed.
    Periodic,
    /// A user has asked for a checkpoint.
    Requested {
        /// The request's number.
        request: u128,
        /// Whether it may refer to no earlier files.
        full: bool,
    },
    /// A user has asked for a savepoint.
    Savepoint(Savepoint),
}

/// A user's savepoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Savepoint {
    /// The request's number.
    pub request: u128,
    /// The folder that it goes into.
    pub target: String,
    /// Whether the job stops behind it.
    pub stop: Option<Stop>,
}

/// How a job stops behind its savepoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// As it is: windows that are open stay in the savepoint.
    Suspend,
    /// As if its input had ended: windows fire, and the job can't sensibly go on from the savepoint.
    Drain,
}

impl Kind {
    /// Whether it is a savepoint.
    #[must_use]
    pub const fn is_savepoint(&self) -> bool {
        matches!(self, Self::Savepoint(_))
    }

    /// Whether the job stops behind it.
    #[must_use]
    pub const fn stops_job(&self) -> bool {
        matches!(self, Self::Savepoint(Savepoint { stop: Some(_), .. }))
    }

    /// Whether the job's pointer moves to it. It doesn't to a savepoint beside a job that goes on: a restart goes back to the
    /// last checkpoint, so what a savepoint had committed would be written twice.
    #[must_use]
    pub const fn is_published(&self) -> bool {
        !self.is_savepoint() || self.stops_job()
    }

    /// The number of the request that waits for its end.
    #[must_use]
    pub const fn request(&self) -> Option<u128> {
        match self {
            Self::Periodic => None,
            Self::Requested { request, .. } | Self::Savepoint(Savepoint { request, .. }) => Some(*request),
        }
    }

    /// Whether somebody waits for its end.
    #[must_use]
    pub const fn is_requested(&self) -> bool {
        !matches!(self, Self::Periodic)
    }
}

/// How far a checkpoint came.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Tasks take their parts.
    Collecting,
    /// Its `_metadata` is being written.
    Writing,
    /// The job's pointer is on its way to it.
    Publishing(Written),
}

/// A checkpoint that hasn't ended.
#[derive(Clone, Debug)]
pub struct InProgress<'a, S> {
    /// Which.
    pub checkpoint: CheckpointId,
    /// What it is for.
    pub kind: &'a Kind,
    /// When it began.
    pub triggered_unix_millis: i64,
    /// How many tasks have to take part.
    pub tasks: usize,
    /// What is known of the parts that have come.
    pub parts: BTreeMap<Task, S>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Pending<A> {
    pub(super) kind: Kind,
    pub(super) attempt: Attempt,
    pub(super) phase: Phase,
    pub(super) deadline: u64,
    triggered: Now,
    missing: BTreeSet<Task>,
    parts: BTreeMap<Task, A>,
}

impl<A: Summarized> Pending<A> {
    pub(super) fn new(
        kind: Kind,
        attempt: Attempt,
        tasks: &[Task],
        finished: &BTreeMap<Task, A>,
        now: Now,
        deadline: u64,
    ) -> Self {
        let missing = tasks.iter().filter(|task| !finished.contains_key(*task)).copied().collect();
        Self {
            kind,
            attempt,
            phase: Phase::Collecting,
            deadline,
            triggered: now,
            missing,
            parts: finished.clone(),
        }
    }

    /// The first part of a task counts; what comes twice or from a stranger doesn't.
    pub(super) fn acknowledge(&mut self, task: Task, part: A) {
        if self.missing.remove(&task) {
            self.parts.insert(task, part);
        }
    }

    /// Whether the task's part is missing.
    pub(super) fn waits_for_task(&self, task: Task) -> bool {
        self.missing.contains(&task)
    }

    /// All parts, once, when none is missing.
    pub(super) fn take_complete(&mut self) -> Option<BTreeMap<Task, A>> {
        if !matches!(self.phase, Phase::Collecting) || !self.missing.is_empty() {
            return None;
        }
        self.phase = Phase::Writing;
        Some(self.parts.clone())
    }

    /// Once its pointer is on its way nobody can call it back.
    pub(super) const fn can_abort(&self) -> bool {
        !matches!(self.phase, Phase::Publishing(_))
    }

    /// What is missing, for a reason.
    pub(super) fn waits_for(&self) -> String {
        if matches!(self.phase, Phase::Writing) {
            return "its metadata to be written".to_owned();
        }
        let named: Vec<_> = self
            .missing
            .iter()
            .take(NAMED_TASKS)
            .map(|(vertex, subtask)| format!("subtask {subtask} of vertex {vertex}"))
            .collect();
        let others = self.missing.len().saturating_sub(NAMED_TASKS);
        let more = if others > 0 { format!(" and {others} others") } else { String::new() };
        format!("{}{more}", named.join(", "))
    }

    /// What users are told of the parts that have come.
    fn summaries(&self, checkpoint: CheckpointId) -> BTreeMap<Task, A::Summary> {
        let parts = self.parts.iter();
        parts.map(|(task, part)| (*task, part.summary(checkpoint))).collect()
    }

    pub(super) fn finished(
        &self,
        checkpoint: CheckpointId,
        outcome: Outcome,
        now: Now,
    ) -> Finished<A::Summary> {
        let duration_millis = now.monotonic_millis.saturating_sub(self.triggered.monotonic_millis);
        Finished {
            checkpoint,
            kind: self.kind.clone(),
            triggered_unix_millis: self.triggered.unix_millis,
            duration_millis,
            tasks: self.parts.len() + self.missing.len(),
            parts: self.summaries(checkpoint),
            outcome,
        }
    }

    /// What users are told while it is under way.
    pub(super) fn so_far(&self, checkpoint: CheckpointId) -> InProgress<'_, A::Summary> {
        InProgress {
            checkpoint,
            kind: &self.kind,
            triggered_unix_millis: self.triggered.unix_millis,
            tasks: self.parts.len() + self.missing.len(),
            parts: self.summaries(checkpoint),
        }
    }
}
