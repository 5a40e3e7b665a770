//! OVER: its order, its keys, what it reads and passes on, its identity, and what is refused.

use weir_api::error::Code;
use weir_api::graph::{JobGraph, Partitioning};
use weir_proto::v1::OverAggregateSpec;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::over_aggregate_spec::Frame;

use super::{explain, names, plan, plan_with, refusal};

const TABLES: &str = "
CREATE TABLE bids (
  auction BIGINT, price BIGINT, bidder STRING, n INT, ts TIMESTAMP(3), proc AS PROCTIME(),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'unbounded');
";

fn text(sink: &str, query: &str) -> String {
    format!("{TABLES}CREATE TABLE sink ({sink}) WITH ('connector' = 'unbounded');\nINSERT INTO sink\n{query}")
}

/// The operator's spec and the columns that it reads.
fn over(graph: &JobGraph) -> (OverAggregateSpec, Vec<String>) {
    let chain = |kind: &Kind| matches!(kind, Kind::OverAggregate(_));
    for (index, vertex) in graph.vertices().iter().enumerate() {
        for (position, node) in vertex.chain.iter().enumerate() {
            let Some(Kind::OverAggregate(spec)) = node.spec.kind.clone().filter(chain) else { continue };
            let input = match position.checked_sub(1) {
                Some(before) => vertex.chain[before].output_schema.clone().unwrap(),
                None => {
                    let edge = graph.edges().iter().find(|edge| edge.target == index).unwrap();
                    graph.vertices()[edge.source].output_schema().unwrap().clone()
                }
            };
            return (spec, input.fields().iter().map(|field| field.name().clone()).collect());
        }
    }
    panic!("no OVER: {:?}", names(graph))
}

fn named<'a>(columns: &'a [String], positions: &[u32]) -> Vec<&'a str> {
    positions.iter().map(|&position| columns[position as usize].as_str()).collect()
}

#[test]
fn a_running_count_reads_keys_alone() {
    let graph = plan(&text(
        "auction BIGINT, c BIGINT",
        "SELECT auction, COUNT(*) OVER (PARTITION BY auction ORDER BY proc) FROM bids",
    ));
    let (spec, columns) = over(&graph);
    assert_eq!(columns, ["auction"], "neither the time nor a clock is read");
    assert_eq!((spec.time_column, named(&columns, &spec.key_columns)), (None, vec!["auction"]));
    assert_eq!(named(&columns, &spec.kept_columns), ["auction"]);
    let [count] = &spec.aggregates[..] else { panic!("{:?}", spec.aggregates) };
    assert!(count.function() == Function::Count && count.arguments.is_empty());
    let [edge] = graph.edges() else { panic!("{:?}", graph.edges()) };
    assert_eq!(edge.partitioning, Partitioning::Hash(vec![0]));
    // The table's rows have no watermark, as nobody waits for one.
    let Some(Kind::Source(source)) = &graph.vertices()[0].chain[0].spec.kind else { panic!() };
    assert!(source.watermark.is_none());
}

#[test]
fn event_time_waits_for_watermarks() {
    let query = |frame: &str| {
        plan(&text(
            "bidder STRING, s BIGINT, a INT, t TIMESTAMP(3)",
            &format!(
                "SELECT bidder, SUM(price + 1) FILTER (WHERE n > 1) OVER w, AVG(n) OVER w, ts FROM bids
                 WINDOW w AS (PARTITION BY auction, UPPER(bidder) ORDER BY ts {frame})"
            ),
        ))
    };
    let range = "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW";
    for (frame, wanted) in
        [("", Frame::Range), (range, Frame::Range), ("ROWS UNBOUNDED PRECEDING", Frame::Rows)]
    {
        let graph = query(frame);
        let (spec, columns) = over(&graph);
        assert_eq!(spec.frame(), wanted);
        assert_eq!(columns[spec.time_column.unwrap() as usize], "ts");
        assert_eq!(spec.key_columns.len(), 2);
        assert_eq!(columns[spec.key_columns[0] as usize], "auction");
        let mut kept = named(&columns, &spec.kept_columns);
        kept.sort_unstable();
        assert_eq!(kept, ["bidder", "ts"]);
        assert!(spec.aggregates[0].filter_column.is_some() && spec.aggregates[1].filter_column.is_none());
        let Some(Kind::Source(source)) = &graph.vertices()[0].chain[0].spec.kind else { panic!() };
        assert!(source.watermark.is_some());
    }
}

/// The time of rows that OVER passes on is still event time: windows can follow.
#[test]
fn windows_can_follow() {
    let graph = plan(&text(
        "a BIGINT, m BIGINT",
        "SELECT auction, MAX(c) FROM TUMBLE(
           TABLE (SELECT auction, ts, COUNT(*) OVER (PARTITION BY auction ORDER BY ts) AS c FROM bids),
           DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY auction, window_start, window_end",
    ));
    assert!(
        names(&graph).iter().any(|name| name.starts_with("GlobalWindowAggregate")),
        "{:?}",
        names(&graph)
    );
    let (spec, _) = over(&graph);
    assert_eq!(spec.frame(), Frame::Range);
}

#[test]
fn without_keys_there_is_one_subtask() {
    let graph = plan(&text("c BIGINT", "SELECT COUNT(*) OVER (ORDER BY proc) FROM bids"));
    let vertex = graph.vertices().iter().find(|vertex| vertex.name.contains("OverAggregate")).unwrap();
    assert_eq!(vertex.parallelism, 1);
}

#[test]
fn identity_is_what_is_aggregated() {
    let uid = |sink: &str, query: &str| {
        let graph = plan(&text(sink, query));
        let nodes = graph.vertices().iter().flat_map(|vertex| &vertex.chain);
        nodes.map(|node| node.uid.to_string()).find(|uid| uid.starts_with("over-")).unwrap()
    };
    let one = uid("c BIGINT", "SELECT COUNT(*) OVER (PARTITION BY auction ORDER BY ts) FROM bids");
    let named = uid(
        "c BIGINT",
        "SELECT COUNT(*) OVER w AS other FROM bids WINDOW w AS (PARTITION BY auction ORDER BY ts)",
    );
    assert_eq!(one, named);
    let rows = uid(
        "c BIGINT",
        "SELECT COUNT(*) OVER (PARTITION BY auction ORDER BY ts ROWS UNBOUNDED PRECEDING) FROM bids",
    );
    assert_ne!(one, rows);
}

#[test]
fn keys_are_forgotten_if_told() {
    let text = text("c BIGINT", "SELECT COUNT(*) OVER (PARTITION BY auction ORDER BY proc) FROM bids");
    let graph = plan_with(&text, &[("table.exec.state.ttl", "1 h")]).unwrap();
    assert_eq!(over(&graph).0.state_ttl_millis, 3_600_000);
    assert_eq!(over(&plan(&text)).0.state_ttl_millis, 0);
}

#[test]
fn plans_say_what_runs() {
    insta::assert_snapshot!(explain(&format!(
        "{TABLES}EXPLAIN SELECT auction, price, SUM(price) OVER w AS total, COUNT(*) OVER w AS bids FROM bids
         WHERE n > 3 WINDOW w AS (PARTITION BY auction ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    )));
}

fn check(query: &str, code: Code, place: &str, words: &[&str]) {
    let error = refusal(&text("a BIGINT", query));
    let message = error.chain();
    assert_eq!(error.code(), code, "{message}");
    for word in words {
        assert!(message.contains(word), "no '{word}' in: {message}");
    }
    let first = text("a BIGINT", "").lines().count() + 1;
    let (line, column) = place.split_once(':').unwrap();
    let line = line.parse::<usize>().unwrap() + first - 1;
    assert!(message.contains(&format!("line {line}, column {column}:")), "not at {line}:{column}: {message}");
}

#[test]
fn other_windows_are_refused_at_their_place() {
    let order = |order: &str| format!("SELECT SUM(price) OVER (PARTITION BY auction {order}) FROM bids");
    let unsupported = |query: &str, place, words: &[&str]| check(query, Code::Unsupported, place, words);
    unsupported(&order(""), "1:8", &["SUM OVER needs an ORDER BY a time attribute"]);
    unsupported(&order("ORDER BY ts DESC"), "1:55", &["DESC", "time only goes on"]);
    unsupported(&order("ORDER BY ts, price"), "1:59", &["one time attribute alone"]);
    let frames = [
        "ROWS BETWEEN 5 PRECEDING AND CURRENT ROW",
        "RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW",
        "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
        "GROUPS UNBOUNDED PRECEDING",
    ];
    for frame in frames {
        let words = &["only windows BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"];
        unsupported(&order(&format!("ORDER BY ts {frame}")), "1:55", words);
    }
    unsupported(
        "SELECT COUNT(*) OVER (ORDER BY ts), SUM(price) OVER (PARTITION BY auction ORDER BY ts) FROM bids",
        "1:37",
        &["COUNT and SUM are OVER different windows"],
    );
    unsupported(
        "SELECT ROW_NUMBER() OVER (ORDER BY ts) FROM bids",
        "1:8",
        &["ROW_NUMBER OVER", "aggregates"],
    );
    unsupported(
        "SELECT LISTAGG(bidder) OVER (ORDER BY ts) FROM bids",
        "1:8",
        &["LISTAGG OVER", "these are: COUNT"],
    );
    unsupported("SELECT COUNT(DISTINCT price) OVER (ORDER BY ts) FROM bids", "1:8", &["COUNT(DISTINCT …)"]);
    unsupported("SELECT COUNT(*) OVER w FROM bids", "1:22", &["no WINDOW 'w'"]);
    unsupported("SELECT price FROM bids WHERE COUNT(*) OVER (ORDER BY ts) > 1", "1:30", &["WHERE or HAVING"]);
    check(
        &order("ORDER BY price"),
        Code::SqlType,
        "1:55",
        &["'price', which is BIGINT", "WATERMARK FOR", "PROCTIME()"],
    );
    check(&order("ORDER BY ts + INTERVAL '1' SECOND"), Code::SqlType, "1:1", &["ordered by an expression"]);
}
