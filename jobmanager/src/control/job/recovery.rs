//! What a new attempt goes on from, and what becomes of snapshots when their job ends.
//!
//! Invariant: before a task of an attempt is deployed, everything that the job's pointer leads to has been committed, and nobody of
//! an earlier attempt can commit any more. Going back behind the pointer is nobody's decision here: whoever reads the snapshots
//! says what can be restored, or why nothing can.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use weir_api::error::{Code, Retry};
use weir_api::id::{Attempt, CheckpointId, OperatorUid};
use weir_proto::v1::SplitAssignment;

use super::exceptions::Exception;
use super::phase::{Next, Phase};
use super::status::JobStatus;
use super::{Effect, Failure, Job};
use crate::control::checkpoint::assemble::{self, Positions};
use crate::control::checkpoint::{Retained, Retention};
use crate::control::now::Now;
use crate::control::planted::planted;
use crate::control::regions::Vertices;

/// The longest wait before what failed is tried again.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What there is to go on from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// The last attempt that may have been deployed: it and those before it are over.
    pub fence: Attempt,
    /// Which snapshots there are, oldest first.
    pub retained: Vec<Retained>,
    /// Those of them whose files tasks found to be damaged.
    pub damaged: BTreeSet<CheckpointId>,
    /// Whether an older one may be taken although the newer one's output may be visible.
    pub allow_older: bool,
    /// The most writers of sinks.
    pub writers: BTreeMap<OperatorUid, u32>,
    /// Only these vertices start anew; the writers of other sinks live and must not be fenced. `None`: all.
    pub part: Option<Vertices>,
}

/// What was found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Recovered {
    /// What the attempt goes on from; `None`: it begins at the beginning.
    pub snapshot: Option<Retained>,
    /// How far its sources had come.
    pub positions: Positions,
    /// The most writers of sinks, where they are more than was known.
    pub writers: BTreeMap<OperatorUid, u32>,
}

/// What an attempt was restored from.
#[derive(Clone, PartialEq, Debug)]
pub struct Restored {
    /// Which.
    pub snapshot: Retained,
    /// When, in Unix milliseconds.
    pub unix_millis: i64,
}

/// What is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Discard {
    /// One checkpoint.
    Checkpoint {
        /// Its folder; none: it never got a `_metadata`.
        path: Option<String>,
        /// Whether it ever completed. Files of one that did not stay until they can be collected: what is on its way may build on
        /// them, and output that they hold may still be committed.
        completed: bool,
    },
    /// The job has ended: nothing in its folder is needed any more.
    Everything,
    /// The job has ended: nothing is on its way any more, so what these, its retained snapshots, don't reach goes at once.
    Orphans(Vec<Retained>),
}

impl Job {
    /// What the next attempt goes on from, as far as it is known here.
    pub(super) fn recovery(&self) -> Recovery {
        let fence = match self.phase {
            Phase::Recovering { .. } => Attempt(self.attempt.0.saturating_sub(1)),
            _ => self.attempt,
        };
        let part = self.partial.as_ref().map(|partial| partial.vertices.clone());
        self.checkpoints.recovery(fence, part.filter(|_| !planted!(SurvivorsFenced)))
    }

    /// What the attempt goes on from is committed, or couldn't be found or committed.
    ///
    /// `slots_held`: whether it still has all slots of its placement.
    pub fn recovered_from(
        &mut self,
        result: Result<Recovered, Failure>,
        slots_held: bool,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let Phase::Recovering { failures, .. } = self.phase else { return };
        if self.is_not_wanted(slots_held, now, effects) {
            return;
        }
        match result {
            // Those that go on may build on what can't be read.
            Ok(recovered) if self.partial.is_some() && !self.checkpoints.is_latest(&recovered) => {
                self.stop(Next::Restart { not_before: now.monotonic_millis }, now, effects);
            }
            Ok(recovered) => {
                self.checkpoints.restore(recovered, now);
                self.deploy(now, effects);
            }
            Err(failure) if failure.code.retry() == Retry::Restart => {
                if failures == 0 {
                    let message = format!("going on from the last checkpoint failed: {}", failure.message);
                    self.exceptions.push(Exception::of_job(failure.code, message, now.unix_millis));
                }
                let wait = Duration::from_millis(50).saturating_mul(1 << failures.min(16)).min(MAX_WAIT);
                let retry_at = Some(now.after(wait));
                self.phase = Phase::Recovering { failures: failures.saturating_add(1), retry_at };
            }
            // The same for all of the job decides.
            Err(_) if self.partial.is_some() => {
                self.stop(Next::Restart { not_before: now.monotonic_millis }, now, effects);
            }
            Err(failure) => {
                self.exceptions.push(Exception::of_job(failure.code, failure.message, now.unix_millis));
                self.history.set(JobStatus::Failing, now.unix_millis);
                self.release(effects);
                // Nothing may be removed that a repaired checkpoint needs.
                self.close(JobStatus::Failed, now, effects);
            }
        }
    }

    /// A snapshot's files turn out to be damaged when tasks read them. Perhaps there is another one: the next attempt finds out.
    pub(super) fn look_at_damage(&mut self, exception: Exception) -> (Exception, bool) {
        let is_damage = exception.code == Code::SnapshotDamaged.as_str();
        if is_damage && self.checkpoints.found_damaged() {
            return (Exception { restartable: true, ..exception }, true);
        }
        (exception, is_damage)
    }

    /// The splits of the present attempt's tasks, with where reading begins.
    #[must_use]
    pub fn deployed_splits(&self) -> Arc<Vec<SplitAssignment>> {
        assemble::deployed(&self.splits, self.checkpoints.positions())
    }

    /// What the present attempt was restored from.
    #[must_use]
    pub fn restored(&self) -> Option<&Restored> {
        self.checkpoints.restored()
    }

    /// The job's end is recorded: its checkpoints go, unless somebody may want to go on from them. Then only what they don't reach goes.
    pub(super) fn discard_at_the_end(&self, status: JobStatus, effects: &mut Vec<Effect>) {
        let goes = match status {
            JobStatus::Finished => true,
            JobStatus::Canceled => self.checkpoints.settings().on_cancel == Retention::Delete,
            _ => false,
        };
        let retained = self.checkpoints.recovery(self.attempt, None).retained;
        let is_anything_there = !retained.is_empty() || self.checkpoints.settings().interval.is_some();
        if is_anything_there && !self.checkpoints.places().checkpoints.is_empty() {
            effects.push(Effect::Discard(if goes {
                Discard::Everything
            } else {
                Discard::Orphans(retained)
            }));
        }
    }
}
