//! What reaches the core of the JobManager and what it wants done.

use std::sync::Arc;

use weir_api::id::{Attempt, CheckpointId, ExecutionId, JobId, LeaderEpoch, TaskManagerId, VertexIndex};
use weir_proto::v1::{JobManagerMessage, ProcessMetrics, Split, SplitAssignment, SubtaskMetrics};

use super::checkpoint::Written;
use super::checkpoint::part::Part;
use super::job::checkpoints::SnapshotWrite;
use super::job::record::{JobRecord, SinkCommit};
use super::job::recovery::{Discard, Recovered, Recovery};
use super::job::{Failure, Version};
use super::task::TaskState;

/// One connection of a TaskManager; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub u64);

/// What a TaskManager says of itself when it registers.
#[derive(Clone, Debug)]
pub struct ManagerInfo {
    /// Its id.
    pub id: TaskManagerId,
    /// host:port of its data plane.
    pub data_address: String,
    /// host:port of its `/metrics`; empty: not served.
    pub metrics_address: String,
    /// How many slots it has.
    pub slots: u32,
    /// Its version.
    pub version: String,
    /// Its host's name.
    pub host: String,
    /// Cores of its host.
    pub cpu_cores: u32,
    /// Memory of its host.
    pub physical_memory_bytes: u64,
    /// Its pool for data in flight.
    pub network_memory_bytes: u64,
}

/// What a registered TaskManager says.
#[derive(Clone, Debug)]
pub enum Said {
    /// It lives.
    Heartbeat,
    /// A task has entered a state.
    Task {
        /// Which task.
        task: ExecutionId,
        /// Which state.
        state: TaskState,
        /// With [`TaskState::Failed`].
        failure: Option<weir_proto::v1::Failure>,
        /// With [`TaskState::Finished`]: what it leaves to every later checkpoint.
        part: Option<Arc<Part>>,
    },
    /// A task has taken its part of a checkpoint.
    Acknowledged {
        /// Which task.
        task: ExecutionId,
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// What it took.
        part: Box<Part>,
    },
    /// A task couldn't take its part of a checkpoint.
    Declined {
        /// Which task.
        task: ExecutionId,
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Why.
        reason: String,
    },
    /// Counters.
    Metrics {
        /// Of tasks.
        tasks: Vec<(ExecutionId, SubtaskMetrics)>,
        /// Of the process.
        process: Option<ProcessMetrics>,
    },
}

/// What reaches the core.
#[derive(Debug)]
pub enum Event {
    /// A TaskManager wants to join. `epoch`: the leader it last knew, 0 if none.
    Register {
        /// Its connection.
        session: SessionId,
        /// The leader epoch it last knew; 0: none.
        epoch: LeaderEpoch,
        /// Who it is.
        info: ManagerInfo,
    },
    /// A TaskManager has said something.
    Said {
        /// Its connection.
        session: SessionId,
        /// The leader epoch it says it under.
        epoch: LeaderEpoch,
        /// What.
        said: Said,
    },
    /// A connection has ended.
    SessionEnded {
        /// Which.
        session: SessionId,
        /// Why.
        reason: String,
    },
    /// A job was submitted and recorded.
    Submitted {
        /// Its record.
        record: JobRecord,
        /// The record's version.
        version: Version,
    },
    /// Answers [`Action::Persist`].
    Persisted {
        /// Whose record.
        job: JobId,
        /// Its new version.
        result: Result<Version, Failure>,
    },
    /// Answers [`Action::Commit`].
    Committed {
        /// Whose results.
        job: JobId,
        /// Of which attempt.
        attempt: Attempt,
        /// Of which checkpoint; `None`: the job's last.
        checkpoint: Option<CheckpointId>,
        /// Whether they are visible.
        result: Result<(), Failure>,
    },
    /// Answers [`Action::Abort`], however it went.
    Aborted {
        /// Whose leftovers.
        job: JobId,
        /// Of attempts up to this.
        attempt: Attempt,
    },
    /// Answers [`Action::Recover`].
    Recovered {
        /// Whose.
        job: JobId,
        /// The attempt that begins.
        attempt: Attempt,
        /// What it goes on from, committed.
        result: Result<Recovered, Failure>,
    },
    /// Answers [`Action::WriteSnapshot`].
    SnapshotWritten {
        /// Whose.
        job: JobId,
        /// Which.
        checkpoint: CheckpointId,
        /// Where it is and its size, or why it isn't.
        result: Result<Written, Failure>,
    },
    /// Answers [`Action::Discover`].
    Discovered {
        /// Whose source.
        job: JobId,
        /// The source's vertex.
        vertex: VertexIndex,
        /// The splits that have come.
        result: Result<Vec<Split>, Failure>,
    },
    /// Time has passed.
    Tick,
}

/// What the core wants done.
#[derive(Debug)]
pub enum Action {
    /// Send to a TaskManager.
    Send(SessionId, Box<JobManagerMessage>),
    /// Tell a TaskManager why, and end its connection.
    Close(SessionId, String),
    /// Write a job's record in place of the version it has.
    Persist {
        /// What to write.
        record: Box<JobRecord>,
        /// The version it replaces.
        expected: Version,
    },
    /// Forget an ended job.
    Delete(JobId, Version),
    /// Make output visible. At the job's end no writer of it can be at work any more, and what earlier attempts left is removed.
    /// Answered by [`Event::Committed`].
    Commit {
        /// Whose.
        job: JobId,
        /// Of which attempt.
        attempt: Attempt,
        /// Of a checkpoint, while the job runs: what sinks commit in their tasks is left to them. `None`: all, at the job's end.
        checkpoint: Option<CheckpointId>,
        /// What, at least.
        sinks: Vec<SinkCommit>,
    },
    /// The job ends without having finished: make visible what its last checkpoint holds, so that no earlier writer can commit any
    /// more, then remove what attempts left. Answered by [`Event::Aborted`].
    Abort {
        /// Whose.
        job: JobId,
        /// The last of them.
        attempt: Attempt,
        /// Its checkpoints.
        recovery: Box<Recovery>,
    },
    /// Find out what an attempt goes on from; make visible what that holds, so that no earlier writer can commit any more; remove
    /// what earlier attempts left besides. Answered by [`Event::Recovered`].
    Recover {
        /// Whose.
        job: JobId,
        /// The attempt that begins.
        attempt: Attempt,
        /// The job's checkpoints.
        recovery: Box<Recovery>,
    },
    /// Write a snapshot's `_metadata`, once, last. Answered by [`Event::SnapshotWritten`].
    WriteSnapshot {
        /// Whose.
        job: JobId,
        /// Under which leader.
        epoch: LeaderEpoch,
        /// What.
        write: Box<SnapshotWrite>,
    },
    /// Delete snapshots that are over, with the files that no other one of the job reaches. Not answered.
    Discard {
        /// Whose.
        job: JobId,
        /// The oldest and the newest attempt that tasks run under.
        attempts: (Attempt, Attempt),
        /// Which.
        discard: Discard,
    },
    /// Ask a source for the splits that have come since these were found; answered by [`Event::Discovered`].
    Discover {
        /// Whose source.
        job: JobId,
        /// The source's vertex.
        vertex: VertexIndex,
        /// The splits of all sources of the job so far.
        known: Arc<Vec<SplitAssignment>>,
    },
    /// Another JobManager leads: stop.
    StepDown(String),
}
