//! What is computed twice for a row is computed once, unless it may differ or might not be needed.

use super::{names, plan};

const TABLES: &str =
    "CREATE TABLE t (n INT, s STRING, ts TIMESTAMP(3), c AS JSON_VALUE(s, '$.c'), WATERMARK FOR ts AS ts)
  WITH ('connector' = 'unbounded');
CREATE TABLE two (a STRING, b STRING) WITH ('connector' = 'unbounded');
CREATE TABLE d (a DOUBLE, b DOUBLE) WITH ('connector' = 'unbounded');
CREATE VIEW v AS SELECT n, ts, JSON_VALUE(s, '$.v') AS j FROM t;
";

/// How often the job calls the function.
fn calls(function: &str, query: &str) -> usize {
    let graph = plan(&format!("{TABLES}INSERT INTO {query}"));
    let text = names(&graph).join(" | ").to_lowercase();
    text.matches(&format!("{function}(")).count()
}

#[test]
fn an_expensive_expression_is_evaluated_once() {
    let json = |query: &str| calls("json_value", query);
    assert_eq!(json("two SELECT JSON_VALUE(s, '$.a') || 'x', JSON_VALUE(s, '$.a') || 'y' FROM t"), 1);
    assert_eq!(
        json(
            "two SELECT UPPER(JSON_VALUE(s, '$.a')), JSON_VALUE(s, '$.a') FROM t WHERE JSON_VALUE(s, '$.a') <> 'q'"
        ),
        1
    );
    assert_eq!(
        json("two SELECT JSON_VALUE(s, '$.a') || JSON_VALUE(s, '$.a'), JSON_VALUE(s, '$.b') FROM t"),
        2
    );
    // Behind a view, and in a computed column.
    assert_eq!(json("two SELECT j, j || 'x' FROM v WHERE j LIKE 'a%'"), 1);
    assert_eq!(json("two SELECT c, LOWER(c) FROM t WHERE c <> 'x' AND CHAR_LENGTH(c) < 9"), 1);
    // As an argument of aggregates.
    assert_eq!(
        json(
            "two SELECT MIN(j), MAX(j || 'x') FROM TUMBLE(TABLE v, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
             GROUP BY window_start, window_end"
        ),
        1
    );
    let regexp = "two SELECT REGEXP_EXTRACT(s, 'a(.)', 1), REGEXP_EXTRACT(s, 'a(.)', 1) || 'z' FROM t";
    assert_eq!(calls("regexp_extract", regexp), 1);
}

#[test]
fn what_may_differ_or_may_not_be_needed_is_left_alone() {
    assert_eq!(calls("rand", "d SELECT RAND(), RAND() FROM t"), 2);
    let lazy = "two SELECT CASE WHEN n > 1 THEN JSON_VALUE(s, '$.a') END, CASE WHEN n > 2 THEN JSON_VALUE(s, '$.a') END FROM t";
    assert_eq!(calls("json_value", lazy), 2);
    // Needed for every row by one of them.
    let needed = "two SELECT JSON_VALUE(s, '$.a'), CASE WHEN n > 2 THEN JSON_VALUE(s, '$.a') END FROM t";
    assert_eq!(calls("json_value", needed), 1);
}
