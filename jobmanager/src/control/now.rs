//! The moment at which a core handles an event: passed in, never read from the air.

/// One moment, on both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// For durations and deadlines; never goes back.
    pub monotonic_millis: u64,
    /// For timestamps that users see.
    pub unix_millis: i64,
}

impl Now {
    /// The moment that the clock shows.
    pub fn of(clock: &dyn weir_api::clock::Clock) -> Self {
        Self { monotonic_millis: clock.monotonic_millis(), unix_millis: clock.unix_millis() }
    }

    /// The deadline this long from now.
    #[must_use]
    pub fn after(self, wait: std::time::Duration) -> u64 {
        self.monotonic_millis.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }

    /// Whether the deadline is here.
    #[must_use]
    pub const fn reached(self, deadline: u64) -> bool {
        self.monotonic_millis >= deadline
    }
}
