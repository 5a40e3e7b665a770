//! What is too big, too deep or too long is refused, in little time, without a panic.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::time::{Duration, Instant};

use super::refusal;
use crate::deep::with_deep_stack;

/// More than anything here takes in an unoptimised build on a busy machine, and far less than what runs away.
const LONG: Duration = Duration::from_secs(20);

/// Whether a text is read, in whatever way, within [`LONG`].
fn is_read(text: String) -> bool {
    let started = Instant::now();
    let is_read = with_deep_stack(|| crate::parser::parse(&text).is_ok()).unwrap();
    assert!(started.elapsed() < LONG, "{:?} for {}…", started.elapsed(), &text[..60]);
    is_read
}

#[test]
fn long_texts_are_refused() {
    let text = " ".repeat((4 << 20) + 1);
    assert_eq!(refusal(&text), "1:1 the text has 4194305 bytes; at most 4194304 can be read");
}

#[test]
fn deep_nesting_reads_up_to_a_limit() {
    for (open, close) in
        [("(", ")"), ("f(", ")"), ("ARRAY[", "]"), ("CAST(", " AS INT)"), ("FLOOR(", ")"), ("-(", ")")]
    {
        let nested = |depth: usize| format!("SELECT {}1{}", open.repeat(depth), close.repeat(depth));
        assert!(is_read(nested(100)), "{open}");
        assert!(!is_read(nested(200)), "{open}");
        assert!(!is_read(nested(100_000)), "{open}");
    }
    let subqueries =
        |depth: usize| format!("{}SELECT 1{}", "SELECT * FROM (".repeat(depth), ")".repeat(depth));
    assert!(is_read(subqueries(60)));
    assert!(!is_read(subqueries(100_000)));
    let cases =
        |depth: usize| format!("SELECT {}1{}", "CASE WHEN a THEN ".repeat(depth), " END".repeat(depth));
    assert!(is_read(cases(60)));
    assert!(!is_read(cases(10_000)));
}

#[test]
fn long_chains_read_up_to_a_limit() {
    for link in [
        "1 + ",
        "a OR ",
        "NOT ",
        "- ",
        "a = 1 AND ",
        "1 IS NULL IS NOT NULL = ",
        "INTERVAL ",
        "CASE ",
        "STRUCT<",
        "ARRAY<",
        "TABLE ",
        "LATERAL ",
        "SELECT 1 UNION ALL ",
    ] {
        let _ = is_read(format!("SELECT {}1", link.repeat(400)));
        assert!(!is_read(format!("SELECT {}1", link.repeat(100_000))), "{link}");
    }
    assert!(is_read(format!("SELECT {}1", "a OR ".repeat(900))));
    assert!(is_read(format!("SELECT a IN ({}1)", "1, ".repeat(100_000))));
    assert!(is_read(format!("INSERT INTO t VALUES {}(1, -2 + 3)", "(1, -2 + 3), ".repeat(20_000))));
}

#[test]
fn going_back_does_not_run_away() {
    // Each of these makes sqlparser try again what it has read already, at every level.
    for open in [
        "FLOOR(",
        "CEIL(",
        "POSITION(",
        "SUBSTRING(",
        "TRIM(",
        "OVERLAY(",
        "EXTRACT(",
        "EXISTS(",
        "NOT (",
        "x IN (",
        "x IN ((SELECT ",
        "f(a => ",
        "CASE WHEN (",
        "ARRAY(",
        "MAP(",
        "STRUCT(",
        "TABLE(",
        "CONVERT(",
        "((SELECT 1 FROM ((",
        "SELECT * FROM ((",
        "SELECT * FROM (SELECT * FROM (",
        "CAST(",
        "INTERVAL (",
        "a.b(",
        "(a, ",
        "{",
        "{fn f(",
    ] {
        for depth in [10, 25, 60, 100] {
            assert!(!is_read(format!("SELECT {}?", open.repeat(depth))), "{open}");
            assert!(!is_read(format!("SELECT * FROM {}?", open.repeat(depth))), "{open}");
        }
    }
}

#[test]
fn long_and_deep_at_once_takes_little_time() {
    let columns = "a, ".repeat(20_000);
    let text = format!("{}SELECT {columns} b FROM t{}", "SELECT * FROM (".repeat(60), ")".repeat(60));
    assert!(is_read(text.clone()));
    assert!(!is_read(format!("{text} GROUP")));
    assert!(!is_read(text.replace(" b FROM", " FROM")));
}

#[test]
fn many_statements_take_little_time() {
    assert!(is_read("SELECT a, b FROM t WHERE a = 1;\n".repeat(5_000)));
}
