//! Whole texts: planned, explained, refused.

use std::collections::BTreeMap;

use weir_api::error::Code;

use super::connectors::registry;
use crate::{PlanRequest, Planned, explain, plan};

const TABLES: &str = "CREATE TABLE e (id BIGINT, price DOUBLE, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'events');
CREATE TABLE o (id BIGINT, price DOUBLE) WITH ('connector' = 'files', 'path' = 'x');
CREATE TABLE p (id BIGINT, n BIGINT) WITH ('connector' = 'files', 'path' = 'y');
";

fn with<T>(sql: &str, run: impl FnOnce(PlanRequest<'_>) -> T) -> T {
    let registry = registry();
    run(PlanRequest { sql, name: None, parallelism: None, config: BTreeMap::new(), registry: &registry })
}

fn planned(sql: &str) -> Planned {
    with(sql, plan).unwrap_or_else(|error| panic!("{error}\n{sql}"))
}

fn refusal(sql: &str) -> String {
    with(sql, plan).map(|planned| panic!("{planned:?}")).unwrap_err().message().to_owned()
}

#[test]
fn all_inserts_are_one_job() {
    let text = format!(
        "{TABLES}
        CREATE VIEW w AS SELECT id, COUNT(*) AS n FROM TUMBLE(TABLE e, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
          GROUP BY id, window_start, window_end;
        INSERT INTO o SELECT id, price FROM e;
        EXECUTE STATEMENT SET BEGIN INSERT INTO p SELECT id, n FROM w; INSERT INTO o (id) SELECT id + 1 FROM e; END;"
    );
    let planned = planned(&text);
    let sinks = planned
        .graph
        .vertices()
        .iter()
        .flat_map(|vertex| &vertex.chain)
        .filter(|node| node.output_schema.is_none())
        .count();
    assert_eq!(sinks, 3);
    assert!(planned.warnings.is_empty());
}

#[test]
fn name_and_parallelism_of_the_request_win() {
    let registry = registry();
    let text = format!(
        "{TABLES} SET 'parallelism.default' = '3'; SET 'pipeline.name' = 'text'; INSERT INTO o SELECT id, price FROM e"
    );
    let config = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let request = PlanRequest {
        sql: &text,
        name: None,
        parallelism: None,
        config: BTreeMap::new(),
        registry: &registry,
    };

    let from_text = plan(request.clone()).unwrap().graph;
    assert_eq!((from_text.name(), from_text.required_slots()), ("text", 3));
    let under_text =
        plan(PlanRequest { config: config("parallelism.default", "7"), ..request.clone() }).unwrap().graph;
    assert_eq!(under_text.required_slots(), 3, "the text wins over the configuration");
    let over_text =
        plan(PlanRequest { name: Some("mine".to_owned()), parallelism: Some(5), ..request.clone() })
            .unwrap()
            .graph;
    assert_eq!((over_text.name(), over_text.required_slots()), ("mine", 5), "the request wins over the text");

    let unknown =
        plan(PlanRequest { config: config("paralelism.default", "7"), ..request.clone() }).unwrap_err();
    assert_eq!(unknown.code(), Code::InvalidConfiguration);
    assert!(plan(PlanRequest { parallelism: Some(0), ..request }).is_err());
}

#[test]
fn a_text_without_inserts_is_no_job() {
    assert_eq!(
        refusal(TABLES).lines().next().unwrap(),
        "line 1, column 1: there is no INSERT INTO in the text, so there is nothing to run"
    );
    assert!(refusal("").contains("nothing to run"));
    assert_eq!(
        refusal(&format!("{TABLES}SELECT * FROM e")).lines().next().unwrap(),
        "line 4, column 1: a SELECT alone has no table to write its rows to: CREATE TABLE … WITH ('connector' = 'print') and \
         INSERT INTO it"
    );
    let warned = planned(&format!("{TABLES}EXPLAIN SELECT * FROM e; INSERT INTO o SELECT id, price FROM e"));
    assert_eq!(warned.warnings, ["line 4, column 1: EXPLAIN has no effect in a job"]);
}

#[test]
fn an_error_shows_its_line() {
    assert_eq!(
        refusal(&format!("{TABLES}INSERT INTO o\nSELECT id, prize FROM e")),
        "line 5, column 12: there is no column 'prize'; did you mean 'price'?\n  5 | SELECT id, prize FROM e\n    |            ^"
    );
    assert_eq!(
        refusal("SELECT 1,, 2"),
        "line 1, column 10: expected an expression, found ,\n  1 | SELECT 1,, 2\n    |          ^"
    );
    assert!(
        refusal(&format!("{TABLES}INSERT INTO oo SELECT 1"))
            .starts_with("line 4, column 13: there is no table or view")
    );
}

#[test]
fn drops_stand_before_what_is_planned() {
    let text = format!(
        "{TABLES}DROP TABLE p; CREATE VIEW p AS SELECT * FROM e; INSERT INTO o SELECT id, price FROM p;"
    );
    assert_eq!(planned(&text).graph.vertices().len(), 1);
    assert!(refusal(&format!("{text}DROP VIEW p")).contains("stands behind statements that are planned"));
}

#[test]
fn everything_is_explained() {
    let text = format!(
        "{TABLES}INSERT INTO o SELECT id, price FROM e; SELECT id FROM e WHERE price > 1; EXPLAIN INSERT INTO p SELECT id, id FROM e;"
    );
    let explained = with(&text, explain).unwrap();
    assert_eq!(explained.matches("== Optimized Logical Plan ==").count(), 3, "{explained}");
    let place = |what: &str| explained.find(what).unwrap_or_else(|| panic!("no {what} in {explained}"));
    assert!(place("default_database.o") < place("default_database.p"));
    assert!(with(TABLES, explain).unwrap_err().message().contains("nothing to explain"));
}
