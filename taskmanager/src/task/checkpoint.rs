//! The checkpoints of one task: which barrier comes next, what is frozen, on its way or acknowledged, what a sink has prepared.
//!
//! A pure state machine: [`Machine::handle`] takes an [`Event`] and answers [`Action`]s; the task's driver does them, in order.
//!
//! ```text
//! source: triggered ──progress known──▶ ┐
//! others: aligned ─────────────────────▶ passing ──out at the tail──▶ uploading ──durable──▶ acknowledged ──▶ completed
//!                                            └────── aborted, upload failed, base lost ──────▶ given up
//! ```
//!
//! Invariants, each checked by a property test: nothing is taken in before the restore is done; barriers go on in growing order;
//! a source emits nothing behind a barrier that stops it, until that is given up; a checkpoint is acknowledged only when it and
//! every change that it builds on are durable, with all output that isn't known to be committed; only what was acknowledged can
//! complete; the task finishes after its last acknowledgement. It knows neither what state is nor where it goes: `C` is what a
//! sink prepared at one barrier, `A` the task's part of a checkpoint.

mod bounded;
mod event;
mod layers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use weir_api::element::{Barrier, Purpose};
use weir_api::id::CheckpointId;
use weir_api::state::Scope;

pub use self::event::{Action, Event, Notice, Trigger};

use self::bounded::Bounded;
use self::layers::{Layers, Lost};
use crate::planted::planted;

/// How many barriers a source may still have to emit.
const MAX_TRIGGERS: usize = 16;
/// How many snapshots of a task may be on their way.
const MAX_SNAPSHOTS: usize = 16;
/// How many checkpoints are remembered of which the task has heard and that it hasn't taken, or that nobody has completed.
const MAX_REMEMBERED: usize = 1024;

/// See the module.
#[derive(Clone, Debug)]
pub struct Machine<C, A> {
    is_source: bool,
    phase: Phase,
    /// Barriers that the source has still to emit, by growing id.
    triggers: VecDeque<Barrier>,
    /// Folders of savepoints.
    locations: Bounded<CheckpointId, String>,
    /// Checkpoints that are given up and whose barrier hasn't come.
    aborted: Bounded<CheckpointId, ()>,
    /// The newest barrier that has come, or what the task was restored from.
    newest: CheckpointId,
    snapshots: BTreeMap<CheckpointId, Snapshot<C, A>>,
    layers: Layers,
    acknowledged: Bounded<CheckpointId, ()>,
    completed: CheckpointId,
    /// What the sink prepared, the oldest first.
    prepared: VecDeque<(CheckpointId, C)>,
    /// The barrier behind which the source emits nothing.
    parked: Option<Barrier>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Restoring,
    Running,
    /// Waits for the last acknowledgement.
    Finishing,
    Finished,
}

/// A snapshot on its way.
#[derive(Clone, Debug)]
struct Snapshot<C, A> {
    purpose: Purpose,
    scope: Scope,
    step: Step<C, A>,
}

impl<C, A> Snapshot<C, A> {
    fn lost(&self, checkpoint: CheckpointId, has_ended: bool) -> Lost {
        let is_open = matches!(self.step, Step::Uploading) && !has_ended;
        let (purpose, scope) = (self.purpose, self.scope);
        Lost { checkpoint, purpose, scope, is_open }
    }
}

#[derive(Clone, Debug)]
enum Step<C, A> {
    /// The barrier is in the chain.
    Passing,
    /// A savepoint whose folder isn't known: its barrier was faster than the JobManager's message.
    Placeless(Vec<(CheckpointId, C)>),
    Uploading,
    /// Waits for what it builds on.
    Durable(A),
}

impl<C: Clone, A> Machine<C, A> {
    /// A task that restores its state first, of the checkpoint `restored` if of any. With `incremental`, checkpoints build on
    /// earlier ones.
    #[must_use]
    pub fn new(is_source: bool, restored: Option<CheckpointId>, incremental: bool) -> Self {
        let newest = restored.unwrap_or_default();
        Self {
            is_source,
            phase: Phase::Restoring,
            triggers: VecDeque::new(),
            locations: Bounded::new(MAX_REMEMBERED),
            aborted: Bounded::new(MAX_REMEMBERED),
            newest,
            snapshots: BTreeMap::new(),
            layers: Layers::new(incremental),
            acknowledged: Bounded::new(MAX_REMEMBERED),
            completed: newest,
            prepared: VecDeque::new(),
            parked: None,
        }
    }

    /// Takes an event in.
    pub fn handle(&mut self, event: Event<C, A>) -> Vec<Action<C, A>> {
        let mut actions = Vec::new();
        match event {
            Event::Adopted if self.phase == Phase::Restoring => self.layers.adopt(),
            Event::Adopted => {}
            Event::Restored => self.restored(&mut actions),
            Event::Triggered(trigger) => self.trigger(trigger, &mut actions),
            Event::Ready => self.emit(&mut actions),
            Event::Aligned(barrier) => self.begin(barrier, &mut actions),
            Event::Passed { checkpoint, prepared } => self.passed(checkpoint, prepared, &mut actions),
            Event::Uploaded { checkpoint, result } => self.uploaded(checkpoint, result, &mut actions),
            Event::Kept(checkpoint) => self.layers.keep(checkpoint),
            Event::Completed(checkpoint) => self.complete(checkpoint, &mut actions),
            Event::Committed(up_to) => self.forget_prepared(up_to),
            Event::Aborted(checkpoint) => self.abort(checkpoint, &mut actions),
            Event::Declined { checkpoint, reason } if checkpoint > self.newest => {
                self.abort(checkpoint, &mut actions);
                actions.push(Action::Decline { checkpoint, reason });
            }
            // Its barrier came just in time.
            Event::Declined { .. } => {}
            Event::Ended { prepared } => self.end(prepared, &mut actions),
        }
        self.finish_if_done(&mut actions);
        actions
    }

    /// Whether the source has a barrier to emit as soon as it is [`Event::Ready`].
    #[must_use]
    pub fn has_barrier(&self) -> bool {
        self.phase == Phase::Running && !self.triggers.is_empty()
    }

    /// Whether elements may come in: not before the restore is done, nor behind a barrier that stops the source.
    #[must_use]
    pub fn takes_input(&self) -> bool {
        (self.phase == Phase::Running || planted!(InputBeforeRestore)) && self.parked.is_none()
    }

    /// Whether operators freeze, and a sink prepares, at this checkpoint's barrier.
    #[must_use]
    pub fn freezes(&self, checkpoint: CheckpointId) -> bool {
        self.snapshots.get(&checkpoint).is_some_and(|snapshot| matches!(snapshot.step, Step::Passing))
    }

    /// What the output that is prepared at the end of input belongs to: the last barrier's successor.
    #[must_use]
    pub const fn last_checkpoint(&self) -> CheckpointId {
        CheckpointId(self.newest.0.saturating_add(1))
    }

    /// The newest checkpoint whose barrier the task has met, or that it was restored from.
    #[must_use]
    pub const fn newest(&self) -> CheckpointId {
        self.newest
    }

    /// The newest checkpoint that has completed.
    #[must_use]
    pub const fn completed(&self) -> CheckpointId {
        self.completed
    }

    /// What the sink has prepared and isn't known to be committed, the oldest first.
    pub fn prepared(&self) -> impl Iterator<Item = &(CheckpointId, C)> {
        self.prepared.iter()
    }

    fn restored(&mut self, actions: &mut Vec<Action<C, A>>) {
        if self.phase == Phase::Restoring {
            self.phase = Phase::Running;
            actions.push(Action::Start);
        }
    }

    fn trigger(&mut self, trigger: Trigger, actions: &mut Vec<Action<C, A>>) {
        let Trigger { barrier, location } = trigger;
        let checkpoint = CheckpointId(barrier.checkpoint_id);
        if barrier.purpose.is_savepoint() && !self.aborted.contains(&checkpoint) {
            match self.snapshots.get_mut(&checkpoint) {
                Some(snapshot) => {
                    if let Step::Placeless(prepared) = &mut snapshot.step {
                        let prepared = std::mem::take(prepared);
                        snapshot.step = Step::Uploading;
                        let (scope, savepoint) = (snapshot.scope, Some(location.clone()));
                        actions.push(Action::Upload { checkpoint, scope, savepoint, prepared });
                    }
                }
                None if checkpoint > self.newest => self.locations.insert(checkpoint, location.clone()),
                None => {}
            }
            if self.freezes(checkpoint) {
                self.locations.insert(checkpoint, location);
            }
        }
        if self.is_source && matches!(self.phase, Phase::Restoring | Phase::Running) {
            self.queue(barrier, actions);
        }
    }

    /// A newer checkpoint makes an older one that hasn't begun superfluous; a savepoint is somebody's.
    fn queue(&mut self, barrier: Barrier, actions: &mut Vec<Action<C, A>>) {
        let checkpoint = CheckpointId(barrier.checkpoint_id);
        let last = self.triggers.back().map_or(self.newest, |last| CheckpointId(last.checkpoint_id));
        if checkpoint <= last || self.aborted.contains(&checkpoint) {
            // Said twice, or given up before it came.
            return;
        }
        if self.parked.is_some() || self.triggers.iter().any(|waiting| waiting.purpose.stops_sources()) {
            let reason = "the job is being stopped".to_owned();
            actions.push(Action::Decline { checkpoint, reason });
            return;
        }
        if let Some(older) = self.triggers.pop_back_if(|older| older.purpose == Purpose::Checkpoint) {
            let reason = format!("checkpoint {checkpoint} was triggered before the source could take it");
            actions.push(Action::Decline { checkpoint: CheckpointId(older.checkpoint_id), reason });
        } else if self.triggers.len() >= MAX_TRIGGERS {
            let reason = format!("{MAX_TRIGGERS} savepoints wait for the source");
            actions.push(Action::Decline { checkpoint, reason });
            return;
        }
        self.triggers.push_back(barrier);
    }

    fn emit(&mut self, actions: &mut Vec<Action<C, A>>) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(barrier) = self.triggers.pop_front() else { return };
        if barrier.purpose == Purpose::Drain {
            actions.push(Action::EndTime);
        }
        if barrier.purpose.stops_sources() {
            self.parked = Some(barrier);
        }
        self.begin(barrier, actions);
    }

    fn begin(&mut self, barrier: Barrier, actions: &mut Vec<Action<C, A>>) {
        let checkpoint = CheckpointId(barrier.checkpoint_id);
        debug_assert!(self.phase == Phase::Running, "a barrier comes before the restore or after the end");
        if checkpoint <= self.newest {
            // A straggler: what lies behind it has a newer barrier already.
            return;
        }
        self.newest = checkpoint;
        let is_aborted = self.aborted.contains(&checkpoint);
        self.aborted.forget_through(&checkpoint);
        if is_aborted {
            actions.push(Action::Pass(barrier));
            return;
        }
        if self.snapshots.len() >= MAX_SNAPSHOTS {
            let reason = format!("{MAX_SNAPSHOTS} snapshots of the task are still on their way");
            actions.push(Action::Decline { checkpoint, reason });
            actions.push(Action::Pass(barrier));
            return;
        }
        let scope = self.layers.freeze(barrier.purpose);
        let snapshot = Snapshot { purpose: barrier.purpose, scope, step: Step::Passing };
        self.snapshots.insert(checkpoint, snapshot);
        actions.push(Action::Snapshot { barrier, scope });
    }

    fn passed(&mut self, checkpoint: CheckpointId, prepared: Option<C>, actions: &mut Vec<Action<C, A>>) {
        // Also of a checkpoint that was given up meanwhile: the next one holds it.
        self.prepared.extend(prepared.map(|prepared| (checkpoint, prepared)));
        let Some(snapshot) = self.snapshots.get_mut(&checkpoint) else { return };
        if !matches!(snapshot.step, Step::Passing) {
            return;
        }
        let oldest = if planted!(OnlyNewestPrepared) { self.prepared.len().saturating_sub(1) } else { 0 };
        let prepared: Vec<_> = self.prepared.iter().skip(oldest).cloned().collect();
        let savepoint = self.locations.remove(&checkpoint).filter(|_| snapshot.purpose.is_savepoint());
        if snapshot.purpose.is_savepoint() && savepoint.is_none() {
            snapshot.step = Step::Placeless(prepared);
            return;
        }
        snapshot.step = Step::Uploading;
        actions.push(Action::Upload { checkpoint, scope: snapshot.scope, savepoint, prepared });
    }

    fn uploaded(
        &mut self,
        checkpoint: CheckpointId,
        result: Result<A, String>,
        actions: &mut Vec<Action<C, A>>,
    ) {
        let Some(snapshot) = self.snapshots.get_mut(&checkpoint) else {
            // It was given up meanwhile.
            self.layers.settle(checkpoint, result.is_ok());
            return;
        };
        match result {
            Ok(part) => {
                snapshot.step = Step::Durable(part);
                self.acknowledge(actions);
            }
            Err(reason) => {
                let lost = snapshot.lost(checkpoint, true);
                self.snapshots.remove(&checkpoint);
                actions.push(Action::Decline { checkpoint, reason });
                self.lose(lost, actions);
            }
        }
    }

    /// Acknowledges what is durable down to its base.
    fn acknowledge(&mut self, actions: &mut Vec<Action<C, A>>) {
        let mut base_is_durable = true;
        let mut durable = Vec::new();
        for (checkpoint, snapshot) in &self.snapshots {
            let is_durable = matches!(snapshot.step, Step::Durable(_));
            if snapshot.purpose.is_savepoint() {
                durable.extend(is_durable.then_some(*checkpoint));
                continue;
            }
            base_is_durable = is_durable && (base_is_durable || snapshot.scope == Scope::Full);
            durable.extend(base_is_durable.then_some(*checkpoint));
        }
        for checkpoint in durable {
            if let Some(Snapshot { step: Step::Durable(part), .. }) = self.snapshots.remove(&checkpoint) {
                self.acknowledged.insert(checkpoint, ());
                if planted!(ForgottenAtAcknowledgement) {
                    self.prepared.clear();
                }
                actions.push(Action::Acknowledge { checkpoint, part });
            }
        }
    }

    /// What was frozen is lost: what was frozen later and builds on it is worth nothing either.
    fn lose(&mut self, lost: Lost, actions: &mut Vec<Action<C, A>>) {
        let checkpoint = lost.checkpoint;
        let later = self.snapshots.range((Bound::Excluded(checkpoint), Bound::Unbounded));
        let later = later.map(|(id, snapshot)| snapshot.lost(*id, false));
        for victim in self.layers.lose(lost, later) {
            self.snapshots.remove(&victim);
            actions.push(Action::Cancel(victim));
            let reason = format!("it builds on checkpoint {checkpoint}, which was given up");
            actions.push(Action::Decline { checkpoint: victim, reason });
        }
    }

    fn complete(&mut self, checkpoint: CheckpointId, actions: &mut Vec<Action<C, A>>) {
        // What the task hasn't acknowledged can't be complete, and what is subsumed stays so.
        if checkpoint > self.completed && self.acknowledged.remove(&checkpoint).is_some() {
            self.acknowledged.forget_through(&checkpoint);
            self.locations.forget_through(&checkpoint);
            self.completed = checkpoint;
            actions.push(Action::Complete(checkpoint));
        }
    }

    fn forget_prepared(&mut self, up_to: CheckpointId) {
        let up_to = up_to.min(self.completed);
        while self.prepared.front().is_some_and(|(checkpoint, _)| *checkpoint <= up_to) {
            self.prepared.pop_front();
        }
    }

    fn abort(&mut self, checkpoint: CheckpointId, actions: &mut Vec<Action<C, A>>) {
        if checkpoint > self.newest {
            self.aborted.insert(checkpoint, ());
            actions.push(Action::Release(checkpoint));
        }
        self.triggers.retain(|waiting| waiting.checkpoint_id != checkpoint.0);
        self.locations.remove(&checkpoint);
        self.acknowledged.remove(&checkpoint);
        if let Some(given_up) = self.snapshots.remove(&checkpoint) {
            actions.push(Action::Cancel(checkpoint));
            self.lose(given_up.lost(checkpoint, false), actions);
        }
        // Event time that has run to its end doesn't come back: then only a restart helps.
        if self
            .parked
            .is_some_and(|barrier| barrier.checkpoint_id == checkpoint.0 && barrier.purpose != Purpose::Drain)
        {
            self.parked = None;
        }
    }

    fn end(&mut self, prepared: Option<C>, actions: &mut Vec<Action<C, A>>) {
        let checkpoint = self.last_checkpoint();
        self.prepared.extend(prepared.map(|prepared| (checkpoint, prepared)));
        self.triggers.clear();
        self.phase = Phase::Finishing;
        self.give_placeless_up(actions);
    }

    /// Nobody has said yet where these savepoints go, and perhaps nobody will: the task's end doesn't wait for that.
    fn give_placeless_up(&mut self, actions: &mut Vec<Action<C, A>>) {
        let is_placeless = |snapshot: &Snapshot<C, A>| matches!(snapshot.step, Step::Placeless(_));
        let placeless: Vec<_> =
            self.snapshots.iter().filter(|(_, one)| is_placeless(one)).map(|(id, _)| *id).collect();
        for checkpoint in placeless {
            self.snapshots.remove(&checkpoint);
            let reason = "the task has finished before it was told where the savepoint goes".to_owned();
            actions.push(Action::Cancel(checkpoint));
            actions.push(Action::Decline { checkpoint, reason });
        }
    }

    /// The report of a finished task stands for it in every checkpoint that it hasn't acknowledged: it must not overtake an
    /// acknowledgement of what came before the end.
    fn finish_if_done(&mut self, actions: &mut Vec<Action<C, A>>) {
        if self.phase == Phase::Finishing && self.snapshots.is_empty() {
            self.phase = Phase::Finished;
            actions.push(Action::Finish { prepared: self.prepared.iter().cloned().collect() });
        }
    }
}
