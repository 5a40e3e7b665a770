//! Deep and damaged queries through parser, planner and back: an error in a place, never a panic.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_api::error::Code;

use super::connectors::registry;
use crate::{PlanRequest, plan};

const TABLES: &str = "CREATE TABLE e (id BIGINT, price DOUBLE, name STRING, d DECIMAL(10, 2), arr ARRAY<INT>, r ROW<x INT, y STRING>,
  ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = 'events');
CREATE TABLE o (id BIGINT, price DOUBLE) WITH ('connector' = 'files', 'path' = 'x');
";

/// The error of a text, if it has one; an internal error is a bug.
fn refusal(sql: &str) -> Option<String> {
    let registry = registry();
    let request =
        PlanRequest { sql, name: None, parallelism: None, config: BTreeMap::new(), registry: &registry };
    let error = plan(request).err()?;
    assert!(error.code() != Code::Internal, "{}\nin: {sql}", error.chain());
    Some(error.message().to_owned())
}

#[test]
fn deep_queries_are_planned_or_refused() {
    for link in ["id + ", "id = 1 OR ", "name = 'a' AND ", "- ", "NOT ", "id * 2 - "] {
        let _ = refusal(&format!(
            "{TABLES}INSERT INTO o SELECT id, price FROM e WHERE ({}id) IS NULL",
            link.repeat(240)
        ));
    }
    // Planned up to the depth that a task can decode.
    let chain =
        |length: usize| format!("{TABLES}INSERT INTO o SELECT {}id, price FROM e", "id + ".repeat(length));
    assert_eq!(refusal(&chain(20)), None);
    assert!(
        refusal(&chain(900)).is_some_and(|message| message.starts_with("line 4, column 1: an expression"))
    );
    let unions = "SELECT id, price FROM e UNION ALL ".repeat(200);
    assert_eq!(refusal(&format!("{TABLES}INSERT INTO o {unions}SELECT id, price FROM e")), None);
    let (open, close) = ("(".repeat(120), ")".repeat(120));
    assert_eq!(refusal(&format!("{TABLES}INSERT INTO o SELECT {open}id{close}, price FROM e")), None);
    let subqueries = "SELECT id, price FROM (".repeat(40);
    assert_eq!(
        refusal(&format!("{TABLES}INSERT INTO o {subqueries}SELECT id, price FROM e{}", ")".repeat(40))),
        None
    );
    let values = "(1, 2.5), ".repeat(2_000);
    let _ = refusal(&format!("{TABLES}INSERT INTO o VALUES {values}(1, 2.5)"));
}

/// Pieces that queries are made of; put together at random they mostly parse.
const EXPRESSIONS: &[&str] = &[
    "id",
    "price",
    "name",
    "d",
    "arr",
    "r",
    "r.x",
    "r.z",
    "ts",
    "nope",
    "NULL",
    "1",
    "1.5",
    "'a'",
    "TRUE",
    "arr[1]",
    "-id",
    "NOT id",
    "id + price",
    "name || 'x'",
    "id / 0",
    "CAST(name AS INT)",
    "CAST(id AS ROW<a INT>)",
    "CASE WHEN id > 1 THEN name ELSE 2 END",
    "COUNT(*)",
    "SUM(price) FILTER (WHERE id > 1)",
    "AVG(DISTINCT d)",
    "MAX(r)",
    "COUNT(SUM(id))",
    "UPPER(name)",
    "UPPER(id)",
    "NOPE(id)",
    "HOUR(ts)",
    "ts - INTERVAL '1' SECOND",
    "INTERVAL '1' MONTH",
    "id IN (1, 2, NULL)",
    "id IN (SELECT id FROM e)",
    "(SELECT MAX(id) FROM e)",
    "EXISTS (SELECT 1)",
    "price BETWEEN 1 AND 'x'",
    "name LIKE 1",
    "ROW(1, 'a')",
    "ARRAY[1, 'a']",
    "MAP['a', 1]",
    "window_start",
    "*",
    "e.*",
    "ROW_NUMBER() OVER (PARTITION BY id ORDER BY ts)",
    "EXTRACT(DAY FROM ts)",
    "FLOOR(ts TO HOUR)",
    "id IS NOT DISTINCT FROM name",
    "COALESCE(id, name)",
    "TIMESTAMP '2026-01-01 00:00:00'",
    "9223372036854775807 + 1",
    "1e400",
    "CURRENT_TIMESTAMP",
    "PROCTIME()",
];
const RELATIONS: &[&str] = &[
    "e",
    "o",
    "nope",
    "e AS x",
    "TUMBLE(TABLE e, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
    "HOP(TABLE e, DESCRIPTOR(id), INTERVAL '1' MINUTE, INTERVAL '2' MINUTE)",
    "TUMBLE(TABLE nope, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
    "(SELECT id, price, ts FROM e) AS s",
    "e, o",
    "e JOIN o ON e.id = o.id",
    "(VALUES (1, 2)) AS v(id, price)",
    "UNNEST(ARRAY[1]) AS u(a)",
    "e FOR SYSTEM_TIME AS OF ts",
    "LATERAL TABLE(f(1)) AS l(x)",
    "e MATCH_RECOGNIZE (ORDER BY ts MEASURES A.id AS i PATTERN (A) DEFINE A AS id > 1)",
];
const TAILS: &[&str] = &[
    "",
    "WHERE id > 1",
    "WHERE name",
    "GROUP BY id",
    "GROUP BY id, price, window_start, window_end",
    "GROUP BY 1",
    "GROUP BY ROLLUP (id)",
    "GROUP BY id HAVING COUNT(*) > 1",
    "HAVING id > 1",
    "ORDER BY id",
    "LIMIT 1",
    "UNION ALL SELECT 1, 2",
    "UNION SELECT 1",
    "EXCEPT SELECT 1, 2",
    "QUALIFY id = 1",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]
    #[test]
    fn queries_made_at_random_are_planned_or_refused_in_a_place(
        columns in proptest::collection::vec(proptest::sample::select(EXPRESSIONS), 1..4),
        relation in proptest::sample::select(RELATIONS),
        tail in proptest::sample::select(TAILS),
    ) {
        let text = format!("{TABLES}INSERT INTO o SELECT {} FROM {relation} {tail}", columns.join(", "));
        if let Some(message) = refusal(&text) {
            prop_assert!(message.starts_with("line ") && message.contains('^'), "no place: {}\nin: {}", message, text);
        }
    }
}
