//! Nanoseconds of CPU per row of windowed aggregation over bids in the shape of Nexmark's: half of them on hot auctions, in order of
//! time. Run with `cargo bench -p weir-operators`, or with a filter: `... -- hop`.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::error::Error;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use weir_api::batch::{Batch, TARGET_ROWS};
use weir_api::clock::Clock;
use weir_api::element::StreamElement;
use weir_api::graph::{KeyGroupRange, OperatorNode, window_aggregate_layout};
use weir_api::id::OperatorUid;
use weir_api::operator::{Operator, OperatorContext, Progress};
use weir_api::output::{Emitted, Output};
use weir_api::schema;
use weir_api::watermark::Watermark;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::window_aggregate_spec::{Phase, WindowProperty};
use weir_proto::v1::{AggregateCall, OperatorSpec, Window, WindowAggregateSpec, window};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROWS: usize = 8_000_000;
const LATENESS_MILLIS: i64 = 4000;

fn main() -> Result<()> {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    println!(
        "{:<28} {:>10} {:>12} {:>14} {:>12}",
        "windows", "events/s", "one phase", "local+global", "results"
    );
    for rate in [10_000, 100_000, 1_000_000] {
        let batches = bids(rate)?;
        for (name, spec) in queries() {
            if name.contains(&filter) {
                let (single, results) = run(&spec, &[Phase::Single], &batches)?;
                let (double, same) = run(&spec, &[Phase::Local, Phase::Global], &batches)?;
                assert_eq!(results, same, "one phase and two give the same results");
                println!("{name:<28} {rate:>10} {single:>9.2} ns {double:>11.2} ns {results:>12}");
            }
        }
    }
    Ok(())
}

fn queries() -> Vec<(&'static str, WindowAggregateSpec)> {
    let hop = window::Hop { slide_millis: 2000, size_millis: 10_000, offset_millis: 0 };
    let tumble = window::Tumble { size_millis: 10_000, offset_millis: 0 };
    let (hop, tumble) = (window::Kind::Hop(hop), window::Kind::Tumble(tumble));
    vec![
        ("hop count by auction", spec(hop, vec![0], call(Function::Count, None))),
        ("tumble count by auction", spec(tumble, vec![0], call(Function::Count, None))),
        ("tumble max of price", spec(tumble, vec![], call(Function::Max, Some(2)))),
    ]
}

/// Bids at `rate` events of event time a second: 46 of 50 events; 3 are new auctions, half of the bids are on the hot one.
fn bids(rate: u64) -> Result<Vec<RecordBatch>> {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut event = 0_u64;
    (0..ROWS / TARGET_ROWS)
        .map(|_| {
            let (mut auctions, mut times, mut prices) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..TARGET_ROWS {
                event += 1;
                let last_auction = event * 3 / 46 + 1000;
                let hot = next().is_multiple_of(2);
                auctions
                    .push(if hot { last_auction / 100 * 100 } else { last_auction - next() % 100 } as i64);
                times.push((1_700_000_000_000 + event * 1000 / rate) as i64);
                prices.push((next() % 1_000_000) as i64);
            }
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from(auctions)),
                Arc::new(TimestampMillisecondArray::from(times)),
                Arc::new(Int64Array::from(prices)),
            ];
            Ok(RecordBatch::try_new(input_schema(), columns)?)
        })
        .collect()
}

fn input_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("auction", DataType::Int64, false),
        Field::new("dateTime", DataType::Timestamp(TimeUnit::Millisecond, None), false),
        Field::new("price", DataType::Int64, false),
    ]))
}

fn call(function: Function, argument: Option<u32>) -> AggregateCall {
    AggregateCall {
        function: function as i32,
        arguments: argument.into_iter().collect(),
        filter_column: None,
        distinct: false,
        parameters: Vec::new(),
        keeps_nulls: false,
        name: "result".to_owned(),
    }
}

fn spec(kind: window::Kind, key_columns: Vec<u32>, call: AggregateCall) -> WindowAggregateSpec {
    WindowAggregateSpec {
        late_rows_of: String::new(),
        late_columns: Vec::new(),
        phase: Phase::Unspecified as i32,
        window: Some(Window { kind: Some(kind) }),
        time_column: 1,
        key_columns,
        aggregates: vec![call],
        properties: vec![WindowProperty::WindowStart as i32, WindowProperty::WindowEnd as i32],
        input_schema: schema::encode(&input_schema()),
    }
}

/// Nothing here asks for the time.
struct NoClock;

impl Clock for NoClock {
    fn unix_millis(&self) -> i64 {
        0
    }

    fn monotonic_millis(&self) -> u64 {
        0
    }
}

fn operator(spec: &WindowAggregateSpec, phase: Phase) -> Result<Box<dyn Operator>> {
    let spec = WindowAggregateSpec { phase: phase as i32, ..spec.clone() };
    let layout = window_aggregate_layout(&spec, &input_schema())?;
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
    let mut fields: Vec<Field> =
        spec.key_columns.iter().map(|_| Field::new("key", DataType::Int64, false)).collect();
    fields.push(Field::new("result", DataType::Int64, true));
    fields.push(Field::new("window_start", timestamp.clone(), false));
    fields.push(Field::new("window_end", timestamp, false));
    let output = if phase == Phase::Local { layout } else { Arc::new(Schema::new(fields)) };
    let node = OperatorNode {
        uid: OperatorUid::new("aggregate")?,
        name: "aggregate".to_owned(),
        spec: OperatorSpec { kind: Some(Kind::WindowAggregate(spec)) },
        output_schema: Some(output),
    };
    let mut operator = weir_operators::create(&node, Some(input_schema()))?;
    operator.open(&OperatorContext {
        uid: OperatorUid::new("aggregate")?,
        subtask: 0,
        parallelism: 1,
        key_groups: KeyGroupRange { start: 0, end: 128 },
        max_parallelism: 128,
        backends: Arc::new(weir_api::state::backend::NoBackends),
        state_limit_bytes: 1 << 32,
        metrics: Arc::default(),
        clock: Arc::new(NoClock),
    })?;
    Ok(operator)
}

/// Nanoseconds per row of the chain of phases, and how many results there are.
fn run(spec: &WindowAggregateSpec, phases: &[Phase], batches: &[RecordBatch]) -> Result<(f64, usize)> {
    let mut chain = phases.iter().map(|&phase| operator(spec, phase)).collect::<Result<Vec<_>>>()?;
    let mut best = f64::MAX;
    let mut results = 0;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    for round in 0..2 {
        if round > 0 {
            chain = phases.iter().map(|&phase| operator(spec, phase)).collect::<Result<Vec<_>>>()?;
            results = 0;
        }
        let start = cpu_nanos();
        for batch in batches {
            let times = batch.column(1).as_any().downcast_ref::<TimestampMillisecondArray>();
            let last = times.and_then(|times| times.values().last().copied()).unwrap_or_default();
            results += feed(&mut chain, &StreamElement::Batch(Batch::new(batch.clone())))?;
            results += feed(&mut chain, &StreamElement::Watermark(Watermark(last - LATENESS_MILLIS)))?;
        }
        results += feed(&mut chain, &StreamElement::EndOfInput)?;
        best = best.min(cpu_nanos().saturating_sub(start) as f64 / rows as f64);
    }
    Ok((best, results))
}

/// What this thread has run, which a busy machine doesn't distort; where the system doesn't say, what has passed.
fn cpu_nanos() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let scheduled = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let running = scheduled.and_then(|text| text.split_whitespace().next()?.parse().ok());
    running.unwrap_or_else(|| START.elapsed().as_nanos() as u64)
}

/// Passes an element through the chain; how many rows come out at its end.
fn feed(chain: &mut [Box<dyn Operator>], element: &StreamElement) -> Result<usize> {
    let Some((first, rest)) = chain.split_first_mut() else {
        return Ok(if let StreamElement::Batch(batch) = element { batch.num_rows() } else { 0 });
    };
    let mut out = Output::new(4);
    let mut results = 0;
    let mut progress = match element {
        StreamElement::Batch(batch) => first.process(0, batch.clone(), &mut out)?,
        StreamElement::Watermark(watermark) => first.on_watermark(*watermark, &mut out)?,
        _ => first.finish(&mut out)?,
    };
    loop {
        while let Some(emitted) = out.pop().and_then(Emitted::into_element) {
            results += feed(rest, &emitted)?;
        }
        if progress == Progress::Done {
            break;
        }
        progress = first.resume(&mut out)?;
    }
    if !matches!(element, StreamElement::Batch(_)) {
        results += feed(rest, element)?;
    }
    Ok(results)
}
