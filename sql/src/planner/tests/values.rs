//! VALUES and SELECT without FROM: rows in an option of a made table.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::ipc::reader::StreamReader;
use arrow::util::display::array_value_to_string;
use weir_api::error::Code;
use weir_api::graph::JobGraph;
use weir_proto::v1::operator_spec::Kind;

use super::{names, plan, refusal, specs};

const TABLES: &str = "CREATE TABLE n (a BIGINT) WITH ('connector' = 'unbounded');
CREATE TABLE s (a BIGINT, b STRING, c DECIMAL(11, 1)) WITH ('connector' = 'unbounded');
CREATE TABLE times (a TIMESTAMP_LTZ(3)) WITH ('connector' = 'unbounded');
";

fn text(statement: &str) -> String {
    format!("{TABLES}{statement}")
}

/// The rows of each source.
fn sources(graph: &JobGraph) -> Vec<RecordBatch> {
    let rows = |text: &str| {
        let bytes: Vec<u8> = (0..text.len() / 2)
            .map(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap())
            .collect();
        StreamReader::try_new(Cursor::new(bytes), None).unwrap().next().unwrap().unwrap()
    };
    specs(graph)
        .iter()
        .filter_map(|kind| match kind {
            Kind::Source(source) => Some(rows(&source.table.as_ref().unwrap().options["rows"])),
            _ => None,
        })
        .collect()
}

fn cells(rows: &RecordBatch) -> Vec<String> {
    let cell = |row: usize, column: usize| array_value_to_string(rows.column(column), row).unwrap();
    (0..rows.num_rows())
        .map(|row| (0..rows.num_columns()).map(|column| cell(row, column)).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn values_have_the_type_of_all_of_them() {
    let graph = plan(&text("INSERT INTO s VALUES (1, 'a', 1), (1 + 1, UPPER('b'), 2.5), (NULL, NULL, NULL)"));
    let [rows] = &sources(&graph)[..] else { panic!("{:?}", names(&graph)) };
    assert_eq!(cells(rows), ["1 a 1.0", "2 B 2.5", "  "]);
    let types: Vec<&DataType> = rows.columns().iter().map(|column| column.data_type()).collect();
    assert_eq!(types, [&DataType::Int32, &DataType::Utf8, &DataType::Decimal128(11, 1)]);
    assert!(names(&graph).iter().any(|name| name.starts_with("Source: Values[")), "{:?}", names(&graph));
    assert_eq!(graph.vertices()[0].parallelism, 2);
}

#[test]
fn they_stand_wherever_a_query_does() {
    let graph = plan(&text(
        "INSERT INTO n WITH w(x, y) AS (VALUES (1, 'a'), (2, 'b')) SELECT x FROM w WHERE y = 'b' UNION ALL SELECT x + 1 FROM w
         UNION ALL SELECT EXPR$0 FROM (VALUES (7)) UNION ALL SELECT k FROM (VALUES (CAST(8 AS BIGINT))) AS t(k)",
    ));
    let sources = sources(&graph);
    assert_eq!(sources.len(), 3, "the rows of w are read once");
}

#[test]
fn a_select_without_from_has_one_row() {
    let graph = plan(&text("INSERT INTO n SELECT CAST(1 AS BIGINT) + 1"));
    assert_eq!(sources(&graph)[0].num_rows(), 1);
    // What isn't constant is computed by the job.
    let graph =
        plan(&text("INSERT INTO times VALUES (NOW()), (TO_TIMESTAMP_LTZ(5, 3)), (TO_TIMESTAMP_LTZ(6, 3))"));
    let rows: Vec<usize> = sources(&graph).iter().map(RecordBatch::num_rows).collect();
    assert_eq!(rows, [1, 2]);
    let calc = names(&graph).join(" | ");
    assert!(calc.contains("current_timestamp()"), "{calc}");
    // Elements without a table.
    let graph = plan(&text("INSERT INTO n SELECT x FROM UNNEST(ARRAY[1, 2, 3]) AS u(x)"));
    assert!(specs(&graph).iter().any(|kind| matches!(kind, Kind::Unnest(_))));
}

#[test]
fn narrower_integers_keep_their_lowest_bits() {
    let graph = plan(&text(
        "INSERT INTO s SELECT a + b, t, 0.0 FROM (VALUES (CAST(3000000001 AS INT), CAST(-129 AS TINYINT), TRY_CAST(TRUE AS STRING)),
         (CAST(70000 AS SMALLINT), TRY_CAST(201 AS TINYINT), CAST(TRUE AS STRING)), (CAST(-1 AS INT), CAST(CAST(-2 AS BIGINT) AS TINYINT), 'x')) AS t(a, b, t)",
    ));
    let [rows] = &sources(&graph)[..] else { panic!("{:?}", names(&graph)) };
    assert_eq!(cells(rows), ["-1294967295 127 TRUE", "4464 -55 TRUE", "-1 -2 x"]);
}

#[test]
fn rows_that_do_not_fit_together_are_refused() {
    let error = refusal(&text("INSERT INTO n VALUES (1), (2, 3)"));
    assert_eq!(error.code(), Code::SqlType);
    assert!(error.message().contains("the first has 1, another has 2"), "{}", error.message());
    let error = refusal(&text("INSERT INTO n VALUES (1), ('x')"));
    assert!(error.message().contains("no type in common: INT, STRING"), "{}", error.message());
    let error = refusal(&text("INSERT INTO n VALUES ('x')"));
    assert!(error.message().contains("sink's column 'a' is BIGINT"), "{}", error.message());
}
