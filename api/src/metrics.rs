//! Counters that operators and connectors write on their thread and a reporter reads from another.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The sum so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one operator instance, by Flink's names.
#[derive(Debug, Default)]
pub struct OperatorMetrics {
    /// `numLateRecordsDropped`: rows that were dropped as their windows had all been emitted; those that leave by a side
    /// output aren't.
    pub num_late_records_dropped: Counter,
    /// `numRecordsInErrors`: records that were skipped because they can't be decoded.
    pub num_records_in_errors: Counter,
    /// `commitsSucceeded`: times that a source told outside how far it has come.
    pub commits_succeeded: Counter,
    /// `commitsFailed`: times that it couldn't.
    pub commits_failed: Counter,
    /// `numBytesIn`: bytes that a source read.
    pub num_bytes_in: Counter,
    /// `numBytesOut`: bytes that a sink wrote.
    pub num_bytes_out: Counter,
}
