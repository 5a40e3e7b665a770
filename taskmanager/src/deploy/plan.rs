//! What one TaskManager has to start for a deployment: a pure function of the message and of who is asked.
//!
//! Wanted: every subtask of the graph is planned by exactly one of the TaskManagers in the placement; a subtask's channels are
//! those that [`Partitioning::connects`] names, seen alike from both ends; splits go only to sources; what doesn't fit together
//! is refused before anything has started. Knows no sockets and no threads.
//!
//! [`Partitioning::connects`]: weir_api::graph::Partitioning::connects

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use weir_api::error::Code;
use weir_api::graph::{JobEdge, JobGraph};
use weir_api::id::{Attempt, ExecutionId, JobId, SlotIndex, SubtaskIndex, VertexIndex};
use weir_api::{Error, Result};
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::{DeployTasks, Restore, SlotPlacement, Split};

use crate::network::{GateId, GateSpec, Location, PartitionId, PartitionSpec, Source};

/// The most subtasks of one job that one TaskManager starts.
const MAX_SUBTASKS: usize = 20_000;
/// The most channels that lead from or to them.
const MAX_CHANNELS: usize = 2_000_000;

/// A job's attempt as one TaskManager runs it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) job: JobId,
    pub(crate) attempt: Attempt,
    pub(crate) graph: Arc<JobGraph>,
    /// Where the job's checkpoints go; empty: it takes none.
    pub(crate) checkpoint_location: String,
    /// What the tasks go on from.
    pub(crate) restore: Option<Restore>,
    /// Entry i runs subtask i of every vertex.
    placement: Vec<SlotPlacement>,
    /// Which of the TaskManagers in the placement this one is.
    own: String,
    /// What runs here, vertex by vertex.
    pub(crate) subtasks: Vec<Subtask>,
}

/// A subtask that runs here.
#[derive(Debug)]
pub(crate) struct Subtask {
    pub(crate) vertex: VertexIndex,
    pub(crate) index: SubtaskIndex,
    pub(crate) slot: SlotIndex,
    /// For the head, if it is a source.
    pub(crate) splits: Vec<Split>,
}

impl Plan {
    /// Plans a deployment for the TaskManager `own` with `slots` slots.
    pub(crate) fn new(
        job: JobId,
        attempt: Attempt,
        message: DeployTasks,
        own: &str,
        slots: u32,
    ) -> Result<Self> {
        let graph = message.graph.ok_or_else(|| malformed("a deployment without a job graph".to_owned()))?;
        let graph = JobGraph::try_from(graph)?;
        let placement = message.placement;
        if placement.len() < graph.required_slots() as usize {
            return Err(malformed(format!(
                "{} slots for a job that needs {}",
                placement.len(),
                graph.required_slots()
            )));
        }
        if let Some(place) =
            placement.iter().find(|place| place.task_manager_id == own && place.slot >= slots)
        {
            return Err(malformed(format!("slot {} of a TaskManager with {slots} slots", place.slot)));
        }
        let mut splits = assign(&graph, message.splits)?;
        let starts = starting(&message.vertices);
        if let Some(vertex) =
            message.vertices.iter().find(|vertex| **vertex as usize >= graph.vertices().len())
        {
            return Err(malformed(format!("vertex {vertex}, which the graph doesn't have")));
        }
        let mut subtasks = Vec::new();
        let mut channels = 0_usize;
        for (vertex, node) in graph.vertices().iter().enumerate().filter(|(vertex, _)| starts(*vertex)) {
            let own_slots = placement.iter().take(node.parallelism as usize).enumerate();
            for (index, place) in own_slots.filter(|(_, place)| place.task_manager_id == own) {
                subtasks.push(Subtask {
                    vertex: VertexIndex(vertex as u32),
                    index: SubtaskIndex(index as u32),
                    slot: SlotIndex(place.slot),
                    splits: splits.remove(&(vertex as u32, index as u32)).unwrap_or_default(),
                });
                channels += most_channels(&graph, vertex);
                if subtasks.len() > MAX_SUBTASKS || channels > MAX_CHANNELS {
                    return Err(malformed(format!(
                        "more than {MAX_SUBTASKS} subtasks or {MAX_CHANNELS} channels for one TaskManager"
                    )));
                }
            }
        }
        Ok(Self {
            job,
            attempt,
            graph: Arc::new(graph),
            checkpoint_location: message.checkpoint_location,
            restore: message.restore,
            placement,
            own: own.to_owned(),
            subtasks,
        })
    }

    /// The partitions of a subtask that runs here, one for each edge out of its vertex.
    pub(crate) fn partitions(&self, subtask: &Subtask) -> Result<Vec<PartitionSpec>> {
        let vertex = subtask.vertex.0 as usize;
        let outputs = self.graph.outputs(vertex);
        outputs.map(|(position, edge)| self.partition(position, edge, subtask.index)).collect()
    }

    fn partition(&self, position: usize, edge: &JobEdge, from: SubtaskIndex) -> Result<PartitionSpec> {
        let (sources, targets) = self.parallelisms(edge);
        Ok(PartitionSpec {
            id: self.partition_id(position, from),
            partitioning: edge.partitioning.clone(),
            schema: self.schema(edge)?,
            targets: (0..targets)
                .filter(|&to| edge.partitioning.connects(from.0, sources, to, targets))
                .map(SubtaskIndex)
                .collect(),
            target_parallelism: targets,
            max_parallelism: self.graph.max_parallelism(),
        })
    }

    /// The gates of a subtask that runs here, one for each input of its vertex's head; none for sources.
    pub(crate) fn gates(&self, subtask: &Subtask) -> Result<Vec<GateSpec>> {
        let vertex = subtask.vertex.0 as usize;
        let mut gates: BTreeMap<u32, GateSpec> = BTreeMap::new();
        for (position, edge) in self.graph.inputs(vertex) {
            let gate = gates.entry(edge.input).or_insert_with(|| GateSpec {
                id: GateId {
                    job: self.job,
                    attempt: self.attempt,
                    vertex: subtask.vertex,
                    input: edge.input,
                    subtask: subtask.index,
                },
                sources: Vec::new(),
            });
            let (sources, targets) = self.parallelisms(edge);
            let schema = self.schema(edge)?;
            for from in 0..sources {
                if edge.partitioning.connects(from, sources, subtask.index.0, targets) {
                    gate.sources.push(Source {
                        edge: position as u32,
                        subtask: SubtaskIndex(from),
                        location: self.location(from)?,
                        schema: Arc::clone(&schema),
                    });
                }
            }
        }
        Ok(gates.into_values().collect())
    }

    fn partition_id(&self, edge: usize, subtask: SubtaskIndex) -> PartitionId {
        PartitionId { job: self.job, attempt: self.attempt, edge: edge as u32, subtask }
    }

    fn location(&self, subtask: u32) -> Result<Location> {
        let place = self.placement.get(subtask as usize);
        let place = place.ok_or_else(|| Error::internal(format!("no slot for subtask {subtask}")))?;
        Ok(if place.task_manager_id == self.own {
            Location::Local
        } else {
            Location::Remote(place.data_address.clone())
        })
    }

    fn schema(&self, edge: &JobEdge) -> Result<SchemaRef> {
        self.graph.edge_schema(edge).ok_or_else(|| {
            Error::internal(format!("an edge out of vertex {}, which emits nothing for it", edge.source))
        })
    }

    fn parallelisms(&self, edge: &JobEdge) -> (u32, u32) {
        let parallelism =
            |vertex: usize| self.graph.vertices().get(vertex).map_or(0, |node| node.parallelism);
        (parallelism(edge.source), parallelism(edge.target))
    }
}

/// The subtasks that a deployment means for the TaskManager `own`, as far as that can be told without checking anything else:
/// whom it fails if it doesn't make sense. At least one, so that somebody is told.
pub(crate) fn meant_for(job: JobId, attempt: Attempt, message: &DeployTasks, own: &str) -> Vec<ExecutionId> {
    let vertices = message.graph.as_ref().map_or(&[][..], |graph| &graph.vertices);
    let is_own = |(_, place): &(usize, &SlotPlacement)| place.task_manager_id == own;
    let id = |vertex: usize, index: usize| ExecutionId {
        job,
        attempt,
        vertex: VertexIndex(vertex as u32),
        subtask: SubtaskIndex(index as u32),
    };
    let starts = starting(&message.vertices);
    let meant: Vec<_> = vertices
        .iter()
        .enumerate()
        .filter(|(vertex, _)| starts(*vertex))
        .flat_map(|(vertex, node)| {
            let places = message.placement.iter().take(node.parallelism as usize).enumerate().filter(is_own);
            places.map(move |(index, _)| id(vertex, index))
        })
        .take(MAX_SUBTASKS)
        .collect();
    if meant.is_empty() { vec![id(0, 0)] } else { meant }
}

/// Which vertices a deployment starts; without names: all.
fn starting(vertices: &[u32]) -> impl Fn(usize) -> bool {
    move |vertex| vertices.is_empty() || vertices.contains(&(vertex as u32))
}

/// The splits by vertex and subtask.
fn assign(
    graph: &JobGraph,
    assignments: Vec<weir_proto::v1::SplitAssignment>,
) -> Result<HashMap<(u32, u32), Vec<Split>>> {
    let mut splits: HashMap<(u32, u32), Vec<Split>> = HashMap::new();
    for assignment in assignments {
        let (vertex, subtask) = (assignment.vertex, assignment.subtask);
        let node = graph.vertices().get(vertex as usize).filter(|node| subtask < node.parallelism);
        let head = node.and_then(|node| node.chain.first()).and_then(|head| head.spec.kind.as_ref());
        if !matches!(head, Some(Kind::Source(_))) {
            return Err(malformed(format!(
                "splits for subtask {subtask} of vertex {vertex}, which isn't a source's"
            )));
        }
        splits.entry((vertex, subtask)).or_default().extend(assignment.splits);
    }
    Ok(splits)
}

/// An upper limit of the channels of one subtask.
fn most_channels(graph: &JobGraph, vertex: usize) -> usize {
    let parallelism =
        |vertex: usize| graph.vertices().get(vertex).map_or(0, |node| node.parallelism as usize);
    graph.inputs(vertex).map(|(_, edge)| parallelism(edge.source)).sum::<usize>()
        + graph.outputs(vertex).map(|(_, edge)| parallelism(edge.target)).sum::<usize>()
}

fn malformed(what: String) -> Error {
    Error::new(Code::MalformedMessage, format!("the deployment holds {what}"))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
