//! Whole texts: planned, explained, refused.

use std::collections::{BTreeMap, HashSet};

use weir_api::error::Code;
use weir_proto::v1::TableSpec;
use weir_proto::v1::operator_spec::Kind;

use super::connectors::{registry, registry_with_print};
use crate::{PlanRequest, Planned, explain, plan};

const TABLES: &str = "CREATE TABLE e (id BIGINT, price DOUBLE, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'events');
CREATE TABLE o (id BIGINT, price DOUBLE) WITH ('connector' = 'files', 'path' = 'x');
CREATE TABLE p (id BIGINT, n BIGINT) WITH ('connector' = 'files', 'path' = 'y');
";

fn with<T>(sql: &str, run: impl FnOnce(PlanRequest<'_>) -> T) -> T {
    let registry = registry_with_print();
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
    assert!(planned.warnings.is_empty() && planned.results.is_empty());
    let sinks = planned
        .graph
        .unwrap()
        .vertices()
        .iter()
        .flat_map(|vertex| &vertex.chain)
        .filter(|node| node.output_schema.is_none())
        .count();
    assert_eq!(sinks, 3);
}

#[test]
fn name_and_parallelism_of_the_request_win() {
    let registry = registry_with_print();
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

    let from_text = plan(request.clone()).unwrap().graph.unwrap();
    assert_eq!((from_text.name(), from_text.required_slots()), ("text", 3));
    let under_text = plan(PlanRequest { config: config("parallelism.default", "7"), ..request.clone() })
        .unwrap()
        .graph
        .unwrap();
    assert_eq!(under_text.required_slots(), 3, "the text wins over the configuration");
    let over_text =
        plan(PlanRequest { name: Some("mine".to_owned()), parallelism: Some(5), ..request.clone() })
            .unwrap()
            .graph
            .unwrap();
    assert_eq!((over_text.name(), over_text.required_slots()), ("mine", 5), "the request wins over the text");

    let unknown =
        plan(PlanRequest { config: config("paralelism.default", "7"), ..request.clone() }).unwrap_err();
    assert_eq!(unknown.code(), Code::InvalidConfiguration);
    assert!(plan(PlanRequest { parallelism: Some(0), ..request }).is_err());
}

#[test]
fn a_text_without_inserts_and_queries_is_no_job() {
    assert_eq!(
        refusal(TABLES).lines().next().unwrap(),
        "line 1, column 1: there is no INSERT INTO or SELECT in the text, so there is nothing to run"
    );
    assert!(refusal("").contains("nothing to run"));
    let asked = planned(&format!("{TABLES}EXPLAIN SELECT * FROM e"));
    assert!(asked.graph.is_none() && asked.results.len() == 1);
    let both = planned(&format!("{TABLES}EXPLAIN SELECT * FROM e; INSERT INTO o SELECT id, price FROM e"));
    assert!(both.graph.is_some() && both.results.len() == 1);
}

/// The tables that a job writes to, and the uids of their sinks.
fn sinks(sql: &str) -> Vec<(TableSpec, String)> {
    let graph = planned(sql).graph.unwrap();
    let nodes = graph.vertices().iter().flat_map(|vertex| &vertex.chain);
    nodes
        .filter_map(|node| match &node.spec.kind {
            Some(Kind::Sink(sink)) => Some((sink.table.clone().unwrap(), node.uid.to_string())),
            _ => None,
        })
        .collect()
}

#[test]
fn a_query_alone_is_printed_with_its_own_columns() {
    let found = sinks(&format!("{TABLES}SELECT id AS a, price * 2 AS b, ts FROM e"));
    let [(table, _)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((table.name.as_str(), table.connector.as_str()), ("print", "print"));
    assert!(table.options.is_empty(), "one query needs no name: {:?}", table.options);
    let schema = weir_api::schema::decode(&table.schema).unwrap();
    let columns: Vec<String> =
        schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    assert_eq!(columns, ["a Int64", "b Float64", "ts Timestamp(ms)"]);
    assert!(schema.fields().iter().all(|field| field.metadata().is_empty()), "no time attribute any more");
}

#[test]
fn queries_and_inserts_are_one_job() {
    let query = "SELECT id FROM e WHERE price > 1;";
    let text = format!(
        "{TABLES}{query} INSERT INTO o SELECT id, price FROM e; SELECT price FROM e; SELECT price FROM e;"
    );
    let found = sinks(&text);
    let mut identifiers: Vec<&str> = found
        .iter()
        .filter(|(table, _)| table.name == "print")
        .map(|(table, _)| table.options["print-identifier"].as_str())
        .collect();
    identifiers.sort_unstable();
    assert_eq!(identifiers, ["query-1", "query-2", "query-3"]);
    let uids: HashSet<&String> = found.iter().map(|(_, uid)| uid).collect();
    assert_eq!(uids.len(), 4, "{found:?}");

    let [(_, alone)] = sinks(&format!("{TABLES}{query}")).try_into().unwrap();
    let (_, among) =
        found.iter().find(|(table, _)| table.options.values().any(|value| value == "query-1")).unwrap();
    assert_eq!(*among, alone, "a sink's uid doesn't hang on the other statements");
}

#[test]
fn what_a_query_alone_is_refused_for_has_its_place() {
    assert!(
        refusal(&format!("{TABLES}\nSELECT prize FROM e"))
            .starts_with("line 5, column 8: there is no column 'prize'; did you mean 'price'?")
    );
    let registry = registry();
    let sql = format!("{TABLES}SELECT id FROM e");
    let request = PlanRequest {
        sql: &sql,
        name: None,
        parallelism: None,
        config: BTreeMap::new(),
        registry: &registry,
    };
    let refused = plan(request).unwrap_err();
    assert!(
        refused.message().starts_with(
            "line 4, column 1: the rows of a SELECT without INSERT INTO are printed: no connector 'print'"
        ),
        "{refused}"
    );
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
    assert_eq!(planned(&text).graph.unwrap().vertices().len(), 1);
}

#[test]
fn everything_is_explained() {
    let text = format!(
        "{TABLES}INSERT INTO o SELECT id, price FROM e; SELECT id FROM e WHERE price > 1; EXPLAIN INSERT INTO p SELECT id, id FROM e;"
    );
    let explained = with(&text, explain).unwrap().text;
    assert_eq!(explained.matches("== Optimized Logical Plan ==").count(), 3, "{explained}");
    let place = |what: &str| explained.find(what).unwrap_or_else(|| panic!("no {what} in {explained}"));
    assert!(place("default_database.o") < place("default_database.p"));
    assert!(with(TABLES, explain).unwrap_err().message().contains("nothing to explain"));
}
