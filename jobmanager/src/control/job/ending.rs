//! How attempts and jobs end: slots given back, leftovers removed, results committed, the end recorded.

use std::time::Duration;

use weir_api::error::{Code, Retry};
use weir_api::id::CheckpointId;

use super::exceptions::Exception;
use super::phase::{Next, Phase};
use super::record::SinkCommit;
use super::status::JobStatus;
use super::writes::Reason;
use super::{Effect, Failure, Job, MAX_COMMIT_FAILURES, MAX_COMMIT_WAIT, Version};
use crate::control::now::Now;
use crate::control::task::TaskState;

impl Job {
    /// Its record was written, or not.
    ///
    /// `slots_held`: whether it still has all slots of its placement; a TaskManager may have been lost during the write.
    pub fn persisted(
        &mut self,
        result: Result<Version, Failure>,
        slots_held: bool,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            Ok(version) => {
                self.version = version;
                // In their order: a phase goes on behind the pointers that were recorded with it.
                for reason in self.writes.succeeded() {
                    match reason {
                        Reason::Splits => self.splits_recorded(effects),
                        Reason::Pointer(checkpoint) => self.pointer_recorded(checkpoint, now, effects),
                        Reason::Ids => self.checkpoints.ids_recorded(),
                        Reason::Phase => self.recorded(slots_held, now, effects),
                    }
                }
                self.writes.go_on(effects);
            }
            Err(failure) if failure.code == Code::Fenced => effects.push(Effect::StepDown(failure.message)),
            Err(_) => self.writes.failed(now),
        }
    }

    fn recorded(&mut self, slots_held: bool, now: Now, effects: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Allocating => {
                // The record that was written holds the pointer, the splits and the ids.
                self.splits_recorded(effects);
                self.checkpoints.ids_recorded();
                self.allocated(slots_held, now, effects);
            }
            Phase::Recording(sinks) => self.commit(sinks, effects),
            Phase::Closing(status) => {
                self.history.set(status, self.ended.unwrap_or(now.unix_millis));
                self.discard_at_the_end(status, effects);
                self.checkpoints.answer_stop(status, &self.exceptions, now);
            }
            other => self.phase = other,
        }
    }

    /// The attempt is recorded: nothing of an earlier one counts any more.
    fn allocated(&mut self, slots_held: bool, now: Now, effects: &mut Vec<Effect>) {
        self.phase = Phase::Recovering { failures: 0, retry_at: None };
        if self.is_not_wanted(slots_held, now, effects) {
            return;
        }
        if self.attempt.0 > 1 || self.checkpoints.latest().is_some() {
            effects.push(Effect::Recover(Box::new(self.recovery())));
        } else {
            self.deploy(now, effects);
        }
    }

    /// Whether the attempt ends before anything of it was deployed.
    pub(super) fn is_not_wanted(&mut self, slots_held: bool, now: Now, effects: &mut Vec<Effect>) -> bool {
        if self.cancel_requested {
            self.give_up_slots(Next::End(JobStatus::Canceled), now, effects);
        } else if let Some(next) = self.partial.as_mut().and_then(|partial| partial.then.take()) {
            self.join(next, now, effects);
        } else if !slots_held {
            self.give_up_slots(Next::Restart { not_before: now.monotonic_millis }, now, effects);
        } else {
            return false;
        }
        true
    }

    /// Sends the attempt's tasks out.
    pub(super) fn deploy(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.phase = Phase::Running { deploy_deadline: now.after(self.limits.deploy_timeout) };
        if self.attempt.0 > 1 {
            self.restarts = self.restarts.saturating_add(1);
        }
        let part = self.partial.take().map(|partial| partial.vertices);
        match &part {
            Some(part) => self.execution.advance_part(part, TaskState::Deploying, now.unix_millis),
            None => self.execution.advance_all(TaskState::Deploying, now.unix_millis),
        }
        self.history.set(JobStatus::Running, now.unix_millis);
        self.discovery.start(now);
        let goes_on = part.is_some();
        effects.push(Effect::Deploy(part));
        if goes_on {
            self.tell_survivors(effects);
        }
    }

    /// The attempt's slots are gone or not wanted any more before anything was deployed.
    pub(super) fn give_up_slots(&mut self, next: Next, now: Now, effects: &mut Vec<Effect>) {
        // Tasks that go on keep theirs.
        if self.partial.is_none() {
            self.release(effects);
        }
        self.go_on(next, now, effects);
    }

    /// The attempt is over.
    pub(super) fn go_on(&mut self, next: Next, now: Now, effects: &mut Vec<Effect>) {
        match next {
            Next::End(_) | Next::Commit if self.partial.is_some() => self.stop(next, now, effects),
            Next::Restart { not_before } if now.reached(not_before) => self.wait_for_slots(now),
            Next::Restart { not_before } => self.phase = Phase::Backoff { until: not_before },
            Next::End(status) => self.conclude(status, now, effects),
            Next::Commit => {
                self.phase = Phase::Recording(self.concluding.clone().unwrap_or_default());
                self.writes.want(Reason::Phase, effects);
            }
        }
    }

    /// The job ends without having finished: what its last checkpoint holds is committed, all else removed.
    pub(super) fn conclude(&mut self, status: JobStatus, now: Now, effects: &mut Vec<Effect>) {
        if self.attempt.0 == 0 {
            self.close(status, now, effects);
        } else {
            self.phase = Phase::Aborting(status);
            effects.push(Effect::Abort(Box::new(self.recovery())));
        }
    }

    pub(super) fn release(&mut self, effects: &mut Vec<Effect>) {
        let stuck = if self.phase.has_tasks() { self.execution.unfinished() } else { Default::default() };
        effects.push(Effect::Release(self.execution.placement().to_vec(), stuck));
    }

    /// The attempt's tasks have ended, or the wait for them has.
    pub(super) fn stopped(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let Phase::Stopping { next, .. } = self.phase else { return };
        if self.partial.is_some() {
            if self.is_stopped() {
                self.go_on(next, now, effects);
            } else {
                // A task that doesn't end keeps its slot: the job needs others, all of it.
                self.stop(next, now, effects);
            }
            return;
        }
        self.release(effects);
        self.execution.advance_all(TaskState::Canceled, now.unix_millis);
        self.go_on(next, now, effects);
    }

    /// Its sinks have removed what its attempts left, or couldn't: that doesn't hold up its end.
    pub fn aborted(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if let Phase::Aborting(status) = self.phase {
            self.close(status, now, effects);
        }
    }

    pub(super) fn wait_for_slots(&mut self, now: Now) {
        self.phase = Phase::Waiting { deadline: now.after(self.limits.slot_timeout), shortage: None };
    }

    pub(super) fn commit(&mut self, sinks: Vec<SinkCommit>, effects: &mut Vec<Effect>) {
        effects.push(Effect::Commit(self.attempt, None, sinks.clone()));
        self.phase = Phase::Committing { sinks, failures: 0, retry_at: None };
    }

    /// Its results are visible, or couldn't be made so. Commits are idempotent, so what failed is tried again, for some time;
    /// then the job fails and its prepared output stays where it is, as part of it may be visible already.
    pub fn committed(
        &mut self,
        checkpoint: Option<CheckpointId>,
        result: Result<(), Failure>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(checkpoint) = checkpoint {
            self.checkpoint_committed(checkpoint, result, now, effects);
            return;
        }
        let Phase::Committing { failures, retry_at, .. } = &mut self.phase else { return };
        let Err(failure) = result else {
            self.close(JobStatus::Finished, now, effects);
            return;
        };
        *failures += 1;
        let failures = *failures;
        let message = format!("committing the results failed ({failures} times): {}", failure.message);
        let may_retry = failure.code.retry() == Retry::Restart && failures < MAX_COMMIT_FAILURES;
        if may_retry {
            let wait = Duration::from_millis(100).saturating_mul(1 << failures.min(16)).min(MAX_COMMIT_WAIT);
            *retry_at = Some(now.after(wait));
        }
        let exception = Exception::of_job(failure.code, message, now.unix_millis);
        if failures == 1 {
            self.exceptions.push(exception);
        } else {
            self.exceptions.push_concurrent(exception);
        }
        if !may_retry {
            self.history.set(JobStatus::Failing, now.unix_millis);
            self.close(JobStatus::Failed, now, effects);
        }
    }

    /// Records the job's end.
    pub(super) fn close(&mut self, status: JobStatus, now: Now, effects: &mut Vec<Effect>) {
        self.ended = Some(now.unix_millis);
        self.phase = Phase::Closing(status);
        self.writes.want(Reason::Phase, effects);
    }
}
