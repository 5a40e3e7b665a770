//! What is refused, where, and with which words.

use weir_api::error::Code;

use super::windows::TABLES;
use super::{plan_with, refusal};

fn check(query: &str, code: Code, place: &str, words: &[&str]) {
    check_text(
        &format!(
            "{TABLES}CREATE TABLE sink (a BIGINT) WITH ('connector' = 'unbounded');\nINSERT INTO sink\n{query}"
        ),
        code,
        place,
        words,
    );
}

fn check_text(text: &str, code: Code, place: &str, words: &[&str]) {
    let error = refusal(text);
    let message = error.chain();
    assert_eq!(error.code(), code, "{message}");
    for word in words {
        assert!(message.contains(word), "no '{word}' in: {message}");
    }
    // The query begins in the line behind the INSERT's.
    let first = text.lines().position(|line| line.starts_with("INSERT INTO")).unwrap() + 2;
    let (line, column) = place.split_once(':').unwrap();
    let line = line.parse::<usize>().unwrap() + first - 1;
    assert!(message.contains(&format!("line {line}, column {column}:")), "not at {line}:{column}: {message}");
}

#[test]
fn what_has_no_end_is_refused_with_the_reason() {
    let remedy = "group by window_start, window_end of TUMBLE, HOP or CUMULATE, or read a bounded source";
    check(
        "SELECT COUNT(*) FROM bids GROUP BY auction",
        Code::SqlUnbounded,
        "1:36",
        &["GROUP BY without a window", remedy],
    );
    check("SELECT COUNT(*) FROM bids", Code::SqlUnbounded, "1:1", &["an aggregation over all rows", remedy]);
    check("SELECT DISTINCT auction FROM bids", Code::SqlUnbounded, "1:1", &["SELECT DISTINCT", remedy]);
    check(
        "SELECT COUNT(*) FROM TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_end",
        Code::SqlUnbounded,
        "1:87",
        &["both window_start and window_end", "window_start is missing"],
    );
}

#[test]
fn what_comes_later_is_refused_at_its_place() {
    check(
        "SELECT b.auction FROM bids AS a\nJOIN bids AS b ON a.auction = b.auction",
        Code::Unsupported,
        "2:6",
        &["joins"],
    );
    check("SELECT a.auction FROM bids AS a, bids AS b", Code::Unsupported, "1:34", &["joins"]);
    check("SELECT auction FROM bids ORDER BY price", Code::Unsupported, "1:35", &["ORDER BY"]);
    check("SELECT auction FROM bids LIMIT 10", Code::Unsupported, "1:32", &["LIMIT"]);
    check("SELECT auction FROM bids EXCEPT SELECT price FROM bids", Code::Unsupported, "1:33", &["EXCEPT"]);
    check(
        "SELECT auction FROM bids WHERE price IN (SELECT price FROM bids)",
        Code::Unsupported,
        "1:42",
        &["IN (SELECT"],
    );
}

#[test]
fn unknown_names_are_placed_and_the_nearest_named() {
    check(
        "SELECT\n  auktion FROM bids",
        Code::SqlUnknownName,
        "2:3",
        &["no column 'auktion'", "did you mean 'auction'"],
    );
    check("SELECT auction FROM bidz", Code::SqlUnknownName, "1:21", &["bidz", "did you mean 'bids'"]);
    check("SELECT UPPERR(bidder) FROM bids", Code::SqlUnknownName, "1:8", &["no function 'UPPERR'", "UPPER"]);
    check(
        "SELECT COUNT(*) FROM TUMBLE(TABLE bids, DESCRIPTOR(tz), INTERVAL '1' MINUTE) GROUP BY window_start, window_end",
        Code::SqlUnknownName,
        "1:52",
        &["no column 'tz'", "there are: auction, price"],
    );
}

#[test]
fn windows_need_a_time_attribute() {
    check(
        "SELECT COUNT(*) FROM TUMBLE(TABLE bids, DESCRIPTOR(price), INTERVAL '1' MINUTE) GROUP BY window_start, window_end",
        Code::SqlType,
        "1:52",
        &["'price' is BIGINT", "TIMESTAMP"],
    );
    check(
        "WITH later AS (SELECT ts + INTERVAL '1' HOUR AS ts FROM bids)
         SELECT COUNT(*) FROM TUMBLE(TABLE later, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end",
        Code::SqlType,
        "2:31",
        &["isn't a time attribute", "WATERMARK FOR"],
    );
    check(
        "SELECT MAX(x) FROM TUMBLE(TABLE (SELECT window_start, window_time AS rt, COUNT(*) AS x FROM TUMBLE(TABLE bids,
           DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end, window_time), DESCRIPTOR(rt),
           INTERVAL '1' HOUR) GROUP BY window_start, window_end",
        Code::SqlType,
        "1:20",
        &["appends a column window_start", "another name"],
    );
}

#[test]
fn columns_must_fit_the_sink() {
    check(
        "SELECT\n  bidder FROM bids",
        Code::SqlType,
        "2:3",
        &["column 1 of the query, 'bidder', is STRING", "'a' is BIGINT", "CAST(bidder AS BIGINT)"],
    );
    let text = format!(
        "{TABLES}CREATE TABLE two (a BIGINT, b STRING) WITH ('connector' = 'unbounded');\nINSERT INTO two\nSELECT auction FROM bids"
    );
    let error = refusal(&text);
    assert_eq!(error.code(), Code::SqlType);
    assert!(error.message().contains("the query has 1 columns, but 2 belong here"), "{error}");
    assert!(error.message().contains("a BIGINT, b STRING"), "{error}");
    let text = format!(
        "{TABLES}CREATE TABLE two (a BIGINT, b STRING NOT NULL) WITH ('connector' = 'unbounded');\nINSERT INTO two (a) SELECT auction FROM bids"
    );
    assert!(refusal(&text).message().contains("'b' is NOT NULL"));
}

#[test]
fn expressions_that_do_not_fit_are_explained() {
    check("SELECT SUM(bidder) FROM ended", Code::SqlType, "1:1", &["SUM can't be called with (STRING)"]);
    check(
        "SELECT auction, COUNT(*) FROM ended GROUP BY price",
        Code::SqlType,
        "1:8",
        &["'auction'", "GROUP BY"],
    );
}

#[test]
fn expressions_have_a_limit() {
    let sum = vec!["price"; 600].join(" + ");
    let text = format!(
        "{TABLES}CREATE TABLE sink (a BIGINT) WITH ('connector' = 'unbounded'); INSERT INTO sink SELECT {sum} FROM bids"
    );
    let error = crate::deep::with_deep_stack(|| refusal(&text)).unwrap();
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.message().contains("nested too deeply"), "{error}");
}

#[test]
fn parallelism_is_checked() {
    let text = format!(
        "{TABLES}CREATE TABLE sink (a BIGINT) WITH ('connector' = 'unbounded', 'sink.parallelism' = '0'); INSERT INTO sink SELECT auction FROM bids"
    );
    assert_eq!(refusal(&text).code(), Code::TableOptions);
    let text = text.replace(", 'sink.parallelism' = '0'", "");
    let error = plan_with(&text, &[("parallelism.default", "200")]).unwrap_err();
    assert_eq!(error.code(), Code::InvalidConfiguration);
}
