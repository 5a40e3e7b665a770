//! Dead letters and late rows: one sink for each table that takes them, fed by side edges.

use weir_api::error::Code;
use weir_api::graph::{JobEdge, JobGraph, Partitioning};
use weir_api::schema::decode;
use weir_proto::v1::WindowAggregateSpec;
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::window_aggregate_spec::Phase;

use super::{explain, names, plan, refusal, specs};

const TABLES: &str = "
CREATE TABLE bids (auction BIGINT, price BIGINT, bidder STRING, ts TIMESTAMP(3), cents AS price * 100,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = 'unbounded',
  'on-error' = 'dlq', 'on-error.dlq-table' = 'letters', 'late-data.policy' = 'side-output', 'late-data.table' = 'late');
CREATE TABLE other (a BIGINT) WITH ('connector' = 'unbounded', 'on-error' = 'dlq', 'on-error.dlq-table' = 'letters');
CREATE TABLE letters (ts TIMESTAMP(3), error STRING, raw BYTES, source STRING) WITH ('connector' = 'unbounded');
CREATE TABLE late (source STRING, `row` STRING, watermark TIMESTAMP(3)) WITH ('connector' = 'unbounded');
CREATE TABLE sink (a BIGINT) WITH ('connector' = 'unbounded');
CREATE TABLE two (a BIGINT, b BIGINT) WITH ('connector' = 'unbounded');
";

fn text(statements: &str) -> String {
    format!("{TABLES}{statements}")
}

fn side_edges(graph: &JobGraph) -> Vec<&JobEdge> {
    graph.edges().iter().filter(|edge| edge.side_output.is_some()).collect()
}

fn aggregates(graph: &JobGraph) -> Vec<WindowAggregateSpec> {
    let of = |kind| match kind {
        Kind::WindowAggregate(spec) => Some(spec),
        _ => None,
    };
    specs(graph).into_iter().filter_map(of).collect()
}

/// The names of a late row's JSON, and the columns that they are in the aggregation's input.
fn late_columns(spec: &WindowAggregateSpec) -> Vec<(String, String)> {
    let input = decode(&spec.input_schema).unwrap();
    spec.late_columns
        .iter()
        .map(|late| (late.name.clone(), input.field(late.column as usize).name().clone()))
        .collect()
}

#[test]
fn dead_letters_of_all_sources_go_into_one_sink() {
    let graph = plan(&text(
        "INSERT INTO sink SELECT price FROM bids; INSERT INTO sink SELECT auction FROM bids WHERE price > 3;
         INSERT INTO sink SELECT a FROM other;",
    ));
    let sources = specs(&graph).iter().filter(|kind| matches!(kind, Kind::Source(_))).count();
    assert_eq!(sources, 2, "a table is read once: {:?}", names(&graph));
    let sides = side_edges(&graph);
    assert_eq!(sides.len(), 2, "{:#?}", graph.edges());
    assert!(sides.iter().all(|edge| edge.partitioning == Partitioning::Forward));
    let sinks = names(&graph).into_iter().filter(|name| *name == "Sink: letters").count();
    assert_eq!(sinks, 1);
    // The columns that the table declares, in its order.
    for edge in sides {
        let calc = &graph.vertices()[edge.target].chain[0];
        let emitted = calc.output_schema.as_ref().unwrap();
        let columns: Vec<&str> = emitted.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(columns, ["ts", "error", "raw", "source"]);
    }
    // Without a reader of the table there is nothing to write.
    let graph = plan(
        "CREATE TABLE o (a BIGINT) WITH ('connector' = 'unbounded');
        CREATE TABLE s (a BIGINT) WITH ('connector' = 'unbounded'); INSERT INTO s SELECT a FROM o",
    );
    assert!(side_edges(&graph).is_empty());
}

#[test]
fn a_side_output_leaves_a_chain_as_it_is() {
    let graph = plan(&text("INSERT INTO sink SELECT a FROM other WHERE a > 1"));
    let first: Vec<&str> = graph.vertices()[0].chain.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(first.len(), 3, "source, Calc and sink are one task: {first:?}");
    let [edge] = side_edges(&graph)[..] else { panic!("{:?}", graph.edges()) };
    assert_eq!(edge.side_output.as_ref(), Some(&graph.vertices()[0].chain[0].uid));
}

#[test]
fn a_window_keeps_what_a_late_row_needs() {
    let graph = plan(&text(
        "CREATE VIEW v AS SELECT auction AS price, cents, ts AS at FROM bids WHERE bidder <> 'x';
         INSERT INTO two SELECT price, SUM(cents) FROM TUMBLE(TABLE v, DESCRIPTOR(at), INTERVAL '10' SECOND)
         GROUP BY window_start, window_end, price",
    ));
    let [spec] = &aggregates(&graph)[..] else { panic!("{:?}", names(&graph)) };
    assert_eq!(spec.phase(), Phase::Single);
    assert_eq!(spec.late_rows_of, "default_catalog.default_database.bids");
    let columns = late_columns(spec);
    let pairs: Vec<(&str, &str)> =
        columns.iter().map(|(name, column)| (name.as_str(), column.as_str())).collect();
    // `price` of the view is another column.
    assert_eq!(pairs, [("auction", "price"), ("price", "price$"), ("bidder", "bidder"), ("ts", "at")]);
    let late: Vec<_> = side_edges(&graph)
        .into_iter()
        .filter(|edge| graph.vertices()[edge.target].chain.last().unwrap().name == "Sink: late")
        .collect();
    let [edge] = late[..] else { panic!("{:?}", graph.edges()) };
    assert!(edge.side_output.as_ref().unwrap().as_str().starts_with("aggregate-"));
}

#[test]
fn rows_that_carry_their_window_and_unions_keep_it_too() {
    let graph = plan(&text(
        "INSERT INTO sink SELECT COUNT(*) FROM (SELECT window_start, window_end, window_start > TIMESTAMP '2026-01-01 00:00:00' AS x
           FROM HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND))
         GROUP BY window_start, window_end, x",
    ));
    let [spec] = &aggregates(&graph)[..] else { panic!("{:?}", names(&graph)) };
    assert_eq!(late_columns(spec).len(), 4);

    let graph = plan(&text(
        "CREATE VIEW both AS SELECT auction AS k, ts FROM bids UNION ALL SELECT price AS k, ts FROM bids WHERE price > 1;
         INSERT INTO sink SELECT COUNT(*) FROM TUMBLE(TABLE both, DESCRIPTOR(ts), INTERVAL '10' SECOND)
         GROUP BY window_start, window_end, k",
    ));
    let [spec] = &aggregates(&graph)[..] else { panic!("{:?}", names(&graph)) };
    let columns = late_columns(spec);
    assert_eq!(
        columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["auction", "price", "bidder", "ts"]
    );
}

#[test]
fn windows_of_windows_emit_no_late_row_again() {
    let graph = plan(&text(
        "INSERT INTO sink SELECT MAX(c) FROM (SELECT window_start, window_end, auction, COUNT(*) AS c
           FROM TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end, auction)
         GROUP BY window_start, window_end",
    ));
    let all = aggregates(&graph);
    let late: Vec<bool> = all.iter().map(|spec| !spec.late_rows_of.is_empty()).collect();
    assert_eq!(late, [true, false, false], "{:?}", names(&graph));
}

#[test]
fn side_edges_are_explained() {
    insta::assert_snapshot!(explain(&text(
        "EXPLAIN INSERT INTO sink SELECT COUNT(*) FROM TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)
         GROUP BY window_start, window_end"
    )));
}

#[test]
fn tables_that_do_not_fit_are_refused_at_their_place() {
    let with = |letters: &str, name: &str| {
        refusal(&format!(
            "CREATE TABLE t (a BIGINT) WITH ('connector' = 'unbounded', 'on-error' = 'dlq',\n'on-error.dlq-table' = '{name}');
CREATE TABLE letters (\n{letters}) WITH ('connector' = 'unbounded');
CREATE VIEW v AS SELECT a FROM t;
CREATE TABLE sink (a BIGINT) WITH ('connector' = 'unbounded'); INSERT INTO sink SELECT a FROM t"
        ))
    };
    let missing = with("error STRING", "leters");
    assert_eq!(missing.code(), Code::SqlUnknownName);
    assert!(missing.message().contains("did you mean 'letters'"), "{}", missing.message());
    assert!(missing.message().contains("line 2, column 1"), "{}", missing.message());

    let view = with("error STRING", "v");
    assert!(view.message().contains("names a view"), "{}", view.message());

    let unknown = with("eror STRING", "letters");
    assert_eq!(unknown.code(), Code::SqlUnknownName);
    assert!(
        unknown
            .message()
            .contains("'eror'; did you mean 'error'? (there are: source STRING NOT NULL, position STRING,")
    );
    assert!(unknown.message().contains("line 4, column 1"), "{}", unknown.message());

    let other_type = with("error INT", "letters");
    assert_eq!(other_type.code(), Code::SqlType);
    assert!(
        other_type.message().contains("'error' is INT, but what goes there is STRING"),
        "{}",
        other_type.message()
    );
    assert!(with("raw BYTES NOT NULL", "letters").message().contains("may be NULL"));
    // Late rows may go there, too.
    assert!(with("`row` STRING NOT NULL", "letters").message().contains("must be nullable"));

    let contradiction = refusal(
        "CREATE TABLE t (a BIGINT) WITH ('connector' = 'unbounded',\n 'on-error.dlq-table' = 'x');
         CREATE TABLE sink (a BIGINT) WITH ('connector' = 'unbounded'); INSERT INTO sink SELECT a FROM t",
    );
    assert_eq!(contradiction.code(), Code::TableOptions);
    assert!(contradiction.message().contains("line 2, column 2"), "{}", contradiction.message());
}

#[test]
fn a_window_over_tables_with_other_late_tables_is_refused() {
    let error = refusal(&text(
        "CREATE TABLE plain (k BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'unbounded');
         CREATE VIEW both AS SELECT auction AS k, ts FROM bids UNION ALL SELECT k, ts FROM plain;
         INSERT INTO sink SELECT COUNT(*) FROM TUMBLE(TABLE both, DESCRIPTOR(ts), INTERVAL '10' SECOND)
         GROUP BY window_start, window_end",
    ));
    assert!(error.message().contains("go to different places"), "{}", error.message());
    assert!(error.message().contains("default_database.plain"), "{}", error.message());
}
