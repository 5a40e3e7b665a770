//! The format as a whole: every type there and back, leniencies, malformed lines that leave nothing behind.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, SchemaRef, TimeUnit};
use proptest::prelude::*;

use super::JsonOptions;
use super::decoder::Decoder;
use super::encoder::Encoder;
use crate::formats::record::{RecordEncoder, Records};

const OPTIONS: JsonOptions = JsonOptions {
    fail_on_missing_field: false,
    ignore_parse_errors: false,
    iso_timestamps: false,
    ignore_null_fields: false,
    plain_decimals: true,
};

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(
        fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect::<Vec<_>>(),
    ))
}

fn map(value: DataType) -> DataType {
    let pair = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), false)
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn everything() -> SchemaRef {
    let nested = Fields::from(vec![
        Field::new("x", DataType::Int64, true),
        Field::new("l", list(DataType::Utf8), true),
    ]);
    schema(&[
        ("b", DataType::Boolean),
        ("i8", DataType::Int8),
        ("i16", DataType::Int16),
        ("i32", DataType::Int32),
        ("i64", DataType::Int64),
        ("f32", DataType::Float32),
        ("f64", DataType::Float64),
        ("dec", DataType::Decimal128(10, 2)),
        ("s", DataType::Utf8),
        ("bin", DataType::Binary),
        ("fix", DataType::FixedSizeBinary(3)),
        ("d", DataType::Date32),
        ("t", DataType::Time32(TimeUnit::Millisecond)),
        ("ts", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("ltz", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("list", list(DataType::Int64)),
        ("map", map(DataType::Float64)),
        ("row", DataType::Struct(nested)),
    ])
}

fn decode(schema: &SchemaRef, lines: &str) -> RecordBatch {
    let mut decoder = Decoder::new(schema.clone(), false, 16).unwrap();
    for line in lines.lines() {
        decoder.line(line.as_bytes(), true).expect(line);
    }
    decoder.finish().unwrap()
}

fn encode(batch: &RecordBatch, options: &JsonOptions) -> String {
    let mut out = Records::lines();
    Encoder::new(batch.schema(), options.clone())
        .encode(batch.columns(), batch.num_rows(), &mut out)
        .unwrap();
    String::from_utf8(out.bytes().to_vec()).unwrap()
}

const FULL: &str = concat!(
    r#"{"b":true,"i8":-8,"i16":16,"i32":32,"i64":-9223372036854775808,"f32":0.5,"f64":1.0E10,"dec":-12.30,"#,
    r#""s":"a\"\\\n\u0001é","bin":"AQID","fix":"AQID","d":"2015-07-15","t":"01:02:03.004","#,
    r#""ts":"2015-07-15 00:00:00.123","ltz":"2015-07-15 00:00:00.000001Z","list":[1,null,3],"#,
    r#""map":{"k":1.5,"n":null},"row":{"x":7,"l":["p","q"]}}"#
);

#[test]
fn every_type_there_and_back() {
    let schema = everything();
    let nulls = format!(
        "{{{}}}",
        schema
            .fields()
            .iter()
            .map(|field| format!("\"{}\":null", field.name()))
            .collect::<Vec<_>>()
            .join(",")
    );
    let text = format!("{FULL}\n{nulls}\n{FULL}\n");
    let batch = decode(&schema, &text);
    assert_eq!(batch.num_rows(), 3);
    assert_eq!(encode(&batch, &OPTIONS), text);
    let missing = decode(&schema, "{}");
    assert_eq!(encode(&missing, &OPTIONS).trim(), nulls);
    assert_eq!(encode(&missing, &JsonOptions { ignore_null_fields: true, ..OPTIONS }).trim(), "{}");
    let iso = JsonOptions { iso_timestamps: true, ..OPTIONS };
    assert!(encode(&batch, &iso).contains("2015-07-15T00:00:00.123"));
    assert_eq!(decode(&schema, &encode(&batch, &iso)), batch);
}

#[test]
fn only_wanted_columns_and_fields_are_decoded() {
    let pruned = Fields::from(vec![Field::new("x", DataType::Int64, true)]);
    let schema = schema(&[("row", DataType::Struct(pruned)), ("i64", DataType::Int64)]);
    let batch = decode(&schema, FULL);
    assert_eq!(encode(&batch, &OPTIONS).trim(), r#"{"row":{"x":7},"i64":-9223372036854775808}"#);
    let count = decode(&Arc::new(Schema::empty()), FULL);
    assert_eq!(count.num_rows(), 1);
}

#[test]
fn what_flinks_format_lets_pass() {
    let schema = schema(&[
        ("n", DataType::Int64),
        ("s", DataType::Utf8),
        ("f", DataType::Float64),
        ("b", DataType::Boolean),
    ]);
    let lines = concat!(
        "{\"n\": \"12\", \"s\": 1.50, \"f\": \"NaN\", \"b\": \"TRUE\"}\n",
        " { \"s\" : {\"a\": [1, 2]} , \"n\" : 1.0 } \n",
        "{\"n\":1,\"n\":2,\"\\u0073\":\"escaped key\"}\n",
    );
    let expected = concat!(
        "{\"n\":12,\"s\":\"1.50\",\"f\":\"NaN\",\"b\":true}\n",
        "{\"n\":1,\"s\":\"{\\\"a\\\": [1, 2]}\",\"f\":null,\"b\":null}\n",
        "{\"n\":2,\"s\":\"escaped key\",\"f\":null,\"b\":null}\n",
    );
    assert_eq!(encode(&decode(&schema, lines), &OPTIONS), expected);
}

#[test]
fn malformed_lines_say_where_and_leave_nothing() {
    let schema = everything();
    let mut decoder = Decoder::new(schema.clone(), false, 16).unwrap();
    for (line, at, what) in [
        (r#"{"list":[1,2,"x"]}"#, 13, "\"x\" isn't a value of BIGINT"),
        (r#"{"i64":1"#, 8, "the line ends where `}` belongs"),
        (r#"{"i64":1} 2"#, 10, "`2` stands where the end of the line belongs"),
        (r#"{"i8":300}"#, 6, "300 isn't a value of TINYINT"),
        (r#"{"row":{"l":["a","b"],"x":[]}}"#, 26, "an object or an array for BIGINT"),
        (r#"{"map":{"k":1,"l":true}}"#, 18, "true isn't a value of DOUBLE"),
        (r#"{"s":"abc}"#, 6, "a text without its closing quote"),
        (r#"{"ts":1436918400000}"#, 6, "1436918400000 isn't a value of TIMESTAMP(3)"),
        (
            r#"{"ts":"2015-07-15 00:00:00+02:00"}"#,
            6,
            "\"2015-07-15 00:00:00+02:00\" isn't a value of TIMESTAMP(3)",
        ),
        (r#"{"dec":123456789.00}"#, 7, "123456789.00 isn't a value of DECIMAL(10, 2)"),
        (r#"{"fix":"AQ=="}"#, 7, "\"AQ==\" isn't a value of BINARY(3)"),
        (r#"[1]"#, 0, "`[` stands where `{` belongs"),
        (r#"{"s":"\ud800"}"#, 5, "half of an escaped surrogate pair"),
        (r#"{"b":tru}"#, 5, "`t` stands where a value belongs"),
    ] {
        decoder.line(FULL.as_bytes(), true).unwrap();
        let rows = decoder.rows();
        let problem = decoder.line(line.as_bytes(), true).expect_err(line);
        assert_eq!((problem.at, problem.what.as_ref()), (at, what), "{line}");
        assert_eq!(decoder.rows(), rows);
    }
    let problem = decoder.line(b"{\"s\":\"\xff\"}", false).expect_err("not UTF-8");
    assert_eq!((problem.at, problem.what.as_ref()), (6, "bytes that aren't UTF-8"));
    assert_eq!(encode(&Decoder::finish(&mut decoder).unwrap(), &OPTIONS), format!("{FULL}\n").repeat(14));
}

#[test]
fn missing_fields_and_not_null() {
    let strict = schema(&[("a", DataType::Int64), ("b", DataType::Int64)]);
    let mut decoder = Decoder::new(strict, true, 4).unwrap();
    assert_eq!(decoder.line(br#"{"a":1}"#, true).expect_err("missing").what, "the field \"b\" is missing");
    decoder.line(br#"{"a":1,"b":null}"#, true).unwrap();
    let not_null = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
    let mut decoder = Decoder::new(not_null, false, 4).unwrap();
    assert_eq!(decoder.line(br#"{"a":null}"#, true).expect_err("null").what, "null for BIGINT NOT NULL");
    assert_eq!(decoder.line(b"{}", true).expect_err("missing").what, "the field \"a\" is missing");
    decoder.line(b"  ", true).unwrap();
    assert_eq!(decoder.rows(), 0);
}

#[test]
fn batches_follow_each_other() {
    let schema = schema(&[("a", DataType::Int64), ("l", list(DataType::Utf8))]);
    let mut decoder = Decoder::new(schema, false, 4).unwrap();
    for round in 0..3_i64 {
        for row in 0..10 {
            decoder.line(format!(r#"{{"a":{},"l":["{row}"]}}"#, round * 10 + row).as_bytes(), true).unwrap();
        }
        let batch = decoder.finish().unwrap();
        let column = batch.column(0).as_primitive::<Int64Type>();
        assert_eq!(column.values().to_vec(), (round * 10..round * 10 + 10).collect::<Vec<_>>());
        assert_eq!(batch.column(1).as_list::<i32>().values().len(), 10);
    }
}

#[test]
fn lines_of_changing_shape_find_their_fields() {
    let schema = schema(&[("a", DataType::Int64), ("b", DataType::Int64), ("ab", DataType::Int64)]);
    let mut decoder = Decoder::new(schema, false, 4).unwrap();
    for n in 0..100 {
        let line = match n % 5 {
            0 => format!(r#"{{"a":{n},"b":{n},"ab":{n}}}"#),
            1 => format!(r#"{{"ab" : {n} , "b" :{n}, "a": {n}}}"#),
            2 => format!(r#"{{"x":[{n}],"b":{n},"a":{n},"ab":{n}}}"#),
            3 => format!(r#"{{"\u0061b":{n},"a":{n},"b":{n}}}"#),
            _ => format!(r#"{{"a":{n}, "ab":{n}, "b":{n}, "":1}}"#),
        };
        decoder.line(line.as_bytes(), true).expect(&line);
    }
    let batch = decoder.finish().unwrap();
    for column in batch.columns() {
        assert_eq!(column.as_primitive::<Int64Type>().values().to_vec(), (0..100).collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn cut_and_changed_lines_never_panic(cut in 0_usize..400, at in 0_usize..400, byte in any::<u8>()) {
        let schema = everything();
        let mut decoder = Decoder::new(schema, false, 4).unwrap();
        let mut line = FULL.as_bytes().to_vec();
        line.truncate(cut);
        if let Some(changed) = line.get_mut(at) {
            *changed = byte;
        }
        let before = decoder.rows();
        let added = decoder.line(&line, false).is_ok();
        prop_assert!(decoder.rows() <= before + usize::from(added));
        decoder.line(FULL.as_bytes(), true).unwrap();
        let rows = decoder.rows();
        prop_assert_eq!(decoder.finish().unwrap().num_rows(), rows);
    }
}

#[test]
fn decimals_with_an_exponent() {
    let decimals = schema(&[("dec", DataType::Decimal128(20, 9))]);
    let batch = decode(&decimals, r#"{"dec":0.000000027}"#);
    assert_eq!(encode(&batch, &OPTIONS).trim(), r#"{"dec":0.000000027}"#);
    assert_eq!(encode(&batch, &JsonOptions { plain_decimals: false, ..OPTIONS }).trim(), r#"{"dec":2.7E-8}"#);
}
