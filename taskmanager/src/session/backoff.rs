//! How long to wait before the JobManager is dialled again: twice as long each time, with jitter from a seed.
//!
//! Jitter keeps a thousand TaskManagers from dialling a new leader in the same millisecond. Pure: the seed is passed in.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// The waits between attempts to connect.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    random: SmallRng,
}

impl Backoff {
    /// Waits from about `first` up to `longest`.
    pub fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        Self { first, longest, failures: 0, random: SmallRng::seed_from_u64(seed) }
    }

    /// The next wait: between half and the whole of `first · 2ⁿ`, at most `longest`.
    pub(crate) fn next(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(self.failures.min(20)).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.longest).mul_f64(self.random.random_range(0.5..=1.0))
    }

    /// The connection has proved good.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_differ_by_seed() {
        let waits = |seed| {
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5), seed);
            (0..40).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        let one = waits(1);
        assert_eq!(one, waits(1));
        assert_ne!(one, waits(2));
        for (n, wait) in one.iter().enumerate() {
            let whole = Duration::from_millis(100 << n.min(10)).min(Duration::from_secs(5));
            assert!(*wait <= whole && *wait >= whole / 2, "{n}: {wait:?}");
        }
    }
}
