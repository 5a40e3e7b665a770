//! Queries made at random: each is planned into a graph that can run, or refused with a place and a code of the user's.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use weir_api::config::Configuration;
use weir_api::error::Domain;

use super::plan_with;
use super::verify::verify_operators;
use super::windows::TABLES;
use crate::catalog::{Deferred, Session};
use crate::error::SqlResult;
use crate::parser::parse;
use crate::planner::explain_query;

/// A number.
fn number() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("auction"),
        Just("price"),
        Just("n"),
        Just("f"),
        Just("amount"),
        Just("1"),
        Just("0.5"),
        Just("1e2"),
        Just("NULL"),
        Just("CHAR_LENGTH(bidder)"),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), "[-+*/%]", inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            inner.clone().prop_map(|a| format!("ABS({a})")),
            inner.clone().prop_map(|a| format!("CAST({a} AS BIGINT)")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("COALESCE({a}, {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("CASE WHEN {a} > {b} THEN {a} ELSE {b} END")),
        ]
    })
}

fn condition() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (number(), prop_oneof![Just("="), Just("<>"), Just("<"), Just(">=")], number())
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        number().prop_map(|a| format!("{a} IS NOT NULL")),
        Just("bidder LIKE 'a%'".to_owned()),
        Just("ts > TIMESTAMP '2020-01-01 00:00:00'".to_owned()),
        Just("RAND() < 0.5".to_owned()),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

fn aggregate() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("COUNT(*)".to_owned()),
        number().prop_map(|a| format!("SUM({a})")),
        number().prop_map(|a| format!("AVG({a})")),
        number().prop_map(|a| format!("COUNT(DISTINCT {a})")),
        Just("MAX(bidder)".to_owned()),
        (number(), condition()).prop_map(|(a, c)| format!("MIN({a}) FILTER (WHERE {c})")),
    ]
}

/// Rows of the test table's columns, and whether they carry a window.
fn relation() -> impl Strategy<Value = (String, bool)> {
    let table = prop_oneof![Just("bids"), Just("ended")];
    let filtered =
        "(SELECT auction, price * 2 AS price, bidder, amount, n, f, ts FROM bids WHERE price > 10)";
    prop_oneof![
        table.clone().prop_map(|table| (table.to_owned(), false)),
        table
            .clone()
            .prop_map(|table| (format!("TUMBLE(TABLE {table}, DESCRIPTOR(ts), INTERVAL '10' SECOND)"), true)),
        table.prop_map(|table| (
            format!("HOP(TABLE {table}, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)"),
            true
        )),
        Just((format!("TUMBLE(TABLE {filtered}, DESCRIPTOR(ts), INTERVAL '1' MINUTE)"), true)),
        Just((format!("(SELECT * FROM bids UNION ALL {})", filtered.trim_matches(['(', ')'])), false)),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let groups = prop::collection::vec(prop_oneof![Just("bidder".to_owned()), number()], 0..3);
    let items = prop::collection::vec(number(), 1..4);
    let calls = prop::collection::vec(aggregate(), 1..4);
    (relation(), prop::option::of(condition()), any::<bool>(), groups, items, calls).prop_map(
        |((relation, windowed), filter, grouped, mut groups, items, calls)| {
            let filter = filter.map_or_else(String::new, |filter| format!(" WHERE {filter}"));
            if !grouped {
                return format!("SELECT {} FROM {relation}{filter}", items.join(", "));
            }
            if windowed {
                groups.extend(["window_start".to_owned(), "window_end".to_owned()]);
            }
            let group =
                if groups.is_empty() { String::new() } else { format!(" GROUP BY {}", groups.join(", ")) };
            let selected: Vec<String> = groups.into_iter().chain(calls).collect();
            format!("SELECT {} FROM {relation}{filter}{group} HAVING COUNT(*) > 1", selected.join(", "))
        },
    )
}

#[test]
fn every_query_is_planned_or_refused() {
    let planned = Cell::new(0_u32);
    let config = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&query(), |query| {
        match plan_query(&query) {
            Ok(()) => planned.set(planned.get() + 1),
            Err(error) => {
                prop_assert_eq!(error.code().domain(), Domain::User, "{}: {}", query, error);
                prop_assert!(error.position().is_some(), "{}: {}", query, error);
            }
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    assert!(planned.get() > 100, "only {} of 200 were planned", planned.get());
}

/// Plans a query alone, then as the input of an aggregation that makes a whole job.
fn plan_query(query: &str) -> SqlResult<()> {
    let mut session = Session::new(&super::connectors::registry());
    let base = Configuration::default();
    for statement in parse(&format!("{TABLES}{query};"))? {
        if let Some(Deferred::Query(query)) = session.execute(statement)? {
            let layout = explain_query(&query, &session, &base)?.layout;
            verify_operators(&layout.vertices, &layout.edges);
        }
    }
    if !query.contains("bids") {
        let text = format!(
            "{TABLES}CREATE TABLE sink (x BIGINT) WITH ('connector' = 'unbounded');
             INSERT INTO sink SELECT COUNT(*) FROM ({query}) AS q"
        );
        plan_with(&text, &[("parallelism.default", "3")])?;
    }
    Ok(())
}
