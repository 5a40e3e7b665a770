//! The examples of the functions' documentation: each is planned and evaluated as a query would be.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use weir_api::config::Configuration;

use super::connectors;
use crate::catalog::{Deferred, Session};
use crate::error::SqlResult;
use crate::parser::parse;
use crate::planner::explain_query;
use crate::planner::expressions::physical;

const TABLE: &str = "CREATE TABLE one (x INT) WITH ('connector' = 'bounded');";

/// The value of an expression, as text.
pub(super) fn evaluate(expression: &str) -> SqlResult<String> {
    let mut session = Session::new(&connectors::registry());
    let (base, _) = Configuration::from_pairs([]).unwrap();
    let mut shown = String::new();
    for statement in parse(&format!("{TABLE} SELECT {expression} AS y FROM one"))? {
        let Some(Deferred::Query(query)) = session.execute(statement)? else { continue };
        let logical = explain_query(&query, &session, &base)?.logical;
        let mut plan = &logical.first().expect("a query").1;
        while let LogicalPlan::SubqueryAlias(alias) = plan {
            plan = &alias.input;
        }
        let LogicalPlan::Projection(projection) = plan else { panic!("{plan}") };
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int32, true)]));
        let x: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        let row = RecordBatch::try_new(schema.clone(), vec![x]).unwrap();
        let physical = physical(&unnormalize_col(projection.expr[0].clone()), &schema)?;
        let value = physical
            .evaluate(&row)
            .and_then(|value| value.into_array(1))
            .map_err(|error| weir_api::error::Error::internal(error.strip_backtrace()))?;
        shown = weir_functions::example_text(&value, 0);
    }
    Ok(shown)
}

#[test]
fn every_scalar_example_gives_what_it_says() {
    let mut wrong = Vec::new();
    for function in weir_functions::describe() {
        let Some(example) = function.example else { continue };
        let found = match evaluate(example.expression) {
            Ok(found) => found,
            Err(error) => error.into_error(example.expression).chain(),
        };
        if found != example.result {
            wrong.push(format!("{} gives {found}, not {}", example.expression, example.result));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (expression, wanted) in cases {
        let found = evaluate(expression).unwrap_or_else(|error| error.into_error(expression).chain());
        if found != *wanted {
            wrong.push(format!("{expression} gives {found}, not {wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn json_clauses_say_what_happens_where_nothing_is_found() {
    check(&[
        (r#"JSON_VALUE('{"a": true}', '$.a')"#, "true"),
        (r#"JSON_VALUE('{"a": true}', '$.a' RETURNING BOOLEAN)"#, "true"),
        (r#"JSON_VALUE('{"a": true}', 'lax $.b' DEFAULT FALSE ON EMPTY)"#, "false"),
        (r#"JSON_VALUE('{"a": true}', 'strict $.b' DEFAULT FALSE ON ERROR)"#, "false"),
        (r#"JSON_VALUE('{"a": true}', 'strict $.b' DEFAULT 'x' ON EMPTY)"#, "NULL"),
        (r#"JSON_VALUE('{"a.b": [0.998,0.996]}', '$.["a.b"][0]' RETURNING DOUBLE)"#, "0.998"),
        (
            r#"JSON_VALUE('{"a b": "right"}', 'strict $.[''a b'']' NULL ON EMPTY DEFAULT 'wrong' ON ERROR)"#,
            "right",
        ),
        (r#"JSON_VALUE('{"a": "12"}', '$.a' RETURNING INT)"#, "12"),
        (r#"JSON_VALUE('{"a": "x"}', '$.a' RETURNING INT DEFAULT -1 ON ERROR)"#, "-1"),
        (r#"JSON_VALUE('{"a": 3000000000}', '$.a' RETURNING INT)"#, "NULL"),
        (r#"JSON_VALUE('{"a": 3000000000}', '$.a' RETURNING BIGINT)"#, "3000000000"),
        (r#"JSON_VALUE('{"a": {}}', '$.a' DEFAULT 'empty' ON EMPTY DEFAULT 'error' ON ERROR)"#, "empty"),
        (
            r#"JSON_VALUE('{"a": {}}', 'strict $.a' DEFAULT 'empty' ON EMPTY DEFAULT 'error' ON ERROR)"#,
            "error",
        ),
        (r#"JSON_VALUE('{"a": null}', '$.a' DEFAULT 'empty' ON EMPTY)"#, "empty"),
        ("JSON_VALUE('no', '$.a' DEFAULT 'error' ON ERROR)", "error"),
        ("JSON_VALUE(CAST(NULL AS STRING), '$.a' DEFAULT 'empty' ON EMPTY)", "NULL"),
        (r#"JSON_QUERY('{ "a": { "b": 1 } }', '$.a')"#, r#"{"b":1}"#),
        (r#"JSON_QUERY('{"a":[{"c":"c1"},{"c":"c2"}]}', 'lax $.a[*].c')"#, r#"["c1","c2"]"#),
        ("JSON_QUERY('{}', '$' WITH CONDITIONAL ARRAY WRAPPER)", "[{}]"),
        ("JSON_QUERY('[1, 2]', '$' WITH CONDITIONAL ARRAY WRAPPER)", "[1,2]"),
        ("JSON_QUERY('[1, 2]', '$' WITH UNCONDITIONAL ARRAY WRAPPER)", "[[1,2]]"),
        ("JSON_QUERY('[1, 2]', '$' WITH WRAPPER)", "[[1,2]]"),
        ("JSON_QUERY('1', '$')", "NULL"),
        ("JSON_QUERY('1', '$' WITHOUT WRAPPER EMPTY OBJECT ON EMPTY)", "{}"),
        ("JSON_QUERY('1', '$' WITH CONDITIONAL ARRAY WRAPPER)", "[1]"),
        ("JSON_QUERY('{}', 'lax $.invalid' EMPTY OBJECT ON EMPTY)", "{}"),
        ("JSON_QUERY('{}', 'strict $.invalid' EMPTY ARRAY ON ERROR)", "[]"),
        (r#"JSON_EXISTS('{"a": true}', 'strict $.b' TRUE ON ERROR)"#, "true"),
        (r#"JSON_EXISTS('{"a": true}', 'strict $.b' UNKNOWN ON ERROR)"#, "NULL"),
        (r#"JSON_EXISTS('{"a": true}', 'strict $.b')"#, "false"),
        (r#"JSON_EXISTS('{"a": true}', '$.b' TRUE ON ERROR)"#, "false"),
        ("'1' IS JSON", "true"),
        ("'abc' IS JSON", "false"),
        ("CAST(NULL AS STRING) IS JSON", "false"),
        ("'abc' IS NOT JSON", "true"),
        ("'1' IS JSON SCALAR", "true"),
        ("'{}' IS JSON SCALAR", "false"),
        ("'{}' IS JSON OBJECT AND NOT '{}' IS JSON ARRAY", "true"),
    ]);
    let refused = |text: &str| evaluate(text).unwrap_err().into_error(text).chain();
    assert!(refused("JSON_VALUE('no', '$.a' ERROR ON ERROR)").contains("ON ERROR says ERROR"));
    assert!(refused("JSON_VALUE('{}', '$.a' ERROR ON EMPTY)").contains("finds nothing at '$.a'"));
    assert!(refused("JSON_VALUE('{}', '$.a' NULL ON ERROR NULL ON EMPTY)").contains("after ON"));
    assert!(refused("JSON_VALUE('{}', '$.a' RETURNING DATE)").contains("DOUBLE"));
}

#[test]
fn json_is_made_of_any_value() {
    check(&[
        ("JSON_OBJECT()", "{}"),
        ("JSON_OBJECT('K1' VALUE 'V1', KEY 'K2' VALUE 2.50)", r#"{"K1":"V1","K2":2.50}"#),
        ("JSON_OBJECT('a': x, 'a': x + 1)", r#"{"a":2}"#),
        ("JSON_OBJECT('K1' VALUE CAST(NULL AS STRING))", r#"{"K1":null}"#),
        ("JSON_OBJECT(KEY 'K1' VALUE CAST(NULL AS STRING) ABSENT ON NULL)", "{}"),
        ("JSON_OBJECT('a' VALUE '[1]', 'b' VALUE JSON_ARRAY(1))", r#"{"a":"[1]","b":[1]}"#),
        ("JSON_ARRAY()", "[]"),
        ("JSON_ARRAY(1, '2', NULL)", r#"[1,"2"]"#),
        ("JSON_ARRAY(NULL NULL ON NULL)", "[null]"),
        ("JSON_ARRAY(JSON_ARRAY(1), JSON_OBJECT('a': 1e10))", r#"[[1],{"a":1.0E10}]"#),
        ("JSON_STRING(CAST(NULL AS INT))", "NULL"),
        ("JSON_STRING(ROW(1, ARRAY['a\"b', NULL]))", r#"{"EXPR$0":1,"EXPR$1":["a\"b",null]}"#),
        ("JSON_STRING(MAP['k', DATE '2024-05-01'])", r#"{"k":"2024-05-01"}"#),
        ("JSON_STRING(TIMESTAMP '2024-05-01 08:00:00.250')", r#""2024-05-01T08:00:00.250""#),
        ("JSON_UNQUOTE('\"a')", "\"a"),
        ("JSON_UNQUOTE(JSON_QUOTE('≠ a/b'))", "≠ a/b"),
        ("JSON_QUOTE('≠ a/b')", "\"\\u2260 a\\/b\""),
    ]);
    assert!(evaluate("JSON_OBJECT('a' VALUE JSON('no'))").is_err());
    assert!(evaluate("JSON_OBJECT(CAST(NULL AS STRING) VALUE 1)").is_err());
}

#[test]
fn arrays_and_maps_keep_nulls_and_have_edges() {
    check(&[
        ("ARRAY_APPEND(ARRAY[1], NULL)", "[1, NULL]"),
        ("ARRAY_APPEND(ARRAY[1], CAST(2 AS BIGINT))", "[1, 2]"),
        ("ARRAY_APPEND(CAST(NULL AS ARRAY<INT>), 1)", "NULL"),
        ("ARRAY_PREPEND(ARRAY[ARRAY[1]], ARRAY[2])", "[[2], [1]]"),
        ("ARRAY_CONCAT(ARRAY[1], CAST(NULL AS ARRAY<INT>))", "NULL"),
        ("ARRAY_UNION(ARRAY[1, NULL, 1], ARRAY[NULL, 2])", "[1, NULL, 2]"),
        ("ARRAY_INTERSECT(ARRAY[1, NULL, 3], ARRAY[NULL, 3])", "[NULL, 3]"),
        ("ARRAY_EXCEPT(ARRAY[1, NULL, 1], ARRAY[2])", "[1, NULL]"),
        ("ARRAY_EXCEPT(ARRAY['a'], CAST(NULL AS ARRAY<STRING>))", "NULL"),
        ("ARRAY_SLICE(ARRAY[1, 2, 3], 0, 2)", "[1, 2]"),
        ("ARRAY_SLICE(ARRAY[1, 2, 3], -2)", "[2, 3]"),
        ("ARRAY_SLICE(ARRAY[1, 2, 3], 3, 2)", "[]"),
        ("ARRAY_SLICE(ARRAY[1, 2, 3], 4, 9)", "[]"),
        ("ARRAY_SLICE(ARRAY[1, 2, 3], -9, -3)", "[1]"),
        ("ARRAY_SORT(ARRAY['b', NULL, 'a'], FALSE)", "[b, a, NULL]"),
        ("ARRAY_SORT(ARRAY[2, NULL, 1], TRUE, FALSE)", "[1, 2, NULL]"),
        ("ARRAY_SORT(ARRAY[2, 1], CAST(NULL AS BOOLEAN))", "NULL"),
        ("ARRAY_MAX(ARRAY['a', 'c', 'b'])", "c"),
        ("ARRAY_MAX(CAST(NULL AS ARRAY<INT>))", "NULL"),
        ("ARRAY_JOIN(ARRAY['a', NULL, 'b'], '-')", "a-b"),
        ("ARRAY_REVERSE(ARRAY[1, NULL])", "[NULL, 1]"),
        ("MAP_UNION(MAP['a', 1], CAST(NULL AS MAP<STRING, INT>))", "NULL"),
        ("MAP_FROM_ARRAYS(ARRAY['a', 'a'], ARRAY[1, NULL])", "{a: NULL}"),
        ("MAP['a', 1]['b']", "NULL"),
        ("SPLIT('abc', '')", "[a, b, c]"),
        ("SPLIT(',a,', ',')", "[, a, ]"),
        ("STR_TO_MAP('a:1;b;a:2', ';', ':')", "{a: 2, b: NULL}"),
        ("STR_TO_MAP('a1 b22c', '\\s', '[0-9]+')", "{a: , b: c}"),
        ("ELT(3, 'a', 'b')", "NULL"),
        ("ELT(1, CAST(NULL AS STRING), 'b')", "NULL"),
        ("PRINTF('%-5s|%5s|%,d|%(d|%x', 'a', 'b', 1234567, -5, 255)", "a    |    b|1,234,567|(5)|ff"),
        ("PRINTF('%2$s %1$s %b %%', NULL, 1)", "1 null false %"),
        ("PRINTF('%d', 'x')", "NULL"),
        ("PRINTF('%s')", "NULL"),
        ("PRINTF('%.0f %.2f %e', 2.5, 0.005, 12345.678)", "3 0.01 1.234568e+04"),
    ]);
    let watermark = evaluate("CURRENT_WATERMARK(x)").unwrap_err();
    assert!(watermark.message().contains("CURRENT_WATERMARK isn't supported"), "{}", watermark.message());
    assert!(evaluate("MAP_FROM_ARRAYS(ARRAY['a'], ARRAY[1, 2])").is_err());
    assert!(evaluate("ARRAY_APPEND(ARRAY[1], 'a')").is_err());
}

#[test]
fn periods_overlap_and_ranges_may_be_upside_down() {
    check(&[
        (
            "(TIMESTAMP '2024-01-01 02:55:00', INTERVAL '1' HOUR) OVERLAPS (TIMESTAMP '2024-01-01 03:30:00', INTERVAL '2' HOUR)",
            "true",
        ),
        ("(DATE '2024-01-01', DATE '2024-01-02') OVERLAPS (DATE '2024-01-04', DATE '2024-01-03')", "false"),
        ("(DATE '2024-01-01', DATE '2024-01-02') OVERLAPS (DATE '2024-01-03', DATE '2024-01-02')", "true"),
        ("12 BETWEEN SYMMETRIC 15 AND 12", "true"),
        ("12 BETWEEN ASYMMETRIC 15 AND 12", "false"),
        ("12 NOT BETWEEN SYMMETRIC 15 AND 12 OR FALSE", "false"),
        ("12 NOT BETWEEN SYMMETRIC 12 AND NULL", "NULL"),
        ("12 BETWEEN 15 AND 12", "false"),
        ("CURRENT_DATABASE()", "default_database"),
        ("TYPEOF(x)", "INT"),
        ("TYPEOF(ARRAY[1])", "ARRAY<INT> NOT NULL"),
        ("DECODE(ENCODE('aä€𝄞', 'UTF-16'), 'UTF-16')", "aä€𝄞"),
        ("TRY_CAST('no' AS INT)", "NULL"),
        ("COALESCE(TRY_CAST('no' AS INT), 0)", "0"),
    ]);
}
