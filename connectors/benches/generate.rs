//! Rows per second, one thread: the Nexmark generator, and bids as JSON lines out and in.
//!
//! `cargo bench -p weir-connectors --bench generate [MILLIONS]`; each figure is the best of three.
#![expect(clippy::expect_used, reason = "a benchmark")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use weir_api::connector::Connector;
use weir_connectors::formats::json::decoder::Decoder;
use weir_connectors::formats::json::{JsonOptions, encoder};
use weir_connectors::generator::Rows;
use weir_connectors::generator::numbers::{Cursor, Share};
use weir_connectors::nexmark::{Generator, Nexmark, Settings};
use weir_proto::v1::literal::Value;
use weir_proto::v1::predicate::Operator;
use weir_proto::v1::{Literal, Predicate, TableSpec};

const BASE_MILLIS: i64 = 1_436_918_400_000;
const JSON: JsonOptions = JsonOptions {
    fail_on_missing_field: false,
    ignore_parse_errors: false,
    iso_timestamps: false,
    ignore_null_fields: false,
};

fn best_of_three(mut work: impl FnMut() -> u64) -> f64 {
    (0..3)
        .map(|_| {
            let started = Instant::now();
            work() as f64 / started.elapsed().as_secs_f64() / 1e6
        })
        .fold(0.0, f64::max)
}

fn bid_fields(names: &[&str]) -> Fields {
    let full = Nexmark.default_schema().expect("a schema");
    let DataType::Struct(all) = full.field_with_name("bid").expect("bids").data_type().clone() else {
        return Fields::empty();
    };
    all.iter().filter(|field| names.is_empty() || names.contains(&field.name().as_str())).cloned().collect()
}

fn bids(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("bid", DataType::Struct(bid_fields(names)), true)]))
}

fn generate(schema: &SchemaRef, bids_only: bool, rows: u64, mut take: impl FnMut(RecordBatch)) -> u64 {
    let table = TableSpec { name: "bench".into(), options: HashMap::new(), ..TableSpec::default() };
    let settings = Settings::of(&table).expect("settings");
    let only_bids = Predicate {
        path: vec!["event_type".into()],
        operator: Operator::Eq.into(),
        literal: Some(Literal { value: Some(Value::Integer(2)) }),
    };
    let filters = if bids_only { vec![only_bids] } else { Vec::new() };
    let generator = Generator::new(&settings, BASE_MILLIS, schema.clone(), &filters).expect("a generator");
    let mut cursor = Cursor::new(Share { index: 0, count: 1, unit: settings.round(), fixed: BASE_MILLIS });
    let (mut pieces, mut generated) = (Vec::new(), 0);
    while generated < rows {
        cursor.take(generator.numbers_per_batch(), u64::MAX, &mut pieces);
        let batch = generator.generate(&pieces, 0).expect("a batch");
        generated += batch.num_rows() as u64;
        take(batch);
    }
    generated
}

fn flat(batch: &RecordBatch) -> RecordBatch {
    use arrow::array::AsArray;
    batch.column(0).as_struct().into()
}

fn main() {
    let millions: u64 = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(20);
    let rows = millions * 1_000_000;
    for (what, schema, bids_only) in [
        ("bids, all columns", bids(&[]), true),
        ("bids, auction and price", bids(&["auction", "price"]), true),
        ("bids, without extra", bids(&["auction", "bidder", "price", "channel", "url", "dateTime"]), true),
        ("bids, extra alone", bids(&["extra"]), true),
        ("bids, channel alone", bids(&["channel"]), true),
        ("bids, url alone", bids(&["url"]), true),
        ("bids, dateTime alone", bids(&["dateTime"]), true),
        ("bids, price alone", bids(&["price"]), true),
        ("bids, auction alone", bids(&["auction"]), true),
        ("all events, all columns", Nexmark.default_schema().expect("a schema"), false),
    ] {
        let speed = best_of_three(|| generate(&schema, bids_only, rows, |batch| drop(black_box(batch))));
        println!("{what:<28} {speed:>8.1} M rows/s");
    }
    json(rows.min(2_000_000));
}

fn json(rows: u64) {
    let mut batches = Vec::new();
    generate(&bids(&[]), true, rows, |batch| batches.push(flat(&batch)));
    let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let mut lines = Vec::new();
    let speed = best_of_three(|| {
        lines.clear();
        batches.iter().for_each(|batch| encoder::write_lines(&mut lines, batch, &JSON).expect("writes"));
        rows
    });
    println!("{:<28} {speed:>8.1} M rows/s, {} bytes a row", "bids to JSON lines", lines.len() as u64 / rows);
    for (what, names) in
        [("JSON lines to bids", [].as_slice()), ("JSON lines to two columns", &["auction", "price"])]
    {
        let schema = Arc::new(Schema::new(bid_fields(names)));
        let speed = best_of_three(|| decode(&schema, &lines));
        println!("{what:<28} {speed:>8.1} M rows/s");
    }
}

fn decode(schema: &SchemaRef, lines: &[u8]) -> u64 {
    let mut decoder = Decoder::new(schema.clone(), false, 8192).expect("a decoder");
    let mut rows = 0;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        decoder.line(line, true).expect("a line");
        if decoder.rows() == 8192 {
            rows += decoder.finish().expect("a batch").num_rows() as u64;
        }
    }
    rows + decoder.finish().expect("a batch").num_rows() as u64
}
