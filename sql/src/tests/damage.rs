//! Deep and damaged queries through parser, planner and back: an error in a place, never a panic.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_api::error::Code;

use super::connectors::{registry, registry_with_print};
use crate::parser::tests::mutations::{Numbers, damaged};
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

/// Whole texts, which run, answer or declare.
const TEXTS: &[&str] = &[
    "CREATE TABLE l (n AS id + 1) WITH ('path' = 'y') LIKE o (EXCLUDING CONSTRAINTS); ALTER TABLE l ADD (m INT FIRST); ALTER TABLE l RENAME n TO k; DESCRIBE l; SHOW CREATE TABLE l; INSERT INTO l SELECT 1, id, price FROM e; DROP TABLE l",
    "CREATE TABLE t (price, id) WITH ('connector' = 'files', 'path' = 't') AS SELECT id, price FROM e WHERE id > 1; SHOW COLUMNS FROM t; SELECT * FROM t",
    "CREATE FUNCTION f(x BIGINT, y ROW<a INT>) RETURNS STRING RETURN CAST(x + y.a AS STRING) || 'x'; CREATE VIEW v AS SELECT f(id, ROW(1)) AS s FROM e; ALTER VIEW v RENAME TO w; DESCRIBE w; SHOW FUNCTIONS LIKE 'f%'; INSERT INTO o (id) SELECT CHAR_LENGTH(s) FROM w",
    "CREATE DATABASE d; USE d; CREATE TEMPORARY TABLE o LIKE default_database.o; SHOW TABLES; SELECT id FROM o /*+ OPTIONS('path' = 'z') */ AS p WHERE p.price > 1; DROP TEMPORARY TABLE o; USE default_catalog.default_database; DROP DATABASE d CASCADE; SHOW DATABASES",
    "CREATE TABLE p (id BIGINT, n INT) PARTITIONED BY (n) WITH ('connector' = 'files', 'path' = 'p'); INSERT INTO p /*+ OPTIONS('path' = 'q') */ PARTITION (n = 7) (id) SELECT COUNT(*) FROM TUMBLE(TABLE e, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end; SET; EXPLAIN JSON_EXECUTION_PLAN SELECT id, n FROM p",
];

#[test]
#[expect(clippy::disallowed_methods, reason = "how long a text takes is what is tested")]
fn damaged_texts_are_planned_or_refused_in_time() {
    let count = std::env::var("WEIR_SQL_PLANS").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
    let texts: Vec<String> = TEXTS.iter().map(|text| format!("{TABLES}{text}")).collect();
    let seeds: Vec<&str> = texts.iter().map(String::as_str).collect();
    let registry = registry_with_print();
    let planned = |sql: &str| {
        plan(PlanRequest { sql, name: None, parallelism: None, config: BTreeMap::new(), registry: &registry })
    };
    for seed in &seeds {
        planned(seed).unwrap_or_else(|error| panic!("{error}\n{seed}"));
    }
    let mut numbers = Numbers::new(0x2545_F491_4F6C_DD1D);
    let (mut whole, mut slowest) = (0_u32, std::time::Duration::ZERO);
    for _ in 0..count {
        let text = damaged(&seeds, &mut numbers);
        let begun = std::time::Instant::now();
        match planned(&text) {
            Ok(_) => whole += 1,
            Err(error) => {
                assert!(error.code() != Code::Internal, "{}\nin: {text}", error.chain());
                let message = error.message();
                let has_place = message.starts_with("line ") || error.code() == Code::InvalidConfiguration;
                assert!(has_place, "no place: {message}\nin: {text}");
            }
        }
        slowest = slowest.max(begun.elapsed());
    }
    println!("{count} texts, {whole} of them planned, the slowest took {slowest:?}");
    assert!(slowest.as_secs() < 2, "a text took {slowest:?}");
}
