//! What barriers cost a count per key in the backend `hashmap`: how long a freeze takes, what rows cost with and without one now and
//! then, how many bytes a key takes. Run with `cargo bench -p weir-state --bench freeze`; the argument is the number of keys, in
//! millions.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::error::Error;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use weir_api::batch::TARGET_ROWS;
use weir_api::clock::Clock;
use weir_api::graph::KeyGroupRange;
use weir_api::id::OperatorUid;
use weir_api::state::backend::{
    Fold, Instance, Keys, StateBackend, StateBackends, TableId, TableKind, TableSpec,
};
use weir_api::state::{Frozen, Scope};
use weir_state::hashmap::HashMapBackends;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How many updates come between two barriers.
const RATES: [usize; 2] = [200_000, 1_000_000];
const BARRIERS: usize = 10;

fn main() -> Result<()> {
    let keys =
        std::env::args().skip(1).find_map(|argument| argument.parse::<u64>().ok()).unwrap_or(10) * 1_000_000;
    for rate in RATES {
        let (plain, ..) = run(keys, rate, false)?;
        let (frozen, freezes, bytes, delta) = run(keys, rate, true)?;
        println!(
            "{} MB, {} bytes a key, {rate} updates a barrier: {plain:.3} CPU-s/M without, {frozen:.3} with barriers; freeze p50 {} µs, \
             max {} µs; a delta {delta:.3} CPU-s",
            bytes >> 20,
            bytes / keys,
            freezes[freezes.len() / 2] / 1000,
            freezes[freezes.len() - 1] / 1000,
        );
    }
    Ok(())
}

fn run(keys: u64, rate: usize, barriers: bool) -> Result<(f64, Vec<u64>, u64, f64)> {
    let mut backend = HashMapBackends.open(Instance {
        uid: OperatorUid::new("count")?,
        key_groups: KeyGroupRange { start: 0, end: 128 },
        max_parallelism: 128,
        limit_bytes: 1 << 40,
        clock: Arc::new(NoClock),
    })?;
    let table = backend.declare(TableSpec {
        name: "counts".to_owned(),
        key: vec![Field::new("key", DataType::Int64, false)],
        kind: TableKind::Aggregate(vec![Fold::Sum]),
        values: vec![Field::new("count", DataType::Int64, false)],
        time_to_live_millis: None,
    })?;
    for start in (0..keys).step_by(TARGET_ROWS) {
        count(backend.as_mut(), table, (start..keys.min(start + TARGET_ROWS as u64)).collect())?;
    }
    let bytes = backend.size_bytes();
    let (mut random, mut busy, mut rows) = (0x9e37_79b9_7f4a_7c15_u64, 0, 0);
    let (mut freezes, mut delta) = (Vec::new(), 0.0);
    for _ in 0..BARRIERS {
        let mut frozen = None;
        if barriers {
            let start = Instant::now();
            frozen = Some(backend.keyed_state().freeze(Scope::Changes)?);
            freezes.push(start.elapsed().as_nanos() as u64);
        }
        let batches = rate / TARGET_ROWS;
        for batch in 0..batches {
            let keys = (0..TARGET_ROWS).map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % keys
            });
            busy += count(backend.as_mut(), table, keys.collect())?;
            rows += TARGET_ROWS;
            if batch == batches / 2
                && let Some(frozen) = frozen.take()
            {
                delta = read(frozen)?;
            }
        }
    }
    freezes.sort_unstable();
    Ok((busy as f64 / 1e3 / rows as f64, freezes, bytes, delta))
}

/// Nanoseconds.
fn count(backend: &mut dyn StateBackend, table: TableId, keys: Vec<u64>) -> Result<u64> {
    let rows = keys.len();
    let keys: [ArrayRef; 1] = [Arc::new(keys.into_iter().map(|key| key as i64).collect::<Int64Array>())];
    let ones: ArrayRef = Arc::new(Int64Array::from_value(1, rows));
    let start = cpu_nanos();
    let mut numbers = Vec::new();
    backend.intern(table, Keys { columns: &keys, rows }, &mut numbers)?;
    backend.fold(table, &numbers, &[ones])?;
    Ok(cpu_nanos() - start)
}

/// Seconds of CPU.
fn read(mut frozen: Box<dyn Frozen>) -> Result<f64> {
    let start = cpu_nanos();
    let mut rows = 0;
    while let Some((_, table)) = frozen.next()? {
        rows += table.batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    }
    assert!(rows > 0, "there are changes");
    Ok((cpu_nanos() - start) as f64 / 1e9)
}

/// Nothing here expires.
struct NoClock;

impl Clock for NoClock {
    fn unix_millis(&self) -> i64 {
        0
    }

    fn monotonic_millis(&self) -> u64 {
        0
    }
}

/// What this thread has run, which a busy machine doesn't distort; where the system doesn't say, what has passed.
fn cpu_nanos() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let scheduled = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let running = scheduled.and_then(|text| text.split_whitespace().next()?.parse().ok());
    running.unwrap_or_else(|| START.elapsed().as_nanos() as u64)
}
