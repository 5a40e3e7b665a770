//! What a job's configuration asks of its checkpoints.

use std::time::Duration;

/// See `execution.checkpointing.*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// From the beginning of one periodic checkpoint to that of the next; `None`: only on request.
    pub interval: Option<Duration>,
    /// After this long a checkpoint that isn't complete is given up.
    pub timeout: Duration,
    /// From the end of a checkpoint to the beginning of the next periodic one, at least.
    pub min_pause: Duration,
    /// Periodic checkpoints that may be under way at once.
    pub max_concurrent: usize,
    /// Checkpoints that may fail in a row before the job does; `None`: any number.
    pub tolerable_failures: Option<u32>,
    /// Completed checkpoints that are kept.
    pub retained: usize,
    /// What becomes of them when the job is cancelled.
    pub on_cancel: Retention,
    /// Requests of users that may wait.
    pub max_requests: usize,
}

/// `execution.checkpointing.externalized-checkpoint-retention`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retention {
    /// A cancelled job's checkpoints stay.
    Retain,
    /// They are deleted.
    Delete,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: None,
            timeout: Duration::from_secs(600),
            min_pause: Duration::ZERO,
            max_concurrent: 1,
            tolerable_failures: Some(0),
            retained: 1,
            on_cancel: Retention::Delete,
            max_requests: 100,
        }
    }
}
