//! Sources that compute their rows: which numbers a split owns, when each is due, and the reader that polls.
//!
//! Invariant: row n is a pure function of (options, n), and every n belongs to exactly one split, so any parallelism gives the
//! same rows. What row n holds is the business of the [`Rows`] behind the reader.

pub mod numbers;
pub mod reader;
pub mod timeline;

use std::ops::Range;

use arrow::array::RecordBatch;
use weir_api::error::Result;

/// What a generator makes of numbers.
pub trait Rows {
    /// The rows of these numbers, in their order; fewer where not every number has one. `now_millis` is the wall clock's
    /// time, for columns that show it.
    fn generate(&self, pieces: &[Range<u64>], now_millis: i64) -> Result<RecordBatch>;

    /// How many numbers give about one full batch.
    fn numbers_per_batch(&self) -> u64;
}
