//! What barriers cost a windowed count whose one pane holds about 1 GB: how long a freeze takes, what the rows after it cost, and
//! what it costs to make tables of it elsewhere. Run with `cargo bench -p weir-operators --bench freeze`; the first argument is the
//! number of keys, in millions.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::error::Error;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use weir_api::batch::{Batch, TARGET_ROWS};
use weir_api::clock::Clock;
use weir_api::graph::{KeyGroupRange, OperatorNode};
use weir_api::id::OperatorUid;
use weir_api::operator::{Operator, OperatorContext, Progress};
use weir_api::output::Output;
use weir_api::schema;
use weir_api::state::{Frozen, Scope};
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::window_aggregate_spec::Phase;
use weir_proto::v1::{AggregateCall, OperatorSpec, Window, WindowAggregateSpec, window};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How many updates come between two barriers.
const RATES: [usize; 2] = [200_000, 1_000_000];
const BARRIERS: usize = 20;

fn main() -> Result<()> {
    let keys =
        std::env::args().skip(1).find_map(|argument| argument.parse::<u64>().ok()).unwrap_or(25) * 1_000_000;
    for (name, touched) in [("all keys alike", keys), ("1 % of the keys", keys / 100)] {
        for rate in RATES {
            let plain = run(keys, touched, rate, false)?;
            let frozen = run(keys, touched, rate, true)?;
            println!(
                "{:>4} MB, {name}, {rate} updates a barrier: {:.3} CPU-s/M without, {:.3} with barriers; first 100,000 rows {:.3}; \
                 freeze p50 {} µs, max {} µs; the whole as tables {:.2} CPU-s, a delta {:.3} CPU-s of {} rows; at most {} MB",
                frozen.bytes >> 20,
                plain.per_million,
                frozen.per_million,
                frozen.first,
                frozen.freezes[frozen.freezes.len() / 2] / 1000,
                frozen.freezes[frozen.freezes.len() - 1] / 1000,
                frozen.whole,
                frozen.delta,
                frozen.delta_rows,
                frozen.most_bytes >> 20,
            );
        }
    }
    Ok(())
}

#[derive(Default)]
struct Figures {
    bytes: u64,
    most_bytes: u64,
    per_million: f64,
    /// Per million too, of the first rows after a barrier.
    first: f64,
    freezes: Vec<u64>,
    whole: f64,
    delta: f64,
    delta_rows: usize,
}

fn run(keys: u64, touched: u64, rate: usize, barriers: bool) -> Result<Figures> {
    let mut operator = operator()?;
    let mut figures = Figures::default();
    for start in (0..keys).step_by(TARGET_ROWS) {
        process(operator.as_mut(), (start..keys.min(start + TARGET_ROWS as u64)).collect())?;
    }
    let state =
        |operator: &mut Box<dyn Operator>| operator.keyed_state().map_or(0, |state| state.size_bytes());
    figures.bytes = state(&mut operator);
    if barriers {
        let (_, cpu) = read(freeze(operator.as_mut(), Scope::Full, &mut figures)?)?;
        figures.whole = cpu;
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut busy, mut first, mut rows) = (0, 0, 0);
    // What was frozen is let go of when half of the next interval is over, as if it were uploaded meanwhile.
    for _ in 0..BARRIERS {
        let frozen =
            if barriers { Some(freeze(operator.as_mut(), Scope::Changes, &mut figures)?) } else { None };
        let mut frozen = frozen;
        let batches = rate / TARGET_ROWS;
        for batch in 0..batches {
            let keys = (0..TARGET_ROWS).map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % touched
            });
            let keys: Vec<u64> = keys.collect();
            let nanos = process(operator.as_mut(), keys)?;
            busy += nanos;
            rows += TARGET_ROWS;
            if batch * TARGET_ROWS < 100_000 {
                first += nanos;
            }
            if batch == batches / 2
                && let Some(frozen) = frozen.take()
            {
                let (rows, cpu) = read(frozen)?;
                (figures.delta_rows, figures.delta) = (rows, cpu);
            }
        }
        figures.most_bytes = figures.most_bytes.max(state(&mut operator));
    }
    figures.per_million = busy as f64 / 1e3 / rows as f64;
    figures.first =
        first as f64 / 1e3 / (BARRIERS * 100_000_usize.div_ceil(TARGET_ROWS) * TARGET_ROWS) as f64;
    figures.freezes.sort_unstable();
    Ok(figures)
}

fn freeze(operator: &mut dyn Operator, scope: Scope, figures: &mut Figures) -> Result<Box<dyn Frozen>> {
    let state = operator.keyed_state().ok_or("it has state")?;
    let start = Instant::now();
    let frozen = state.freeze(scope)?;
    figures.freezes.push(start.elapsed().as_nanos() as u64);
    Ok(frozen)
}

/// How many rows there are, and seconds of CPU.
fn read(mut frozen: Box<dyn Frozen>) -> Result<(usize, f64)> {
    let start = cpu_nanos();
    let mut rows = 0;
    while let Some((_, table)) = frozen.next()? {
        rows += table.batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    }
    Ok((rows, (cpu_nanos() - start) as f64 / 1e9))
}

/// Nanoseconds.
fn process(operator: &mut dyn Operator, keys: Vec<u64>) -> Result<u64> {
    let rows = keys.len();
    let keys: Vec<i64> = keys.into_iter().map(|key| key as i64).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(keys)), Arc::new(TimestampMillisecondArray::from(vec![5; rows]))];
    let batch = Batch::new(RecordBatch::try_new(input_schema(), columns)?);
    let start = cpu_nanos();
    let mut progress = operator.process(0, batch, &mut Output::new(4))?;
    while progress != Progress::Done {
        progress = operator.resume(&mut Output::new(4))?;
    }
    Ok(cpu_nanos() - start)
}

fn input_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("time", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]))
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

fn operator() -> Result<Box<dyn Operator>> {
    let call = AggregateCall {
        function: Function::Count as i32,
        arguments: Vec::new(),
        filter_column: None,
        distinct: false,
        parameters: Vec::new(),
        keeps_nulls: false,
        name: "result".to_owned(),
    };
    let tumble = window::Tumble { size_millis: 3_600_000, offset_millis: 0 };
    let spec = WindowAggregateSpec {
        late_rows_of: String::new(),
        late_columns: Vec::new(),
        phase: Phase::Single as i32,
        window: Some(Window { kind: Some(window::Kind::Tumble(tumble)) }),
        time_column: 1,
        key_columns: vec![0],
        aggregates: vec![call],
        properties: Vec::new(),
        input_schema: schema::encode(&input_schema()),
    };
    let fields = vec![Field::new("key", DataType::Int64, false), Field::new("result", DataType::Int64, true)];
    let node = OperatorNode {
        uid: OperatorUid::new("aggregate")?,
        name: "aggregate".to_owned(),
        spec: OperatorSpec { kind: Some(Kind::WindowAggregate(spec)) },
        output_schema: Some(Arc::new(Schema::new(fields))),
    };
    let mut operator = weir_operators::create(&node, Some(input_schema()))?;
    operator.open(&OperatorContext {
        uid: OperatorUid::new("aggregate")?,
        subtask: 0,
        parallelism: 1,
        key_groups: KeyGroupRange { start: 0, end: 128 },
        max_parallelism: 128,
        backends: Arc::new(weir_api::state::backend::NoBackends),
        state_limit_bytes: 1 << 40,
        metrics: Arc::default(),
        clock: Arc::new(NoClock),
    })?;
    Ok(operator)
}

/// What this thread has run, which a busy machine doesn't distort; where the system doesn't say, what has passed.
fn cpu_nanos() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let scheduled = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let running = scheduled.and_then(|text| text.split_whitespace().next()?.parse().ok());
    running.unwrap_or_else(|| START.elapsed().as_nanos() as u64)
}
