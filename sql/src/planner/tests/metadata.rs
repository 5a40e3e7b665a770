//! Metadata columns: asked for where they are read, cast to what is declared, left out of sinks where virtual.

use arrow::datatypes::{DataType, TimeUnit};
use weir_api::error::Code;
use weir_api::graph::JobGraph;
use weir_api::schema::{decode, is_rowtime};
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::{SinkSpec, SourceSpec};

use super::{names, plan, refusal, specs};

const TABLE: &str = "CREATE TABLE log (
  at TIMESTAMP(3) METADATA FROM 'timestamp', a BIGINT, `offset` BIGINT METADATA VIRTUAL, part BIGINT METADATA FROM 'partition' VIRTUAL,
  twice AS part * 2, b STRING, WATERMARK FOR at AS at - INTERVAL '5' SECOND
) WITH ('connector' = 'unbounded');
CREATE TABLE sink (a BIGINT) WITH ('connector' = 'unbounded');";

fn text(statements: &str) -> String {
    format!("{TABLE}{statements}")
}

fn source(graph: &JobGraph) -> SourceSpec {
    specs(graph)
        .into_iter()
        .find_map(|kind| match kind {
            Kind::Source(source) => Some(source),
            _ => None,
        })
        .unwrap()
}

fn sink(graph: &JobGraph) -> SinkSpec {
    specs(graph)
        .into_iter()
        .find_map(|kind| match kind {
            Kind::Sink(sink) => Some(sink),
            _ => None,
        })
        .unwrap()
}

fn columns(schema: &[u8]) -> Vec<String> {
    decode(schema).unwrap().fields().iter().map(|field| field.name().clone()).collect()
}

#[test]
fn a_connector_is_asked_for_the_metadata_that_is_read() {
    let graph = plan(&text("INSERT INTO sink SELECT a + `offset` FROM log;"));
    let spec = source(&graph);
    assert_eq!(columns(&spec.projected_schema), ["a", "offset"]);
    let table = spec.table.unwrap();
    // Physical columns first, whatever the order of the declaration; then metadata in the connector's types.
    assert_eq!(columns(&table.schema), ["a", "b", "at", "offset", "part"]);
    let schema = decode(&table.schema).unwrap();
    assert_eq!(*schema.field(2).data_type(), DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
    assert_eq!(*schema.field(4).data_type(), DataType::Int32);
    let keys: Vec<(&str, &str)> =
        table.metadata_columns.iter().map(|column| (column.name.as_str(), column.key.as_str())).collect();
    assert_eq!(keys, [("at", "timestamp"), ("offset", "offset"), ("part", "partition")]);

    let graph = plan(&text("INSERT INTO sink SELECT a FROM log WHERE b = 'x';"));
    assert_eq!(columns(&source(&graph).projected_schema), ["a", "b"]);
    // A record is counted by what it holds.
    let graph = plan(&text("INSERT INTO sink SELECT 1 FROM log;"));
    assert_eq!(columns(&source(&graph).projected_schema), ["a"]);
}

#[test]
fn metadata_of_another_type_is_cast_and_can_be_computed_with() {
    let graph = plan(&text("INSERT INTO sink SELECT twice + part FROM log WHERE part > 3;"));
    assert_eq!(columns(&source(&graph).projected_schema), ["part"]);
    let calc = names(&graph).join(" | ");
    assert!(calc.contains("Calc("), "{calc}");
    let Some(Kind::Calc(_)) = specs(&graph).into_iter().nth(1) else { panic!("{calc}") };

    let graph = plan(&text(
        "INSERT INTO sink SELECT COUNT(*) FROM TUMBLE(TABLE log, DESCRIPTOR(at), INTERVAL '1' MINUTE)
         GROUP BY window_start, window_end;",
    ));
    let spec = source(&graph);
    assert_eq!(columns(&spec.projected_schema), ["at"]);
    assert_eq!(spec.watermark.unwrap().column, "at");
    let marked: Vec<&str> = graph
        .vertices()
        .iter()
        .flat_map(|vertex| &vertex.chain)
        .filter(|node| {
            node.output_schema
                .as_ref()
                .is_some_and(|schema| schema.fields().iter().any(|field| is_rowtime(field)))
        })
        .map(|node| node.name.as_str())
        .collect();
    assert!(marked.iter().any(|name| name.starts_with("Calc(select=[CAST(at AS TIMESTAMP(3)")), "{marked:?}");
}

#[test]
fn virtual_metadata_is_not_written() {
    let graph = plan(&text("INSERT INTO log SELECT TIMESTAMP '2026-01-01 00:00:00', a, 'x' FROM log;"));
    let table = sink(&graph).table.unwrap();
    assert_eq!(columns(&table.schema), ["a", "b", "at"]);
    assert_eq!(table.metadata_columns.len(), 1);
    let rows = graph.vertices().iter().flat_map(|vertex| &vertex.chain).rev().nth(1).unwrap();
    let rows = rows.output_schema.as_ref().unwrap();
    let names: Vec<&str> = rows.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["a", "b", "at"]);
    assert_eq!(*rows.field(2).data_type(), DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));

    let named = plan(&text("INSERT INTO log (b, a) SELECT 'x', a FROM log;"));
    assert_eq!(columns(&sink(&named).table.unwrap().schema), ["a", "b", "at"]);
}

#[test]
fn what_metadata_cannot_be_is_said_at_its_column() {
    let declared = |column: &str| {
        refusal(&format!(
            "CREATE TABLE t (\n a BIGINT,\n {column}) WITH ('connector' = 'unbounded');
             CREATE TABLE sink (a BIGINT) WITH ('connector' = 'unbounded'); INSERT INTO t SELECT a FROM sink;"
        ))
    };
    let unknown = declared("o BIGINT METADATA FROM 'offse'");
    assert_eq!(unknown.code(), Code::SqlUnknownName);
    assert!(unknown.message().contains("'offse'; did you mean 'offset'?"), "{}", unknown.message());
    assert!(unknown.message().contains("'partition' INT NOT NULL VIRTUAL"), "{}", unknown.message());
    assert!(unknown.message().contains("line 3, column 2"), "{}", unknown.message());

    let impossible = declared("o ROW<x INT> METADATA FROM 'offset' VIRTUAL");
    assert_eq!(impossible.code(), Code::SqlType);

    let readonly = declared("o BIGINT METADATA FROM 'offset'");
    assert_eq!(readonly.code(), Code::InvalidArgument);
    assert!(readonly.message().contains("declare it VIRTUAL"), "{}", readonly.message());
    assert!(readonly.message().contains("line 3, column 2"), "{}", readonly.message());
}
