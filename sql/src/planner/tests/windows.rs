//! Window table functions and aggregations: which window a group spans, phases, what stands before and after.

use arrow::datatypes::{DataType, TimeUnit};
use weir_api::graph::{JobGraph, Partitioning};
use weir_api::schema::is_rowtime;
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::window::Kind as WindowKind;
use weir_proto::v1::window_aggregate_spec::Phase;
use weir_proto::v1::{WindowAggregateSpec, window};

use super::{explain, names, plan, specs};

pub const TABLES: &str = "
CREATE TABLE bids (
  auction BIGINT, price BIGINT, bidder STRING, amount DECIMAL(10, 2), n INT, f DOUBLE, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'unbounded');
CREATE TABLE ended (auction BIGINT, price BIGINT, bidder STRING, amount DECIMAL(10, 2), n INT, f DOUBLE, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts) WITH ('connector' = 'bounded');
";

fn text(sink: &str, query: &str) -> String {
    format!("{TABLES} CREATE TABLE sink ({sink}) WITH ('connector' = 'unbounded'); INSERT INTO sink {query}")
}

fn aggregates(graph: &JobGraph) -> Vec<WindowAggregateSpec> {
    specs(graph)
        .into_iter()
        .filter_map(|kind| match kind {
            Kind::WindowAggregate(spec) => Some(spec),
            _ => None,
        })
        .collect()
}

fn windows(graph: &JobGraph) -> Vec<(Phase, WindowKind)> {
    aggregates(graph).into_iter().map(|spec| (spec.phase(), spec.window.unwrap().kind.unwrap())).collect()
}

const TUMBLE: WindowKind = WindowKind::Tumble(window::Tumble { size_millis: 10_000, offset_millis: 0 });

#[test]
fn a_tumbling_count_has_two_phases_and_a_hash_between() {
    let graph = plan(&text(
        "auction BIGINT, n BIGINT, wend TIMESTAMP(3)",
        "SELECT auction, COUNT(*), window_end FROM TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)
         GROUP BY window_start, window_end, auction",
    ));
    assert_eq!(windows(&graph), [(Phase::Local, TUMBLE), (Phase::Global, TUMBLE)]);
    let [edge] = graph.edges() else { panic!("{:?}", graph.edges()) };
    assert_eq!(edge.partitioning, Partitioning::Hash(vec![0]));
    assert_eq!(graph.vertices().len(), 2);
    let local = &aggregates(&graph)[0];
    let input = weir_api::schema::decode(&local.input_schema).unwrap();
    assert_eq!(input.field(local.key_columns[0] as usize).name(), "auction");
    assert_eq!(input.field(local.time_column as usize).name(), "ts");
    // COUNT(*) reads no column.
    assert!(local.aggregates[0].arguments.is_empty());
    assert_eq!(input.fields().len(), 2);
}

#[test]
fn distinct_has_one_phase_behind_the_hash() {
    let graph = plan(&text(
        "auction BIGINT, n BIGINT",
        "SELECT auction, COUNT(DISTINCT bidder) FROM TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)
         GROUP BY window_start, window_end, auction",
    ));
    assert_eq!(windows(&graph), [(Phase::Single, TUMBLE)]);
    let [edge] = graph.edges() else { panic!("{:?}", graph.edges()) };
    let source = &graph.vertices()[edge.source];
    let Partitioning::Hash(columns) = &edge.partitioning else { panic!("{:?}", edge.partitioning) };
    assert_eq!(source.output_schema().unwrap().field(columns[0]).name(), "auction");
    assert!(aggregates(&graph)[0].aggregates[0].distinct);
}

#[test]
fn results_have_flinks_types() {
    let graph = plan(&text(
        "a BIGINT, b INT, c INT, d DECIMAL(38, 2), e DECIMAL(38, 6), f DOUBLE, g BIGINT, h STRING",
        "SELECT AVG(price), AVG(n), SUM(n), SUM(amount), AVG(amount), AVG(f), SUM(price), MIN(bidder)
         FROM TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end",
    ));
    let global = graph.vertices().iter().find(|vertex| vertex.name.starts_with("Global")).unwrap();
    let schema = global.chain[0].output_schema.as_ref().unwrap();
    let types: Vec<DataType> =
        schema.fields().iter().take(8).map(|field| field.data_type().clone()).collect();
    use DataType::{Decimal128, Float64, Int32, Int64, Utf8};
    assert_eq!(types, [Int64, Int32, Int32, Decimal128(38, 2), Decimal128(38, 6), Float64, Int64, Utf8]);
    // No column is cast: the sink has just these types.
    assert!(!names(&graph).join(" ").contains("CAST"), "{:?}", names(&graph));
}

#[test]
fn filters_having_and_expressions_become_columns_and_calcs() {
    let shown = explain(
        &text(
            "bidder STRING, total BIGINT, high BIGINT, share BIGINT, wstart TIMESTAMP(3)",
            "SELECT UPPER(bidder) AS b, SUM(price + 1), COUNT(*) FILTER (WHERE price > 100), SUM(price) / COUNT(*), window_start
             FROM HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)
             WHERE auction <> 7
             GROUP BY UPPER(bidder), window_start, window_end HAVING COUNT(*) > 2 AND window_start > TIMESTAMP '2020-01-01 00:00:00'",
        )
        .replace("INSERT", "EXPLAIN INSERT"),
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn windows_of_windows_keep_their_time_attribute() {
    let graph = plan(&format!(
        "{TABLES}
         CREATE VIEW per_auction AS SELECT auction, SUM(price) AS total, window_start AS ws, window_end AS we, window_time AS rt
           FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND))
           GROUP BY auction, window_start, window_end, window_time;
         CREATE TABLE sink (total BIGINT, we TIMESTAMP(3)) WITH ('connector' = 'unbounded');
         INSERT INTO sink SELECT MAX(total), window_end
           FROM TABLE(TUMBLE(TABLE per_auction, DESCRIPTOR(rt), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;"
    ));
    let minute = WindowKind::Tumble(window::Tumble { size_millis: 60_000, offset_millis: 0 });
    let expected =
        [(Phase::Local, TUMBLE), (Phase::Global, TUMBLE), (Phase::Local, minute), (Phase::Global, minute)];
    assert_eq!(windows(&graph), expected);
    assert_eq!(graph.vertices().len(), 3, "{:?}", names(&graph));
    assert_eq!(graph.vertices()[2].parallelism, 1);
}

#[test]
fn a_window_aggregated_again_is_attached() {
    // Nexmark q5's second step.
    let graph = plan(&text(
        "num BIGINT, we TIMESTAMP(3)",
        "SELECT MAX(num), window_end FROM (
           SELECT auction, COUNT(*) AS num, window_start, window_end
           FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
           GROUP BY auction, window_start, window_end
         ) AS counts GROUP BY window_start, window_end",
    ));
    let hop = WindowKind::Hop(window::Hop { slide_millis: 2_000, size_millis: 10_000, offset_millis: 0 });
    let found = windows(&graph);
    assert_eq!(found[..2], [(Phase::Local, hop), (Phase::Global, hop)]);
    let (Phase::Local, WindowKind::Attached(attached)) = &found[2] else { panic!("{:?}", found[2]) };
    let spec = &aggregates(&graph)[2];
    let input = weir_api::schema::decode(&spec.input_schema).unwrap();
    assert_eq!(input.field(attached.start_column as usize).name(), "window_start");
    assert_eq!(input.field(attached.end_column as usize).name(), "window_end");
    assert!(matches!(found[3], (Phase::Global, WindowKind::Attached(_))));
}

#[test]
fn a_bare_window_function_appends_its_columns() {
    let graph = plan(&text(
        "auction BIGINT, ws TIMESTAMP(3), we TIMESTAMP(3), wt TIMESTAMP(3)",
        "SELECT auction, window_start, window_end, window_time FROM TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)
         WHERE auction > 3",
    ));
    let found = specs(&graph);
    let position = found.iter().position(|kind| matches!(kind, Kind::WindowTableFunction(_))).unwrap();
    // The filter is below.
    let Kind::Calc(calc) = &found[position - 1] else { panic!("{:?}", names(&graph)) };
    assert!(!calc.predicate.is_empty());
    let schema = graph.vertices()[0].chain[position].output_schema.as_ref().unwrap();
    let time = schema.field_with_name("window_time").unwrap();
    assert!(is_rowtime(time) && !is_rowtime(schema.field_with_name("window_end").unwrap()));
    assert_eq!(*time.data_type(), DataType::Timestamp(TimeUnit::Millisecond, None));
}

#[test]
fn grouping_by_what_is_computed_from_a_window_carries_the_window_along() {
    let graph = plan(&text(
        "d STRING, n BIGINT",
        "SELECT DATE_FORMAT(window_start, 'yyyy'), COUNT(*) FROM TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)
         GROUP BY window_start, window_end, DATE_FORMAT(window_start, 'yyyy')",
    ));
    assert!(
        specs(&graph).iter().any(|kind| matches!(kind, Kind::WindowTableFunction(_))),
        "{:?}",
        names(&graph)
    );
    assert!(matches!(windows(&graph)[0], (Phase::Local, WindowKind::Attached(_))));
}

#[test]
fn a_window_function_reads_a_name_of_with() {
    let graph = plan(&text(
        "auction BIGINT, n BIGINT",
        "WITH dear AS (SELECT auction, ts FROM bids WHERE price > 1000)
         SELECT auction, COUNT(*) FROM TUMBLE(TABLE dear, DESCRIPTOR(ts), INTERVAL '10' SECOND)
         GROUP BY auction, window_start, window_end",
    ));
    assert_eq!(windows(&graph)[0], (Phase::Local, TUMBLE));
    assert!(names(&graph)[1].contains("where=[price > 1000]"), "{:?}", names(&graph));
}

#[test]
fn bounded_input_groups_without_a_window() {
    let graph =
        plan(&text("auction BIGINT, n BIGINT", "SELECT auction, COUNT(*) FROM ended GROUP BY auction"));
    let end = WindowKind::EndOfInput(window::EndOfInput {});
    assert_eq!(windows(&graph), [(Phase::Local, end), (Phase::Global, end)]);
    let Kind::Source(source) = &specs(&graph)[0] else { panic!("{:?}", names(&graph)) };
    assert!(source.watermark.is_none(), "nobody waits for it");

    for rows in
        ["ended", "(SELECT n FROM ended UNION ALL SELECT n FROM ended)", "(SELECT DISTINCT n FROM ended)"]
    {
        let graph = plan(&text("n BIGINT", &format!("SELECT COUNT(*) FROM {rows}")));
        let local = &aggregates(&graph)[aggregates(&graph).len() - 2];
        assert!(local.aggregates[0].arguments.is_empty(), "{:?}", names(&graph));
    }
    let graph = plan(&text("n BIGINT", "SELECT SUM(price) FROM ended"));
    assert_eq!(graph.vertices().last().unwrap().parallelism, 1);
    let graph = plan(&text("auction BIGINT", "SELECT DISTINCT auction FROM ended"));
    assert!(aggregates(&graph)[0].aggregates.is_empty());
    let graph = plan(&text("auction BIGINT", "SELECT auction FROM ended UNION SELECT price FROM ended"));
    assert_eq!(windows(&graph)[0], (Phase::Local, end));
}

#[test]
fn windows_that_cumulate_have_two_phases_too() {
    let graph = plan(&text(
        "a BIGINT, s TIMESTAMP(3), e TIMESTAMP(3)",
        "SELECT COUNT(*), window_start, window_end FROM TABLE(CUMULATE(DATA => TABLE bids, TIMECOL => DESCRIPTOR(ts),
           STEP => INTERVAL '10' SECOND, SIZE => INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, auction",
    ));
    let cumulate = window::Cumulate { step_millis: 10_000, size_millis: 60_000, offset_millis: 0 };
    let cumulate = WindowKind::Cumulate(cumulate);
    assert_eq!(windows(&graph), [(Phase::Local, cumulate), (Phase::Global, cumulate)]);
    assert!(names(&graph).iter().any(|name| name.contains("CUMULATE(max_size=[60000 ms], step=[10000 ms])")));
}
