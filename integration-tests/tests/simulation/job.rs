//! The job that is simulated: sources with positions, a keyed count, and sinks of both two-phase kinds.
//!
//! ```text
//! source ──by key──▶ count ──by key──▶ files   (committed by the JobManager)
//!                      └─────by key──▶ topic   (committed by its tasks, recovered by the JobManager)
//! ```
//!
//! Some jobs have two such pipelines, which read the same input and which no edge connects: where one fails, the other goes on.
//!
//! A source's records follow from the seed, its split and their position, so whoever looks at the output can say what it must be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};
use weir_api::graph::{JobEdge, JobGraph, JobVertex, OperatorNode, Partitioning};
use weir_api::id::{Attempt, JobId, OperatorUid};
use weir_jobmanager::control::job::record::{JobRecord, JobSpec, Snapshots, Stage};
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::{OperatorSpec, SinkSpec, SourceSpec, Split, SplitAssignment, TableSpec, UnionSpec};

/// Key groups; few, so that every one is met.
pub(crate) const KEY_GROUPS: u32 = 8;
pub(crate) const SOURCE: u32 = 0;
pub(crate) const COUNT: u32 = 1;

/// One row on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) key: u16,
    pub(crate) split: u16,
    pub(crate) position: u32,
    /// How many of its key there have been; 0 before the count.
    pub(crate) count: u32,
}

/// Whose output it is: the job's number and the sink's vertex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct SinkId {
    pub(crate) job: u8,
    pub(crate) vertex: u8,
}

impl SinkId {
    pub(crate) const fn new(job: u8, vertex: u8) -> Self {
        Self { job, vertex }
    }
}

/// Who makes a sink's output visible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Commits {
    /// The JobManager, when a checkpoint is complete.
    Master,
    /// The sink's tasks; the JobManager before an attempt and at the end.
    Tasks,
}

/// What is read and how: the same for all jobs of a run, which follow each other by savepoints.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) seed: u64,
    pub(crate) keys: u64,
    /// The lengths of the splits.
    pub(crate) lengths: Vec<u32>,
    /// From which moment on each can be found; 0: from the start.
    pub(crate) appears: Vec<u64>,
}

impl Input {
    /// The record at a position.
    pub(crate) fn record(&self, split: u16, position: u32) -> Record {
        let mixed =
            (self.seed ^ (u64::from(split) << 40) ^ u64::from(position)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let key = ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) % self.keys;
        Record { key: key as u16, split, position, count: 0 }
    }

    pub(crate) fn length(&self, split: u16) -> u32 {
        self.lengths.get(usize::from(split)).copied().unwrap_or(0)
    }

    pub(crate) fn total(&self) -> u64 {
        self.lengths.iter().map(|length| u64::from(*length)).sum()
    }

    /// Splits that can be found at a moment.
    pub(crate) fn splits(&self, now: u64) -> Vec<Split> {
        let there = self.appears.iter().enumerate().filter(|(_, appears)| **appears <= now);
        there.map(|(split, _)| Split { id: split.to_string(), weight: 1, ..Split::default() }).collect()
    }
}

/// A job of the run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) number: u8,
    pub(crate) sources: u32,
    pub(crate) counts: u32,
    /// By vertex, from the third on.
    pub(crate) sinks: Vec<(Commits, u32)>,
    /// How many times all that; the last one with a task a vertex, if it is `narrow`.
    pub(crate) pipelines: u32,
    pub(crate) narrow: bool,
    /// Whether it ends by itself: then nothing can be found later.
    pub(crate) bounded: bool,
    pub(crate) config: BTreeMap<String, String>,
}

impl Plan {
    pub(crate) fn id(&self) -> JobId {
        JobId::from_bytes([self.number; 16])
    }

    pub(crate) fn parallelism(&self, vertex: u32) -> u32 {
        if self.narrow && vertex >= self.width() {
            return 1;
        }
        match self.role(vertex) {
            SOURCE => self.sources,
            COUNT => self.counts,
            sink => self.sinks.get(sink as usize - 2).map_or(0, |(_, parallelism)| *parallelism),
        }
    }

    /// Who commits what a vertex writes; `None`: it writes nothing.
    pub(crate) fn commits(&self, vertex: u32) -> Option<Commits> {
        self.role(vertex)
            .checked_sub(2)
            .and_then(|sink| self.sinks.get(sink as usize))
            .map(|(commits, _)| *commits)
    }

    /// How many vertices a pipeline has.
    pub(crate) fn width(&self) -> u32 {
        2 + self.sinks.len() as u32
    }

    pub(crate) fn vertices(&self) -> u32 {
        self.width() * self.pipelines
    }

    /// What a vertex is in its pipeline.
    pub(crate) fn role(&self, vertex: u32) -> u32 {
        vertex % self.width()
    }

    /// Every source.
    pub(crate) fn all_sources(&self) -> impl Iterator<Item = u32> {
        (0..self.vertices()).filter(|vertex| self.role(*vertex) == SOURCE)
    }

    /// Every sink.
    pub(crate) fn all_sinks(&self) -> impl Iterator<Item = (u32, Commits)> {
        (0..self.vertices()).filter_map(|vertex| Some((vertex, self.commits(vertex)?)))
    }

    /// Those that a vertex sends to.
    pub(crate) fn targets(&self, vertex: u32) -> std::ops::Range<u32> {
        match self.role(vertex) {
            SOURCE => vertex + 1..vertex + 2,
            COUNT => vertex + 1..vertex - COUNT + self.width(),
            _ => 0..0,
        }
    }

    pub(crate) fn uid(&self, vertex: u32) -> String {
        let pipeline = vertex / self.width();
        match self.role(vertex) {
            SOURCE => format!("source {pipeline}"),
            COUNT => format!("count {pipeline}"),
            sink => format!("sink {sink} {pipeline}"),
        }
    }

    /// What is recorded when it is submitted, with the splits that there are.
    pub(crate) fn record(&self, splits: &[Split], now: i64) -> JobRecord {
        let mut shares: Vec<SplitAssignment> = Vec::new();
        for vertex in self.all_sources() {
            let of = |subtask| SplitAssignment { vertex, subtask, splits: Vec::new() };
            let mut own: Vec<_> = (0..self.parallelism(vertex)).map(of).collect();
            for (position, split) in splits.iter().enumerate() {
                let share = position % own.len();
                own[share].splits.push(split.clone());
            }
            shares.append(&mut own);
        }
        let name = format!("job {}", self.number);
        let discovery = self
            .all_sources()
            .filter(|_| !self.bounded)
            .map(|source| (source, Duration::from_secs(2)))
            .collect();
        let spec = JobSpec {
            id: self.id(),
            sql: "INSERT INTO `out` SELECT * FROM `in`".to_owned(),
            graph: Arc::new(self.graph(&name)),
            discovery,
            config: self.config.clone(),
            bounded: self.bounded,
            submitted_unix_millis: now,
            name,
        };
        JobRecord {
            spec: Arc::new(spec),
            splits: Arc::new(shares),
            attempt: Attempt(0),
            stage: Stage::Active,
            snapshots: Snapshots::default(),
            exceptions: Vec::new(),
        }
    }

    fn graph(&self, name: &str) -> JobGraph {
        let schema = Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, false)]));
        let bytes = weir_api::schema::encode(&schema);
        let table = |connector: &str| TableSpec {
            name: connector.to_owned(),
            connector: connector.to_owned(),
            schema: bytes.clone(),
            ..Default::default()
        };
        let vertices = (0..self.vertices()).map(|vertex| {
            let kind = match self.commits(vertex) {
                None if self.role(vertex) == SOURCE => Kind::Source(SourceSpec {
                    table: Some(table("in")),
                    projected_schema: bytes.clone(),
                    ..Default::default()
                }),
                None => Kind::Union(UnionSpec::default()),
                Some(Commits::Master) => Kind::Sink(SinkSpec { table: Some(table("files")) }),
                Some(Commits::Tasks) => Kind::Sink(SinkSpec { table: Some(table("topic")) }),
            };
            let output_schema = (self.role(vertex) <= COUNT).then(|| Arc::clone(&schema));
            let uid = self.uid(vertex);
            let node = OperatorNode {
                uid: OperatorUid::new(uid.clone()).unwrap(),
                name: uid,
                spec: OperatorSpec { kind: Some(kind) },
                output_schema,
            };
            JobVertex::new(vec![node], self.parallelism(vertex)).unwrap()
        });
        let vertices: Vec<_> = vertices.collect();
        let edges = (0..self.vertices()).flat_map(|source| {
            self.targets(source).map(move |target| JobEdge {
                source: source as usize,
                target: target as usize,
                input: 0,
                partitioning: Partitioning::Hash(vec![0]),
                side_output: None,
            })
        });
        JobGraph::new(name, KEY_GROUPS, vertices, edges.collect(), BTreeMap::new()).unwrap()
    }
}
