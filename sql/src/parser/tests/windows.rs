//! Window table functions, in every form and place.

use super::{all, one, refusal};
use crate::statement::{Query, Statement, WindowInput, WindowKind};

fn query(text: &str) -> Query {
    match one(text) {
        Statement::Query(query) => *query,
        other => panic!("not a query: {other:?}"),
    }
}

const SECOND: u64 = 1000;
const TUMBLE: WindowKind = WindowKind::Tumble { size_millis: 10 * SECOND, offset_millis: 0 };
const HOP: WindowKind =
    WindowKind::Hop { slide_millis: 2 * SECOND, size_millis: 10 * SECOND, offset_millis: 0 };

#[test]
fn every_form() {
    let shifted = WindowKind::Tumble { size_millis: 600 * SECOND, offset_millis: -60_000 };
    let cases = [
        ("TABLE(TUMBLE(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))", TUMBLE),
        ("TUMBLE(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '10' SECOND)", TUMBLE),
        ("table(tumble(table bid, descriptor(dateTime), interval '10' seconds))", TUMBLE),
        (
            "TABLE(TUMBLE(DATA => TABLE bid, TIMECOL => DESCRIPTOR(dateTime), SIZE => INTERVAL '10' SECOND))",
            TUMBLE,
        ),
        ("TUMBLE(data => TABLE bid, size => INTERVAL '10' SECOND, timecol => DESCRIPTOR(dateTime))", TUMBLE),
        ("TUMBLE(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '10' MINUTES, INTERVAL '-1' MINUTE)", shifted),
        ("TUMBLE(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '10' MINUTES, -INTERVAL '1' MINUTE)", shifted),
        (
            "TUMBLE(DATA => TABLE bid, TIMECOL => DESCRIPTOR(dateTime), SIZE => INTERVAL '10' MINUTE, `OFFSET` => INTERVAL '-60' SECOND)",
            shifted,
        ),
        ("TABLE(HOP(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND))", HOP),
        ("Hop(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND)", HOP),
        (
            "HOP(DATA => TABLE bid, TIMECOL => DESCRIPTOR(dateTime), SIZE => INTERVAL '10' SECOND, SLIDE => INTERVAL '2' SECOND)",
            HOP,
        ),
        (
            "HOP(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND, INTERVAL '1' SECOND)",
            WindowKind::Hop { slide_millis: 2000, size_millis: 10_000, offset_millis: 1000 },
        ),
    ];
    for (text, kind) in cases {
        for alias in ["", " AS w", " w"] {
            let query = query(&format!("SELECT *\nFROM {text}{alias}"));
            let [window] = query.windows.as_slice() else { panic!("{text}: {:?}", query.windows) };
            assert_eq!(window.kind, kind, "{text}");
            assert_eq!(window.time_column.value, "dateTime");
            assert_eq!(window.position.line, 2);
            let WindowInput::Table(table) = &window.input else { panic!("{text}") };
            assert_eq!(table.to_string(), "bid");
            let alias = if alias.is_empty() { "" } else { " AS w" };
            let printed = query.ast.to_string().replace(" w", " AS w").replace("AS AS", "AS");
            assert_eq!(printed, format!("SELECT * FROM `{}`{alias}", window.placeholder), "{text}");
        }
    }
}

#[test]
fn every_place() {
    let text = "
        CREATE VIEW v AS SELECT * FROM TUMBLE(TABLE a.b.c, DESCRIPTOR(ts), INTERVAL '1' SECOND);
        INSERT INTO out
        WITH w AS (SELECT * FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '2' SECOND)))
        SELECT * FROM w
        JOIN (SELECT x FROM TUMBLE(TABLE u, DESCRIPTOR(`t s`), INTERVAL '3' SECOND) AS p) q ON w.x = q.x
        CROSS JOIN TABLE(TUMBLE(TABLE z, DESCRIPTOR(ts), INTERVAL '4' SECOND)) r
        WHERE x IN (SELECT y FROM TUMBLE(TABLE n, DESCRIPTOR(ts), INTERVAL '5' SECOND))
        UNION ALL SELECT * FROM TUMBLE((SELECT * FROM TUMBLE(TABLE i, DESCRIPTOR(ts), INTERVAL '6' SECOND)), DESCRIPTOR(a), INTERVAL '7' SECOND)";
    let statements = all(text);
    let [Statement::CreateView(view), Statement::Insert(insert)] = statements.as_slice() else { panic!() };
    let [window] = view.query.windows.as_slice() else { panic!() };
    assert!(matches!(&window.input, WindowInput::Table(table) if table.to_string() == "a.b.c"));
    let sizes: Vec<u64> = insert
        .query
        .windows
        .iter()
        .map(|window| match window.kind {
            WindowKind::Tumble { size_millis, .. }
            | WindowKind::Hop { size_millis, .. }
            | WindowKind::Cumulate { size_millis, .. } => size_millis / 1000,
        })
        .collect();
    assert_eq!(sizes.len(), 6);
    let place = |size| sizes.iter().position(|found| *found == size).unwrap();
    assert!(place(6) < place(7), "inner ones come first: {sizes:?}");
    let outer = &insert.query.windows[place(7)];
    let inner = &insert.query.windows[place(6)];
    let WindowInput::Query(input) = &outer.input else { panic!() };
    assert!(input.to_string().contains(&inner.placeholder));
    let mut names: Vec<_> =
        insert.query.windows.iter().chain([window]).map(|call| &call.placeholder).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 7, "placeholders are unique within a text");
    assert_eq!(insert.query.windows[place(3)].time_column.value, "t s");
}

#[test]
fn a_query_may_be_the_input() {
    let query = query("SELECT * FROM TUMBLE(TABLE (SELECT a FROM t), DESCRIPTOR(a), INTERVAL '10' SECOND)");
    assert!(
        matches!(&query.windows[0].input, WindowInput::Query(query) if query.to_string() == "SELECT a FROM t")
    );
}

#[test]
fn what_is_wrong_is_refused_in_its_place() {
    let usage = "TUMBLE(TABLE t, DESCRIPTOR(time), size [, offset])";
    let cases = [
        (
            "CUMULATE(TABLE t, DESCRIPTOR(a), INTERVAL '2' SECOND, INTERVAL '5' SECOND)",
            "1:78 CUMULATE needs a size that is a multiple of its step, and 5000 ms isn't one of 2000 ms"
                .to_owned(),
        ),
        (
            "TABLE(SESSION(TABLE t, DESCRIPTOR(a), INTERVAL '1' SECOND))",
            "1:21 SESSION windows are not supported yet; TUMBLE, HOP and CUMULATE are".to_owned(),
        ),
        (
            "SESSION(TABLE t PARTITION BY a, DESCRIPTOR(a), INTERVAL '1' SECOND)",
            "1:31 PARTITION BY in a window table function (SESSION windows) is not supported yet".to_owned(),
        ),
        (
            "TUMBLE(t, DESCRIPTOR(a), INTERVAL '1' SECOND)",
            "1:22 a table as an argument is written TABLE t".to_owned(),
        ),
        (
            "TUMBLE(TABLE t, a, INTERVAL '1' SECOND)",
            "1:31 expected DESCRIPTOR(column) with one column, found 'a'".to_owned(),
        ),
        (
            "TUMBLE(TABLE t, DESCRIPTOR(a, b), INTERVAL '1' SECOND)",
            "1:31 expected DESCRIPTOR(column) with one column, found 'DESCRIPTOR(a, b)'".to_owned(),
        ),
        ("TUMBLE(TABLE t, DESCRIPTOR(a))", format!("1:15 an argument is missing: {usage}")),
        ("TUMBLE()", format!("1:15 an argument is missing: {usage}")),
        (
            "TUMBLE(TABLE t, DESCRIPTOR(a), INTERVAL '0' SECOND)",
            "1:55 SIZE must be longer than zero".to_owned(),
        ),
        (
            "TUMBLE(TABLE t, DESCRIPTOR(a), INTERVAL '-1' SECOND)",
            "1:55 SIZE must be longer than zero".to_owned(),
        ),
        (
            "TUMBLE(TABLE t, DESCRIPTOR(a), 10)",
            "1:46 SIZE must be an interval, as in INTERVAL '10' SECOND, not '10'".to_owned(),
        ),
        (
            "TUMBLE(TABLE t, DESCRIPTOR(a), INTERVAL '1' MONTH)",
            "1:55 SIZE can't be in months or years, whose lengths vary; use days or less".to_owned(),
        ),
        (
            "TUMBLE(TABLE t, DESCRIPTOR(a), INTERVAL '1' SECOND, INTERVAL '1' SECOND, 1)",
            format!("1:88 one argument too many: {usage}"),
        ),
        (
            "TUMBLE(DATA => TABLE t, SIZES => INTERVAL '1' SECOND)",
            "1:39 TUMBLE has no argument 'SIZES'; there are DATA, TIMECOL, SIZE, OFFSET".to_owned(),
        ),
        (
            "HOP(TABLE t, DESCRIPTOR(a), INTERVAL '3' SECOND, INTERVAL '10' SECOND)",
            "1:73 HOP needs a size that is a multiple of its slide, and 10000 ms isn't one of 3000 ms"
                .to_owned(),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(&format!("SELECT * FROM {text}")), expected, "{text}");
    }
    assert_eq!(
        refusal("SELECT COUNT(*) FROM t\nGROUP BY TUMBLE(ts, INTERVAL '1' SECOND)"),
        format!("2:10 TUMBLE is a table function: write FROM {usage} and GROUP BY window_start, window_end")
    );
    assert_eq!(refusal("SELECT TABLE t"), "1:8 TABLE … can only be an argument of a window table function");
    assert_eq!(refusal("SELECT * FROM `TUMBLE#1`"), "1:15 the name `TUMBLE#1` is reserved; choose another");
}
