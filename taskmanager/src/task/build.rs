//! Makes a task from its part of the job graph, on its slot's thread.
//!
//! Everything that can travel between threads, partitions and gates above all, is in the [`Blueprint`]; readers, operators and
//! writers, which can't, are made here.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use weir_api::clock::Clock;
use weir_api::config::{Configuration, options};
use weir_api::connector::ConnectorRegistry;
use weir_api::error::Code;
use weir_api::graph::{JobGraph, JobVertex, KeyGroupRange, OperatorNode};
use weir_api::id::{CheckpointId, ExecutionId};
use weir_api::operator::{Operator, OperatorContext};
use weir_api::sink::{Blobs, SinkWriter, WriterContext};
use weir_api::source::ReaderContext;
use weir_api::watermark::Watermark;
use weir_api::{Error, Result, schema};
use weir_operators::WatermarkGenerator;
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::{SinkSpec, SourceSpec, Split, TableSpec};
use weir_snapshots::layout::JobFolder;
use weir_state::hashmap::HashMapBackends;

use super::chain::{Chain, OUTPUT_LIMIT};
use super::checkpoint::Machine;
use super::control::{self, Control};
use super::driver::{self, Driver};
use super::head::Head;
use super::inlet::Inlet;
use super::mailbox::Mailbox;
use super::metrics::TaskMetrics;
use super::reader::Reader;
use super::restore::Restorer;
use super::tail::{Exit, SideEdge, Tail};
use crate::deploy::Reports;
use crate::network::{InputGate, ResultPartition};
use crate::slot::Turn;
use crate::snapshot::{Owner, Restoration, Stores, TaskBlobs};

/// Longer timeouts are as good as none.
const LONGEST_BUFFER_TIMEOUT: Duration = Duration::from_secs(3600);

/// What the tasks of a process have in common.
pub(crate) struct Environment {
    pub(crate) registry: ConnectorRegistry,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where sources and sinks do their I/O.
    pub(crate) io: tokio::runtime::Handle,
    /// What one source may read ahead.
    pub(crate) read_ahead_bytes: usize,
    /// Where snapshots go.
    pub(crate) stores: Arc<Stores>,
}

/// A task as it travels to its slot.
pub(crate) struct Blueprint {
    pub(crate) id: ExecutionId,
    pub(crate) graph: Arc<JobGraph>,
    /// Where the job's checkpoints go; empty: it takes none.
    pub(crate) checkpoint_location: String,
    /// What the task goes on from.
    pub(crate) restore: Option<Arc<Restoration>>,
    pub(crate) splits: Vec<Split>,
    /// Where splits come that are found later.
    pub(crate) mailbox: Mailbox,
    /// One for each edge out of the vertex.
    pub(crate) partitions: Vec<ResultPartition>,
    /// One for each input of the vertex.
    pub(crate) gates: Vec<InputGate>,
    pub(crate) metrics: Arc<TaskMetrics>,
}

/// A blueprint that is being built.
struct Site<'a> {
    id: ExecutionId,
    vertex: &'a JobVertex,
    graph: &'a JobGraph,
    metrics: &'a Arc<TaskMetrics>,
    environment: &'a Environment,
    checkpoint_location: &'a str,
    state_limit_bytes: u64,
    /// The session's, in which expressions tell the hour of a moment.
    time_zone: &'a str,
}

impl Blueprint {
    /// Makes and opens reader, operators and writer.
    pub(crate) fn build(self, turn: Turn, environment: &Environment, reports: &Reports) -> Result<Driver> {
        let Self { id, graph, checkpoint_location, restore, splits, mailbox, partitions, gates, metrics } =
            self;
        let missing = || Error::internal(format!("{id}: a job graph of {} vertices", graph.vertices().len()));
        let vertex = graph.vertices().get(id.vertex.0 as usize).ok_or_else(missing)?;
        let pairs = graph.config().iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let (config, _) = Configuration::from_pairs(pairs)?;
        let state_limit_bytes = config.get(&options::STATE_LIMIT).0;
        let time_zone = config.get(&options::LOCAL_TIME_ZONE);
        let site = Site {
            id,
            vertex,
            graph: &graph,
            metrics: &metrics,
            environment,
            checkpoint_location: &checkpoint_location,
            state_limit_bytes,
            time_zone: &time_zone,
        };
        let (head, exit, operators) = site.split_chain()?;
        let (is_source, restored) =
            (head.is_some(), restore.as_ref().map(|from| CheckpointId(from.checkpoint_id())));
        let owner = Owner {
            task: id,
            operators: vertex.chain.len(),
            key_groups: graph.key_groups(id.vertex.0 as usize, id.subtask.0),
            location: checkpoint_location.clone(),
            sink: exit.as_ref().map(|(position, ..)| *position),
        };
        let (partitions, sides) = site.split_edges(partitions)?;
        let mut input = site.input_schema();
        let head = match head {
            Some((node, spec)) => {
                input.clone_from(&node.output_schema);
                let dead_letters = sides.iter().any(|edge| edge.operator == 0);
                let reader = site.reader(node, spec, splits)?.with_mailbox(mailbox.clone());
                Head::Reader(Box::new(reader.with_dead_letter_edge(dead_letters)))
            }
            None => Head::Inlet(Box::new(Inlet::new(gates))),
        };
        let chain = site.chain(operators, input)?;
        let exit = match exit {
            Some((position, node, spec)) => Exit::Sink(site.writer(position, node, spec)?),
            None => Exit::Partitions(partitions),
        };
        let tail = Tail::new(exit, sides, Arc::clone(&metrics));
        let incremental = config.get(&options::CHECKPOINT_INCREMENTAL);
        let restorer = restore.map(|restoration| site.restorer(restoration, owner.key_groups));
        let control = Control::new(control::Parts {
            owner,
            machine: Machine::new(is_source, restored, incremental),
            mailbox,
            stores: Arc::clone(&environment.stores),
            io: environment.io.clone(),
            clock: Arc::clone(&environment.clock),
            metrics: Arc::clone(&metrics),
            reports: reports.sender(),
        });
        Ok(Driver::new(driver::Parts {
            head,
            chain,
            tail,
            control,
            restorer,
            turn,
            metrics,
            clock: Arc::clone(&environment.clock),
            buffer_timeout: config.get(&options::BUFFER_TIMEOUT).min(LONGEST_BUFFER_TIMEOUT),
        }))
    }
}

/// The source at the head, if there is one; the sink at the end, if there is one; the operators between them.
type Parts<'a> = (
    Option<(&'a OperatorNode, &'a SourceSpec)>,
    Option<(usize, &'a OperatorNode, &'a SinkSpec)>,
    Vec<(usize, &'a OperatorNode)>,
);

impl<'a> Site<'a> {
    fn split_chain(&self) -> Result<Parts<'a>> {
        let (mut head, mut exit, mut operators) = (None, None, Vec::new());
        for (position, node) in self.vertex.chain.iter().enumerate() {
            match node.spec.kind.as_ref() {
                Some(Kind::Source(spec)) => head = Some((node, spec)),
                Some(Kind::Sink(spec)) => exit = Some((position, node, spec)),
                _ => operators.push((position, node)),
            }
        }
        Ok((head, exit, operators))
    }

    /// The partitions of the main edges, and those of side outputs with the positions of their operators.
    fn split_edges(&self, partitions: Vec<ResultPartition>) -> Result<(Vec<ResultPartition>, Vec<SideEdge>)> {
        let (mut main, mut sides) = (Vec::new(), Vec::new());
        for partition in partitions {
            let edge = self.graph.edges().get(partition.id().edge as usize);
            match edge.and_then(|edge| edge.side_output.as_ref()) {
                None => main.push(partition),
                Some(uid) => {
                    let operator = self.vertex.chain.iter().position(|node| node.uid == *uid);
                    let operator = operator.ok_or_else(|| {
                        Error::internal(format!("an edge of the side output of {uid}, which runs elsewhere"))
                    })?;
                    sides.push(SideEdge { operator, partition });
                }
            }
        }
        Ok((main, sides))
    }

    /// What comes in from other tasks; several edges of one input carry the same.
    fn input_schema(&self) -> Option<SchemaRef> {
        let (_, edge) = self.graph.inputs(self.id.vertex.0 as usize).min_by_key(|(_, edge)| edge.input)?;
        self.graph.edge_schema(edge)
    }

    fn reader(&self, node: &OperatorNode, spec: &SourceSpec, splits: Vec<Split>) -> Result<Reader> {
        let Environment { registry, clock, io, read_ahead_bytes, .. } = self.environment;
        let source = registry.source(table(node, spec.table.as_ref())?)?;
        let projected_schema = schema::decode(&spec.projected_schema)?;
        let (zone, now) = (Some(self.time_zone), clock.unix_millis());
        let generator = spec
            .watermark
            .as_ref()
            .map(|spec| WatermarkGenerator::new_in_zone(spec, &projected_schema, splits.len(), now, zone));
        let context = ReaderContext {
            projected_schema: Arc::clone(&projected_schema),
            filters: spec.filters.clone(),
            subtask: self.id.subtask.0,
            parallelism: self.vertex.parallelism,
            read_ahead_bytes: *read_ahead_bytes,
            io: io.clone(),
            clock: Arc::clone(clock),
            metrics: self.metrics.operator(0),
        };
        let restored: Vec<_> =
            splits.iter().map(|split| (split.watermark.map(Watermark), split.ended)).collect();
        let reader = source.reader(context, splits.clone())?;
        let generator = generator.transpose()?;
        let grows = source.discovery_interval().is_some();
        let generator = generator.map(|generator| {
            generator
                .with_continuations(|split| reader.continues(split))
                .with_growth(grows)
                .with_restored(restored)
        });
        Ok(Reader::new(reader, splits, generator, Arc::clone(clock)))
    }

    fn restorer(&self, restoration: Arc<Restoration>, key_groups: KeyGroupRange) -> Restorer {
        Restorer {
            restoration,
            uids: self.vertex.chain.iter().map(|node| node.uid.as_str().to_owned()).collect(),
            subtask: self.id.subtask.0,
            parallelism: self.vertex.parallelism,
            key_groups,
            stores: Arc::clone(&self.environment.stores),
            io: self.environment.io.clone(),
        }
    }

    /// The operators between head and tail, each with what the one before it gives.
    fn chain(&self, operators: Vec<(usize, &OperatorNode)>, mut input: Option<SchemaRef>) -> Result<Chain> {
        let first = operators.first().map_or(0, |(position, _)| *position);
        let mut stages = Vec::with_capacity(operators.len());
        for (position, node) in operators {
            stages.push((node.name.clone(), self.operator(position, node, input)?));
            input = node.output_schema.clone();
        }
        Ok(Chain::new(stages, first, OUTPUT_LIMIT))
    }

    fn operator(
        &self,
        position: usize,
        node: &OperatorNode,
        input: Option<SchemaRef>,
    ) -> Result<Box<dyn Operator>> {
        let mut operator = weir_operators::create_in_zone(node, input, Some(self.time_zone))?;
        let context = OperatorContext {
            uid: node.uid.clone(),
            subtask: self.id.subtask.0,
            parallelism: self.vertex.parallelism,
            key_groups: self.graph.key_groups(self.id.vertex.0 as usize, self.id.subtask.0),
            max_parallelism: self.graph.max_parallelism(),
            backends: Arc::new(HashMapBackends),
            state_limit_bytes: self.state_limit_bytes,
            metrics: self.metrics.operator(position),
            clock: Arc::clone(&self.environment.clock),
        };
        operator
            .open(&context)
            .map_err(|error| error.context(format_args!("open operator '{}'", node.name)))?;
        Ok(operator)
    }

    fn writer(&self, position: usize, node: &OperatorNode, spec: &SinkSpec) -> Result<Box<dyn SinkWriter>> {
        let sink = self.environment.registry.sink(table(node, spec.table.as_ref())?)?;
        sink.writer(WriterContext {
            job: self.id.job,
            attempt: self.id.attempt,
            uid: node.uid.as_str().to_owned(),
            subtask: self.id.subtask.0,
            parallelism: self.vertex.parallelism,
            io: self.environment.io.clone(),
            blobs: self.blobs(position)?,
            metrics: self.metrics.operator(position),
        })
    }
}

impl Site<'_> {
    /// Where a sink may keep what it prepared.
    fn blobs(&self, position: usize) -> Result<Option<Arc<dyn Blobs>>> {
        if self.checkpoint_location.is_empty() {
            return Ok(None);
        }
        let (storage, path) = self.environment.stores.at(self.checkpoint_location)?;
        let folder = JobFolder::new(&path, self.id.job);
        Ok(Some(Arc::new(TaskBlobs::new(storage, folder, self.id, position))))
    }
}

fn table<'a>(node: &OperatorNode, table: Option<&'a TableSpec>) -> Result<&'a TableSpec> {
    table.ok_or_else(|| Error::new(Code::MalformedMessage, format!("operator '{}' has no table", node.name)))
}
