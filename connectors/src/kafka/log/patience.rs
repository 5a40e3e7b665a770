//! How long one waits for brokers: until nobody waits any more, or until a deadline.
#![expect(clippy::disallowed_methods, reason = "the edge, where waiting for brokers has a deadline")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use weir_api::error::{Code, Error, Result};

/// How long one look takes at most: a cancel is noticed in between.
pub const SLICE: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Clone, Debug)]
pub struct Patience {
    cancelled: Arc<AtomicBool>,
    /// Until when, and how long that was; none: for as long as it takes.
    deadline: Option<(Instant, Duration)>,
}

impl Patience {
    /// As long as it takes, or until it is cancelled.
    pub fn until(cancelled: Arc<AtomicBool>) -> Self {
        Self { cancelled, deadline: None }
    }

    /// So long, or until it is cancelled.
    pub fn of(time: Duration, cancelled: Arc<AtomicBool>) -> Self {
        Self { cancelled, deadline: Some((Instant::now() + time, time)) }
    }

    /// Whether nobody waits any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// An error where there is none left, which says what was waited for.
    pub fn check(&self, what: impl FnOnce() -> String) -> Result<()> {
        if self.is_cancelled() {
            return Err(Error::internal("writing to Kafka was cancelled"));
        }
        match self.deadline {
            Some((at, time)) if Instant::now() >= at => Err(Error::new(
                Code::Io,
                format!("{} within {time:?}; look after the brokers, it is tried again", what()),
            )),
            _ => Ok(()),
        }
    }

    /// Waits before the next try; the later the longer.
    pub fn pause(&self, tries: u32) {
        let pause = LONGEST_PAUSE.min(FIRST_PAUSE.saturating_mul(1 << tries.min(10)));
        let until = Instant::now() + pause;
        while !self.is_cancelled() && self.deadline.is_none_or(|(at, _)| Instant::now() < at) {
            match until.checked_duration_since(Instant::now()) {
                Some(left) => std::thread::sleep(left.min(SLICE)),
                None => return,
            }
        }
    }
}
