//! Who is at the ends of a channel: partitions, gates, and where they live.

use std::fmt;

use arrow::datatypes::SchemaRef;
use weir_api::graph::Partitioning;
use weir_api::id::{Attempt, JobId, SubtaskIndex, VertexIndex};

/// One edge of one producing subtask.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PartitionId {
    /// The job.
    pub job: JobId,
    /// Its attempt.
    pub attempt: Attempt,
    /// Position of the edge in `JobGraph::edges`.
    pub edge: u32,
    /// The producing subtask.
    pub subtask: SubtaskIndex,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "edge {} of job {} from subtask {} (attempt {})",
            self.edge, self.job, self.subtask, self.attempt
        )
    }
}

/// One input of one consuming subtask.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct GateId {
    /// The job.
    pub job: JobId,
    /// Its attempt.
    pub attempt: Attempt,
    /// The consuming vertex.
    pub vertex: VertexIndex,
    /// Which of its inputs.
    pub input: u32,
    /// The consuming subtask.
    pub subtask: SubtaskIndex,
}

/// One channel: a subpartition at its producer, an input channel at its consumer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ChannelKey {
    /// The partition that feeds it.
    pub partition: PartitionId,
    /// The consuming subtask.
    pub consumer: SubtaskIndex,
}

impl fmt::Display for ChannelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to subtask {}", self.partition, self.consumer)
    }
}

/// Position of a channel among its gate's sources.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ChannelIndex(pub u32);

/// Where the producer of a channel runs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Location {
    /// In this process.
    Local,
    /// In the TaskManager with this data address (`host:port`).
    Remote(String),
}

/// What a result partition is made from.
#[derive(Clone, Debug)]
pub struct PartitionSpec {
    /// Which one.
    pub id: PartitionId,
    /// How rows find their subtask.
    pub partitioning: Partitioning,
    /// What its batches hold.
    pub schema: SchemaRef,
    /// The consuming subtasks that this one is connected to (`Partitioning::connects`), ascending.
    pub targets: Vec<SubtaskIndex>,
    /// How many subtasks the consuming vertex has.
    pub target_parallelism: u32,
    /// How many key groups the job has.
    pub max_parallelism: u32,
}

/// One producer that a gate reads from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Position of the edge in `JobGraph::edges`.
    pub edge: u32,
    /// The producing subtask.
    pub subtask: SubtaskIndex,
    /// Where it runs.
    pub location: Location,
    /// What it sends.
    pub schema: SchemaRef,
}

/// What an input gate is made from.
#[derive(Clone, Debug)]
pub struct GateSpec {
    /// Which one.
    pub id: GateId,
    /// Its channels; [`ChannelIndex`] is the position here.
    pub sources: Vec<Source>,
}
