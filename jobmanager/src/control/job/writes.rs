//! The writes of a job's record: one at a time, each for everything that has come to want one since the last.
//!
//! ```text
//! want ─▶ (one is outstanding: wait) ─▶ write ─▶ answered ─▶ …
//!                                         └─ failed: the same again after a while
//! ```
//!
//! Invariant: what wants a write gets its answer after a write that began behind the wish has succeeded; one write is outstanding at
//! a time. A write that failed may have happened all the same: it is tried again until it succeeds or another version is found
//! there, and until then nobody may act as if it hadn't happened. It doesn't know what is written.

use std::collections::BTreeSet;
use std::time::Duration;

use weir_api::id::CheckpointId;

use super::Effect;
use crate::control::now::Now;

/// The wait before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Who wants the record written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Reason {
    /// Splits were found.
    Splits,
    /// The job's pointer moves to this checkpoint.
    Pointer(CheckpointId),
    /// Further checkpoint ids are to be used.
    Ids,
    /// What the job waits for is this write.
    Phase,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Writes {
    outstanding: Option<BTreeSet<Reason>>,
    wanted: BTreeSet<Reason>,
    retry_at: Option<u64>,
}

impl Writes {
    /// Has the record written as it will be when this event has been handled.
    pub(super) fn want(&mut self, reason: Reason, effects: &mut Vec<Effect>) {
        self.wanted.insert(reason);
        self.start(effects);
    }

    fn start(&mut self, effects: &mut Vec<Effect>) {
        if self.outstanding.is_none() && self.retry_at.is_none() && !self.wanted.is_empty() {
            self.outstanding = Some(std::mem::take(&mut self.wanted));
            effects.push(Effect::Persist);
        }
    }

    /// Whether this waits for its answer.
    pub(super) fn waits(&self, reason: Reason) -> bool {
        self.wanted.contains(&reason) || self.outstanding.as_ref().is_some_and(|all| all.contains(&reason))
    }

    /// The outstanding write has succeeded: for these. The next one begins with [`Self::go_on`].
    pub(super) fn succeeded(&mut self) -> BTreeSet<Reason> {
        self.outstanding.take().unwrap_or_default()
    }

    /// Begins the next write, if one is wanted.
    pub(super) fn go_on(&mut self, effects: &mut Vec<Effect>) {
        self.start(effects);
    }

    /// The outstanding write has failed.
    pub(super) fn failed(&mut self, now: Now) {
        if let Some(reasons) = self.outstanding.take() {
            self.wanted.extend(reasons);
            self.retry_at = Some(now.after(RETRY));
        }
    }

    /// When a failed write is due again.
    pub(super) const fn deadline(&self) -> Option<u64> {
        self.retry_at
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.retry_at.is_some_and(|at| now.reached(at)) {
            self.retry_at = None;
            self.start(effects);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Now {
        Now { monotonic_millis: millis, unix_millis: 0 }
    }

    #[test]
    fn one_write_at_a_time_and_each_answers_what_came_before_it() {
        let (mut writes, mut effects) = (Writes::default(), Vec::new());
        writes.want(Reason::Splits, &mut effects);
        writes.want(Reason::Phase, &mut effects);
        writes.want(Reason::Ids, &mut effects);
        assert_eq!(effects.len(), 1);
        assert!(writes.waits(Reason::Splits) && writes.waits(Reason::Phase));
        assert_eq!(writes.succeeded(), [Reason::Splits].into());
        writes.go_on(&mut effects);
        assert_eq!(effects.len(), 2);
        assert_eq!(writes.succeeded(), [Reason::Phase, Reason::Ids].into());
        writes.go_on(&mut effects);
        assert_eq!(effects.len(), 2);
    }

    #[test]
    fn a_failed_write_is_tried_again_with_what_came_since() {
        let (mut writes, mut effects) = (Writes::default(), Vec::new());
        writes.want(Reason::Splits, &mut effects);
        writes.failed(at(0));
        writes.want(Reason::Phase, &mut effects);
        assert_eq!((effects.len(), writes.deadline()), (1, Some(1_000)));
        writes.tick(at(999), &mut effects);
        assert_eq!(effects.len(), 1);
        writes.tick(at(1_000), &mut effects);
        assert_eq!(effects.len(), 2);
        assert_eq!(writes.succeeded(), [Reason::Splits, Reason::Phase].into());
    }
}
