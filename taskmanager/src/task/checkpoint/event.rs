//! What a task's checkpoints are told, and what they ask for.

use weir_api::element::Barrier;
use weir_api::id::CheckpointId;
use weir_api::state::Scope;

/// A source emits a barrier, and others learn where the files of a savepoint go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trigger {
    /// What the source emits.
    pub barrier: Barrier,
    /// The savepoint's folder; of no meaning for a checkpoint.
    pub location: String,
}

/// What the JobManager says to all tasks of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// See [`Event::Triggered`].
    Trigger(Trigger),
    /// See [`Event::Completed`].
    Complete(CheckpointId),
    /// See [`Event::Aborted`].
    Abort(CheckpointId),
}

impl<C, A> From<Notice> for Event<C, A> {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::Trigger(trigger) => Self::Triggered(trigger),
            Notice::Complete(checkpoint) => Self::Completed(checkpoint),
            Notice::Abort(checkpoint) => Self::Aborted(checkpoint),
        }
    }
}

/// What the task is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<C, A> {
    /// The state is being restored from layers that are this task's own: changes may follow them. Comes before
    /// [`Event::Restored`].
    Adopted,
    /// The state is restored.
    Restored,
    /// By the JobManager.
    Triggered(Trigger),
    /// A source is between two events that belong apart: a barrier may come now.
    Ready,
    /// The barrier has come on all inputs, or they have ended.
    Aligned(Barrier),
    /// A barrier has come out at the tail. If it was [`Action::Snapshot`]'s, a sink has prepared.
    Passed {
        /// Which.
        checkpoint: CheckpointId,
        /// By a sink only.
        prepared: Option<C>,
    },
    /// The files of a snapshot are durable, or can't be.
    Uploaded {
        /// Which.
        checkpoint: CheckpointId,
        /// The task's part of it, or the reason.
        result: Result<A, String>,
    },
    /// The files of a snapshot aren't durable, and what was frozen for it will be in those of the next one. Comes before
    /// [`Event::Uploaded`].
    Kept(CheckpointId),
    /// By the JobManager: the checkpoint is durable, and the job's pointer leads to it.
    Completed(CheckpointId),
    /// The sink's output up to this checkpoint need not be committed again.
    Committed(CheckpointId),
    /// By the JobManager: the checkpoint is given up.
    Aborted(CheckpointId),
    /// A snapshot can't be taken: alignment took too long.
    Declined {
        /// Which.
        checkpoint: CheckpointId,
        /// Why.
        reason: String,
    },
    /// The end of input is out. A sink has prepared for [`Machine::last_checkpoint`].
    Ended {
        /// By a sink only.
        prepared: Option<C>,
    },
}

/// What the task does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action<C, A> {
    /// Take input from now on.
    Start,
    /// A source: let event time run to its end.
    EndTime,
    /// Let the barrier in; operators freeze as it passes, a sink prepares when it arrives.
    Snapshot {
        /// What goes on.
        barrier: Barrier,
        /// Which rows are frozen.
        scope: Scope,
    },
    /// Let the barrier in; nobody freezes.
    Pass(Barrier),
    /// Make durable what was frozen; tell by [`Event::Uploaded`].
    Upload {
        /// Which.
        checkpoint: CheckpointId,
        /// Which rows were frozen.
        scope: Scope,
        /// A savepoint's folder: everything goes there. `None`: where the job's checkpoints lie.
        savepoint: Option<String>,
        /// All that the sink prepared and that isn't known to be committed, the oldest first.
        prepared: Vec<(CheckpointId, C)>,
    },
    /// Drop what was frozen, stop its upload.
    Cancel(CheckpointId),
    /// Channels that wait for the barrier go on, and it is not waited for any more.
    Release(CheckpointId),
    /// Tell the JobManager.
    Acknowledge {
        /// Which.
        checkpoint: CheckpointId,
        /// The task's part.
        part: A,
    },
    /// Tell the JobManager.
    Decline {
        /// Which.
        checkpoint: CheckpointId,
        /// Why.
        reason: String,
    },
    /// A source's reader is told, a sink's writer commits.
    Complete(CheckpointId),
    /// Report the task as finished.
    Finish {
        /// All that the sink prepared and that isn't known to be committed, the oldest first.
        prepared: Vec<(CheckpointId, C)>,
    },
}
