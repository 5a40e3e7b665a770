//! Jobs for tests: a source that shuffles into a sink.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};
use weir_api::config::Configuration;
use weir_api::graph::{JobEdge, JobGraph, JobVertex, OperatorNode, Partitioning};
use weir_api::id::{Attempt, JobId, OperatorUid};
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::{OperatorSpec, SinkSpec, SourceSpec, Split, SplitAssignment, TableSpec};

use super::Settings;
use super::job::Limits;
use super::job::record::{JobRecord, JobSpec, Snapshots, Stage};
use super::schedule::Spread;

/// `source -> sink`, shuffled by key, with these parallelisms; both tables are of the connector `connector`.
pub(crate) fn graph(name: &str, connector: &str, sources: u32, sinks: u32) -> JobGraph {
    graph_of(name, connector, sources, sinks, ["source", "sink"])
}

/// The same with operators of these uids.
pub(crate) fn graph_of(
    name: &str,
    connector: &str,
    sources: u32,
    sinks: u32,
    [source_uid, sink_uid]: [&str; 2],
) -> JobGraph {
    let schema = Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, false)]));
    let table = |name: &str| TableSpec {
        name: name.to_owned(),
        connector: connector.to_owned(),
        schema: weir_api::schema::encode(&schema),
        ..Default::default()
    };
    let node = |uid: &str, kind: Kind, schema| OperatorNode {
        uid: OperatorUid::new(uid).expect("valid"),
        name: uid.to_owned(),
        spec: OperatorSpec { kind: Some(kind) },
        output_schema: schema,
    };
    let source = SourceSpec {
        table: Some(table("in")),
        projected_schema: weir_api::schema::encode(&schema),
        ..Default::default()
    };
    let sink = SinkSpec { table: Some(table("out")) };
    let vertices = vec![
        JobVertex::new(vec![node(source_uid, Kind::Source(source), Some(Arc::clone(&schema)))], sources)
            .expect("a chain"),
        JobVertex::new(vec![node(sink_uid, Kind::Sink(sink), None)], sinks).expect("a chain"),
    ];
    let edges = vec![JobEdge {
        source: 0,
        target: 1,
        input: 0,
        partitioning: Partitioning::Hash(vec![0]),
        side_output: None,
    }];
    JobGraph::new(name, 128, vertices, edges, BTreeMap::new()).expect("a valid graph")
}

/// A record of a job that was just submitted; each source subtask has one split.
pub(crate) fn record(n: u8, sources: u32, sinks: u32, config: &[(&str, &str)]) -> JobRecord {
    let name = format!("job {n}");
    let splits = (0..sources).map(|subtask| SplitAssignment {
        vertex: 0,
        subtask,
        splits: vec![Split { id: subtask.to_string(), payload: vec![n], weight: 1, ..Split::default() }],
    });
    let spec = JobSpec {
        id: JobId::from_bytes([n; 16]),
        sql: "INSERT INTO `out` SELECT * FROM `in`".to_owned(),
        graph: Arc::new(graph(&name, "test", sources, sinks)),
        discovery: BTreeMap::new(),
        config: config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        bounded: true,
        submitted_unix_millis: i64::from(n),
        name,
    };
    JobRecord {
        spec: Arc::new(spec),
        splits: Arc::new(splits.collect()),
        attempt: Attempt(0),
        stage: Stage::Active,
        snapshots: Snapshots::default(),
        exceptions: Vec::new(),
    }
}

/// Flink's defaults and version "1".
pub(crate) fn settings(seed: u64) -> Settings {
    Settings {
        version: "1".to_owned(),
        configuration: Configuration::default(),
        heartbeat_interval: Duration::from_secs(10),
        heartbeat_timeout: Duration::from_secs(50),
        spread: Spread::Even,
        limits: limits(),
        ended_jobs: 100,
        seed,
    }
}

/// Flink's defaults.
pub(crate) fn limits() -> Limits {
    Limits {
        slot_timeout: Duration::from_secs(300),
        cancel_timeout: Duration::from_secs(60),
        deploy_timeout: Duration::from_secs(60),
        exceptions: 16,
    }
}
