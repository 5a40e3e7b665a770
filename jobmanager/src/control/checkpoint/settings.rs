//! What a job's configuration asks of its checkpoints.

use std::time::Duration;

use weir_api::config::{Configuration, options};
use weir_api::error::{Code, Error, Result};

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

/// Where snapshots go, and which of them a restart may go back to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    /// The folder that the folders of jobs with their checkpoints lie in; empty: there are none.
    pub checkpoints: String,
    /// The folder of savepoints that are asked for without one; empty: none.
    pub savepoints: String,
    /// Whether a restart may go back behind a checkpoint that is damaged although its output may be visible.
    pub allow_older: bool,
}

impl Settings {
    /// What a job's configuration, over the cluster's, asks for.
    #[must_use]
    pub fn from_configuration(configuration: &Configuration) -> Self {
        let interval = configuration.get(&options::CHECKPOINT_INTERVAL);
        let has_place = !configuration.get(&options::CHECKPOINT_DIR).is_empty();
        let retention = configuration.get(&options::CHECKPOINT_RETENTION);
        let tolerable = configuration.get(&options::CHECKPOINT_TOLERABLE);
        Self {
            interval: Some(interval).filter(|interval| has_place && !interval.is_zero()),
            timeout: configuration.get(&options::CHECKPOINT_TIMEOUT),
            min_pause: configuration.get(&options::CHECKPOINT_MIN_PAUSE),
            max_concurrent: configuration.get(&options::CHECKPOINT_CONCURRENT) as usize,
            tolerable_failures: Some(tolerable).filter(|tolerable| *tolerable < i32::MAX as u32),
            retained: configuration.get(&options::CHECKPOINT_RETAINED) as usize,
            on_cancel: if retention.trim().eq_ignore_ascii_case("RETAIN_ON_CANCELLATION") {
                Retention::Retain
            } else {
                Retention::Delete
            },
            ..Self::default()
        }
    }
}

impl Places {
    /// What a job's configuration, over the cluster's, says.
    #[must_use]
    pub fn from_configuration(configuration: &Configuration) -> Self {
        Self {
            checkpoints: configuration.get(&options::CHECKPOINT_DIR),
            savepoints: configuration.get(&options::SAVEPOINT_DIR),
            allow_older: configuration.get(&options::RECOVERY_FALLBACK),
        }
    }
}

/// Refuses a configuration whose checkpoints would have no place.
pub fn check(configuration: &Configuration) -> Result<()> {
    let interval = configuration.get(&options::CHECKPOINT_INTERVAL);
    if !interval.is_zero() && configuration.get(&options::CHECKPOINT_DIR).is_empty() {
        return Err(Error::new(
            Code::InvalidConfiguration,
            format!(
                "execution.checkpointing.interval is {} ms, but there is no place for checkpoints: set execution.checkpointing.dir to \
                 s3://bucket/path or file:///path, which JobManager and TaskManagers must all reach",
                interval.as_millis()
            ),
        ));
    }
    Ok(())
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
