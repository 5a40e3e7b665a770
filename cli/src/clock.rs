//! The one place that reads the system's clocks; everything else is given a `Clock`.
#![expect(clippy::disallowed_methods, reason = "the edge, where time is read")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use weir_api::clock::Clock;

/// The machine's clocks.
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Monotonic time counts from now.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn unix_millis(&self) -> i64 {
        // A clock before 1970 is as good as 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }

    fn monotonic_millis(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}
