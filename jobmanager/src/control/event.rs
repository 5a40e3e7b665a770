//! What reaches the core of the JobManager and what it wants done.

use std::sync::Arc;

use weir_api::id::{Attempt, ExecutionId, JobId, LeaderEpoch, TaskManagerId, VertexIndex};
use weir_proto::v1::{JobManagerMessage, ProcessMetrics, Split, SplitAssignment, SubtaskMetrics};

use super::job::record::{JobRecord, SinkCommit};
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
#[derive(Debug)]
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
        /// With [`TaskState::Finished`].
        committables: Vec<weir_proto::v1::Committable>,
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
    /// Make a job's results visible, then remove what earlier attempts left.
    Commit {
        /// Whose.
        job: JobId,
        /// Of which attempt.
        attempt: Attempt,
        /// What.
        sinks: Vec<SinkCommit>,
    },
    /// Remove what attempts up to this one left.
    Abort {
        /// Whose.
        job: JobId,
        /// The last of them.
        attempt: Attempt,
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
