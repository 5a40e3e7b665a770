//! What a job is waiting for: exactly one thing at a time.
//!
//! ```text
//!            ┌───────── Backoff ←───── Next::Restart ─────────┐
//!            ↓                                                 │
//! (start) Waiting → Allocating → Recovering → Running → Stopping ─→ Aborting → Closing → Ended
//!            ↑          │            │           │          │                     ↑
//!            └──────────┴ slots lost ┘           ├──────────┘ Next::Commit        │
//!                                                └→ Recording → Committing ───────┘
//! ```
//!
//! Invariant: each phase has either a deadline or one outstanding request (a write, a commit, an abort) whose answer always
//! comes; that is why no job can get stuck.

use super::record::SinkCommit;
use super::status::JobStatus;
use crate::control::schedule::Shortage;

/// Where a stopping job goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// It starts again, not before this moment.
    Restart {
        /// Monotonic milliseconds.
        not_before: u64,
    },
    /// It ends: FAILED or CANCELED.
    End(JobStatus),
    /// The savepoint that it stops behind is committed, and it ends: FINISHED.
    Commit,
}

/// What a job is waiting for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Phase {
    /// For slots.
    Waiting {
        /// When it gives up, in monotonic milliseconds.
        deadline: u64,
        /// What was missing when it last tried.
        shortage: Option<Shortage>,
    },
    /// For its next attempt to be recorded; its slots are taken.
    Allocating,
    /// For what it goes on from: what the last checkpoint holds is committed, no writer of an earlier attempt commits any more.
    Recovering {
        /// How often that failed.
        failures: u32,
        /// When to try again, while it isn't being tried.
        retry_at: Option<u64>,
    },
    /// For its tasks.
    Running {
        /// Until then all must have answered that they are being set up.
        deploy_deadline: u64,
    },
    /// For its tasks to end after being cancelled.
    Stopping {
        /// And then.
        next: Next,
        /// Until then; whatever hasn't ended is left to drain.
        deadline: u64,
    },
    /// For its sinks to commit what the last checkpoint holds and to remove what attempts left. Then it ends like this.
    Aborting(JobStatus),
    /// For the restart's delay to pass.
    Backoff {
        /// Until then.
        until: u64,
    },
    /// For the decision to commit to be recorded.
    Recording(Vec<SinkCommit>),
    /// For its sinks to commit.
    Committing {
        /// What they commit.
        sinks: Vec<SinkCommit>,
        /// How often it failed.
        failures: u32,
        /// When to try again, while it isn't being tried.
        retry_at: Option<u64>,
    },
    /// For its end to be recorded.
    Closing(JobStatus),
    /// For nothing.
    Ended,
}

impl Phase {
    /// The deadline, where it has one.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        match self {
            Self::Waiting { deadline, .. } | Self::Stopping { deadline, .. } => Some(*deadline),
            Self::Running { deploy_deadline } => Some(*deploy_deadline),
            Self::Backoff { until } => Some(*until),
            Self::Committing { retry_at, .. } | Self::Recovering { retry_at, .. } => *retry_at,
            Self::Allocating | Self::Recording(_) | Self::Closing(_) | Self::Aborting(_) | Self::Ended => {
                None
            }
        }
    }

    /// Whether tasks of the present attempt may be running.
    #[must_use]
    pub const fn has_tasks(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Stopping { .. })
    }

    /// In words, for whoever asks why nothing happens.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let what = match self {
            Self::Waiting { shortage: Some(shortage), .. } => format!("slots: {shortage}"),
            Self::Waiting { .. } => "slots".to_owned(),
            Self::Allocating => "the metadata to record the attempt".to_owned(),
            Self::Recovering { failures: 0, .. } => {
                "what its last checkpoint holds to be committed".to_owned()
            }
            Self::Recovering { failures, .. } => {
                format!("what its last checkpoint holds to be committed (failed {failures} times so far)")
            }
            Self::Running { .. } | Self::Ended => return None,
            Self::Stopping { .. } => "its tasks to stop".to_owned(),
            Self::Aborting(_) => "its sinks to remove uncommitted output".to_owned(),
            Self::Backoff { .. } => "the restart strategy's delay".to_owned(),
            Self::Recording(_) => "the metadata to record the results".to_owned(),
            Self::Committing { failures: 0, .. } => "its sinks to commit".to_owned(),
            Self::Committing { failures, .. } => {
                format!("its sinks to commit (failed {failures} times so far)")
            }
            Self::Closing(_) => "the metadata to record its end".to_owned(),
        };
        Some(format!("waits for {what}"))
    }
}
