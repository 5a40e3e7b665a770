//! What every backend must do: random work on it and on a model side by side, with freezes that are read later, deltas that are
//! merged, restores at another parallelism, time that passes and keys that expire.
//!
//! Decides nothing: an implementation calls [`check`] in its tests, which gives the first difference as an error that names the
//! seed. Knows nothing of how a backend keeps its rows.

mod chain;
mod job;
mod model;
mod tables;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use weir_api::clock::Clock;
use weir_api::error::{Error, Result};
use weir_api::state::backend::StateBackends;

/// Runs `cases` random cases.
pub fn check(backends: &dyn StateBackends, cases: u64) -> Result<()> {
    for seed in 0..cases {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let steps = 10 + random.below(60);
        job::run(backends, &mut random, steps)
            .map_err(|error| error.context(format_args!("conformance of {backends:?}, seed {seed}")))?;
    }
    tables::check(backends)
}

/// A difference between a backend and the model.
fn difference(what: &str, found: &impl std::fmt::Debug, expected: &impl std::fmt::Debug) -> Error {
    Error::internal(format!("{what}: found {found:?} where {expected:?} belongs"))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<()> {
    if found == expected { Ok(()) } else { Err(difference(what, found, expected)) }
}

/// Numbers that a seed decides on.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound.max(1)
    }
}

/// Time that passes when told to.
#[derive(Debug, Default)]
struct ManualClock(AtomicI64);

impl ManualClock {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn unix_millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic_millis(&self) -> u64 {
        0
    }
}
