//! How checkpoints end: written, published, completed; or failed, subsumed and aborted.

use weir_api::id::CheckpointId;

use super::pending::Phase;
use super::statistics::Outcome;
use super::{Action, Coordinator, Now, Retained, Summarized, Written};
use crate::control::planted::planted;

impl<A: Summarized> Coordinator<A> {
    pub(super) fn on_written(
        &mut self,
        checkpoint: CheckpointId,
        result: Result<Written, String>,
        now: Now,
        actions: &mut Vec<Action<A>>,
    ) {
        let Some(pending) = self.pending.get_mut(&checkpoint) else {
            // It was aborted meanwhile: nobody will ever look for it.
            if let Ok(written) = result {
                actions.push(Action::Discard { checkpoint, path: Some(written.path), completed: false });
            }
            return;
        };
        match result {
            Err(reason) => {
                self.fail(checkpoint, format!("its metadata couldn't be written: {reason}"), now, actions)
            }
            Ok(written) if !pending.kind.is_published() => {
                // No restart goes back to it, so nothing may be committed by it: the next checkpoint commits that, too.
                pending.phase = Phase::Publishing(written);
                self.complete(checkpoint, now, actions);
            }
            // The pointer only goes forward: older ones were aborted when a newer one completed, and one that is written behind a
            // newer one whose pointer is on its way comes too late.
            Ok(written) if self.is_overtaken(checkpoint) => {
                actions.push(Action::Discard { checkpoint, path: Some(written.path), completed: false });
                self.abort(checkpoint, "a newer checkpoint is about to complete", now, actions);
            }
            Ok(written) => {
                let Some(pending) = self.pending.get_mut(&checkpoint) else { return };
                actions.push(Action::Publish { checkpoint, path: written.path.clone() });
                if planted!(CommitBeforePointer) {
                    actions.push(Action::Notify { checkpoint });
                }
                pending.phase = Phase::Publishing(written);
            }
        }
    }

    fn is_overtaken(&self, checkpoint: CheckpointId) -> bool {
        let newer = (std::ops::Bound::Excluded(checkpoint), std::ops::Bound::Unbounded);
        let is_on_its_way = |pending: &super::Pending<A>| {
            matches!(pending.phase, Phase::Publishing(_)) && pending.kind.is_published()
        };
        self.pending.range(newer).any(|(_, pending)| is_on_its_way(pending))
    }

    pub(super) fn on_published(
        &mut self,
        checkpoint: CheckpointId,
        result: Result<(), String>,
        now: Now,
        actions: &mut Vec<Action<A>>,
    ) {
        if !self.pending.get(&checkpoint).is_some_and(|pending| matches!(pending.phase, Phase::Publishing(_)))
        {
            return;
        }
        match result {
            Ok(()) => self.complete(checkpoint, now, actions),
            Err(reason) => {
                self.fail(checkpoint, format!("the job's pointer couldn't be moved: {reason}"), now, actions);
            }
        }
    }

    pub(super) fn complete(&mut self, checkpoint: CheckpointId, now: Now, actions: &mut Vec<Action<A>>) {
        let Some(pending) = self.pending.remove(&checkpoint) else { return };
        let Phase::Publishing(written) = &pending.phase else { return };
        self.failures_in_a_row = 0;
        self.last_end = Some(now.monotonic_millis);
        self.statistics.complete(pending.finished(checkpoint, Outcome::Completed(written.clone()), now));
        if pending.kind.is_requested() {
            actions.push(Action::Answer { kind: pending.kind.clone(), result: Ok(written.path.clone()) });
        }
        if !pending.kind.is_published() {
            return;
        }
        self.published = Some(checkpoint);
        // The job is over: nothing begins behind it.
        self.is_stopped |= pending.kind.stops_job();
        if self.is_current(pending.attempt) {
            actions.push(Action::Notify { checkpoint });
        }
        let is_savepoint = pending.kind.is_savepoint();
        self.completed.push_back(Retained { checkpoint, path: written.path.clone(), is_savepoint });
        let older: Vec<_> = self
            .pending
            .range(..checkpoint)
            .filter(|(_, pending)| pending.can_abort() && !pending.kind.is_savepoint())
            .map(|(id, _)| *id)
            .collect();
        for subsumed in older {
            self.abort(subsumed, "a newer checkpoint has completed", now, actions);
        }
        if pending.kind.stops_job() && !planted!(StopDeletesPending) {
            // What sinks prepared before may still lie with the older ones: they go with the job, after its last commit.
            return;
        }
        while self.completed.len() > self.settings.retained.max(1) {
            if let Some(Retained { checkpoint, path, is_savepoint: false }) = self.completed.pop_front() {
                actions.push(Action::Discard { checkpoint, path: Some(path), completed: true });
            }
        }
    }

    /// Aborts a checkpoint by a failure that counts.
    pub(super) fn fail(
        &mut self,
        checkpoint: CheckpointId,
        reason: String,
        now: Now,
        actions: &mut Vec<Action<A>>,
    ) {
        let Some(pending) = self.pending.get(&checkpoint) else { return };
        let counts = !pending.kind.is_savepoint();
        if let Phase::Publishing(written) = &pending.phase {
            actions.push(Action::Discard { checkpoint, path: Some(written.path.clone()), completed: false });
        }
        self.abort(checkpoint, &reason, now, actions);
        if counts {
            self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
            if self.settings.tolerable_failures.is_some_and(|tolerable| self.failures_in_a_row > tolerable) {
                let count = self.failures_in_a_row;
                let reason =
                    format!("{count} checkpoints in a row have failed, the last one because {reason}");
                actions.push(Action::FailJob { reason });
            }
        }
    }

    pub(super) fn abort(
        &mut self,
        checkpoint: CheckpointId,
        reason: &str,
        now: Now,
        actions: &mut Vec<Action<A>>,
    ) {
        let Some(pending) = self.pending.remove(&checkpoint) else { return };
        self.last_end = Some(now.monotonic_millis);
        self.statistics.fail(pending.finished(checkpoint, Outcome::Failed(reason.to_owned()), now));
        if self.is_current(pending.attempt) {
            actions.push(Action::Abort { checkpoint, reason: reason.to_owned() });
        }
        if pending.kind.is_requested() {
            actions.push(Action::Answer { kind: pending.kind, result: Err(reason.to_owned()) });
        }
    }
}
