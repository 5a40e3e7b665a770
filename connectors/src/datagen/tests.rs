//! Kinds, types and repeatability.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Fields, Float64Type, Int8Type, Int64Type, Schema, SchemaRef, TimeUnit,
    TimestampMillisecondType,
};
use weir_api::source::Boundedness;

use crate::testing::{local, read_with, reader_context, runtime, source, table};

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(
        fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect::<Vec<_>>(),
    ))
}

fn read(schema: &SchemaRef, options: &[(&str, &str)], parallelism: u32) -> Vec<RecordBatch> {
    let io = runtime();
    let options: Vec<_> = options.iter().copied().chain([("rows-per-second", "0")]).collect();
    let source = source(&table("datagen", schema, &options)).unwrap();
    let splits = local(source.discover(parallelism)).unwrap();
    splits
        .into_iter()
        .map(|split| {
            read_with(source.as_ref(), reader_context(schema.clone(), io.handle().clone()), vec![split])
                .unwrap()
        })
        .collect()
}

fn everything() -> SchemaRef {
    let nested =
        Fields::from(vec![Field::new("x", DataType::Int64, true), Field::new("y", DataType::Utf8, true)]);
    let pair = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Float64, true),
    ]);
    schema(&[
        ("b", DataType::Boolean),
        ("i8", DataType::Int8),
        ("i16", DataType::Int16),
        ("i32", DataType::Int32),
        ("i64", DataType::Int64),
        ("f32", DataType::Float32),
        ("f64", DataType::Float64),
        ("dec", DataType::Decimal128(38, 4)),
        ("s", DataType::Utf8),
        ("bin", DataType::Binary),
        ("fix", DataType::FixedSizeBinary(7)),
        ("d", DataType::Date32),
        ("t", DataType::Time32(TimeUnit::Millisecond)),
        ("t64", DataType::Time64(TimeUnit::Nanosecond)),
        ("ts", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("ltz", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("list", DataType::List(Arc::new(Field::new("item", DataType::Int64, true)))),
        ("map", DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), false)),
        ("row", DataType::Struct(nested)),
    ])
}

#[test]
fn every_type_is_repeatable_with_a_seed_at_any_parallelism() {
    let options = [
        ("number-of-rows", "3000"),
        ("seed", "9"),
        ("fields.i64.kind", "sequence"),
        ("fields.i64.start", "0"),
        ("fields.i64.end", "99999"),
    ];
    let rows = |parallelism| {
        let batches = read(&everything(), &options, parallelism);
        let mut lines = Vec::new();
        for batch in &batches {
            crate::formats::row::write_rows(&mut lines, b"", batch, None).unwrap();
        }
        let mut lines: Vec<_> = String::from_utf8(lines).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let one = rows(1);
    assert_eq!(one.len(), 3_000);
    assert_eq!(one.iter().collect::<HashSet<_>>().len(), 3_000);
    assert_eq!(rows(3), one);
}

#[test]
fn sequences_count_and_end_with_the_shortest() {
    let schema = schema(&[("a", DataType::Int64), ("b", DataType::Utf8), ("c", DataType::Int8)]);
    let sequence = |name: &'static str, start: &'static str, end: &'static str| {
        let key = |part: &str| -> &'static str { format!("fields.{name}.{part}").leak() };
        [(key("kind"), "sequence"), (key("start"), start), (key("end"), end)]
    };
    let options: Vec<_> =
        [sequence("a", "-2", "1000"), sequence("b", "5", "8"), sequence("c", "100", "127")].concat();
    let batch = read(&schema, &options, 1).remove(0);
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values().to_vec(), [-2, -1, 0, 1]);
    assert_eq!(batch.column(1).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["5", "6", "7", "8"]);
    assert_eq!(batch.column(2).as_primitive::<Int8Type>().values().to_vec(), [100, 101, 102, 103]);
}

#[test]
fn bounds_lengths_nulls_and_past() {
    let schema = schema(&[
        ("n", DataType::Int64),
        ("f", DataType::Float64),
        ("dec", DataType::Decimal128(6, 2)),
        ("s", DataType::Utf8),
        ("v", DataType::Utf8),
        ("ts", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("list", DataType::List(Arc::new(Field::new("item", DataType::Int64, true)))),
    ]);
    let options = [
        ("number-of-rows", "20000"),
        ("fields.n.min", "-3"),
        ("fields.n.max", "3"),
        ("fields.n.null-rate", "0.25"),
        ("fields.f.min", "-1.5"),
        ("fields.f.max", "1.5"),
        ("fields.dec.min", "-1.25"),
        ("fields.dec.max", "1.25"),
        ("fields.s.length", "5"),
        ("fields.v.length", "6"),
        ("fields.v.var-len", "true"),
        ("fields.ts.max-past", "1 h"),
        ("fields.list.length", "2"),
        ("fields.list.element.min", "7"),
        ("fields.list.element.max", "7"),
    ];
    let batch = read(&schema, &options, 1).remove(0);
    let numbers = batch.column(0).as_primitive::<Int64Type>();
    assert_eq!(numbers.iter().flatten().collect::<HashSet<_>>(), (-3..=3).collect());
    assert!((4_700..5_300).contains(&numbers.null_count()), "{}", numbers.null_count());
    let floats = batch.column(1).as_primitive::<Float64Type>();
    assert!(
        floats.values().iter().all(|value| (-1.5..=1.5).contains(value))
            && floats.values().iter().any(|value| *value < -1.4)
    );
    let decimals: HashSet<_> =
        batch.column(2).as_primitive::<Decimal128Type>().values().iter().copied().collect();
    assert_eq!(decimals, (-125..=125).collect());
    let lengths = |column: usize| {
        batch.column(column).as_string::<i32>().iter().flatten().map(str::len).collect::<HashSet<_>>()
    };
    assert_eq!((lengths(3), lengths(4)), ([5].into(), (1..=6).collect()));
    let times = batch.column(5).as_primitive::<TimestampMillisecondType>();
    let (first, last) = (times.iter().flatten().min().unwrap(), times.iter().flatten().max().unwrap());
    assert!((3_500_000..3_700_000).contains(&(last - first)), "{first} {last}");
    assert!(
        (2_000_000_000_000 - 100_000..2_000_000_100_000).contains(&last),
        "the wall clock's time: {last}"
    );
    let list = batch.column(6).as_list::<i32>();
    assert!((0..20_000).all(|row| list.value_length(row) == 2));
    assert!(list.values().as_primitive::<Int64Type>().values().iter().all(|value| *value == 7));
}

#[test]
fn a_projection_shows_what_the_full_scan_does() {
    let options = [("number-of-rows", "500"), ("seed", "3")];
    let all = read(&everything(), &options, 1).remove(0);
    let io = runtime();
    let source =
        source(&table("datagen", &everything(), &[options.as_slice(), &[("rows-per-second", "0")]].concat()))
            .unwrap();
    for (index, field) in everything().fields().iter().enumerate() {
        let alone = Arc::new(Schema::new(vec![field.clone()]));
        let splits = local(source.discover(1)).unwrap();
        let batch = read_with(source.as_ref(), reader_context(alone, io.handle().clone()), splits).unwrap();
        assert_eq!(batch.column(0), all.column(index), "{}", field.name());
    }
}

#[test]
fn without_a_seed_jobs_differ_and_restarts_do_not() {
    let schema = schema(&[("n", DataType::Int64)]);
    let source =
        source(&table("datagen", &schema, &[("number-of-rows", "100"), ("rows-per-second", "0")])).unwrap();
    let io = runtime();
    let read = |splits| {
        read_with(source.as_ref(), reader_context(schema.clone(), io.handle().clone()), splits).unwrap()
    };
    let splits = local(source.discover(1)).unwrap();
    assert_eq!(read(splits.clone()), read(splits.clone()));
    assert_ne!(read(splits), read(local(source.discover(1)).unwrap()));
}

#[test]
fn wrong_options_are_refused_by_name() {
    let schema = schema(&[("amount", DataType::Int8), ("ok", DataType::Boolean)]);
    let refused = |options: &[(&str, &str)]| {
        source(&table("datagen", &schema, options)).err().expect("refused").message().to_owned()
    };
    assert!(refused(&[("fields.amuont.min", "1")]).contains("did you mean `amount`?"));
    assert!(refused(&[("fields.amount.min", "-129")]).contains("a number from -128 to 127"));
    assert!(refused(&[("fields.amount.min", "5"), ("fields.amount.max", "4")]).contains("fields.amount.max"));
    assert!(refused(&[("fields.amount.kind", "sequence")]).contains("'fields.amount.start'"));
    assert!(refused(&[("fields.ok.kind", "sequence")]).contains("column `ok` is BOOLEAN"));
    assert!(refused(&[("fields.ok.kind", "other")]).contains("'random' or 'sequence'"));
    assert!(refused(&[("fields.ok.null-rate", "2")]).contains("from 0 to 1"));
    let unbounded = source(&table("datagen", &schema, &[])).unwrap();
    assert_eq!(unbounded.boundedness(), Boundedness::Unbounded);
}
