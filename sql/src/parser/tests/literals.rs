//! Literals, and how expressions read.

use super::{query_text, refusal};
use crate::parser::interval::Interval;
use crate::statement::Statement;

/// The one expression of `SELECT expression`.
fn expression_text(text: &str) -> String {
    let printed = query_text(&format!("SELECT {text}"));
    printed.strip_prefix("SELECT ").unwrap().to_owned()
}

fn interval(text: &str) -> Option<Interval> {
    use datafusion::sql::sqlparser::ast::{SelectItem, SetExpr};
    let Statement::Query(query) = super::one(&format!("SELECT {text}")) else { panic!("{text}") };
    let SetExpr::Select(select) = *query.ast.body else { panic!("{text}") };
    let SelectItem::UnnamedExpr(expression) = &select.projection[0] else { panic!("{text}") };
    Interval::of_expr(expression)
}

#[test]
fn intervals_have_one_length() {
    let millis =
        |text: &str, millis: i64| assert_eq!(interval(text), Some(Interval::Millis(millis)), "{text}");
    millis("INTERVAL '10' SECOND", 10_000);
    millis("INTERVAL '10' SECONDS", 10_000);
    millis("interval '1.5' second(3)", 1_500);
    millis("INTERVAL '1.0006' SECOND(3, 6)", 1_000);
    millis("INTERVAL '-10' SECOND", -10_000);
    millis("INTERVAL -'10' SECOND", -10_000);
    millis("INTERVAL - '-10' SECOND", 10_000);
    millis("-INTERVAL '10' SECOND", -10_000);
    millis("(INTERVAL '+10' SECOND)", 10_000);
    millis("INTERVAL '2' MINUTES", 120_000);
    millis("INTERVAL '100' HOUR", 360_000_000);
    millis("INTERVAL '1' DAY", 86_400_000);
    millis("INTERVAL '2' WEEKS", 1_209_600_000);
    millis("INTERVAL '1:30' MINUTE TO SECOND", 90_000);
    millis("INTERVAL '1:30.25' MINUTE TO SECOND", 90_250);
    millis("INTERVAL '1:30' HOUR TO MINUTE", 5_400_000);
    millis("INTERVAL '1:00:01' HOUR TO SECOND", 3_601_000);
    millis("INTERVAL '1 12' DAY TO HOUR", 129_600_000);
    millis("INTERVAL '1 12:30' DAY TO MINUTE", 131_400_000);
    millis("INTERVAL '-1 00:00:00.001' DAY TO SECOND", -86_400_001);
    let months =
        |text: &str, months: i32| assert_eq!(interval(text), Some(Interval::Months(months)), "{text}");
    months("INTERVAL '3' MONTH", 3);
    months("INTERVAL '2' YEARS", 24);
    months("INTERVAL '1' QUARTER", 3);
    months("INTERVAL '1-6' YEAR TO MONTH", 18);
    months("INTERVAL '-1-6' YEAR TO MONTH", -18);
    assert_eq!(interval("1 + 1"), None);
}

#[test]
fn wrong_intervals_are_refused() {
    let cases = [
        (
            "INTERVAL 10 SECOND",
            "1:17 expected an interval's value in quotes, as in INTERVAL '10' SECOND, found 10",
        ),
        (
            "INTERVAL '10'",
            "1:21 expected a unit (YEAR, MONTH, DAY, HOUR, MINUTE, SECOND …), found the end of the statement",
        ),
        (
            "INTERVAL '10' PARSEC",
            "1:22 expected a unit (YEAR, MONTH, DAY, HOUR, MINUTE, SECOND …), found PARSEC",
        ),
        ("INTERVAL 'x' SECOND", "1:17 'x' doesn't read as SECOND; write it as in '1.5'"),
        ("INTERVAL '' SECOND", "1:17 '' doesn't read as SECOND; write it as in '1.5'"),
        ("INTERVAL '1.5' MINUTE", "1:17 '1.5' doesn't read as MINUTE; write it as in '1'"),
        (
            "INTERVAL '1:61' MINUTE TO SECOND",
            "1:17 '1:61' doesn't read as MINUTE TO SECOND; write it as in '1:30'",
        ),
        (
            "INTERVAL '90' MINUTE TO SECOND",
            "1:17 '90' doesn't read as MINUTE TO SECOND; write it as in '1:30'",
        ),
        (
            "INTERVAL '1' SECOND TO MINUTE",
            "1:31 an interval goes from YEAR TO MONTH, or from DAY, HOUR or MINUTE to a smaller one of them or SECOND",
        ),
        (
            "INTERVAL '999999999999999999' DAY",
            "1:17 '999999999999999999' doesn't read as DAY; write it as in '1'",
        ),
        ("INTERVAL '999999999999' YEAR", "1:17 the interval is too long"),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(&format!("SELECT {text}")), expected, "{text}");
    }
}

#[test]
fn a_column_may_be_called_like_a_type() {
    assert_eq!(expression_text("interval + 1"), "interval + 1");
    assert_eq!(expression_text("`interval`"), "`interval`");
    assert_eq!(expression_text("dateTime - INTERVAL '1' SECOND"), "dateTime - INTERVAL '1000 milliseconds'");
    assert_eq!(expression_text("bid.dateTime"), "bid.dateTime");
    assert_eq!(expression_text("t.date, t.timestamp, url, state"), "t.date, t.timestamp, url, state");
}

#[test]
fn typed_literals_have_their_precision() {
    assert_eq!(expression_text("DATE '2026-01-31'"), "DATE '2026-01-31'");
    assert_eq!(expression_text("TIME '12:30:00'"), "TIME(3) '12:30:00'");
    assert_eq!(expression_text("TIMESTAMP '2026-01-31 12:30:00'"), "TIMESTAMP(0) '2026-01-31 12:30:00'");
    assert_eq!(
        expression_text("TIMESTAMP '2026-01-31 12:30:00.123456'"),
        "TIMESTAMP(6) '2026-01-31 12:30:00.123456'"
    );
    assert_eq!(
        refusal("SELECT DATE '2026-02-30'"),
        "1:13 '2026-02-30' is no such value; write it as DATE '2026-01-31'"
    );
    assert_eq!(
        refusal("SELECT\n  TIMESTAMP 'yesterday'"),
        "2:13 'yesterday' is no such value; write it as TIMESTAMP '2026-01-31 23:59:59.999'"
    );
    assert_eq!(
        refusal("SELECT TIME '25:00'"),
        "1:13 '25:00' is no such value; write it as TIME '23:59:59.999'"
    );
}

#[test]
fn casts_take_flinks_types() {
    assert_eq!(expression_text("CAST(a AS STRING)"), "CAST(a AS STRING)");
    assert_eq!(expression_text("CAST(a AS TIMESTAMP_LTZ(3))"), "CAST(a AS TIMESTAMP_LTZ(3))");
    assert_eq!(
        expression_text("TRY_CAST(a AS ROW<b ARRAY<INT>, c BYTES>)"),
        "TRY_CAST(a AS ROW<`b` ARRAY<INT>, `c` BYTES>)"
    );
    assert_eq!(
        expression_text("CAST(CAST(a AS DECIMAL(10, 2)) AS VARCHAR(5))"),
        "CAST(CAST(a AS DECIMAL(10, 2)) AS VARCHAR(5))"
    );
    assert_eq!(refusal("SELECT CAST(a AS BIGITN)"), "1:18 there is no type 'BIGITN'; did you mean BIGINT?");
    assert_eq!(refusal("SELECT\n CAST(a, INT)"), "2:8 expected AS, found ,");
}

#[test]
fn a_cast_keeps_its_type_through_the_tree() {
    use datafusion::sql::sqlparser::ast::{Expr, SelectItem, SetExpr};
    let Statement::Query(query) = super::one("SELECT CAST(a AS ROW<`x y` MAP<STRING, INT>>)") else {
        panic!()
    };
    let SetExpr::Select(select) = *query.ast.body else { panic!() };
    let SelectItem::UnnamedExpr(Expr::Cast { data_type, .. }) = &select.projection[0] else { panic!() };
    let read = crate::parser::type_from_ast(data_type).unwrap();
    assert_eq!(read.to_string(), "ROW<`x y` MAP<STRING, INT>>");
}

#[test]
fn expressions_of_flink_read() {
    for text in [
        "CASE WHEN a = 1 THEN 'x' WHEN a IN (2, 3) THEN 'y' ELSE NULL END",
        "CASE a WHEN 1 THEN 'x' END",
        "COUNT(*) FILTER (WHERE price < 10000)",
        "COUNT(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000)",
        "a IS NOT DISTINCT FROM b",
        "a BETWEEN 1 AND 2 OR NOT b LIKE 'x%'",
        "person.address.city",
        "ROW(1, 'a')",
        "MAP('a', 1)",
        "ARRAY[1, 2, 3]",
        "arr[1]",
        "EXTRACT(HOUR FROM ts)",
        "FLOOR(ts TO HOUR)",
        "TRIM(BOTH 'x' FROM a)",
        "SUBSTRING(a FROM 2 FOR 3)",
        "POSITION('a' IN b)",
        "a || 'b' || c",
        "REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2)",
        "SUM(x) OVER (PARTITION BY k ORDER BY ts)",
        "EXISTS (SELECT 1)",
        "CURRENT_TIMESTAMP",
        "PROCTIME()",
        "1.5e3",
        "'it''s'",
        "-5 % 3",
        "a.b.c.d",
        "(a, b) IN ((1, 2), (3, 4))",
        "x IS TRUE AND y IS NOT FALSE",
        "TIMESTAMPDIFF(SECOND, a, b)",
        "COALESCE(a, b)",
    ] {
        assert_eq!(expression_text(text), text);
    }
    assert_eq!(expression_text("map['a', 1, 'b', 2]"), "map('a', 1, 'b', 2)");
    assert_eq!(expression_text("U&'\\00e4'"), "U&'\\00E4'");
}

#[test]
fn comments_and_case() {
    assert_eq!(
        query_text("-- first\nselect /* a */ Price, price -- b\nfrom `My Table`"),
        "SELECT Price, price FROM `My Table`"
    );
    assert_eq!(query_text("SELECT `a``b` FROM t"), "SELECT `a``b` FROM t");
}
