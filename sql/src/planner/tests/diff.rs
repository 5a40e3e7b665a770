//! What a changed query does to state.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use weir_api::graph::JobGraph;
use weir_api::id::OperatorUid;

use super::plan;
use crate::planner::diff::{Change, Diff, Fate, Held, diff, diff_held};

const TABLES: &str = "
CREATE TABLE t (k BIGINT, v BIGINT, w INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'unbounded');
CREATE TABLE two (a BIGINT, b BIGINT) WITH ('connector' = 'unbounded');
CREATE TABLE three (a BIGINT, b BIGINT, c BIGINT) WITH ('connector' = 'unbounded');
";
const WINDOW: &str =
    "FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end, k";

fn compare(old: &str, new: &str) -> Diff {
    let graph = |query: &str| plan(&format!("{TABLES}{query}"));
    diff(&graph(old), &graph(new)).unwrap()
}

fn fates(diff: &Diff) -> Vec<(Fate, &'static str)> {
    diff.changes.iter().map(|change| (change.fate, change.kind)).collect()
}

fn of(diff: &Diff, fate: Fate, kind: &str) -> Change {
    let mut found = diff.changes.iter().filter(|change| change.fate == fate && change.kind == kind);
    found.next().unwrap_or_else(|| panic!("no {} {kind}: {diff:?}", fate.as_str())).clone()
}

#[test]
fn what_comes_behind_a_window_leaves_it_alone() {
    let old = format!("INSERT INTO two SELECT k, SUM(v) {WINDOW}");
    let same = compare(&old, &old);
    let kept = [(Fate::Kept, "source"), (Fate::Kept, "window aggregate"), (Fate::Kept, "sink")];
    assert_eq!(fates(&same), kept, "{same:?}");
    assert!(same.max_parallelism.is_none() && same.changes.iter().all(|change| change.details.is_empty()));
    // The first of two phases holds nothing.
    assert!(same.changes.iter().all(|change| !change.uid.as_str().starts_with("local")), "{same:?}");

    let filtered = compare(&old, &format!("{old} HAVING SUM(v) > 10"));
    assert_eq!(of(&filtered, Fate::Kept, "window aggregate").details, [""; 0]);
    let sink = of(&filtered, Fate::Dropped, "sink");
    assert!(sink.details[0].contains("writes something else"), "{sink:?}");
}

#[test]
fn another_aggregate_is_another_operator() {
    let changed = compare(
        &format!("INSERT INTO two SELECT k, SUM(v) {WINDOW}"),
        &format!("INSERT INTO two SELECT k, MAX(v) {WINDOW}"),
    );
    of(&changed, Fate::Kept, "source");
    of(&changed, Fate::Dropped, "window aggregate");
    of(&changed, Fate::New, "window aggregate");
    assert_eq!(changed.changes[0].fate, Fate::Dropped, "what is lost stands first: {changed:?}");

    let wider = compare(
        &format!("INSERT INTO two SELECT k, SUM(v) {WINDOW}"),
        &format!("INSERT INTO three SELECT k, SUM(v), SUM(w) {WINDOW}"),
    );
    let source = of(&wider, Fate::New, "source");
    assert!(source.details[0].contains("other columns"), "{source:?}");
    let sinks: Vec<_> = wider.changes.iter().filter(|change| change.kind == "sink").collect();
    assert!(sinks.iter().all(|sink| sink.details.is_empty()), "other tables: {sinks:?}");
}

#[test]
fn a_column_that_is_passed_on_too_migrates_what_waits() {
    let over = "SUM(v) OVER (PARTITION BY k ORDER BY ts) FROM t";
    let more = compare(
        &format!("INSERT INTO two SELECT k, {over}"),
        &format!("INSERT INTO three SELECT k, v, {over}"),
    );
    let change = of(&more, Fate::Migrated, "over aggregate");
    assert!(change.details.iter().any(|detail| detail.starts_with("+ v BIGINT")), "{change:?}");
    let less = compare(
        &format!("INSERT INTO three SELECT k, v, {over}"),
        &format!("INSERT INTO two SELECT k, {over}"),
    );
    let change = of(&less, Fate::Migrated, "over aggregate");
    assert!(change.details.iter().any(|detail| detail.starts_with("- v BIGINT")), "{change:?}");
}

#[test]
fn tables_options_and_key_groups_are_told() {
    let insert = format!("INSERT INTO two SELECT k, SUM(v) {WINDOW}");
    let graph = |tables: &str, set: &str| plan(&format!("{set}{tables}{insert}"));
    let old = graph(TABLES, "");
    let parallel = graph(&TABLES.replace("'unbounded')", "'unbounded', 'sink.parallelism' = '1')"), "");
    let told = diff(&old, &parallel).unwrap();
    assert!(of(&told, Fate::Kept, "sink").details[0].contains("'sink.parallelism'"), "{told:?}");
    let other = graph(&TABLES.replacen("'unbounded'", "'ranging'", 1), "");
    let told = diff(&old, &other).unwrap();
    let source = of(&told, Fate::Migrated, "source");
    assert_eq!(source.details[0], "connector: unbounded becomes ranging");

    let groups = graph(TABLES, "SET 'pipeline.max-parallelism' = '64';");
    assert_eq!(diff(&old, &groups).unwrap().max_parallelism, Some((128, 64)));
}

/// What a snapshot of the job would hold: splits, panes with these columns, nothing in sinks.
fn held(graph: &JobGraph, panes: &[(&str, DataType)]) -> Vec<Held> {
    let nodes = graph.vertices().iter().flat_map(|vertex| &vertex.chain);
    let of = |uid: &OperatorUid, name: &str| {
        let kind = uid.as_str();
        let fields: Vec<Field> =
            panes.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
        let is_window = kind.contains("global-aggregate");
        let states = is_window.then(|| ("panes".to_owned(), Arc::new(Schema::new(fields))));
        let contents = match (is_window, kind.starts_with("source")) {
            (true, _) => vec!["holds 7 rows".to_owned()],
            (_, true) => vec!["holds 2 splits".to_owned()],
            _ => Vec::new(),
        };
        Held { uid: uid.clone(), name: name.to_owned(), states: states.into_iter().collect(), contents }
    };
    nodes.map(|node| of(&node.uid, &node.name)).collect()
}

#[test]
fn a_snapshot_tells_what_would_be_lost() {
    let sum = plan(&format!("{TABLES}INSERT INTO two SELECT k, SUM(v) {WINDOW}"));
    let panes = [("k", DataType::Int64), ("__pane", DataType::Int64), ("0#sum", DataType::Int64)];
    let same = diff_held(&held(&sum, &panes), 128, &sum).unwrap();
    let kept = [(Fate::Kept, "source"), (Fate::Kept, "window aggregate"), (Fate::Kept, "sink")];
    assert_eq!(fates(&same), kept, "{same:?}");
    assert_eq!(of(&same, Fate::Kept, "window aggregate").details, ["holds 7 rows"]);

    // Of a sink that holds nothing nothing is lost.
    let max = plan(&format!("{TABLES}INSERT INTO two SELECT k, MAX(v) {WINDOW}"));
    let other = diff_held(&held(&sum, &panes), 128, &max).unwrap();
    let told = fates(&other);
    let expected =
        [(Fate::Dropped, "window aggregate"), (Fate::New, "window aggregate"), (Fate::New, "sink")];
    assert_eq!(told[..3], expected, "{other:?}");
    let dropped = of(&other, Fate::Dropped, "window aggregate");
    assert!(dropped.details[1].ends_with("means something else"), "{dropped:?}");

    let narrower = [("k", DataType::Int32), ("0#sum", DataType::Int32)];
    let migrated = diff_held(&held(&sum, &narrower), 64, &sum).unwrap();
    let window = of(&migrated, Fate::Migrated, "window aggregate");
    assert_eq!(window.details, ["k INT becomes BIGINT", "sum(v)#sum INT becomes BIGINT", "holds 7 rows"]);
    assert_eq!(migrated.max_parallelism, Some((64, 128)));
}

#[test]
fn rows_that_wait_in_a_snapshot_tell_what_is_passed_on_too() {
    let over = "SUM(v) OVER (PARTITION BY k ORDER BY ts) FROM t";
    let graph = |query: &str| plan(&format!("{TABLES}INSERT INTO {query}, {over}"));
    let (less, more) = (graph("two SELECT k"), graph("three SELECT k, v"));
    let waiting = |types: &[(&str, DataType)]| {
        let mut all = held(&less, types);
        let one = all.iter_mut().find(|one| one.uid.as_str().starts_with("over")).unwrap();
        let fields: Vec<Field> =
            types.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
        one.states = [("rows".to_owned(), Arc::new(Schema::new(fields)))].into();
        one.contents = vec!["holds 3 rows".to_owned()];
        all
    };
    let own =
        |diff: &Diff| diff.changes.iter().find(|change| change.kind == "over aggregate").cloned().unwrap();
    // The argument waits as well, so it is there when it is passed on.
    let both = waiting(&[("k", DataType::Int64), ("v", DataType::Int64)]);
    assert_eq!(own(&diff_held(&both, 128, &more).unwrap()).fate, Fate::Kept);
    assert_eq!(own(&diff_held(&both, 128, &less).unwrap()).fate, Fate::Kept);
    let without = own(&diff_held(&waiting(&[("k", DataType::Int64)]), 128, &more).unwrap());
    assert_eq!((without.fate, without.details[0].as_str()), (Fate::Migrated, "+ v BIGINT"), "{without:?}");
}
