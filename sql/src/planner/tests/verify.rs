//! What must hold of every job graph: each operator can be made from its spec over what it reads.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion_proto::physical_plan::DefaultPhysicalExtensionCodec;
use datafusion_proto::physical_plan::from_proto::parse_physical_expr;
use datafusion_proto::protobuf::PhysicalExprNode;
use prost::Message;
use weir_api::graph::{
    JobEdge, JobGraph, JobVertex, OperatorNode, aggregate_result_type, window_aggregate_layout,
};
use weir_api::schema::{decode, is_timestamp};
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::window_aggregate_spec::Phase;
use weir_proto::v1::{CalcSpec, OverAggregateSpec, SourceSpec, WindowAggregateSpec};

/// Checks a graph, and that it passes through its message.
pub fn verify(graph: &JobGraph) {
    let message = weir_proto::v1::JobGraph::from(graph);
    JobGraph::try_from(message).expect("a valid message");
    verify_operators(graph.vertices(), graph.edges());
}

/// Checks all operators.
pub fn verify_operators(vertices: &[JobVertex], edges: &[JobEdge]) {
    for (index, vertex) in vertices.iter().enumerate() {
        let incoming = edges.iter().filter(|edge| edge.target == index);
        let mut inputs: Vec<SchemaRef> = incoming.map(|edge| carried(vertices, edge)).collect();
        inputs.dedup_by(|a, b| types(a) == types(b));
        assert!(inputs.len() <= 1, "inputs of '{}' differ", vertex.name);
        let mut input = inputs.pop();
        for node in &vertex.chain {
            operator(node, input.as_ref());
            input.clone_from(&node.output_schema);
        }
    }
}

/// What an edge carries.
fn carried(vertices: &[JobVertex], edge: &JobEdge) -> SchemaRef {
    let source = &vertices[edge.source];
    match &edge.side_output {
        None => source.output_schema().unwrap().clone(),
        Some(uid) => {
            let node = source.chain.iter().find(|node| node.uid == *uid).unwrap();
            weir_api::side_output::schema(node.spec.kind.as_ref().unwrap()).unwrap()
        }
    }
}

fn types(schema: &Schema) -> Vec<&DataType> {
    schema.fields().iter().map(|field| field.data_type()).collect()
}

fn operator(node: &OperatorNode, input: Option<&SchemaRef>) {
    match node.spec.kind.as_ref().unwrap() {
        Kind::Source(spec) => source(spec, node.output_schema.as_ref().unwrap()),
        Kind::Sink(spec) => {
            let table = decode(&spec.table.as_ref().unwrap().schema).unwrap();
            let names = |schema: &Schema| {
                schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
            };
            assert_eq!(names(input.unwrap()), names(&table), "{}", node.name);
            for (given, wanted) in input.unwrap().fields().iter().zip(table.fields()) {
                assert!(given.data_type().equals_datatype(wanted.data_type()), "{given} for {wanted}");
            }
        }
        Kind::Calc(spec) => calc(spec, input.unwrap(), node.output_schema.as_ref().unwrap()),
        Kind::WindowTableFunction(spec) => {
            let time = input.unwrap().field(spec.time_column as usize);
            assert!(is_timestamp(time.data_type()));
            let output = node.output_schema.as_ref().unwrap();
            assert_eq!(output.fields().len(), input.unwrap().fields().len() + 3);
        }
        Kind::Unnest(spec) => {
            let input = input.unwrap();
            let output = node.output_schema.as_ref().unwrap();
            for (column, field) in spec.kept.iter().zip(output.fields()) {
                assert_eq!(input.field(*column as usize).data_type(), field.data_type());
            }
            let own = spec.kept.len() + spec.elements.len() + usize::from(spec.with_ordinality);
            assert_eq!(own, output.fields().len());
            assert!(own > 0);
        }
        Kind::WindowAggregate(spec) => aggregate(spec, input.unwrap(), node.output_schema.as_ref().unwrap()),
        Kind::OverAggregate(spec) => over(spec, input.unwrap(), node.output_schema.as_ref().unwrap()),
        Kind::Union(_) => {}
    }
}

fn over(spec: &OverAggregateSpec, input: &SchemaRef, output: &SchemaRef) {
    let mut expected: Vec<DataType> =
        spec.kept_columns.iter().map(|column| input.field(*column as usize).data_type().clone()).collect();
    for call in &spec.aggregates {
        let argument = call.arguments.first().map(|argument| input.field(*argument as usize).data_type());
        expected.push(aggregate_result_type(call.function(), argument).unwrap());
    }
    assert_eq!(types(output), expected.iter().collect::<Vec<_>>());
    if let Some(time) = spec.time_column {
        assert!(is_timestamp(input.field(time as usize).data_type()));
    }
    assert!(spec.key_columns.iter().all(|key| (*key as usize) < input.fields().len()));
}

fn expression(bytes: &[u8], schema: &Schema) -> Arc<dyn datafusion::physical_expr::PhysicalExpr> {
    let node = PhysicalExprNode::decode(bytes).unwrap();
    let context = weir_functions::task_context(None);
    parse_physical_expr(&node, &context, schema, &DefaultPhysicalExtensionCodec {}).unwrap()
}

fn source(spec: &SourceSpec, output: &SchemaRef) {
    let projected = decode(&spec.projected_schema).unwrap();
    assert_eq!(&projected, output);
    assert!(!projected.fields().is_empty());
    let table = decode(&spec.table.as_ref().unwrap().schema).unwrap();
    for field in projected.fields() {
        table.field_with_name(field.name()).expect("a physical column");
    }
    if let Some(watermark) = &spec.watermark {
        assert!(is_timestamp(&expression(&watermark.expression, &projected).data_type(&projected).unwrap()));
    }
}

fn calc(spec: &CalcSpec, input: &Schema, output: &SchemaRef) {
    if !spec.predicate.is_empty() {
        assert_eq!(expression(&spec.predicate, input).data_type(input).unwrap(), DataType::Boolean);
    }
    assert_eq!(spec.projection.len(), output.fields().len());
    for (item, field) in spec.projection.iter().zip(output.fields()) {
        let expression = expression(&item.expression, input);
        assert_eq!(item.name, *field.name());
        assert_eq!(expression.data_type(input).unwrap(), *field.data_type(), "{expression}");
        assert!(field.is_nullable() || !expression.nullable(input).unwrap(), "{expression} may be null");
    }
}

fn aggregate(spec: &WindowAggregateSpec, input: &SchemaRef, output: &SchemaRef) {
    let rows = decode(&spec.input_schema).unwrap();
    let partial = window_aggregate_layout(spec, &rows).unwrap();
    match spec.phase() {
        Phase::Unspecified => panic!("a phase"),
        Phase::Single => assert_eq!(types(&rows), types(input)),
        Phase::Local => {
            assert_eq!(types(&rows), types(input));
            assert_eq!(types(&partial), types(output));
            return;
        }
        Phase::Global => assert_eq!(types(&partial), types(input)),
    }
    let mut expected: Vec<DataType> =
        spec.key_columns.iter().map(|key| rows.field(*key as usize).data_type().clone()).collect();
    for call in &spec.aggregates {
        let argument = call.arguments.first().map(|argument| rows.field(*argument as usize).data_type());
        expected.push(aggregate_result_type(call.function(), argument).unwrap());
    }
    assert_eq!(output.fields().len(), expected.len() + spec.properties.len());
    assert_eq!(types(output)[..expected.len()], expected.iter().collect::<Vec<_>>());
}
