//! UNNEST: what it yields, what is pruned, where it may stand.

use weir_api::error::Code;
use weir_api::graph::JobGraph;
use weir_api::schema::decode;
use weir_proto::v1::UnnestSpec;
use weir_proto::v1::operator_spec::Kind;

use super::{explain, names, plan, refusal, specs};

const TABLES: &str = "CREATE TABLE t (id BIGINT, xs ARRAY<INT>, m MAP<STRING, BIGINT>,
  rs ARRAY<ROW<a INT, b STRING>>, wide STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'unbounded');
CREATE TABLE n (a BIGINT) WITH ('connector' = 'unbounded');
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'unbounded');
";

fn text(statement: &str) -> String {
    format!("{TABLES}{statement}")
}

fn unnest(graph: &JobGraph) -> (UnnestSpec, Vec<String>) {
    let node = graph.vertices().iter().flat_map(|vertex| &vertex.chain).find_map(|node| {
        match node.spec.kind.as_ref() {
            Some(Kind::Unnest(spec)) => Some((spec.clone(), node.output_schema.clone().unwrap())),
            _ => None,
        }
    });
    let (spec, schema) = node.unwrap();
    (spec, schema.fields().iter().map(|field| field.name().clone()).collect())
}

#[test]
fn elements_become_columns_and_only_what_is_read_is_kept() {
    let graph = plan(&text(
        "INSERT INTO n SELECT id + x FROM t CROSS JOIN UNNEST(xs) AS u(x) WHERE x > 3 AND id < 9",
    ));
    let (spec, columns) = unnest(&graph);
    assert_eq!(columns, ["id", "x"]);
    assert!(!spec.outer && !spec.with_ordinality);
    let Kind::Source(source) = &specs(&graph)[0] else { panic!() };
    let read = decode(&source.projected_schema).unwrap();
    assert_eq!(read.fields().len(), 2, "{read}");
    // What filters the row does so before it is repeated.
    let operators = names(&graph).join(" | ");
    let before = operators.find("where=[id < 9]").unwrap();
    assert!(before < operators.find("Unnest(").unwrap(), "{operators}");
    assert!(operators.find("where=[x > 3]").unwrap() > before);

    let (_, columns) = unnest(&plan(&text("INSERT INTO n SELECT 1 FROM t, UNNEST(t.xs) AS u(x)")));
    assert_eq!(columns, ["x"]);
}

#[test]
fn rows_maps_and_numbers_are_flattened() {
    let (spec, columns) = unnest(&plan(&text(
        "INSERT INTO s SELECT o, b FROM t LEFT JOIN UNNEST(rs) WITH ORDINALITY AS u(a, b, o) ON TRUE",
    )));
    assert_eq!(columns, ["b", "o"]);
    assert_eq!((spec.elements, spec.outer, spec.with_ordinality), (vec![1], true, true));
    let (_, columns) =
        unnest(&plan(&text("INSERT INTO s SELECT v, k FROM t CROSS JOIN UNNEST(m) AS u(k, v)")));
    assert_eq!(columns, ["k", "v"]);
    // Without names of one's own: the fields'.
    let (_, columns) = unnest(&plan(&text("INSERT INTO s SELECT a, u.b FROM t CROSS JOIN UNNEST(rs) AS u")));
    assert_eq!(columns, ["a", "b"]);
    // What is computed is a collection, too; one UNNEST reads another's columns.
    let graph = plan(&text(
        "INSERT INTO n SELECT x * y FROM t CROSS JOIN UNNEST(xs) AS u(x) CROSS JOIN UNNEST(ARRAY[x, CAST(id AS INT)]) AS w(y)",
    ));
    assert_eq!(specs(&graph).iter().filter(|kind| matches!(kind, Kind::Unnest(_))).count(), 2);
}

#[test]
fn a_time_attribute_passes_through() {
    let graph = plan(&text(
        "CREATE VIEW v AS SELECT id, x, ts FROM t CROSS JOIN UNNEST(xs) AS u(x);
         INSERT INTO n SELECT SUM(x) FROM TUMBLE(TABLE v, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end, id",
    ));
    assert!(names(&graph).iter().any(|name| name.starts_with("LocalWindowAggregate")));
}

#[test]
fn an_unnest_is_explained() {
    insta::assert_snapshot!(explain(&text(
        "EXPLAIN INSERT INTO s SELECT id, b FROM t LEFT JOIN UNNEST(rs) AS u(a, b) ON TRUE WHERE wide <> 'x'"
    )));
}

#[test]
fn what_cannot_be_unnested_is_refused_at_its_place() {
    let check = |query: &str, code: Code, place: &str, part: &str| {
        let error = refusal(&format!("{TABLES}INSERT INTO n\n{query}"));
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(part), "{}", error.message());
        assert!(error.message().contains(place), "{}", error.message());
    };
    check(
        "SELECT id FROM t CROSS JOIN UNNEST(id) AS u(x)",
        Code::SqlType,
        "line 6, column 36",
        "'id' is BIGINT",
    );
    check(
        "SELECT id FROM t CROSS JOIN UNNEST(xs) AS u(x, y)",
        Code::SqlType,
        "column 36",
        "yields 1 columns",
    );
    check(
        "SELECT id FROM t LEFT JOIN UNNEST(xs) AS u(x) ON x > 1",
        Code::Unsupported,
        "column 50",
        "ON TRUE",
    );
    check("SELECT id FROM t RIGHT JOIN UNNEST(xs) AS u(x) ON TRUE", Code::Unsupported, "line 6", "LEFT JOIN");
    check(
        "SELECT id FROM t CROSS JOIN UNNEST(ys) AS u(x)",
        Code::SqlUnknownName,
        "column 36",
        "no column 'ys'",
    );
}
