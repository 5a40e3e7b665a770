//! Restarts of a part of a job: the regions that a failure broke start anew, the others go on undisturbed.
//!
//! ```text
//! Running ─▶ Stopping (the part's tasks) ─▶ Backoff ─▶ Waiting (for what it lost of its slots) ─▶ Allocating ─▶ Recovering ─▶ Running
//!                ▲                                                                                     │
//!                └────────────── another region breaks meanwhile: it joins the part ──────────────────┘
//! ```
//!
//! Invariants: the part is whole regions, and something is left beside it; the tasks of the rest keep their attempt, their slots and
//! their state, and what they say counts all the time; no checkpoint is under way until the part runs again. Whatever can't be done
//! for a part (a task that doesn't end, a snapshot that can't be read, a job that stops behind a savepoint) is done for the job.

use weir_api::id::VertexIndex;

use super::exceptions::Exception;
use super::phase::{Next, Phase};
use super::{Effect, Job};
use crate::control::now::Now;
use crate::control::regions::{Regions, Vertices};

/// See the module.
#[derive(Debug)]
pub(super) struct Partial {
    /// What starts anew.
    pub(super) vertices: Vertices,
    /// More has broken while something was asked for: what comes instead, when that is answered.
    pub(super) then: Option<Next>,
}

/// Whether tasks of a vertex may be running.
pub(super) fn is_out(phase: &Phase, partial: Option<&Partial>, vertex: VertexIndex) -> bool {
    phase.has_tasks() || partial.is_some_and(|partial| !partial.vertices.contains(&vertex))
}

impl Job {
    /// What of it fails together.
    #[must_use]
    pub const fn regions(&self) -> &Regions {
        &self.regions
    }

    /// Whether tasks of a vertex may be running.
    #[must_use]
    pub fn has_tasks_of(&self, vertex: VertexIndex) -> bool {
        is_out(&self.phase, self.partial.as_ref(), vertex)
    }

    /// Whether the job holds slots that it keeps, while it waits for some.
    #[must_use]
    pub const fn keeps_slots(&self) -> bool {
        self.partial.is_some()
    }

    /// Whether it ends as soon as what was asked for is answered.
    pub(super) fn ends_soon(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| matches!(partial.then, Some(Next::End(_))))
    }

    /// Whether only another part of the job starts anew.
    pub(super) fn survives(&self, vertex: VertexIndex) -> bool {
        self.partial.as_ref().is_some_and(|partial| !partial.vertices.contains(&vertex))
    }

    /// Whether all tasks that are waited for have ended.
    pub(super) fn is_stopped(&self) -> bool {
        match &self.partial {
            Some(partial) => self.execution.part_is_over(&partial.vertices),
            None => self.execution.is_over(),
        }
    }

    /// The regions that are to start anew, if others go on beside them.
    pub(super) fn broken_part(&self, next: Next) -> Option<Vertices> {
        let part = self.regions.around(self.execution.broken());
        let is_part = !part.is_empty() && !self.regions.is_everything(&part);
        let goes_on = matches!(next, Next::Restart { .. }) && !self.coordinator().is_stopping();
        Some(part).filter(|_| is_part && goes_on)
    }

    /// Asks the tasks of a part to stop.
    pub(super) fn stop_part(&mut self, part: Vertices, next: Next, now: Now, effects: &mut Vec<Effect>) {
        if self.partial.is_none() {
            self.interrupt_checkpoints(now, effects);
        }
        self.execution.cancel(&part, now.unix_millis);
        self.phase = Phase::Stopping { next, deadline: now.after(self.limits.cancel_timeout) };
        effects.push(Effect::CancelTasks(self.attempt, Some(part.clone())));
        self.partial = Some(Partial { vertices: part, then: None });
        self.look_for_the_end(now, effects);
    }

    /// Something failed while a part of the job was to start anew.
    pub(super) fn failed_beside(
        &mut self,
        exception: Exception,
        now: Now,
        random: f64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(partial) = &self.partial else { return };
        if self.cancel_requested || self.ends_soon() {
            // The job ends as soon as what was asked for is answered.
            self.exceptions.push_concurrent(exception);
            return;
        }
        let is_known = self.execution.broken().is_subset(&partial.vertices);
        match self.phase {
            // In the wake of what is known.
            Phase::Stopping { next, .. } if exception.restartable => {
                self.exceptions.push_concurrent(exception);
                if !is_known {
                    self.join(next, now, effects);
                }
            }
            Phase::Allocating | Phase::Recovering { retry_at: None, .. } => {
                let next = self.after_failure(exception, now, random);
                if let Some(partial) = &mut self.partial {
                    partial.then = Some(next);
                }
            }
            _ => {
                let next = self.after_failure(exception, now, random);
                self.join(next, now, effects);
            }
        }
    }

    /// All that has broken starts anew, or the job ends.
    pub(super) fn join(&mut self, next: Next, now: Now, effects: &mut Vec<Effect>) {
        let known = self.partial.as_ref().map(|partial| partial.vertices.clone()).unwrap_or_default();
        let part = self.regions.around(self.execution.broken().into_iter().chain(known));
        if matches!(next, Next::Restart { .. }) && !self.regions.is_everything(&part) {
            self.stop_part(part, next, now, effects);
        } else {
            self.stop(next, now, effects);
        }
    }
}
