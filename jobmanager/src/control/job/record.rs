//! What outlives the JobManager of a job: the part that never changes and the part that does.
//!
//! Invariant: a record is enough to go on with the job after a crash at any moment. So an attempt is recorded before anything of
//! it is deployed, splits that were found before anybody reads them, the pointer to a checkpoint and the decision to commit before
//! anything is committed, and checkpoint ids before they are used. How it is written down is `metadata`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use weir_api::graph::JobGraph;
use weir_api::id::{Attempt, CheckpointId, JobId, OperatorUid, SubtaskIndex, VertexIndex};
use weir_api::sink::Prepared;
use weir_proto::v1::SplitAssignment;

use super::exceptions::Exception;
use super::status::JobStatus;
use crate::control::checkpoint::Retained;

/// What never changes of a job.
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// Its id.
    pub id: JobId,
    /// What users see.
    pub name: String,
    /// The SQL it was planned from.
    pub sql: String,
    /// The plan.
    pub graph: Arc<JobGraph>,
    /// How often the sources of these vertices look for further splits; those of others never do.
    pub discovery: BTreeMap<u32, Duration>,
    /// The configuration it was submitted with.
    pub config: BTreeMap<String, String>,
    /// Whether every source ends by itself.
    pub bounded: bool,
    /// When it was submitted.
    pub submitted_unix_millis: i64,
}

/// What one sink operator has to commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SinkCommit {
    /// The sink's vertex.
    pub vertex: VertexIndex,
    /// Its position in the chain.
    pub operator: u32,
    /// What its writers prepared, each subtask's oldest first.
    pub prepared: Vec<Prepared>,
    /// Whose writers have finished: what these left nobody else commits.
    pub ended: BTreeSet<SubtaskIndex>,
}

/// What a job's checkpoints leave for a successor.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshots {
    /// What a restart may go back to, oldest first. The last one is the job's pointer: its output may be visible already, so a
    /// restart goes back to no other unless nothing can have been committed.
    pub retained: Vec<Retained>,
    /// Checkpoint ids up to this one may have been used.
    pub reserved: CheckpointId,
    /// The most writers that a sink has ever had, where those were more than it has now.
    pub writers: BTreeMap<OperatorUid, u32>,
}

/// How far the job is, as far as a successor must know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stage {
    /// To be run.
    Active,
    /// Every task has finished, or the savepoint that the job stops behind is complete; this must be committed, and nothing else
    /// may ever be.
    Committing(Vec<SinkCommit>),
    /// Nothing is left to do.
    Ended {
        /// FINISHED, FAILED or CANCELED.
        status: JobStatus,
        /// When.
        unix_millis: i64,
    },
}

/// A job as the metadata holds it.
#[derive(Clone, Debug)]
pub struct JobRecord {
    /// What never changes.
    pub spec: Arc<JobSpec>,
    /// What each source subtask reads: found at submission and since. They only grow, and a split stays with its subtask, so a
    /// restart reads the same. Several entries for one subtask follow each other.
    pub splits: Arc<Vec<SplitAssignment>>,
    /// The last attempt that may have been deployed; 0: none.
    pub attempt: Attempt,
    /// How far it is.
    pub stage: Stage,
    /// What it goes on from.
    pub snapshots: Snapshots,
    /// Its failures, newest first.
    pub exceptions: Vec<Exception>,
}
