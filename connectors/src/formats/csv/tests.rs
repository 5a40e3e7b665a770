//! The format as a whole: there and back in every dialect, nulls, arrays, malformed records that leave nothing behind.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use proptest::prelude::*;

use super::decoder::Decoder;
use super::encoder::Encoder;
use super::quotes::QuoteScanner;
use super::{CsvOptions, Dialect};
use crate::formats::record::{RecordDecoder, RecordEncoder, Records};

const DIALECT: Dialect = Dialect { delimiter: b',', quote: Some(b'"'), escape: None };

fn options(dialect: Dialect) -> CsvOptions {
    CsvOptions {
        dialect,
        allow_comments: false,
        ignore_parse_errors: false,
        array_delimiter: ";".into(),
        null_literal: None,
        java_decimals: false,
    }
}

fn schema() -> SchemaRef {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
    Arc::new(Schema::new(vec![
        Field::new("b", DataType::Boolean, true),
        Field::new("i", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("f", DataType::Float64, true),
        Field::new("dec", DataType::Decimal128(10, 2), true),
        Field::new("bin", DataType::Binary, true),
        Field::new("d", DataType::Date32, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("l", list, true),
    ]))
}

const FULL: &str = "true,-5,\"a,\"\"b\"\"\",0.5,-12.30,AQID,2015-07-15,2015-07-15 00:00:00.123,1;;3";

fn decoder(options: CsvOptions) -> Decoder {
    Decoder::new("t", schema().fields(), &schema(), options, 4).unwrap()
}

fn decode(options: CsvOptions, records: &[&str]) -> RecordBatch {
    let mut decoder = decoder(options);
    records.iter().for_each(|record| decoder.record(record.as_bytes(), false).expect(record));
    RecordBatch::try_new(schema(), decoder.finish().unwrap()).unwrap()
}

fn encode(options: CsvOptions, batch: &RecordBatch) -> String {
    let mut records = Records::lines();
    let mut encoder = Encoder::new("t", &batch.schema(), options);
    encoder.encode(batch.columns(), batch.num_rows(), &mut records).unwrap();
    String::from_utf8(records.bytes().to_vec()).unwrap()
}

#[test]
fn every_type_there_and_back() {
    let batch = decode(options(DIALECT), &[FULL, ",,,,,,,,"]);
    assert_eq!(encode(options(DIALECT), &batch), format!("{FULL}\n,,,,,,,,\n"));
    assert_eq!(batch.column(2).null_count(), 0, "an empty text is no null");
    assert!(batch.columns().iter().enumerate().all(|(index, column)| index == 2 || column.is_null(1)));
    assert_eq!(batch.column(8).as_list::<i32>().value(0).as_primitive::<Int64Type>().null_count(), 1);
    let literal = CsvOptions { null_literal: Some("n/a".into()), ..options(DIALECT) };
    let nulls = ["n/a"; 9].join(",");
    let batch = decode(literal.clone(), &[&nulls]);
    assert!(batch.columns().iter().all(|column| column.is_null(0)));
    assert_eq!(encode(literal, &batch).trim(), nulls);
    let java = CsvOptions { java_decimals: true, ..options(DIALECT) };
    assert!(encode(java, &decode(options(DIALECT), &[FULL])).contains(",-12.3,"));
}

#[test]
fn only_wanted_columns_are_decoded_and_blank_lines_and_comments_are_none() {
    let wanted = Arc::new(schema().project(&[7, 1]).unwrap());
    let with_comments = CsvOptions { allow_comments: true, ..options(DIALECT) };
    let mut decoder = Decoder::new("t", schema().fields(), &wanted, with_comments, 4).unwrap();
    for record in ["", "\r", "# true,1", &format!("{FULL}\r")] {
        decoder.record(record.as_bytes(), true).unwrap();
    }
    assert_eq!(decoder.rows(), 1);
    assert_eq!(decoder.finish().unwrap()[1].as_primitive::<Int64Type>().value(0), -5);
    let mut count =
        Decoder::new("t", schema().fields(), &Arc::new(Schema::empty()), options(DIALECT), 4).unwrap();
    count.record(FULL.as_bytes(), true).unwrap();
    assert_eq!((count.rows(), count.finish().unwrap().len()), (1, 0));
}

#[test]
fn malformed_records_say_where_and_leave_nothing() {
    let mut decoder = decoder(options(DIALECT));
    for (record, at, what) in [
        ("true,1", 0, "2 fields where the table declares 9 columns"),
        ("true,x,,,,,,,", 5, "\"x\" isn't a value of BIGINT"),
        (",,\"a", 2, "a field without its closing quote"),
        (",,\"a\"b,", 5, "characters behind a closing quote"),
        (",,,,,,,,1;y", 8, "\"y\" isn't a value of BIGINT"),
        (",,,,,,,,,", 0, "10 fields where the table declares 9 columns"),
    ] {
        decoder.record(FULL.as_bytes(), true).unwrap();
        let rows = decoder.rows();
        let problem = decoder.record(record.as_bytes(), true).expect_err(record);
        assert_eq!((problem.at, problem.what.as_ref()), (at, what), "{record}");
        assert_eq!(decoder.rows(), rows);
    }
    assert_eq!(decoder.record(b"\xFF", false).expect_err("not UTF-8").at, 0);
    let batch = RecordBatch::try_new(schema(), decoder.finish().unwrap()).unwrap();
    assert_eq!(encode(options(DIALECT), &batch), format!("{FULL}\n").repeat(6));
}

#[test]
fn without_quotes_what_would_be_misread_is_escaped_or_refused() {
    let text: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["a,b"]));
    let batch = RecordBatch::try_from_iter([("s", text)]).unwrap();
    let bare = Dialect { quote: None, ..DIALECT };
    let escaped = Dialect { escape: Some(b'\\'), ..bare };
    assert_eq!(encode(options(escaped), &batch), "a\\,b\n");
    let error = Encoder::new("t", &batch.schema(), options(bare))
        .encode(batch.columns(), 1, &mut Records::lines())
        .expect_err("a delimiter");
    assert!(error.message().contains("column `s`"), "{error}");
}

fn dialects() -> impl Strategy<Value = Dialect> {
    let quotes = prop::sample::select(vec![Some(b'"'), Some(b'\''), None]);
    let escapes = prop::sample::select(vec![Some(b'\\'), None]);
    (prop::sample::select(b",;\t|".to_vec()), quotes, escapes)
        .prop_map(|(delimiter, quote, escape)| Dialect { delimiter, quote, escape })
}

proptest! {
    #[test]
    fn texts_survive_every_dialect(
        dialect in dialects(),
        rows in prop::collection::vec(prop::collection::vec("[ab,;|\t\"'\\\\#é \n\r]{0,12}", 1..4), 1..8),
    ) {
        let width = rows[0].len();
        let column = |index: usize| -> ArrayRef {
            let texts = rows.iter().map(|row| row.get(index).map_or("", String::as_str));
            Arc::new(arrow::array::StringArray::from_iter_values(texts))
        };
        let names = ["x", "y", "z"];
        let batch = RecordBatch::try_from_iter((0..width).map(|index| (names[index], column(index)))).unwrap();
        let mut records = Records::lines();
        let encoded = Encoder::new("t", &batch.schema(), options(dialect))
            .encode(batch.columns(), batch.num_rows(), &mut records);
        prop_assume!(encoded.is_ok());
        let schema = batch.schema();
        let mut decoder = Decoder::new("t", schema.fields(), &schema, options(dialect), 4).unwrap();
        // As a file is read: line by line, joined where the scanner says so.
        let mut quotes = QuoteScanner::new(dialect, false);
        let text = records.bytes();
        let (mut start, mut line_start) = (0, 0);
        for end in memchr::memchr_iter(b'\n', text) {
            let is_open = quotes.as_mut().is_some_and(|quotes| quotes.line(&text[line_start..end]));
            line_start = end + 1;
            if !is_open {
                quotes.as_mut().map(QuoteScanner::reset);
                // A blank line is no record where there are several columns; a single empty text is written in quotes.
                decoder.record(&text[start..end], false).unwrap();
                start = end + 1;
            }
        }
        prop_assert_eq!(start, text.len());
        let read = RecordBatch::try_new(schema, decoder.finish().unwrap()).unwrap();
        prop_assert_eq!(read, batch);
    }

    #[test]
    fn cut_and_changed_records_never_panic(cut in 0_usize..90, at in 0_usize..90, byte in any::<u8>()) {
        let mut decoder = decoder(options(Dialect { escape: Some(b'\\'), ..DIALECT }));
        let mut record = FULL.as_bytes().to_vec();
        record.truncate(cut);
        if let Some(changed) = record.get_mut(at) {
            *changed = byte;
        }
        let added = decoder.record(&record, false).is_ok();
        prop_assert!(decoder.rows() <= usize::from(added));
        decoder.record(FULL.as_bytes(), true).unwrap();
        let rows = decoder.rows();
        prop_assert!(decoder.finish().unwrap().iter().all(|column| column.len() == rows));
    }
}
