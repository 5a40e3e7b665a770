//! Statements that declare, alter and show, through whole texts: what they answer, what they make, what they are refused for.

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

pub(super) fn planned(sql: &str) -> Planned {
    try_plan(&format!("{TABLES}{sql}")).unwrap_or_else(|error| panic!("{error}\n{sql}"))
}

/// The first line of the refusal.
pub(super) fn refusal(sql: &str) -> String {
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
pub(super) fn answers(sql: &str) -> Vec<String> {
    let results = planned(sql).results;
    let row = |row: &Vec<Option<String>>| {
        row.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(" | ")
    };
    results.iter().flat_map(|result| result.rows.iter().map(row)).collect()
}

/// The options and columns of the tables that the job reads and writes.
pub(super) fn tables(sql: &str) -> Vec<String> {
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
