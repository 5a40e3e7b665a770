//! The checkpoint coordinator of one job: which checkpoint is triggered when, what it still waits for, what becomes of it.
//!
//! A pure state machine: [`Coordinator::handle`] takes an [`Event`] and the time and answers [`Action`]s. A checkpoint goes
//!
//! ```text
//! triggered ──all acks──▶ writing ──written──▶ publishing ──published──▶ completed (notify, subsume, discard)
//!     └──── decline, timeout, attempt ended, subsumed, not written ────▶ aborted
//! ```
//!
//! Invariants, each checked by a property test: the published id only grows; a checkpoint is notified only after its pointer was
//! published; every triggered one ends exactly once, completed or aborted; no more periodic ones are under way than allowed, and
//! none begins before the pause after the last one's end is over; what a retained checkpoint is, is never discarded; what an
//! attempt that is over says changes nothing. It knows neither tasks' states nor storage: acknowledgements are opaque to it.

pub mod assemble;
mod ending;
mod event;
pub mod part;
mod pending;
pub mod settings;
mod statistics;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use weir_api::id::{Attempt, CheckpointId, SubtaskIndex, VertexIndex};

pub use self::event::{Action, Event, Retained, Written};
pub use self::pending::{InProgress, Kind, Savepoint, Stop};
pub use self::settings::{Retention, Settings};
pub use self::statistics::{Counts, Finished, Outcome, Statistics, Summarized};

use self::pending::{Pending, Phase};
use super::now::Now;

/// One subtask of the job.
pub type Task = (VertexIndex, SubtaskIndex);

/// See the module. `A` is one task's part of a checkpoint.
#[derive(Clone, Debug)]
pub struct Coordinator<A: Summarized> {
    settings: Settings,
    next_id: CheckpointId,
    /// Ids above this one belong to nobody yet.
    reserved: CheckpointId,
    /// The running attempt with its tasks; `None`: nothing can be triggered.
    running: Option<(Attempt, Vec<Task>)>,
    finished_tasks: BTreeMap<Task, A>,
    pending: BTreeMap<CheckpointId, Pending<A>>,
    /// The savepoint that the job stops behind is complete.
    is_stopped: bool,
    /// Requests that wait for their turn.
    requested: VecDeque<Kind>,
    /// Oldest first; the last one is what a restart goes back to.
    completed: VecDeque<Retained>,
    published: Option<CheckpointId>,
    /// When the next periodic one is due.
    next_periodic: Option<u64>,
    last_end: Option<u64>,
    failures_in_a_row: u32,
    statistics: Statistics<A::Summary>,
}

impl<A: Summarized> Coordinator<A> {
    /// A coordinator that goes on behind the checkpoints of earlier leaders and attempts: `completed` are the retained ones, oldest
    /// first; no id up to `last_id` is used again. It triggers nothing before it has been given ids by [`Self::reserve`].
    #[must_use]
    pub fn new(settings: Settings, last_id: CheckpointId, completed: Vec<Retained>) -> Self {
        let published = completed.last().map(|retained| retained.checkpoint);
        let last_id = published.map_or(last_id, |published| last_id.max(published));
        Self {
            settings,
            next_id: last_id.next(),
            reserved: last_id,
            running: None,
            finished_tasks: BTreeMap::new(),
            pending: BTreeMap::new(),
            is_stopped: false,
            requested: VecDeque::new(),
            completed: completed.into(),
            published,
            next_periodic: None,
            last_end: None,
            failures_in_a_row: 0,
            statistics: Statistics::default(),
        }
    }

    /// Takes an event in.
    pub fn handle(&mut self, event: Event<A>, now: Now) -> Vec<Action<A>> {
        let mut actions = Vec::new();
        match event {
            Event::Running { attempt, tasks } => self.start(attempt, tasks, now),
            Event::Ended => self.end(now, &mut actions),
            Event::Interrupted => {
                // Before the end of the attempt, as its tasks are to hear it.
                self.abort_all("a part of the job starts anew", now, &mut actions);
                self.end(now, &mut actions);
            }
            Event::Acknowledged { attempt, checkpoint, task, part } if self.is_current(attempt) => {
                if let Some(pending) = self.pending.get_mut(&checkpoint) {
                    pending.acknowledge(task, part);
                }
                self.write_if_complete(checkpoint, &mut actions);
            }
            Event::Declined { attempt, checkpoint, task, reason } if self.is_current(attempt) => {
                // A task that has given its part has no more say.
                if self.pending.get(&checkpoint).is_some_and(|pending| pending.waits_for_task(task)) {
                    let reason = format!("subtask {} of vertex {} declined: {reason}", task.1, task.0);
                    self.fail(checkpoint, reason, now, &mut actions);
                }
            }
            Event::TaskFinished { attempt, task, newest, part } if self.is_current(attempt) => {
                self.finish_task(task, newest, &part, now, &mut actions);
            }
            // Of an attempt that is over.
            Event::Acknowledged { .. } | Event::Declined { .. } | Event::TaskFinished { .. } => {}
            Event::Requested(kind) => self.request(kind, &mut actions),
            Event::Written { checkpoint, result } => self.on_written(checkpoint, result, now, &mut actions),
            Event::Published { checkpoint, result } => {
                self.on_published(checkpoint, result, now, &mut actions);
            }
            Event::Tick => {}
        }
        self.time_out(now, &mut actions);
        self.trigger_due(now, &mut actions);
        actions
    }

    /// Gives it all ids up to this one: whoever did has made sure that nobody else ever uses them.
    pub fn reserve(&mut self, up_to: CheckpointId) {
        self.reserved = self.reserved.max(up_to);
    }

    /// How many ids it has left.
    #[must_use]
    pub const fn ids_left(&self) -> u64 {
        (self.reserved.0 + 1).saturating_sub(self.next_id.0)
    }

    /// The next checkpoint's id.
    #[must_use]
    pub const fn next_id(&self) -> CheckpointId {
        self.next_id
    }

    /// What will be retained once every pointer that is on its way has arrived, oldest first.
    #[must_use]
    pub fn retained_then(&self) -> Vec<Retained> {
        let mut all: Vec<_> = self.completed.iter().cloned().collect();
        for (checkpoint, pending) in &self.pending {
            if let Phase::Publishing(written) = &pending.phase {
                let is_savepoint = pending.kind.is_savepoint();
                let path = written.path.clone();
                all.push(Retained { checkpoint: *checkpoint, path, is_savepoint });
            }
        }
        let surplus = all.len().saturating_sub(self.settings.retained.max(1));
        all.drain(..surplus);
        all
    }

    /// What it goes by.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the job is being stopped behind a savepoint.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.is_stopped || self.pending.values().any(|pending| pending.kind.stops_job())
    }

    /// Whether this one hasn't ended.
    #[must_use]
    pub fn is_under_way(&self, checkpoint: CheckpointId) -> bool {
        self.pending.contains_key(&checkpoint)
    }

    /// What is newer than this one can't be restored: restarts go back to this one from now on. Ids go on growing all the same.
    pub fn go_back_to(&mut self, checkpoint: CheckpointId) {
        self.completed.retain(|retained| retained.checkpoint <= checkpoint);
    }

    /// How many checkpoints and savepoints are under way.
    #[must_use]
    pub fn in_progress(&self) -> usize {
        self.pending.len()
    }

    /// When [`Event::Tick`] is due, in monotonic milliseconds.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let timeouts =
            self.pending.values().filter(|pending| pending.can_abort()).map(|pending| pending.deadline);
        let periodic = self.periodic_due().filter(|_| self.has_room());
        timeouts.chain(periodic).min()
    }

    /// What a restart goes back to: the newest retained checkpoint and where it lies.
    #[must_use]
    pub fn latest(&self) -> Option<&Retained> {
        self.completed.back()
    }

    /// Retained checkpoints, oldest first.
    pub fn retained(&self) -> impl Iterator<Item = &Retained> {
        self.completed.iter()
    }

    /// Whether a pointer is on its way: until it has arrived nobody may decide what a restart goes back to.
    #[must_use]
    pub fn is_publishing(&self) -> bool {
        self.pending.values().any(|pending| matches!(pending.phase, Phase::Publishing(_)))
    }

    /// Counts and the last checkpoints, for users.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics<A::Summary> {
        &self.statistics
    }

    /// Those that haven't ended, oldest first.
    pub fn under_way(&self) -> impl DoubleEndedIterator<Item = InProgress<'_, A::Summary>> {
        self.pending.iter().map(|(checkpoint, pending)| pending.so_far(*checkpoint))
    }

    fn is_current(&self, attempt: Attempt) -> bool {
        self.running.as_ref().is_some_and(|(running, _)| *running == attempt)
    }

    fn start(&mut self, attempt: Attempt, tasks: Vec<Task>, now: Now) {
        self.running = Some((attempt, tasks));
        self.is_stopped = false;
        self.finished_tasks.clear();
        self.failures_in_a_row = 0;
        self.last_end = None;
        self.next_periodic = self.settings.interval.map(|interval| now.after(interval));
    }

    fn end(&mut self, now: Now, actions: &mut Vec<Action<A>>) {
        self.running = None;
        self.finished_tasks.clear();
        self.next_periodic = None;
        self.abort_all("the job's attempt has ended", now, actions);
        for kind in std::mem::take(&mut self.requested) {
            actions.push(Action::Answer { kind, result: Err("the job's attempt has ended".to_owned()) });
        }
    }

    fn abort_all(&mut self, reason: &str, now: Now, actions: &mut Vec<Action<A>>) {
        let doomed: Vec<_> =
            self.pending.iter().filter(|(_, pending)| pending.can_abort()).map(|(id, _)| *id).collect();
        for checkpoint in doomed {
            self.abort(checkpoint, reason, now, actions);
        }
    }

    /// What a task leaves stands for it in checkpoints whose barriers come behind its end. Where it has met a barrier, or a newer one
    /// first, and given no part, others gave theirs before its end: together they would be no cut.
    fn finish_task(
        &mut self,
        task: Task,
        newest: CheckpointId,
        part: &A,
        now: Now,
        actions: &mut Vec<Action<A>>,
    ) {
        let waiting = self.pending.iter().filter(|(_, pending)| pending.waits_for_task(task));
        let waiting: Vec<_> = waiting.map(|(checkpoint, _)| *checkpoint).collect();
        for checkpoint in waiting {
            if checkpoint <= newest {
                let reason = format!("subtask {} of vertex {} went past it and has finished", task.1, task.0);
                self.abort(checkpoint, &reason, now, actions);
                continue;
            }
            if let Some(pending) = self.pending.get_mut(&checkpoint) {
                pending.acknowledge(task, part.clone());
            }
            self.write_if_complete(checkpoint, actions);
        }
        self.finished_tasks.insert(task, part.clone());
    }

    fn request(&mut self, kind: Kind, actions: &mut Vec<Action<A>>) {
        if self.running.is_none() {
            let result = Err("the job isn't running".to_owned());
            actions.push(Action::Answer { kind, result });
        } else if self.requested.len() + self.pending.len() >= self.settings.max_requests {
            let result = Err("too many requests are under way; ask again when they have ended".to_owned());
            actions.push(Action::Answer { kind, result });
        } else {
            self.requested.push_back(kind);
        }
    }

    fn write_if_complete(&mut self, checkpoint: CheckpointId, actions: &mut Vec<Action<A>>) {
        if let Some(pending) = self.pending.get_mut(&checkpoint)
            && let Some(parts) = pending.take_complete()
        {
            actions.push(Action::Write { checkpoint, kind: pending.kind.clone(), parts });
        }
    }

    fn time_out(&mut self, now: Now, actions: &mut Vec<Action<A>>) {
        let late: Vec<_> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.can_abort() && now.reached(pending.deadline))
            .map(|(id, _)| *id)
            .collect();
        for checkpoint in late {
            let waited = self.pending.get(&checkpoint).map(Pending::waits_for).unwrap_or_default();
            let reason = format!(
                "it wasn't complete after {} ms; it waited for {waited}",
                self.settings.timeout.as_millis()
            );
            self.fail(checkpoint, reason, now, actions);
        }
    }

    /// How many periodic checkpoints are under way.
    fn periodic_pending(&self) -> usize {
        self.pending.values().filter(|pending| pending.kind == Kind::Periodic).count()
    }

    fn has_room(&self) -> bool {
        // While the job is being stopped nothing else begins.
        !self.is_stopping() && self.ids_left() > 0 && self.periodic_pending() < self.settings.max_concurrent
    }

    fn periodic_due(&self) -> Option<u64> {
        let pause_over = self.last_end.map_or(0, |end| {
            end.saturating_add(u64::try_from(self.settings.min_pause.as_millis()).unwrap_or(u64::MAX))
        });
        self.next_periodic.map(|next| next.max(pause_over))
    }

    fn trigger_due(&mut self, now: Now, actions: &mut Vec<Action<A>>) {
        while !self.is_stopping()
            && self.running.is_some()
            && self.ids_left() > 0
            && let Some(kind) = self.requested.pop_front()
        {
            self.trigger(kind, now, actions);
        }
        if self.has_room() && self.periodic_due().is_some_and(|due| now.reached(due)) && !self.all_finished()
        {
            self.next_periodic = self.settings.interval.map(|interval| now.after(interval));
            self.trigger(Kind::Periodic, now, actions);
        }
    }

    /// Whether every task has finished: then the job's end commits what is left.
    fn all_finished(&self) -> bool {
        self.running.as_ref().is_some_and(|(_, tasks)| tasks.len() == self.finished_tasks.len())
    }

    fn trigger(&mut self, kind: Kind, now: Now, actions: &mut Vec<Action<A>>) {
        let Some((attempt, tasks)) = &self.running else { return };
        let checkpoint = self.next_id;
        self.next_id = checkpoint.next();
        let deadline = now.after(self.settings.timeout);
        let pending = Pending::new(kind.clone(), *attempt, tasks, &self.finished_tasks, now, deadline);
        self.statistics.trigger();
        self.pending.insert(checkpoint, pending);
        actions.push(Action::Trigger { checkpoint, unix_millis: now.unix_millis, kind });
        self.write_if_complete(checkpoint, actions);
    }
}
