//! The job of these tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use weir_api::graph::{JobEdge, JobGraph, JobVertex, OperatorNode, Partitioning};
use weir_api::id::OperatorUid;
use weir_api::schema::encode;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::window_aggregate_spec::{Phase, WindowProperty};
use weir_proto::v1::{
    AggregateCall, OperatorSpec, SinkSpec, SourceSpec, TableSpec, WatermarkSpec, Window, WindowAggregateSpec,
    window,
};

use crate::tests::fixture::TS;
use crate::tests::fixture::ledger::rows_schema;

/// How long a window is, in milliseconds.
pub(super) const WINDOW: i64 = 500;
/// The operators' uids.
pub(super) const CHAIN: [&str; 3] = ["source", "windows", "sink"];

fn table() -> Option<TableSpec> {
    let connector = "ledger".to_owned();
    Some(TableSpec {
        name: "t".to_owned(),
        connector,
        schema: encode(&rows_schema()),
        ..TableSpec::default()
    })
}

fn node(uid: &str, kind: Kind, output_schema: Option<SchemaRef>) -> OperatorNode {
    let spec = OperatorSpec { kind: Some(kind) };
    OperatorNode { uid: OperatorUid::new(uid).unwrap(), name: uid.to_owned(), spec, output_schema }
}

/// `SELECT k, COUNT(*), window_start FROM TUMBLE(t) GROUP BY k`: sources, then windows and sink behind a shuffle.
pub(super) fn graph(parallelism: (u32, u32)) -> JobGraph {
    let watermark =
        WatermarkSpec { expression: TS.to_vec(), column: "ts".to_owned(), ..WatermarkSpec::default() };
    let source = SourceSpec {
        table: table(),
        projected_schema: encode(&rows_schema()),
        watermark: Some(watermark),
        ..SourceSpec::default()
    };
    let size_millis = WINDOW as u64;
    let tumble = window::Kind::Tumble(window::Tumble { size_millis, offset_millis: 0 });
    let windows = WindowAggregateSpec {
        phase: Phase::Single as i32,
        window: Some(Window { kind: Some(tumble) }),
        time_column: 1,
        key_columns: vec![0],
        aggregates: vec![AggregateCall {
            function: Function::Count as i32,
            name: "n".to_owned(),
            ..AggregateCall::default()
        }],
        properties: vec![WindowProperty::WindowStart as i32],
        input_schema: encode(&rows_schema()),
        ..WindowAggregateSpec::default()
    };
    let result = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, false),
        Field::new("n", DataType::Int64, true),
        Field::new("start", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]));
    let vertices = vec![
        JobVertex::new(vec![node(CHAIN[0], Kind::Source(source), Some(rows_schema()))], parallelism.0)
            .unwrap(),
        JobVertex::new(
            vec![
                node(CHAIN[1], Kind::WindowAggregate(windows), Some(result)),
                node(CHAIN[2], Kind::Sink(SinkSpec { table: table() }), None),
            ],
            parallelism.1,
        )
        .unwrap(),
    ];
    let partitioning = Partitioning::Hash(vec![0]);
    let edges = vec![JobEdge { source: 0, target: 1, input: 0, partitioning, side_output: None }];
    JobGraph::new("job", 16, vertices, edges, BTreeMap::new()).unwrap()
}
