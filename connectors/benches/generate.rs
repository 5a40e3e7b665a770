//! Rows per second, one thread: the Nexmark generator, and bids as JSON lines out and in.
//!
//! `cargo bench -p weir-connectors --bench generate [MILLIONS]`; each figure is the best of three, by the thread's CPU time
//! where Linux tells it, so that a busy machine doesn't matter much. The allocator is the shipped binary's.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(clippy::expect_used, reason = "a benchmark")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use weir_api::clock::Clock;
use weir_api::connector::Connector;
use weir_api::source::{ReaderContext, Source, SourceEvent};
use weir_connectors::formats::json::JsonOptions;
use weir_connectors::formats::json::decoder::Decoder;
use weir_connectors::formats::json::encoder::Encoder;
use weir_connectors::formats::record::{RecordEncoder, Records};
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
    plain_decimals: true,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// CPU time that this thread has taken.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn best_of_three(mut work: impl FnMut() -> u64) -> f64 {
    (0..3)
        .map(|_| {
            let (started, started_cpu) = (Instant::now(), cpu_time());
            let rows = work() as f64;
            let taken =
                cpu_time().zip(started_cpu).map_or_else(|| started.elapsed(), |(now, then)| now - then);
            rows / taken.as_secs_f64() / 1e6
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
    let mut lines = Records::lines();
    let mut encoder = Encoder::new(batches[0].schema(), JSON);
    let speed = best_of_three(|| {
        lines.clear();
        for batch in &batches {
            encoder.encode(batch.columns(), batch.num_rows(), &mut lines).expect("writes");
        }
        rows
    });
    let lines = lines.bytes();
    println!("{:<28} {speed:>8.1} M rows/s, {} bytes a row", "bids to JSON lines", lines.len() as u64 / rows);
    for (what, names) in
        [("JSON lines to bids", [].as_slice()), ("JSON lines to two columns", &["auction", "price"])]
    {
        let schema = Arc::new(Schema::new(bid_fields(names)));
        let speed = best_of_three(|| decode(&schema, lines));
        println!("{what:<28} {speed:>8.1} M rows/s");
    }
    files(lines);
}

/// CPU time that all threads have taken.
fn process_cpu() -> Duration {
    // In ticks of 10 ms, after the command's name, which ends with a parenthesis.
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().skip(11).take(2);
    Duration::from_millis(fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}

/// A clock for sources that don't look at it.
struct NoClock;

impl Clock for NoClock {
    fn unix_millis(&self) -> i64 {
        0
    }

    fn monotonic_millis(&self) -> u64 {
        0
    }
}

fn file_source(path: &str, schema: &Schema) -> Arc<dyn Source> {
    let options = [("path", path), ("format", "json")];
    let table = TableSpec {
        name: "bench".into(),
        connector: "filesystem".into(),
        options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        schema: weir_api::schema::encode(schema),
        ..TableSpec::default()
    };
    weir_connectors::registry(&Default::default()).source(&table).expect("a source")
}

/// The source `filesystem` over one file, read to its end as a slot does.
fn files(lines: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bids.json");
    std::fs::write(&path, lines).expect("a file");
    let schema = Arc::new(Schema::new(bid_fields(&[])));
    let source = file_source(path.to_str().expect("UTF-8"), &schema);
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let splits = io.block_on(source.discover(1)).expect("splits");
    let (started, cpu) = (Instant::now(), process_cpu());
    let context = ReaderContext {
        projected_schema: schema,
        filters: Vec::new(),
        subtask: 0,
        parallelism: 1,
        read_ahead_bytes: 8 << 20,
        io: io.handle().clone(),
        clock: Arc::new(NoClock),
        metrics: Arc::default(),
    };
    let mut reader = source.reader(context, splits).expect("a reader");
    let slot = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let rows = slot.block_on(async {
        let mut rows = 0;
        while let Some(event) = std::future::poll_fn(|context| reader.poll_next(context)).await {
            if let SourceEvent::Records { records, .. } = event.expect("an event") {
                rows += records.num_rows();
            }
        }
        rows
    });
    let per_million = (process_cpu() - cpu).as_secs_f64() / rows as f64 * 1e6;
    let wall = started.elapsed().as_secs_f64();
    println!("JSON file to batches: {rows} rows, {per_million:.2} CPU-s per million, {wall:.1} s");
}

fn decode(schema: &SchemaRef, lines: &[u8]) -> u64 {
    let mut decoder = Decoder::new(schema.clone(), false, 8192).expect("a decoder");
    let mut rows = 0;
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', lines) {
        decoder.line(lines.get(start..end).unwrap_or_default(), true).expect("a line");
        start = end + 1;
        if decoder.rows() == 8192 {
            rows += decoder.finish().expect("a batch").num_rows() as u64;
        }
    }
    rows + decoder.finish().expect("a batch").num_rows() as u64
}
