//! Vertices, chains, edges, parallelism, sharing, uids; expressions that survive the wire.

use std::collections::HashSet;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type, Schema};
use datafusion_proto::physical_plan::DefaultPhysicalExtensionCodec;
use datafusion_proto::physical_plan::from_proto::parse_physical_expr;
use datafusion_proto::protobuf::PhysicalExprNode;
use prost::Message;
use weir_api::graph::{JobGraph, Partitioning};
use weir_proto::v1::operator_spec::Kind;

use super::windows::TABLES;
use super::{explain, names, plan, plan_with, specs};

const SINKS: &str = "CREATE TABLE sink (a BIGINT) WITH ('connector' = 'unbounded');
CREATE TABLE other (a BIGINT) WITH ('connector' = 'unbounded');";

fn text(statements: &str) -> String {
    format!("{TABLES}{SINKS}{statements}")
}

fn uids(graph: &JobGraph) -> Vec<String> {
    graph.vertices().iter().flat_map(|vertex| &vertex.chain).map(|node| node.uid.to_string()).collect()
}

const COUNT: &str =
    "INSERT INTO sink SELECT COUNT(*) FROM TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
    GROUP BY window_start, window_end, auction;";

#[test]
fn uids_depend_on_the_meaning_alone() {
    let graph = plan(&text(COUNT));
    let own: HashSet<String> = uids(&graph).into_iter().collect();
    let again = plan_with(
        &text(COUNT),
        &[("parallelism.default", "7"), ("pipeline.operator-chaining.enabled", "false")],
    );
    let again = again.unwrap();
    assert_eq!(own, uids(&again).into_iter().collect());
    assert_eq!(again.vertices().len(), own.len(), "nothing is chained");

    let more = plan(&text(&format!("INSERT INTO other SELECT price FROM ended WHERE n = 1; {COUNT}")));
    assert!(own.is_subset(&uids(&more).into_iter().collect()));
    // Another name for a result keeps the state; another window doesn't.
    let renamed = plan(&text(&COUNT.replace("COUNT(*)", "COUNT(*) AS c")));
    assert_eq!(own, uids(&renamed).into_iter().collect());
    let longer = plan(&text(&COUNT.replace("'1' MINUTE", "'2' MINUTE")));
    assert!(uids(&longer).iter().all(|uid| !uid.contains("aggregate") || !own.contains(uid)));
}

#[test]
fn what_two_inserts_read_alike_is_read_once() {
    let graph = plan(&text(
        "INSERT INTO sink SELECT price FROM bids WHERE n = 1; INSERT INTO other SELECT price FROM bids WHERE n = 2;",
    ));
    let sources = specs(&graph).iter().filter(|kind| matches!(kind, Kind::Source(_))).count();
    assert_eq!(sources, 1, "{:?}", names(&graph));
    // The source has two consumers, so it is alone in its vertex.
    assert_eq!(graph.vertices().len(), 3);
    assert!(graph.edges().iter().all(|edge| edge.source == 0 && edge.partitioning == Partitioning::Forward));

    let graph =
        plan(&text("INSERT INTO sink SELECT price FROM bids; INSERT INTO sink SELECT price FROM bids;"));
    let unique: HashSet<String> = uids(&graph).into_iter().collect();
    assert_eq!(unique.len(), uids(&graph).len(), "two sinks, two uids");
    assert_eq!(graph.vertices().len(), 3);
}

#[test]
fn only_filters_that_all_readers_have_are_pushed_down() {
    let table = "CREATE TABLE f (a BIGINT, n BIGINT, b BIGINT, s STRING) WITH ('connector' = 'filtering');";
    let graph = plan(&text(&format!(
        "{table} INSERT INTO sink SELECT a FROM f WHERE n = 1 AND b = 7; INSERT INTO other SELECT a + n FROM f WHERE b = 7 AND n = 2;"
    )));
    let sources: Vec<_> = specs(&graph)
        .into_iter()
        .filter_map(|kind| match kind {
            Kind::Source(source) => Some(source),
            _ => None,
        })
        .collect();
    let [source] = &sources[..] else { panic!("{:?}", names(&graph)) };
    let filters: Vec<String> = source.filters.iter().map(crate::planner::predicate_text).collect();
    assert_eq!(filters, ["b = 7"]);
    let read = weir_api::schema::decode(&source.projected_schema).unwrap();
    let read: Vec<&str> = read.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(read, ["a", "n"], "the columns of both, without the one that only the source compares");
    let calcs = names(&graph).join(" | ");
    assert!(calcs.contains("where=[n = 1]") && calcs.contains("where=[n = 2]"), "{calcs}");

    let alone = plan(&text(&format!("{table} INSERT INTO sink SELECT a FROM f WHERE n = 1 AND b = 7")));
    let Kind::Source(source) = &specs(&alone)[0] else { panic!() };
    assert_eq!(source.filters.len(), 2);
}

#[test]
fn ranges_that_follow_from_a_filter_are_pushed_down() {
    let table = "CREATE TABLE f (a BIGINT, n BIGINT, s STRING) WITH ('connector' = 'ranging');";
    let graph = plan(&text(&format!(
        "{table} INSERT INTO sink SELECT a FROM f WHERE n IN (1, 2, 4, 9, 16) AND s LIKE 'ab%' AND (a = 5 OR a = 7) AND a <> 6"
    )));
    let Kind::Source(source) = &specs(&graph)[0] else { panic!() };
    let filters: Vec<String> = source.filters.iter().map(crate::planner::predicate_text).collect();
    assert_eq!(
        filters,
        ["a <> 6", "n >= 1", "n <= 16", "a >= 5", "a <= 7", "s >= 'ab'", "s <= 'ac'"],
        "{:?}",
        names(&graph)
    );
    // They don't replace what they follow from.
    let calc = names(&graph).join(" | ");
    assert!(calc.contains("IN ([1, 2, 4, 9, 16])") && calc.contains("LIKE 'ab%'"), "{calc}");
}

#[test]
fn a_view_and_a_name_of_with_are_read_once() {
    let graph = plan(&text(
        "CREATE VIEW v AS SELECT price, n FROM bids WHERE bidder LIKE 'a%';
         INSERT INTO sink WITH w AS (SELECT price, n FROM v WHERE n > 1)
           SELECT price FROM w UNION ALL SELECT price + 1 FROM w WHERE price > 7 UNION ALL SELECT price FROM v;",
    ));
    let sources = specs(&graph).iter().filter(|kind| matches!(kind, Kind::Source(_))).count();
    assert_eq!(sources, 1, "{:?}", names(&graph));
}

#[test]
fn what_may_differ_is_computed_for_each() {
    let graph = plan(&text(
        "INSERT INTO sink SELECT price FROM bids WHERE RAND() < 0.5; INSERT INTO other SELECT price FROM bids WHERE RAND() < 0.5;",
    ));
    let calcs = specs(&graph).iter().filter(|kind| matches!(kind, Kind::Calc(_))).count();
    assert_eq!(calcs, 2, "{:?}", names(&graph));
}

#[test]
fn unions_are_edges() {
    let graph =
        plan(&text("INSERT INTO sink SELECT price FROM bids WHERE n = 1 UNION ALL SELECT price FROM ended;"));
    let sink = graph.vertices().len() - 1;
    assert_eq!(graph.inputs(sink).count(), 2);
    assert!(
        graph.inputs(sink).all(|(_, edge)| edge.input == 0 && edge.partitioning == Partitioning::Forward)
    );
    assert_eq!(names(&graph).last(), Some(&"Sink: sink"));

    let graph = plan(&text(
        "INSERT INTO sink SELECT n FROM bids UNION ALL SELECT price FROM bids UNION ALL SELECT n FROM bids;",
    ));
    let sink = graph.vertices().len() - 1;
    assert_eq!(graph.inputs(sink).count(), 3, "the same rows twice are rows twice: {:?}", names(&graph));
}

#[test]
fn parallelism_follows_options_and_splits() {
    let tables = "CREATE TABLE few (a BIGINT) WITH ('connector' = 'unbounded', 'splits' = '1');
        CREATE TABLE own (a BIGINT) WITH ('connector' = 'unbounded', 'scan.parallelism' = '3');
        CREATE TABLE narrow (a BIGINT) WITH ('connector' = 'unbounded', 'sink.parallelism' = '1');";
    let of = |statements: &str| {
        let graph = plan(&format!("{tables}{}", text(statements)));
        let parallelisms: Vec<u32> = graph.vertices().iter().map(|vertex| vertex.parallelism).collect();
        let how: Vec<&str> = graph.edges().iter().map(|edge| edge.partitioning.as_str()).collect();
        (parallelisms, how.join(" "))
    };
    assert_eq!(of("INSERT INTO sink SELECT a FROM few"), (vec![1], String::new()));
    assert_eq!(of("INSERT INTO sink SELECT a FROM own"), (vec![3], String::new()));
    assert_eq!(of("INSERT INTO narrow SELECT a FROM own"), (vec![3, 1], "REBALANCE".to_owned()));
    assert_eq!(of("INSERT INTO sink SELECT a FROM own UNION ALL SELECT a FROM few").0, vec![3, 1, 3]);
}

#[test]
fn a_job_is_named_after_its_sinks() {
    let statement = text("INSERT INTO sink SELECT price FROM bids");
    assert_eq!(plan(&statement).name(), "insert-into_default_catalog.default_database.sink");
    let named = plan_with(&format!("SET 'pipeline.name' = 'mine'; {statement}"), &[]).unwrap();
    assert_eq!(named.name(), "mine");
    assert_eq!(named.config().get("pipeline.name").map(String::as_str), Some("mine"));
}

#[test]
fn watermarks_say_when_a_split_is_idle() {
    let set = format!("SET 'table.exec.source.idle-timeout' = '3 s'; {}", text(COUNT));
    let idle = |text: &str| match &specs(&plan(text))[0] {
        Kind::Source(source) => source.watermark.as_ref().unwrap().idle_timeout_millis,
        other => panic!("{other:?}"),
    };
    assert_eq!(idle(&set), 3_000);
    let own = set.replace(
        "'connector' = 'unbounded'",
        "'connector' = 'unbounded', 'scan.watermark.idle-timeout' = '1 min'",
    );
    assert_eq!(idle(&own), 60_000);
}

#[test]
fn expressions_are_decoded_as_they_were_meant() {
    let graph = plan(
        "CREATE TABLE t (k BIGINT, s STRING) WITH ('connector' = 'unbounded');
         CREATE TABLE out (a DECIMAL(23, 3), b STRING, c BIGINT) WITH ('connector' = 'unbounded');
         INSERT INTO out SELECT 0.908 * k, UPPER(s) || '!', CASE WHEN k > 1 THEN k / 2 ELSE 0 END FROM t WHERE s <> 'no';"
    );
    let Kind::Calc(calc) = &specs(&graph)[1] else { panic!("{:?}", names(&graph)) };
    let input =
        Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("s", DataType::Utf8, true)]);
    let rows = RecordBatch::try_new(
        input.into(),
        vec![
            std::sync::Arc::new(Int64Array::from(vec![1, 7])),
            std::sync::Arc::new(StringArray::from(vec!["a", "no"])),
        ],
    )
    .unwrap();
    let context = weir_functions::task_context(None);
    let evaluate = |bytes: &[u8]| {
        let node = PhysicalExprNode::decode(bytes).unwrap();
        let expression =
            parse_physical_expr(&node, &context, rows.schema_ref(), &DefaultPhysicalExtensionCodec {})
                .unwrap();
        expression.evaluate(&rows).unwrap().into_array(rows.num_rows()).unwrap()
    };
    assert_eq!(evaluate(&calc.predicate).as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(false)]);
    let money = evaluate(&calc.projection[0].expression);
    assert_eq!(*money.data_type(), DataType::Decimal128(23, 3));
    assert_eq!(money.as_primitive::<Decimal128Type>().values()[..], [908, 6356]);
    assert_eq!(evaluate(&calc.projection[1].expression).as_string::<i32>().value(0), "A!");
    assert_eq!(evaluate(&calc.projection[2].expression).as_primitive::<Int64Type>().values()[..], [0, 3]);
}

#[test]
fn what_a_filter_computes_anyway_is_computed_once() {
    let named = |query: &str| names(&plan(&text(&format!("INSERT INTO sink {query}")))).join(" | ");
    let shared = named("SELECT price * 2 FROM bids WHERE price * 2 > 10");
    assert!(shared.contains("price * 2 AS $common0"), "{shared}");
    // A division is left behind the filter that it needs.
    let guarded = named("SELECT price / n FROM bids WHERE n <> 0 AND price / n > 10");
    assert!(!guarded.contains("$common"), "{guarded}");
    // What a CASE may skip isn't computed for every row.
    let skipped =
        named("SELECT price * 2 FROM bids WHERE CASE WHEN n > 1 THEN price * 2 > 10 ELSE n = 0 END");
    assert!(!skipped.contains("$common"), "{skipped}");
}

#[test]
fn a_query_without_a_sink_is_explained() {
    insta::assert_snapshot!(explain(&text(
        "EXPLAIN SELECT auction, f * 2 AS twice FROM bids WHERE bidder LIKE 'a%'"
    )));
}
