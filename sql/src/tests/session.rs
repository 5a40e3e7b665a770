//! The session: what declarations become, and which are refused where.

use arrow::datatypes::DataType;

use super::connectors::registry;
use crate::catalog::{ColumnSource, Relation, Session, Table};
use crate::error::SqlResult;
use crate::parser::parse;
use crate::statement::TableName;

fn session(text: &str) -> SqlResult<Session> {
    let mut session = Session::new(&registry());
    for statement in parse(text)? {
        session.execute(statement)?;
    }
    Ok(session)
}

fn table(text: &str, name: &str) -> Table {
    match session(text).unwrap_or_else(|error| panic!("{error}\n{text}")).find(&[name]) {
        Some(Relation::Table(table)) => table.table.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_table_keeps_what_its_statement_says() {
    let table = table(
        "CREATE TABLE t (
           id BIGINT, name STRING NOT NULL, twice AS id * 2, ts TIMESTAMP(3) COMMENT 'when',
           WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
           PRIMARY KEY (id) NOT ENFORCED
         ) COMMENT 'all' PARTITIONED BY (name) WITH ('connector' = 'files', 'path' = '/x', 'fields.a.kind' = 'b')",
        "t",
    );
    assert_eq!(table.path.to_string(), "default_catalog.default_database.t");
    assert_eq!(table.spec.name, "default_catalog.default_database.t");
    assert_eq!(table.spec.connector, "files");
    assert_eq!(table.spec.options.len(), 3);
    assert_eq!(table.spec.primary_key, ["id"]);
    assert_eq!(table.spec.partition_keys, ["name"]);
    assert_eq!(table.comment.as_deref(), Some("all"));
    assert_eq!(weir_api::schema::decode(&table.spec.schema).unwrap(), table.physical_schema);

    let fields: Vec<_> = table
        .physical_schema
        .fields()
        .iter()
        .map(|field| (field.name().as_str(), field.is_nullable()))
        .collect();
    assert_eq!(fields, [("id", false), ("name", false), ("ts", true)], "a key is NOT NULL");
    let sources: Vec<String> = table
        .columns
        .iter()
        .map(|column| match &column.source {
            ColumnSource::Physical(index) => format!("{} {index}", column.name),
            ColumnSource::Computed(expression) => format!("{} = {expression}", column.name),
            ColumnSource::Metadata { .. } => panic!(),
        })
        .collect();
    assert_eq!(sources, ["id 0", "name 1", "twice = id * 2", "ts 2"]);
    assert_eq!(table.columns[3].comment.as_deref(), Some("when"));
    let watermark = table.watermark.unwrap();
    assert_eq!((watermark.column.as_str(), watermark.position.line), ("ts", 3));
}

#[test]
fn a_connector_lends_its_columns() {
    let own = table("CREATE TABLE e WITH ('connector' = 'events')", "e");
    assert_eq!(own.columns.len(), 2);
    assert_eq!(*own.physical_schema.field(0).data_type(), DataType::Int32);

    let more = "CREATE TABLE e (twice AS kind * 2, WATERMARK FOR at AS at) WITH ('connector' = 'events')";
    let more = table(more, "e");
    let names: Vec<_> = more.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["kind", "at", "twice"]);
    assert_eq!(more.watermark.unwrap().column, "at");

    let declared = table("CREATE TABLE e (a INT) WITH ('connector' = 'events')", "e");
    assert_eq!(declared.columns.len(), 1);
}

#[test]
fn names_have_a_catalog_and_a_database() {
    let session = session(
        "CREATE TABLE t WITH ('connector' = 'events');
         CREATE DATABASE db; CREATE CATALOG c WITH ('type' = 'generic_in_memory'); CREATE DATABASE c.db;
         CREATE TABLE db.t WITH ('connector' = 'events');
         CREATE VIEW c.db.t AS SELECT 1;
         CREATE TABLE T WITH ('connector' = 'events');",
    )
    .unwrap();
    assert_eq!(session.relations_of("default_catalog", "default_database").count(), 2);
    assert!(matches!(session.find(&["default_catalog", "default_database", "t"]), Some(Relation::Table(_))));
    assert!(matches!(session.find(&["default_database", "T"]), Some(Relation::Table(_))));
    assert!(matches!(session.find(&["default_catalog", "db", "t"]), Some(Relation::Table(_))));
    assert!(matches!(session.find(&["c", "db", "t"]), Some(Relation::View(_))));
    assert!(session.find(&["db", "T"]).is_none());
    assert!(session.find(&["a", "b", "c", "d"]).is_none() && session.find(&[]).is_none());
}

#[test]
fn existing_and_missing_tables() {
    let base = "CREATE TABLE t (a INT) WITH ('connector' = 'events'); CREATE VIEW v AS SELECT 1;";
    let kept = session(&format!("{base} CREATE TABLE IF NOT EXISTS t (b INT) WITH ('connector' = 'events')"))
        .unwrap();
    assert!(matches!(kept.find(&["t"]), Some(Relation::Table(table)) if table.columns[0].name == "a"));
    session(&format!("{base} CREATE VIEW IF NOT EXISTS t AS SELECT 1")).unwrap();
    let dropped = session(&format!(
        "{base} DROP TABLE t; DROP VIEW v; DROP TABLE IF EXISTS t; CREATE VIEW t AS SELECT 2"
    ))
    .unwrap();
    assert!(matches!(dropped.find(&["t"]), Some(Relation::View(_))) && dropped.find(&["v"]).is_none());
}

#[test]
fn set_and_reset() {
    let set = session(
        "SET 'parallelism.default' = '4'; SET 'pipeline.name' = 'x'; SET 'parallelism.default' = '8'",
    )
    .unwrap();
    assert_eq!(set.config().get("parallelism.default").map(String::as_str), Some("8"));
    assert_eq!(set.config().len(), 2);
    let reset =
        session("SET 'parallelism.default' = '4'; SET 'pipeline.name' = 'x'; RESET 'pipeline.name'").unwrap();
    assert_eq!(reset.config().keys().collect::<Vec<_>>(), ["parallelism.default"]);
    assert!(session("SET 'parallelism.default' = '4'; RESET").unwrap().config().is_empty());
}

/// What follows `CREATE TABLE t (a INT, ts TIMESTAMP(3)) …` or stands alone, and the refusal.
const REFUSED: &[(&str, &str)] = &[
    (
        "CREATE TABLE t (a INT, b INT, a INT) WITH ('connector' = 'events')",
        "line 1, column 31: table default_catalog.default_database.t: the column 'a' is declared twice",
    ),
    (
        "CREATE TABLE t (a INT)",
        "line 1, column 14: table default_catalog.default_database.t needs the option 'connector', as in WITH ('connector' = 'events') (there are: events, files)",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'evnets')",
        "line 1, column 30: table default_catalog.default_database.t: no connector 'evnets'; did you mean 'events'? (there are: events, files)",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'events',\n  'rows-per-secnd' = '1')",
        "line 2, column 3: table default_catalog.default_database.t: connector 'events' has no option 'rows-per-secnd'; did you mean 'rows-per-second'?",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'files')",
        "line 1, column 14: table default_catalog.default_database.t: connector 'files' needs the option 'path': where the files are",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'events', 'connector' = 'files')",
        "line 1, column 54: table default_catalog.default_database.t: the option 'connector' is given twice",
    ),
    (
        "CREATE TABLE t (b AS 1) WITH ('connector' = 'files', 'path' = 'x')",
        "line 1, column 14: table default_catalog.default_database.t declares no columns that its connector 'files' could read or write",
    ),
    (
        "CREATE TABLE t (kind AS 1) WITH ('connector' = 'events')",
        "line 1, column 17: table default_catalog.default_database.t: the connector itself has a column 'kind'",
    ),
    (
        "CREATE TABLE t (a INT, m BIGINT METADATA) WITH ('connector' = 'events')",
        "line 1, column 24: table default_catalog.default_database.t: the connector 'events' has no metadata columns, so there is no 'm'",
    ),
    (
        "CREATE TABLE t (amount INT, PRIMARY KEY (amuont) NOT ENFORCED) WITH ('connector' = 'events')",
        "line 1, column 42: table default_catalog.default_database.t: PRIMARY KEY names a column 'amuont' that doesn't exist; did you mean 'amount'?",
    ),
    (
        "CREATE TABLE t (a INT, b AS a, PRIMARY KEY (b) NOT ENFORCED) WITH ('connector' = 'events')",
        "line 1, column 45: table default_catalog.default_database.t: PRIMARY KEY can only name physical columns, and 'b' isn't one",
    ),
    (
        "CREATE TABLE t (a INT, PRIMARY KEY (a, a) NOT ENFORCED) WITH ('connector' = 'events')",
        "line 1, column 40: table default_catalog.default_database.t, PRIMARY KEY: the column 'a' is declared twice",
    ),
    (
        "CREATE TABLE t (a INT) PARTITIONED BY (z) WITH ('connector' = 'events')",
        "line 1, column 40: table default_catalog.default_database.t: PARTITIONED BY names a column 'z' that doesn't exist",
    ),
    (
        "CREATE TABLE t (a INT, WATERMARK FOR a AS a) WITH ('connector' = 'events')",
        "line 1, column 38: table default_catalog.default_database.t: the watermark's column 'a' is INT; it must be a TIMESTAMP or TIMESTAMP_LTZ",
    ),
    (
        "CREATE TABLE t (a INT, WATERMARK FOR b AS b) WITH ('connector' = 'events')",
        "line 1, column 38: table default_catalog.default_database.t: WATERMARK names a column 'b' that doesn't exist",
    ),
    (
        "CREATE VIEW v (a, b, a) AS SELECT 1, 2, 3",
        "line 1, column 22: view default_catalog.default_database.v: the column 'a' is declared twice",
    ),
    (
        "CREATE VIEW v AS SELECT 1;\nCREATE TABLE v (a INT) WITH ('connector' = 'events')",
        "line 2, column 14: view default_catalog.default_database.v exists already, since line 1, column 1",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'events'); CREATE TABLE default_database.t (a INT)",
        "line 1, column 68: table default_catalog.default_database.t exists already, since line 1, column 1",
    ),
    (
        "DROP TABLE t",
        "line 1, column 12: there is no table or view 'default_catalog.default_database.t'; nothing has been created so far",
    ),
    (
        "CREATE VIEW orders AS SELECT 1; DROP VIEW ordres",
        "line 1, column 43: there is no table or view 'default_catalog.default_database.ordres'; did you mean 'orders'?",
    ),
    (
        "CREATE VIEW v AS SELECT 1; DROP TABLE v",
        "line 1, column 39: default_catalog.default_database.v is a view: DROP VIEW drops it",
    ),
    (
        "SET 'parallelism.defualt' = '4'",
        "line 1, column 5: there is no configuration key 'parallelism.defualt'; did you mean 'parallelism.default'?",
    ),
    ("EXPLAIN STATEMENT SET BEGIN END", "line 1, column 1: EXPLAIN of a statement set without statements"),
];

#[test]
fn each_refusal_has_its_place_and_words() {
    let mut wrong = String::new();
    for (text, expected) in REFUSED {
        let found = match session(text) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        if found != *expected {
            wrong.push_str(&format!("\n{text}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn sinks_are_tables() {
    let session =
        session("CREATE TABLE t (a INT) WITH ('connector' = 'events'); CREATE VIEW v AS SELECT 1").unwrap();
    let name = |text: &str| -> TableName {
        match parse(&format!("INSERT INTO {text} SELECT 1")).unwrap().remove(0) {
            crate::statement::Statement::Insert(insert) => insert.table,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(session.resolve_sink(&name("t"), session.now()).unwrap().columns.len(), 1);
    assert_eq!(
        session.resolve_sink(&name("v"), session.now()).unwrap_err().to_string(),
        "line 1, column 13: INSERT INTO the view default_catalog.default_database.v: only tables can be written to"
    );
    assert!(session.resolve_sink(&name("x"), session.now()).is_err());
}
