//! Statements of the session, through whole texts: what they answer, what they make, what they are refused for.

use std::collections::BTreeMap;

use weir_proto::v1::operator_spec::Kind;

use super::connectors::registry_with_print;
use crate::{PlanRequest, Planned, plan};

const TABLES: &str = "CREATE TABLE e (id BIGINT, price DOUBLE, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'events');
CREATE TABLE o (id BIGINT, price DOUBLE) WITH ('connector' = 'files', 'path' = 'x');
";

fn try_plan(sql: &str) -> weir_api::Result<Planned> {
    let registry = registry_with_print();
    plan(PlanRequest { sql, name: None, parallelism: None, config: BTreeMap::new(), registry: &registry })
}

fn planned(sql: &str) -> Planned {
    try_plan(&format!("{TABLES}{sql}")).unwrap_or_else(|error| panic!("{error}\n{sql}"))
}

/// The first line of the refusal.
fn refusal(sql: &str) -> String {
    match try_plan(&format!("{TABLES}{sql}")) {
        Ok(planned) => panic!("{planned:?}\n{sql}"),
        Err(error) => {
            assert!(
                error.message().starts_with("line ") && error.message().contains('^'),
                "no place: {error}\n{sql}"
            );
            error.message().lines().next().unwrap_or_default().to_owned()
        }
    }
}

/// The answers, a line for each row, cells with bars between them.
fn answers(sql: &str) -> Vec<String> {
    let results = planned(sql).results;
    let row = |row: &Vec<Option<String>>| {
        row.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(" | ")
    };
    results.iter().flat_map(|result| result.rows.iter().map(row)).collect()
}

/// The options and columns of the tables that the job reads and writes.
fn tables(sql: &str) -> Vec<String> {
    let graph = planned(sql).graph.unwrap();
    let specs =
        graph.vertices().iter().flat_map(|vertex| &vertex.chain).filter_map(|node| match &node.spec.kind {
            Some(Kind::Source(source)) => source.table.clone(),
            Some(Kind::Sink(sink)) => sink.table.clone(),
            _ => None,
        });
    let mut tables: Vec<String> = specs
        .map(|table| {
            let options: BTreeMap<_, _> =
                table.options.iter().filter(|(key, _)| *key != "connector").collect();
            format!("{} {options:?}", table.name.rsplit('.').next().unwrap_or_default())
        })
        .collect();
    tables.sort();
    tables
}

#[test]
fn catalogs_and_databases_hold_names() {
    let text = "CREATE CATALOG c WITH ('type' = 'generic_in_memory', 'default-database' = 'd'); CREATE DATABASE db COMMENT 'mine';
      SHOW CATALOGS; SHOW CURRENT CATALOG; SHOW DATABASES; SHOW DATABASES IN c; USE CATALOG c; SHOW CURRENT DATABASE;
      USE default_catalog.db; SHOW CURRENT CATALOG; CREATE TABLE t LIKE default_database.o; SHOW TABLES;
      SHOW TABLES FROM default_database LIKE 'o%'; SHOW TABLES IN default_catalog.default_database NOT LIKE 'o%'; DESCRIBE DATABASE db";
    assert_eq!(
        answers(text),
        [
            "c",
            "default_catalog",
            "default_catalog",
            "db",
            "default_database",
            "d",
            "d",
            "default_catalog",
            "t",
            "o",
            "e",
            "catalog name | default_catalog",
            "database name | db",
            "comment | mine",
        ]
    );
    assert!(
        refusal("USE nope")
            .ends_with("there is no database 'default_catalog.nope'; CREATE DATABASE makes one")
    );
    assert!(refusal("USE CATALOG default_catalo").contains("did you mean 'default_catalog'?"));
    assert!(refusal("CREATE TABLE db.t LIKE o").contains("there is no database 'default_catalog.db'"));
    assert!(
        refusal("CREATE CATALOG h WITH ('type' = 'hive')")
            .contains("there are no catalogs of the type 'hive'")
    );
    assert!(refusal("CREATE DATABASE d; CREATE DATABASE d").contains("exists already"));
    assert!(refusal("CREATE DATABASE d; CREATE TABLE d.t LIKE o; DROP DATABASE d").contains("isn't empty"));
    assert_eq!(
        answers("CREATE DATABASE d; CREATE TABLE d.t LIKE o; DROP DATABASE d CASCADE; SHOW DATABASES"),
        ["default_database"]
    );
    assert!(refusal("DROP DATABASE default_database CASCADE").contains("default database"));
    assert!(refusal("DROP CATALOG nope").contains("there is no catalog 'nope'"));
}

#[test]
fn statements_mean_what_they_meant_at_their_place() {
    // The table is another one for each INSERT, and gone in the end.
    let text = "INSERT INTO o SELECT id, price FROM e; DROP TABLE o; CREATE TABLE o (x BIGINT) WITH ('connector' = 'files', 'path' = 'second');
      INSERT INTO o SELECT id FROM e; ALTER TABLE o RENAME TO p; ALTER TABLE p SET ('path' = 'third'); INSERT INTO p SELECT id FROM e; DROP TABLE p;";
    assert_eq!(
        tables(text),
        ["e {}", "o {\"path\": \"second\"}", "o {\"path\": \"x\"}", "p {\"path\": \"third\"}"]
    );
    assert!(refusal(&format!("{text} SELECT x FROM p")).contains("there is no table or view"));
    // What reads a table that was declared anew is another source.
    let again = "INSERT INTO o SELECT id, price FROM e; DROP TABLE e; CREATE TABLE e (id BIGINT, price DOUBLE) WITH ('connector' = 'events', 'kind' = '2');
      INSERT INTO o SELECT id, price FROM e;";
    let found = tables(&again.replace(", 'kind' = '2'", ""));
    assert_eq!(found.iter().filter(|table| table.starts_with("e ")).count(), 2, "{found:?}");
    // A view reads what its names stood for, as it is where the view is used.
    let view = "CREATE DATABASE d; CREATE VIEW v AS SELECT id, price FROM o; USE d; SELECT * FROM default_database.v;";
    assert_eq!(tables(view), ["o {\"path\": \"x\"}", "print {}"]);
}

#[test]
fn temporary_tables_hide_others() {
    let text = "CREATE TEMPORARY TABLE o (x BIGINT) WITH ('connector' = 'files', 'path' = 'hides'); INSERT INTO o SELECT id FROM e;
      DROP TEMPORARY TABLE o; INSERT INTO o SELECT id, price FROM e; SHOW TABLES";
    assert_eq!(tables(text), ["e {}", "o {\"path\": \"hides\"}", "o {\"path\": \"x\"}"]);
    assert_eq!(answers(text), ["e", "o"]);
    assert!(refusal("DROP TEMPORARY TABLE o").contains("is not temporary: DROP TABLE drops it"));
    assert!(
        refusal("CREATE TEMPORARY VIEW v AS SELECT id FROM e; DROP VIEW v")
            .contains("is temporary: DROP TEMPORARY VIEW")
    );
    assert!(refusal("DROP VIEW o").contains("is a table: DROP TABLE drops it"));
}

#[test]
fn like_merges_by_flinks_rules() {
    let base = "CREATE TABLE b (id BIGINT NOT NULL, n STRING, twice AS id * 2, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND,
      PRIMARY KEY (id) NOT ENFORCED) PARTITIONED BY (n) WITH ('connector' = 'files', 'path' = 'base', 'fields.a.kind' = 'b'); ";
    let shown = |statement: &str| answers(&format!("{base}{statement}; SHOW CREATE TABLE l")).remove(0);
    assert_eq!(
        shown("CREATE TABLE l (more INT) WITH ('path' = 'new') LIKE b"),
        "CREATE TABLE `default_catalog`.`default_database`.`l` (\n  `id` BIGINT NOT NULL,\n  `n` STRING,\n  `twice` AS id * 2,\n  \
         `ts` TIMESTAMP(3),\n  `more` INT,\n  WATERMARK FOR `ts` AS ts - INTERVAL '1' SECOND,\n  PRIMARY KEY (`id`) NOT ENFORCED\n)\n\
         PARTITIONED BY (`n`)\nWITH (\n  'connector' = 'files',\n  'path' = 'new',\n  'fields.a.kind' = 'b'\n)"
    );
    assert_eq!(
        shown(
            "CREATE TABLE l (WATERMARK FOR ts AS ts) WITH ('connector' = 'files', 'path' = 'y') LIKE b (EXCLUDING ALL)"
        ),
        "CREATE TABLE `default_catalog`.`default_database`.`l` (\n  `id` BIGINT NOT NULL,\n  `n` STRING,\n  `ts` TIMESTAMP(3),\n  \
         WATERMARK FOR `ts` AS ts\n)\nWITH (\n  'connector' = 'files',\n  'path' = 'y'\n)"
    );
    let replaced = shown(
        "CREATE TABLE l (twice AS id * 3, WATERMARK FOR ts AS ts) LIKE b (OVERWRITING GENERATED OVERWRITING WATERMARKS EXCLUDING CONSTRAINTS)",
    );
    assert!(
        replaced.contains("`twice` AS id * 3,\n  `ts`")
            && replaced.contains("AS ts\n)")
            && !replaced.contains("PRIMARY"),
        "{replaced}"
    );
    let refused = |statement: &str| refusal(&format!("{base}{statement}"));
    assert!(refused("CREATE TABLE l (id INT) LIKE b").contains("already has a column 'id'"));
    assert!(refused("CREATE TABLE l (twice AS id) LIKE b").contains("OVERWRITING GENERATED replaces it"));
    assert!(refused("CREATE TABLE l (WATERMARK FOR ts AS ts) LIKE b").contains("already has a watermark"));
    assert!(
        refused("CREATE TABLE l (PRIMARY KEY (n) NOT ENFORCED) LIKE b").contains("already has a primary key")
    );
    assert!(refused("CREATE TABLE l PARTITIONED BY (id) LIKE b").contains("already has partitions"));
    assert!(
        refused("CREATE TABLE l WITH ('path' = 'y') LIKE b (INCLUDING ALL)")
            .contains("already has the option 'path'")
    );
    assert!(refused("CREATE TABLE l LIKE b (OVERWRITING ALL)").contains("not OVERWRITING"));
    assert!(refused("CREATE TABLE l LIKE b (INCLUDING OPTIONS EXCLUDING OPTIONS)").contains("said twice"));
    assert!(refused("CREATE VIEW v AS SELECT id FROM e; CREATE TABLE l LIKE v").contains("is a view"));
    assert!(refused("CREATE TABLE l LIKE nope").contains("there is no table or view"));
}

#[test]
fn create_table_as_takes_the_querys_columns() {
    let columns = |statement: &str| {
        let answers = answers(&format!("{statement}; SHOW COLUMNS FROM t"));
        answers.iter().map(|row| row.split(" | ").take(3).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let with = "WITH ('connector' = 'files', 'path' = 't')";
    assert_eq!(
        columns(&format!("CREATE TABLE t {with} AS SELECT id, price * 2 AS double_price, ts FROM e")),
        ["id BIGINT TRUE", "double_price DOUBLE TRUE", "ts TIMESTAMP(3) TRUE"]
    );
    assert_eq!(
        columns(&format!("CREATE TABLE t (price, id) {with} AS SELECT id, price FROM e")),
        ["price DOUBLE TRUE", "id BIGINT TRUE"]
    );
    assert_eq!(
        columns(&format!(
            "CREATE TABLE t (extra STRING, id DOUBLE, twice AS id * 2, PRIMARY KEY (price) NOT ENFORCED) {with} AS SELECT price, id FROM (SELECT id, COALESCE(price, 0e0) AS price FROM e)"
        )),
        ["extra STRING TRUE", "twice DOUBLE TRUE", "price DOUBLE FALSE", "id DOUBLE TRUE"]
    );
    assert_eq!(
        tables(&format!("CREATE TABLE t {with} AS SELECT id FROM e; SELECT id FROM t")),
        ["e {}", "print {}", "t {\"path\": \"t\"}", "t {\"path\": \"t\"}"]
    );
    assert!(
        planned(&format!("CREATE TABLE IF NOT EXISTS o {with} AS SELECT 1 FROM e; SHOW TABLES"))
            .graph
            .is_none()
    );
    assert!(
        refusal(&format!("CREATE TABLE t (price) {with} AS SELECT id, price FROM e"))
            .contains("leaves out the column 'id'")
    );
    assert!(
        refusal(&format!("CREATE TABLE t (nope, id, price) {with} AS SELECT id, price FROM e"))
            .contains("has no column 'nope'")
    );
    assert!(
        refusal(&format!("CREATE TABLE t (id AS price) {with} AS SELECT id, price FROM e"))
            .contains("neither computed nor metadata")
    );
    assert!(refusal(&format!("CREATE TABLE t {with} AS SELECT prize FROM e")).contains("no column 'prize'"));
    assert!(refusal("CREATE TABLE t (a, b)").contains("has no type"));
}

#[test]
fn alter_table_changes_a_definition() {
    let altered = |changes: &str| {
        let text = changes.split("; ").map(|change| format!("ALTER TABLE t {change}; ")).collect::<String>();
        let declare = "CREATE TABLE t (a BIGINT NOT NULL, b STRING COMMENT 'b', c AS a + 1, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (a) NOT ENFORCED)
          WITH ('connector' = 'files', 'path' = 'p', 'fields.a.kind' = 'k'); ";
        (format!("{declare}{text}"), format!("{declare}{text}SHOW CREATE TABLE t"))
    };
    let shown = |changes: &str| answers(&altered(changes).1).remove(0);
    let columns = |changes: &str| {
        let shown = shown(changes);
        let lines: Vec<&str> = shown
            .lines()
            .filter(|line| line.starts_with("  `"))
            .map(|line| line.trim().trim_end_matches(','))
            .collect();
        lines.join(", ")
    };
    assert_eq!(
        columns("ADD d INT"),
        "`a` BIGINT NOT NULL, `b` STRING COMMENT 'b', `c` AS a + 1, `ts` TIMESTAMP(3), `d` INT"
    );
    assert_eq!(
        columns("ADD (d INT FIRST, f AS b || 'x' AFTER a)"),
        "`d` INT, `a` BIGINT NOT NULL, `f` AS b || 'x', `b` STRING COMMENT 'b', `c` AS a + 1, `ts` TIMESTAMP(3)"
    );
    assert_eq!(
        columns("MODIFY b INT"),
        "`a` BIGINT NOT NULL, `b` INT COMMENT 'b', `c` AS a + 1, `ts` TIMESTAMP(3)"
    );
    assert_eq!(
        columns("MODIFY (b BYTES COMMENT 'x' FIRST)"),
        "`b` BYTES COMMENT 'x', `a` BIGINT NOT NULL, `c` AS a + 1, `ts` TIMESTAMP(3)"
    );
    assert_eq!(columns("DROP (b, c)"), "`a` BIGINT NOT NULL, `ts` TIMESTAMP(3)");
    assert_eq!(
        columns("RENAME b TO `b b`"),
        "`a` BIGINT NOT NULL, `b b` STRING COMMENT 'b', `c` AS a + 1, `ts` TIMESTAMP(3)"
    );
    let no_watermark =
        shown("DROP WATERMARK; DROP PRIMARY KEY; ADD WATERMARK FOR ts AS ts - INTERVAL '9' SECOND");
    assert!(
        no_watermark.contains("INTERVAL '9' SECOND") && !no_watermark.contains("PRIMARY"),
        "{no_watermark}"
    );
    let key =
        shown("MODIFY PRIMARY KEY (b) NOT ENFORCED; MODIFY WATERMARK FOR ts AS ts - INTERVAL '8' SECOND");
    assert!(key.contains("PRIMARY KEY (`b`)") && key.contains("'8' SECOND"), "{key}");
    let options = shown("SET ('path' = 'q', 'fields.b.kind' = 'z'); RESET ('fields.a.kind')");
    assert!(
        options.contains("'path' = 'q'") && options.contains("fields.b") && !options.contains("fields.a"),
        "{options}"
    );
    for (change, reason) in [
        ("DROP a", "the primary key needs it"),
        ("DROP ts", "the watermark needs it"),
        ("DROP PRIMARY KEY; DROP a", "the computed column 'c' needs it"),
        ("RENAME a TO d", "can't be renamed"),
        ("RENAME b TO a", "has a column 'a' already"),
        ("ADD b INT", "has a column 'b' already"),
        ("MODIFY bb INT", "no column 'bb'; did you mean 'b'?"),
        ("ADD WATERMARK FOR ts AS ts", "MODIFY it"),
        ("ADD PRIMARY KEY (b) NOT ENFORCED", "MODIFY it"),
        ("DROP WATERMARK; DROP WATERMARK", "no watermark"),
        ("RESET ('connector')", "SET another"),
        ("SET ('path' = 'x', 'nope' = '1')", "nope"),
        ("RENAME TO o", "exists already"),
        ("RENAME TO default_catalog.d.t", "another database"),
    ] {
        let refused = refusal(&altered(change).0);
        assert!(refused.contains(reason), "{change}: {refused}");
    }
    assert_eq!(
        answers("ALTER TABLE IF EXISTS nope DROP a; ALTER VIEW IF EXISTS nope AS SELECT 1; SHOW VIEWS"),
        Vec::<String>::new()
    );
    assert_eq!(
        answers(
            "CREATE VIEW v AS SELECT id FROM e; ALTER VIEW v RENAME TO w; ALTER VIEW w AS SELECT price FROM e; SHOW VIEWS; SHOW CREATE VIEW w"
        ),
        ["w", "CREATE VIEW `default_catalog`.`default_database`.`w`\nAS SELECT price FROM e"]
    );
    assert!(refusal("ALTER VIEW o RENAME TO p").contains("is a table: ALTER TABLE changes it"));
}

#[test]
fn describe_says_what_flink_says() {
    let text = "CREATE FUNCTION inc(x BIGINT) RETURNS BIGINT RETURN x + 1; CREATE TABLE t (user_id BIGINT NOT NULL COMMENT 'who', n AS inc(user_id), ts TIMESTAMP(3),
      WATERMARK FOR ts AS ts - INTERVAL '1' SECOND, PRIMARY KEY (user_id) NOT ENFORCED) WITH ('connector' = 'files', 'path' = 'p');";
    assert_eq!(
        answers(&format!("{text} DESCRIBE t")),
        [
            "user_id | BIGINT | FALSE | PRI(user_id) | - | - | who",
            "n | BIGINT | FALSE | - | AS inc(user_id) | - | -",
            "ts | TIMESTAMP(3) *ROWTIME* | TRUE | - | - | ts - INTERVAL '1' SECOND | -",
        ]
    );
    let result = &planned(&format!("{text} DESC t")).results[0];
    assert_eq!(result.columns, ["name", "type", "null", "key", "extras", "watermark", "comment"]);
    assert_eq!((result.statement.as_str(), result.line), ("DESC t", 4));
    assert_eq!(
        answers("CREATE VIEW v (a, b) AS SELECT id, ts FROM e; DESCRIBE v"),
        ["a | BIGINT | TRUE | - | - | -", "b | TIMESTAMP(3) | TRUE | - | - | -"]
    );
    assert!(refusal("CREATE VIEW v AS SELECT prize FROM e; DESCRIBE v").contains("no column 'prize'"));
    assert!(refusal("SHOW JOBS").contains("`weir list`"));
    assert!(refusal("SHOW TALBES").contains("expected CATALOGS"));
    assert_eq!(
        answers(
            "SET 'pipeline.name' = 'x'; SET parallelism.default = 3; SET table.exec.source.idle-timeout = 5 s; RESET pipeline.name; SET;"
        ),
        ["parallelism.default | 3", "table.exec.source.idle-timeout | 5 s"]
    );
    assert!(answers("CREATE TABLE t WITH ('connector' = 'files', 'path' = 'x', 'fields.a.kind' = 'b') LIKE o; SHOW CREATE TABLE t")[0].contains("`id` BIGINT"));
}

#[test]
fn what_is_shown_can_be_read_again() {
    let declare = "CREATE TABLE `t ``x` (`a b` ROW<`f ``1` INT NOT NULL, g ARRAY<STRING>> COMMENT 'it''s', k MAP<STRING, DECIMAL(5, 2)>, c AS CASE WHEN `a b`.g[1] = 'it''s' /* no */ THEN 1 ELSE -2 END,
      ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1:30' MINUTE TO SECOND) COMMENT 'quo''te' WITH ('connector' = 'files', 'path' = 'a''b')";
    let first = answers(&format!("{declare}; SHOW CREATE TABLE `t ``x`")).remove(0);
    let second = answers(&format!("{first}; SHOW CREATE TABLE `t ``x`")).remove(0);
    assert_eq!(first, second);
    let view = "CREATE VIEW v (`x y`) COMMENT 'c' AS SELECT id FROM e /*+ OPTIONS('rows-per-second' = 'it''s') */ AS f -- end
      WHERE price > 1";
    let first = answers(&format!("{view}; SHOW CREATE VIEW v")).remove(0);
    assert!(
        first.ends_with(
            "AS SELECT id FROM e /*+ OPTIONS('rows-per-second' = 'it''s') */ AS f WHERE price > 1"
        ),
        "{first}"
    );
    assert_eq!(answers(&format!("{first}; SHOW CREATE VIEW v")).remove(0), first);
}

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
