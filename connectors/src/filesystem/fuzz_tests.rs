//! A million damaged records: each is a row or a dead letter, none is both, none is lost, and nothing panics.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::random::mix;
use crate::testing::{read_with_letters, reader_context, runtime, source, table};

const RECORDS: u64 = 500_000;
/// Beyond the limit of a record, twice.
const LARGE: [usize; 2] = [(16 << 20) + 1, 33 << 20];

const JSON: &[u8] = br#"{"id":12345,"name":"a \"quoted\" \u00e9","row":{"x":1.5,"l":["a","b",null]},"at":"2015-07-15 00:00:00.123","on":true}"#;
const CSV: &[u8] = br#"12345,"a ""quoted"" text",1.5,2015-07-15 00:00:00.123,true"#;

fn json_schema() -> SchemaRef {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    let row = Fields::from(vec![Field::new("x", DataType::Float64, true), Field::new("l", list, true)]);
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("row", DataType::Struct(row), true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("on", DataType::Boolean, true),
    ]))
}

fn csv_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("x", DataType::Float64, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("on", DataType::Boolean, true),
    ]))
}

/// Damages a record: cuts it, changes, doubles or inserts bytes, nests deeply. Never empty, never two lines.
fn damage(record: &mut Vec<u8>, seed: u64) {
    const WORDS: [&[u8]; 8] = [b"null", b"\xFF\xFE", b"{\"a\":", b"\"", b",", b"-", b"1e999", b"\\u12"];
    let at = usize::try_from(mix(seed) % record.len() as u64).unwrap();
    match seed % 8 {
        0 => {}
        1 => record.truncate(at.max(1)),
        2 => record[at] = mix(seed + 1) as u8,
        3 => {
            let word = WORDS[usize::try_from(mix(seed + 2) % 8).unwrap()];
            record.splice(at..at, word.iter().copied());
        }
        4 => record.extend_from_within(at..),
        5 => drop(record.splice(at..at, std::iter::repeat_n(b'[', 300))),
        6 => drop(record.drain(..at.min(record.len() - 1))),
        _ => record.swap(0, at),
    }
    for byte in record.iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    if record.iter().all(u8::is_ascii_whitespace) {
        record.push(b'x');
    }
}

fn check(format: &[(&str, &str)], schema: &SchemaRef, template: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    let mut record = Vec::new();
    for seed in 0..RECORDS {
        record.clear();
        record.extend_from_slice(template);
        damage(&mut record, seed);
        file.write_all(&record).and_then(|()| file.write_all(b"\n")).unwrap();
    }
    for len in LARGE {
        file.write_all(&vec![b'y'; len]).and_then(|()| file.write_all(b"\n")).unwrap();
    }
    file.flush().unwrap();

    let io = runtime();
    let own = [("path", path.to_str().unwrap()), ("on-error", "dlq"), ("on-error.dlq-table", "letters")];
    let options: Vec<_> = format.iter().copied().chain(own).collect();
    let source = source(&table("filesystem", schema, &options)).unwrap();
    let splits = io.block_on(source.discover(1)).unwrap();
    let context = reader_context(schema.clone(), io.handle().clone());
    let metrics = context.metrics.clone();
    let (rows, letters) = read_with_letters(source.as_ref(), context, splits).unwrap();
    let records = usize::try_from(RECORDS).unwrap() + LARGE.len();
    assert_eq!(rows.num_rows() + letters.num_rows(), records);
    assert_eq!(metrics.num_records_in_errors.get(), letters.num_rows() as u64);
    // An eighth isn't damaged, and much of the rest is beyond repair.
    assert!(rows.num_rows() > records / 8 && letters.num_rows() > records / 4, "{} rows", rows.num_rows());
    let raw = letters.column(2).as_binary::<i32>();
    assert_eq!(raw.iter().filter(Option::is_none).count(), LARGE.len());
}

#[test]
fn half_a_million_damaged_objects() {
    check(&[("format", "json")], &json_schema(), JSON);
}

#[test]
fn half_a_million_damaged_lines_of_values() {
    // Without quotes a line is a record, however it is damaged.
    check(&[("format", "csv"), ("csv.disable-quote-character", "true")], &csv_schema(), CSV);
}
