//! Hints, INSERTs, functions as expressions and EXPLAIN, through whole texts.

use super::statements::{answers, planned, refusal, tables};

#[test]
fn hints_lay_options_over_a_tables_own() {
    let read = "SELECT o.id FROM o /*+ OPTIONS('path' = 'hinted') */ WHERE o.price > 1";
    assert_eq!(tables(read), ["o {\"path\": \"hinted\"}", "print {}"]);
    assert_eq!(
        tables("INSERT INTO o /*+ OPTIONS('path' = 'out') */ (id) SELECT id FROM default_database.o AS x"),
        ["o {\"path\": \"out\"}", "o {\"path\": \"x\"}"]
    );
    // One table, two ways: two sources; the same way twice: one.
    let many = "INSERT INTO o SELECT id, price FROM o /*+ OPTIONS('path' = '1') */; INSERT INTO o SELECT price AS a, price FROM o /*+OPTIONS('path'='1')*/; INSERT INTO o SELECT * FROM o";
    let sources = tables(&many.replace("SELECT price AS a, price", "SELECT id, price"));
    assert_eq!(sources.iter().filter(|table| table.contains("\"1\"")).count(), 1, "{sources:?}");
    assert!(sources.contains(&"o {\"path\": \"x\"}".to_owned()));
    let window = "INSERT INTO o (id) SELECT COUNT(*) FROM TUMBLE(TABLE e /*+ OPTIONS('rows-per-second' = 'w') */, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end";
    assert!(tables(window).iter().any(|table| table.contains("rows-per-second")), "{:?}", tables(window));
    assert!(
        refusal("SELECT id FROM o /*+ OPTIONS('nope' = '1') */").starts_with("line 3, column 30: "),
        "{}",
        refusal("SELECT id FROM o /*+ OPTIONS('nope' = '1') */")
    );
    for (text, reason) in [
        ("SELECT id FROM o /*+ OPTIONS(path = 1) */", "keys and values in quotes"),
        ("SELECT /*+ OPTIONS('a' = 'b') */ id FROM o", "belongs right behind the name of a table"),
        (
            "SELECT id FROM (SELECT id FROM o) /*+ OPTIONS('a' = 'b') */",
            "belongs right behind the name of a table",
        ),
        ("SELECT id FROM o AS x /*+ OPTIONS('a' = 'b') */", "belongs right behind"),
        ("CREATE VIEW v AS SELECT id FROM o; SELECT id FROM v /*+ OPTIONS('a' = 'b') */", "is a view"),
        (
            "SELECT id FROM nope /*+ OPTIONS('a' = 'b') */",
            "there is no table or view 'default_catalog.default_database.nope'",
        ),
        ("SELECT id FROM o /*+ OPTIONS('a' = 'b') */ /*+ OPTIONS('a' = 'b') */", "one hint OPTIONS at most"),
        ("SELECT id FROM o /*+ OPTIONS('a' = 'b', 'a' = 'c') */", "given twice"),
    ] {
        let refused = refusal(text);
        assert!(refused.contains(reason) && !refused.contains('\u{1}'), "{text}: {refused}");
    }
    assert_eq!(
        planned("SELECT /*+ BROADCAST(o), STATE_TTL('o' = '1d') */ id FROM o").warnings,
        [
            "line 3, column 12: the hint BROADCAST has no effect",
            "line 3, column 26: the hint STATE_TTL has no effect"
        ]
    );
}

#[test]
fn inserts_in_their_forms() {
    let parted = "CREATE TABLE p (id BIGINT, day DATE, n INT) PARTITIONED BY (day, n) WITH ('connector' = 'files', 'path' = 'p'); ";
    for insert in [
        "INSERT INTO p PARTITION (day = '2026-01-31', n = 7) SELECT id FROM e",
        "INSERT INTO p PARTITION (day = DATE '2026-01-31') SELECT id, 7 FROM e",
        "INSERT INTO p PARTITION (day = '2026-01-31', n) SELECT id, 7 FROM e",
        "INSERT INTO p PARTITION (day = '2026-01-31', n = 7) (id) SELECT id FROM e",
        "EXECUTE INSERT INTO p PARTITION (day = NULL, n = -7) SELECT id FROM e",
    ] {
        assert!(planned(&format!("{parted}{insert}")).graph.is_some(), "{insert}");
    }
    for (insert, reason) in [
        (
            "INSERT INTO p PARTITION (id = 1) SELECT id FROM e",
            "'id' is no partition column; PARTITIONED BY has: day, n",
        ),
        ("INSERT INTO o PARTITION (id = 1) SELECT price FROM e", "the table isn't partitioned"),
        (
            "INSERT INTO p PARTITION (n = 'x') SELECT id, CURRENT_DATE FROM e",
            "'x' is no value of the column 'n'",
        ),
        ("INSERT INTO p PARTITION (n = 7) SELECT id FROM e", "the query has 1 columns, but 2 belong here"),
        ("INSERT INTO p PARTITION (n = 7) (id, n) SELECT id, 1 FROM e", "given twice"),
        ("INSERT OVERWRITE p SELECT id, CURRENT_DATE, 1 FROM e", "INSERT OVERWRITE is not supported"),
        ("INSERT INTO p PARTITION (n = id) SELECT id FROM e", "expected a constant"),
    ] {
        let refused = refusal(&format!("{parted}{insert}"));
        assert!(refused.contains(reason), "{insert}: {refused}");
    }
}

#[test]
fn functions_are_put_in_the_place_of_their_calls() {
    let plan = |text: &str| {
        let explained = answers(&format!("{text}; EXPLAIN SELECT F(id, price) AS x FROM e")).remove(0);
        explained.lines().find(|line| line.contains("Calc(")).unwrap_or_default().trim().to_owned()
    };
    assert_eq!(
        plan("CREATE FUNCTION f(a BIGINT, b DOUBLE) RETURNS DOUBLE RETURN a * b"),
        "Calc(select=[(id * price) AS x])"
    );
    // The words of others don't count: a parameter hides the column of its name, and only the parameter is meant.
    assert_eq!(
        plan("CREATE FUNCTION f(price BIGINT, id DOUBLE) RETURNS DOUBLE LANGUAGE SQL RETURN price - id"),
        "Calc(select=[(id - price) AS x])"
    );
    let nested = "CREATE FUNCTION g(x DOUBLE) RETURNS DOUBLE RETURN x + 1; CREATE FUNCTION f(a BIGINT, b DOUBLE) RETURNS DOUBLE RETURN g(a) * g(b); DROP FUNCTION g";
    assert!(plan(nested).contains("1"), "{}", plan(nested));
    assert_eq!(
        answers("CREATE FUNCTION f(r ROW<x BIGINT, y STRING>) RETURNS STRING RETURN r.y; CREATE DATABASE d; CREATE TEMPORARY FUNCTION d.f() RETURNS INT RETURN 1;
          CREATE TEMPORARY SYSTEM FUNCTION UPPER(x STRING) RETURNS STRING RETURN LOWER(x); SHOW USER FUNCTIONS; SHOW USER FUNCTIONS FROM d LIKE 'f'; DESCRIBE FUNCTION f"),
        ["f", "upper", "f", "signature | f(r ROW<`x` BIGINT, `y` STRING>)", "returns | STRING", "kind | catalog function", "language | SQL", "body | r.y"]
    );
    assert!(answers("SHOW FUNCTIONS").len() > 100);
    assert!(planned("CREATE FUNCTION f(r ROW<x BIGINT, y STRING>) RETURNS BIGINT RETURN r.x + 1; SELECT f(ROW(id, 'a')) FROM e").graph.is_some());
    for (text, reason) in [
        (
            "CREATE FUNCTION f(x INT) RETURNS INT RETURN f(x - 1)",
            "line 3, column 45: the function calls itself",
        ),
        ("CREATE FUNCTION f(x INT) RETURNS INT RETURN y + 1", "there is no column 'y'"),
        ("CREATE FUNCTION f(x INT) RETURNS INT RETURN SUM(x)", "aggregates"),
        ("CREATE FUNCTION f(x INT) RETURNS INT RETURN (SELECT 1)", "without queries"),
        ("CREATE FUNCTION f(x INT, x INT) RETURNS INT RETURN x", "declared twice"),
        (
            "CREATE FUNCTION f AS 'com.example.F' LANGUAGE JAVA",
            "functions of classes, jars and scripts can't be loaded",
        ),
        ("CREATE FUNCTION f(x INT) RETURNS INT LANGUAGE PYTHON RETURN x", "PYTHON is not supported"),
        ("CREATE FUNCTION f(x INT) RETURNS INT AS 'x + 1'", "stands behind RETURN"),
        (
            "CREATE FUNCTION f(x INT) RETURNS INT RETURN x; CREATE FUNCTION F(y INT) RETURNS INT RETURN y",
            "exists already",
        ),
        (
            "CREATE FUNCTION f(x INT) RETURNS INT RETURN x; SELECT f(1, 2) FROM e",
            "f has 2 arguments here, but takes 1: f(x INT)",
        ),
        (
            "CREATE FUNCTION f(x INT) RETURNS INT RETURN x; SELECT f(DISTINCT 1) FROM e",
            "a function of one row",
        ),
        ("CREATE FUNCTION f(x INT) RETURNS INT RETURN x; DROP FUNCTION f; SELECT f(1) FROM e", "f"),
        ("DROP FUNCTION nope", "there is no function 'nope'"),
    ] {
        let refused = refusal(text);
        assert!(refused.contains(reason), "{text}: {refused}");
    }
    // Twice as many nodes with every call.
    let doubling: String = (1..40)
        .map(|n| format!("CREATE FUNCTION f{n}(x INT) RETURNS INT RETURN f{}(x) + f{}(x); ", n - 1, n - 1))
        .collect();
    let refused = refusal(&format!("CREATE FUNCTION f0(x INT) RETURNS INT RETURN x; {doubling}"));
    assert!(refused.contains("longer than"), "{refused}");
}

#[test]
fn explain_says_more_when_asked() {
    let asked = |details: &str| {
        answers(&format!("EXPLAIN {details} INSERT INTO o SELECT id, price FROM e WHERE price > 1")).remove(0)
    };
    let plain = asked("");
    assert_eq!(asked("PLAN FOR"), plain);
    let json = asked("JSON_EXECUTION_PLAN");
    let (text, document) = json.split_once("\n== Physical Execution Plan ==\n").unwrap();
    assert_eq!(text.trim_end(), plain);
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    assert_eq!(document["sinks"][0], "default_catalog.default_database.o");
    assert_eq!(document["vertices"][0]["operators"][0]["source"]["connector"], "events");
    assert!(asked("ESTIMATED_COST, PLAN_ADVICE").contains("== Estimated Cost =="));
    assert!(asked("CHANGELOG_MODE").contains("changelogMode=[I]"));
    let table = answers(
        "EXPLAIN CREATE TABLE t WITH ('connector' = 'files', 'path' = 't') AS SELECT id FROM e; SHOW TABLES",
    );
    assert!(
        table[0].contains("Sink: default_catalog.default_database.t") && table[1..] == ["e", "o"],
        "{table:?}"
    );
    assert!(refusal("EXPLAIN CREATE TABLE t LIKE o").contains("only CREATE TABLE … AS SELECT has a plan"));
}

#[test]
fn many_declarations_stay_cheap() {
    let mut text = String::from("CREATE TABLE t (a BIGINT) WITH ('connector' = 'files', 'path' = 'p'); ");
    for n in 0..400 {
        text.push_str(&format!(
            "INSERT INTO t SELECT id FROM e; ALTER TABLE t RENAME TO t{n}; ALTER TABLE t{n} RENAME TO t; "
        ));
    }
    let sinks = tables(&text);
    assert_eq!(sinks.iter().filter(|table| table.starts_with("t ")).count(), 400);
    let wide: String = (0..9_000).map(|n| format!("c{n} INT, ")).collect();
    let altered: String = (0..200).map(|n| format!("ALTER TABLE w RENAME d{n} TO d{}; ", n + 1)).collect();
    let text =
        format!("CREATE TABLE w ({wide} d0 INT) WITH ('connector' = 'files', 'path' = 'p'); {altered}");
    assert!(refusal(&text).contains("more than 1000000 columns"));
}
