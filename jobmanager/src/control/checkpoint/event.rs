//! What a job's checkpoints are told, and what they ask for.

use std::collections::BTreeMap;

use weir_api::id::{Attempt, CheckpointId};

use super::Task;
use super::pending::Kind;

/// What the coordinator is told.
#[derive(Clone, Debug)]
pub enum Event<A> {
    /// All tasks of an attempt run and have restored their state.
    Running {
        /// The attempt.
        attempt: Attempt,
        /// Every task that must acknowledge.
        tasks: Vec<Task>,
    },
    /// The attempt is over, for whatever reason: what is under way is void, unless its pointer is on its way.
    Ended,
    /// A part of the attempt starts anew, the rest goes on: what is under way is given up, unless its pointer is on its way.
    Interrupted,
    /// A task has taken its part of a checkpoint.
    Acknowledged {
        /// Whose.
        attempt: Attempt,
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// By which task.
        task: Task,
        /// What it snapshotted.
        part: A,
    },
    /// A task couldn't take its part.
    Declined {
        /// Whose.
        attempt: Attempt,
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// By which task.
        task: Task,
        /// Why.
        reason: String,
    },
    /// A task has finished for good: from now on this is its part of every checkpoint whose barrier it hasn't met.
    TaskFinished {
        /// Whose.
        attempt: Attempt,
        /// Which.
        task: Task,
        /// The newest checkpoint whose barrier it has met.
        newest: CheckpointId,
        /// What it leaves, such as output that is prepared and not committed.
        part: A,
    },
    /// A user asks for a checkpoint or a savepoint, now.
    Requested(Kind),
    /// The `_metadata` of a checkpoint is written, or couldn't be.
    Written {
        /// Which.
        checkpoint: CheckpointId,
        /// Where it is and its size, or why it isn't.
        result: Result<Written, String>,
    },
    /// The job's pointer leads to the checkpoint, durably, or couldn't be moved.
    Published {
        /// Which.
        checkpoint: CheckpointId,
        /// Why not.
        result: Result<(), String>,
    },
    /// The time that [`super::Coordinator::deadline`] named may have come.
    Tick,
}

/// A written checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// Where it lies.
    pub path: String,
    /// Bytes of all that it refers to.
    pub full_size: u64,
    /// Bytes that were written for it.
    pub new_size: u64,
}

/// A checkpoint that a restart may go back to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retained {
    /// Which.
    pub checkpoint: CheckpointId,
    /// Where it lies.
    pub path: String,
    /// A savepoint is the user's: it is never discarded.
    pub is_savepoint: bool,
}

/// What is to be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Action<A> {
    /// Sources emit the barrier.
    Trigger {
        /// Which.
        checkpoint: CheckpointId,
        /// When, in milliseconds since 1970.
        unix_millis: i64,
        /// What for.
        kind: Kind,
    },
    /// Tasks give up what they have of it.
    Abort {
        /// Which.
        checkpoint: CheckpointId,
        /// Why.
        reason: String,
    },
    /// Write its `_metadata`.
    Write {
        /// Which.
        checkpoint: CheckpointId,
        /// What for.
        kind: Kind,
        /// Every task's part.
        parts: BTreeMap<Task, A>,
    },
    /// Move the job's pointer to it, if it still belongs to this attempt.
    Publish {
        /// Which.
        checkpoint: CheckpointId,
        /// Where it lies.
        path: String,
    },
    /// Tell the tasks that it is complete: sinks commit.
    Notify {
        /// Which.
        checkpoint: CheckpointId,
    },
    /// A subsumed or void checkpoint's files may go.
    Discard {
        /// Which.
        checkpoint: CheckpointId,
        /// Where it lies; `None` if its `_metadata` was never written.
        path: Option<String>,
        /// Whether it ever completed. What is on its way may build on the files of one that did not.
        completed: bool,
    },
    /// A user's request has ended.
    Answer {
        /// What was asked.
        kind: Kind,
        /// Its place, or why there is none.
        result: Result<String, String>,
    },
    /// More checkpoints in a row have failed than are tolerated.
    FailJob {
        /// The last one's reason.
        reason: String,
    },
}
