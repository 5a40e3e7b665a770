//! When events happen: a pure function of their number.

use crate::generator::timeline::Timeline;

/// When events happen.
pub struct Clockwork {
    /// How far apart events are.
    pub timeline: Timeline,
    /// When event 0 happens, in milliseconds since 1970-01-01T00:00:00Z.
    pub base_millis: i64,
}

impl Clockwork {
    /// The time of event `n`, in milliseconds since 1970-01-01T00:00:00Z.
    #[inline]
    #[must_use]
    pub fn millis(&self, n: u64) -> i64 {
        self.base_millis.wrapping_add(self.timeline.millis(n) as i64)
    }
}
