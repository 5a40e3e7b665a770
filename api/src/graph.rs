//! The job graph: vertices that are chains of operators, edges with a partitioning.
//!
//! Invariant: a [`JobGraph`] is valid (see [`JobGraph::new`]); what comes from the wire passes through the same checks. It
//! knows operators as specs only: `weir-operators` and `weir-connectors` give them meaning.

mod key_group;
mod layout;
mod wire;

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use weir_proto::v1::OperatorSpec;

pub use key_group::{KeyGroupRange, subtask_of_key_group};
pub use layout::{
    PANE_COLUMN, PANE_START_COLUMN, ROWS_COLUMN, aggregate_result_type, is_never_null, multiset_of,
    partial_columns, window_aggregate_layout,
};

use crate::error::{Code, Error, Result};
use crate::id::{OperatorUid, VertexId};
use crate::side_output;

/// The number of key groups unless `pipeline.max-parallelism` says otherwise.
pub const DEFAULT_MAX_PARALLELISM: u32 = 128;
/// The largest allowed `pipeline.max-parallelism`.
pub const LARGEST_MAX_PARALLELISM: u32 = 32_768;
/// The most vertices, edges and chained operators that a job may have.
const MAX_PARTS: usize = 10_000;

/// One operator of a chain.
#[derive(Clone, Debug)]
pub struct OperatorNode {
    /// Identity across plannings.
    pub uid: OperatorUid,
    /// What users see.
    pub name: String,
    /// What it does.
    pub spec: OperatorSpec,
    /// What it emits; `None` for sinks.
    pub output_schema: Option<SchemaRef>,
}

/// A chain of operators that run in one task, as `parallelism` subtasks.
#[derive(Clone, Debug)]
pub struct JobVertex {
    /// Derived from the head's uid.
    pub id: VertexId,
    /// What users see: the chain's names joined with ` -> `.
    pub name: String,
    /// How many subtasks.
    pub parallelism: u32,
    /// Head first, never empty. Only the head may be a source, only the last a sink.
    pub chain: Vec<OperatorNode>,
}

impl JobVertex {
    /// A vertex named and identified by its chain, which must not be empty.
    pub fn new(chain: Vec<OperatorNode>, parallelism: u32) -> Result<Self> {
        let head = chain.first().ok_or_else(|| Error::internal("a job vertex without operators"))?;
        let id = VertexId::from_uid(&head.uid);
        let name = chain.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(" -> ");
        Ok(Self { id, name, parallelism, chain })
    }

    /// What the chain emits; `None` if it ends in a sink.
    #[must_use]
    pub fn output_schema(&self) -> Option<&SchemaRef> {
        self.chain.last().and_then(|node| node.output_schema.as_ref())
    }
}

/// How the rows of an edge find their subtask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Partitioning {
    /// Subtask i to subtask i; both vertices have the same parallelism.
    Forward,
    /// By the key group of these columns (positions in the source's output schema; never empty).
    Hash(Vec<usize>),
    /// Batches in turn to every subtask.
    Rebalance,
    /// Batches in turn to a local share of the subtasks.
    Rescale,
    /// Every batch to every subtask.
    Broadcast,
}

impl Partitioning {
    /// Flink's `ship_strategy` word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Forward => "FORWARD",
            Self::Hash(_) => "HASH",
            Self::Rebalance => "REBALANCE",
            Self::Rescale => "RESCALE",
            Self::Broadcast => "BROADCAST",
        }
    }

    /// Whether a channel leads from subtask `from` of `sources` to subtask `to` of `targets`. One function for both ends.
    #[must_use]
    pub const fn connects(&self, from: u32, sources: u32, to: u32, targets: u32) -> bool {
        match self {
            Self::Forward => from == to,
            Self::Hash(_) | Self::Rebalance | Self::Broadcast => true,
            Self::Rescale => {
                if sources >= targets {
                    from as u64 * targets as u64 / sources as u64 == to as u64
                } else {
                    to as u64 * sources as u64 / targets as u64 == from as u64
                }
            }
        }
    }
}

/// An edge between two vertices.
#[derive(Clone, Debug)]
pub struct JobEdge {
    /// Position of the producing vertex.
    pub source: usize,
    /// Position of the consuming vertex.
    pub target: usize,
    /// Which input of the target's head.
    pub input: u32,
    /// How rows find their subtask.
    pub partitioning: Partitioning,
    /// `None`: what the chain emits. Else the operator of the source's chain whose side output the edge carries. Events travel
    /// on every edge.
    pub side_output: Option<OperatorUid>,
}

/// A job as it is scheduled.
#[derive(Clone, Debug)]
pub struct JobGraph {
    name: String,
    max_parallelism: u32,
    vertices: Vec<JobVertex>,
    edges: Vec<JobEdge>,
    config: BTreeMap<String, String>,
}

impl JobGraph {
    /// Checks and keeps: vertices in topological order (every edge leads from an earlier to a later one), parallelisms within
    /// `1..=max_parallelism`, forward edges between equal parallelisms, hash columns that exist, unique uids, sources without
    /// inputs, everything else with one, sinks without outputs.
    pub fn new(
        name: impl Into<String>,
        max_parallelism: u32,
        vertices: Vec<JobVertex>,
        edges: Vec<JobEdge>,
        config: BTreeMap<String, String>,
    ) -> Result<Self> {
        let graph = Self { name: name.into(), max_parallelism, vertices, edges, config };
        graph.check().map_err(|what| {
            Error::new(Code::MalformedMessage, format!("job graph '{}' is not valid: {what}", graph.name))
        })?;
        Ok(graph)
    }

    /// The job's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many key groups the job has, for its whole life.
    #[must_use]
    pub const fn max_parallelism(&self) -> u32 {
        self.max_parallelism
    }

    /// All vertices, in topological order.
    #[must_use]
    pub fn vertices(&self) -> &[JobVertex] {
        &self.vertices
    }

    /// All edges.
    #[must_use]
    pub fn edges(&self) -> &[JobEdge] {
        &self.edges
    }

    /// The job's configuration, under Flink's keys.
    #[must_use]
    pub const fn config(&self) -> &BTreeMap<String, String> {
        &self.config
    }

    /// The edges into a vertex, with their positions.
    pub fn inputs(&self, vertex: usize) -> impl Iterator<Item = (usize, &JobEdge)> {
        self.edges.iter().enumerate().filter(move |(_, edge)| edge.target == vertex)
    }

    /// The edges out of a vertex, with their positions.
    pub fn outputs(&self, vertex: usize) -> impl Iterator<Item = (usize, &JobEdge)> {
        self.edges.iter().enumerate().filter(move |(_, edge)| edge.source == vertex)
    }

    /// What an edge carries; `None` for an edge that isn't valid.
    #[must_use]
    pub fn edge_schema(&self, edge: &JobEdge) -> Option<SchemaRef> {
        let source = self.vertices.get(edge.source)?;
        match &edge.side_output {
            None => source.output_schema().cloned(),
            Some(uid) => {
                let node = source.chain.iter().find(|node| node.uid == *uid)?;
                side_output::schema(node.spec.kind.as_ref()?)
            }
        }
    }

    /// How many slots the job needs: the largest parallelism, as subtask i of every vertex shares slot i.
    #[must_use]
    pub fn required_slots(&self) -> u32 {
        self.vertices.iter().map(|vertex| vertex.parallelism).max().unwrap_or(0)
    }

    /// The key groups that subtask `subtask` of a vertex owns.
    #[must_use]
    pub fn key_groups(&self, vertex: usize, subtask: u32) -> KeyGroupRange {
        KeyGroupRange::of_subtask(subtask, self.vertices[vertex].parallelism, self.max_parallelism)
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.max_parallelism == 0 || self.max_parallelism > LARGEST_MAX_PARALLELISM {
            return Err(format!(
                "max parallelism {} is not in 1..={LARGEST_MAX_PARALLELISM}",
                self.max_parallelism
            ));
        }
        let operators: usize = self.vertices.iter().map(|vertex| vertex.chain.len()).sum();
        if self.vertices.is_empty() || operators > MAX_PARTS || self.edges.len() > MAX_PARTS {
            return Err(format!("{operators} operators and {} edges", self.edges.len()));
        }
        let mut uids = std::collections::HashSet::new();
        for (index, vertex) in self.vertices.iter().enumerate() {
            self.check_vertex(index, vertex)?;
            for node in &vertex.chain {
                if !uids.insert(&node.uid) {
                    return Err(format!("the operator uid {} occurs twice", node.uid));
                }
            }
        }
        self.edges.iter().try_for_each(|edge| self.check_edge(edge))
    }

    fn check_vertex(&self, index: usize, vertex: &JobVertex) -> std::result::Result<(), String> {
        use weir_proto::v1::operator_spec::Kind;
        let name = &vertex.name;
        if vertex.parallelism == 0 || vertex.parallelism > self.max_parallelism {
            return Err(format!(
                "the parallelism {} of '{name}' is not in 1..={}",
                vertex.parallelism, self.max_parallelism
            ));
        }
        if vertex.chain.is_empty() {
            return Err(format!("vertex {index} has no operators"));
        }
        let last = vertex.chain.len() - 1;
        for (position, node) in vertex.chain.iter().enumerate() {
            let kind = node.spec.kind.as_ref().ok_or_else(|| format!("operator {} has no spec", node.uid))?;
            if matches!(kind, Kind::Source(_)) != (position == 0 && self.inputs(index).next().is_none()) {
                return Err(format!("'{name}': a chain has a source as its head, and only there, or inputs"));
            }
            let is_sink = matches!(kind, Kind::Sink(_));
            if (is_sink && position != last) || is_sink != node.output_schema.is_none() {
                return Err(format!(
                    "'{name}': a sink ends a chain and emits nothing, everything else has a schema"
                ));
            }
        }
        let ends_in_sink = vertex.chain[last].output_schema.is_none();
        if ends_in_sink == self.outputs(index).any(|(_, edge)| edge.side_output.is_none()) {
            return Err(format!(
                "'{name}': a chain either ends in a sink or has outputs beside side outputs"
            ));
        }
        Ok(())
    }

    fn check_edge(&self, edge: &JobEdge) -> std::result::Result<(), String> {
        if edge.source >= edge.target || edge.target >= self.vertices.len() {
            return Err(format!(
                "the edge {} -> {} doesn't lead to a later vertex",
                edge.source, edge.target
            ));
        }
        let (source, target) = (&self.vertices[edge.source], &self.vertices[edge.target]);
        let Some(schema) = self.edge_schema(edge) else {
            return Err(match &edge.side_output {
                Some(uid) => format!("'{}' has no operator {uid} with a side output", source.name),
                None => format!("'{}' emits nothing for the edge to '{}'", source.name, target.name),
            });
        };
        match &edge.partitioning {
            Partitioning::Forward if source.parallelism != target.parallelism => Err(format!(
                "the forward edge from '{}' to '{}' joins parallelisms {} and {}",
                source.name, target.name, source.parallelism, target.parallelism
            )),
            Partitioning::Hash(columns) => {
                let width = schema.fields().len();
                if columns.is_empty() || columns.iter().any(|&column| column >= width) {
                    return Err(format!("the hash columns {columns:?} of '{}' don't exist", source.name));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
