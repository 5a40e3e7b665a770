//! Statements, each in its forms.

use super::{all, one};
use crate::statement::{ColumnKind, DropTarget, ExplainTarget, Statement};

#[test]
fn create_table_in_full() {
    let text = "
        create temporary table if not exists `my cat`.db.orders (
          id BIGINT NOT NULL COMMENT 'the key',
          amount DECIMAL(10, 2),
          tags ARRAY<STRING> COMMENT 'it''s a list',
          cost AS amount * 2 + f(id, 'x, y)') COMMENT 'computed',
          proc AS PROCTIME(),
          kafka_ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
          offset BIGINT METADATA,
          ts TIMESTAMP(3),
          WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
          CONSTRAINT pk PRIMARY KEY (id, ts) NOT ENFORCED
        )
        COMMENT 'all orders'
        PARTITIONED BY (amount, ts)
        WITH ('connector' = 'filesystem', 'path'='/tmp/it''s');";
    let Statement::CreateTable(table) = one(text) else { panic!() };
    assert!(table.temporary && table.if_not_exists);
    assert_eq!(table.name.to_string(), "my cat.db.orders");
    assert_eq!(table.comment.as_deref(), Some("all orders"));
    let texts = |names: &[crate::statement::Name]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&table.primary_key), ["id", "ts"]);
    assert_eq!(texts(&table.partitioned_by), ["amount", "ts"]);
    assert_eq!(table.watermark.as_ref().unwrap().expression.to_string(), "ts - INTERVAL '5' SECOND");
    let options: Vec<_> =
        table.options.iter().map(|option| (option.key.as_str(), option.value.as_str())).collect();
    assert_eq!(options, [("connector", "filesystem"), ("path", "/tmp/it's")]);

    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let comment =
                column.comment.as_deref().map_or_else(String::new, |comment| format!(" -- {comment}"));
            match &column.kind {
                ColumnKind::Physical(data_type) => format!("{} {data_type}{comment}", column.name),
                ColumnKind::Computed(expression) => format!("{} AS {expression}{comment}", column.name),
                ColumnKind::Metadata { data_type, key, is_virtual } => {
                    format!("{} {data_type} FROM {key:?} {is_virtual}{comment}", column.name)
                }
            }
        })
        .collect();
    assert_eq!(
        columns,
        [
            "id BIGINT NOT NULL -- the key",
            "amount DECIMAL(10, 2)",
            "tags ARRAY<STRING> -- it's a list",
            "cost AS amount * 2 + f(id, 'x, y)') -- computed",
            "proc AS PROCTIME()",
            "kafka_ts TIMESTAMP_LTZ(3) FROM Some(\"timestamp\") true",
            "offset BIGINT FROM None false",
            "ts TIMESTAMP(3)",
        ]
    );
    assert_eq!(table.columns[3].name.position.line, 6);
}

#[test]
fn create_table_in_brief() {
    let Statement::CreateTable(table) = one("CREATE TABLE bids WITH ('connector' = 'nexmark')") else {
        panic!()
    };
    assert!(table.columns.is_empty() && !table.temporary && !table.if_not_exists);
    let text = "CREATE TABLE t (id INT CONSTRAINT k PRIMARY KEY NOT ENFORCED COMMENT 'c', unique INT, watermark INT, `primary` INT)";
    let Statement::CreateTable(table) = one(text) else { panic!() };
    assert_eq!(table.primary_key[0].value, "id");
    assert_eq!(table.columns.len(), 4);
    let Statement::CreateTable(table) =
        one("CREATE TABLE t (WATERMARK FOR ts AS ts) WITH ('connector' = 'x')")
    else {
        panic!()
    };
    assert!(table.columns.is_empty() && table.watermark.is_some());
}

#[test]
fn create_view_and_drop() {
    let Statement::CreateView(view) =
        one("CREATE TEMPORARY VIEW IF NOT EXISTS v (a, `b c`) COMMENT 'x' AS SELECT 1, 2")
    else {
        panic!()
    };
    assert!(view.temporary && view.if_not_exists);
    assert_eq!(view.columns[1].value, "b c");
    assert_eq!(view.query.ast.to_string(), "SELECT 1, 2");
    let Statement::CreateView(view) =
        one("CREATE VIEW v AS WITH a AS (SELECT 1) SELECT * FROM a UNION ALL VALUES (2)")
    else {
        panic!()
    };
    assert!(!view.temporary && view.columns.is_empty());
    let Statement::Drop(drop) = one("DROP TABLE IF EXISTS a.b") else { panic!() };
    assert!(drop.target == DropTarget::Table && drop.if_exists && drop.name.to_string() == "a.b");
    let Statement::Drop(drop) = one("DROP TEMPORARY VIEW v") else { panic!() };
    assert!(drop.target == DropTarget::View && drop.temporary && !drop.if_exists);
}

#[test]
fn insert_in_its_forms() {
    let cases = [
        ("INSERT INTO t SELECT a FROM s", 0, "SELECT a FROM s"),
        ("INSERT INTO t (a, `b c`) SELECT a, b FROM s", 2, "SELECT a, b FROM s"),
        ("INSERT INTO TABLE t (SELECT a FROM s)", 0, "(SELECT a FROM s)"),
        ("INSERT INTO t ((SELECT a FROM s))", 0, "((SELECT a FROM s))"),
        ("insert into t values (1, 'a'), (2, 'b')", 0, "VALUES (1, 'a'), (2, 'b')"),
        ("INSERT INTO t (a) VALUES (1)", 1, "VALUES (1)"),
        ("INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x", 0, "WITH x AS (SELECT 1) SELECT * FROM x"),
    ];
    for (text, columns, query) in cases {
        let Statement::Insert(insert) = one(text) else { panic!("{text}") };
        assert_eq!(insert.table.to_string(), "t", "{text}");
        assert_eq!(insert.columns.len(), columns, "{text}");
        assert_eq!(insert.query.ast.to_string(), query, "{text}");
    }
}

#[test]
fn set_and_reset() {
    for text in [
        "SET 'parallelism.default' = '4'",
        "set 'parallelism.default'='4';",
        " SET'parallelism.default'= '4' ; ;",
    ] {
        let Statement::Set(set) = one(text) else { panic!("{text}") };
        assert_eq!((set.key.as_str(), set.value.as_str()), ("parallelism.default", "4"));
    }
    assert!(matches!(one("RESET"), Statement::Reset(reset) if reset.key.is_none()));
    assert!(matches!(one("RESET 'a'"), Statement::Reset(reset) if reset.key.as_deref() == Some("a")));
}

#[test]
fn explain_in_its_forms() {
    for (text, details) in [
        ("EXPLAIN SELECT 1", ""),
        ("EXPLAIN PLAN FOR SELECT 1", ""),
        ("explain plan for insert into t select 1", ""),
        ("EXPLAIN CHANGELOG_MODE, PLAN_ADVICE SELECT 1", "CHANGELOG_MODE,PLAN_ADVICE"),
        ("EXPLAIN ESTIMATED_COST INSERT INTO t SELECT 1", "ESTIMATED_COST"),
        ("EXPLAIN STATEMENT SET BEGIN INSERT INTO t SELECT 1; END", ""),
        (
            "EXPLAIN JSON_EXECUTION_PLAN STATEMENT SET BEGIN INSERT INTO t SELECT 1; END;",
            "JSON_EXECUTION_PLAN",
        ),
        ("EXPLAIN WITH statement AS (SELECT 1) SELECT * FROM statement", ""),
    ] {
        let Statement::Explain(explain) = one(text) else { panic!("{text}") };
        assert_eq!(explain.details.join(","), details, "{text}");
        let is_insert = text.to_uppercase().contains("INSERT");
        assert_eq!(
            matches!(explain.target, ExplainTarget::Inserts(inserts) if inserts.len() == 1),
            is_insert,
            "{text}"
        );
    }
}

#[test]
fn statement_sets() {
    for text in [
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b SELECT 2; END;",
        "BEGIN STATEMENT SET; INSERT INTO a SELECT 1; INSERT INTO b SELECT 2; END;",
        "execute statement set begin\n INSERT INTO a SELECT 1;\n INSERT INTO b SELECT 2;\nend",
    ] {
        let Statement::StatementSet(inserts) = one(text) else { panic!("{text}") };
        let tables: Vec<String> = inserts.iter().map(|insert| insert.table.to_string()).collect();
        assert_eq!(tables, ["a", "b"]);
    }
}

#[test]
fn semicolons_and_comments_separate() {
    assert_eq!(all("").len(), 0);
    assert_eq!(all(" ;;\n-- nothing\n/* ; */;").len(), 0);
    assert_eq!(all("/*++++ a banner ++++*/ SELECT 1 /*+ not a hint */").len(), 1);
    assert_eq!(all("\u{feff}SELECT 1;").len(), 1);
    assert_eq!(all("SELECT ';' -- ;\n; SELECT `;` FROM t;").len(), 2);
}

#[test]
fn positions_count_characters_in_the_whole_text() {
    let statements = all("SELECT 1;\n  SELECT 'ä€𝄞', x;");
    let Statement::Query(query) = &statements[1] else { panic!() };
    assert_eq!((query.position.line, query.position.column), (2, 3));
    assert_eq!(
        super::refusal("SELECT 1;\n  SELECT 'ä€𝄞' ?"),
        "2:16 expected the end of the statement, found ?"
    );
}
