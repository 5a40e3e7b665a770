//! A job's checkpoints: the coordinator's word made into what the job does, and what happens to the job told to the coordinator.
//!
//! Invariants: the coordinator knows of an attempt only while all of its tasks run; a pointer counts only after the record that
//! leads to it was written; checkpoint ids are used only after they were recorded as reserved. What storage and tasks do, others
//! know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_api::config::{Configuration, options};
use weir_api::error::{Code, Result};
use weir_api::id::{Attempt, CheckpointId, OperatorUid};
use weir_snapshots::layout;

use super::commits::Commits;
use super::exceptions::{Exception, Exceptions};
use super::operations::Operations;
use super::phase::{Next, Phase};
use super::record::Snapshots;
use super::recovery::{Discard, Recovered, Recovery, Restored};
use super::status::JobStatus;
use super::writes::Reason;
use super::{Effect, Failure, Job};
use crate::control::checkpoint::assemble::Positions;
use crate::control::checkpoint::part::{Part, Parts, sink_commits};
use crate::control::checkpoint::settings::Places;
use crate::control::checkpoint::{
    Action, Coordinator, Event, Kind, Retained, Savepoint, Settings, Stop, Task, Written,
};
use crate::control::now::Now;
use crate::control::regions::Vertices;
use crate::control::task::TaskState;

/// How many checkpoint ids are reserved ahead, so that an id costs no write.
const IDS: u64 = 1_000;

/// What tasks are told about a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// To take their parts.
    Trigger {
        /// Of which.
        checkpoint: CheckpointId,
        /// When it was triggered, in Unix milliseconds.
        unix_millis: i64,
        /// What for.
        kind: Kind,
        /// Where state files go.
        location: String,
    },
    /// That it is complete, and committed as far as the JobManager commits.
    Complete(CheckpointId),
    /// That it is given up.
    Abort(CheckpointId),
}

/// A snapshot that all tasks have taken their parts of.
#[derive(Clone, Debug)]
pub struct SnapshotWrite {
    /// Of which attempt.
    pub attempt: Attempt,
    /// Which.
    pub checkpoint: CheckpointId,
    /// Whether it is a savepoint.
    pub is_savepoint: bool,
    /// When it was triggered, in Unix milliseconds.
    pub triggered_unix_millis: i64,
    /// The folder that it goes into.
    pub path: String,
    /// Every task's part.
    pub parts: Arc<Parts>,
}

/// A checkpoint under way.
#[derive(Debug)]
struct Begun {
    kind: Kind,
    path: String,
    unix_millis: i64,
    parts: Arc<Parts>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Checkpoints {
    coordinator: Coordinator<Arc<Part>>,
    places: Places,
    /// Whether checkpoints may refer to files of earlier ones.
    is_incremental: bool,
    /// Ids that the next record reserves.
    reserving: CheckpointId,
    writers: BTreeMap<OperatorUid, u32>,
    begun: BTreeMap<CheckpointId, Begun>,
    pub(super) commits: Commits,
    pub(super) operations: Operations,
    restored: Option<Restored>,
    /// How often the job went on from a snapshot.
    restores: u64,
    positions: Positions,
    damaged: BTreeSet<CheckpointId>,
    /// The attempt runs, and the coordinator knows it.
    pub(super) is_running: bool,
    /// Why the attempt must end.
    failure: Option<Exception>,
    /// The stop that is answered when the job has ended.
    pub(super) stopping: Option<(u128, String)>,
}

impl Checkpoints {
    pub(super) fn new(configuration: &Configuration, snapshots: Snapshots) -> Self {
        let Snapshots { retained, reserved, writers } = snapshots;
        let settings = Settings::from_configuration(configuration);
        Self {
            coordinator: Coordinator::new(settings, reserved, retained),
            is_incremental: configuration.get(&options::CHECKPOINT_INCREMENTAL),
            places: Places::from_configuration(configuration),
            reserving: reserved,
            writers,
            begun: BTreeMap::new(),
            commits: Commits::default(),
            operations: Operations::default(),
            restored: None,
            restores: 0,
            positions: Positions::new(),
            damaged: BTreeSet::new(),
            is_running: false,
            failure: None,
            stopping: None,
        }
    }

    /// What the job's record says of them now.
    pub(super) fn record(&self) -> Snapshots {
        Snapshots {
            retained: self.coordinator.retained_then(),
            reserved: self.reserving,
            writers: self.writers.clone(),
        }
    }

    /// The next record reserves ids.
    pub(super) fn reserve_ids(&mut self) {
        self.reserving =
            self.reserving.max(CheckpointId(self.coordinator.next_id().0.saturating_add(IDS - 1)));
    }

    /// The record that reserves ids is written.
    pub(super) fn ids_recorded(&mut self) {
        self.coordinator.reserve(self.reserving);
    }

    pub(super) fn latest(&self) -> Option<&Retained> {
        self.coordinator.latest()
    }

    pub(super) const fn settings(&self) -> &Settings {
        self.coordinator.settings()
    }

    pub(super) const fn places(&self) -> &Places {
        &self.places
    }

    pub(super) fn recovery(&self, fence: Attempt, part: Option<Vertices>) -> Recovery {
        Recovery {
            fence,
            part,
            retained: self.coordinator.retained().cloned().collect(),
            damaged: self.damaged.clone(),
            allow_older: self.places.allow_older,
            writers: self.writers.clone(),
        }
    }

    /// Whether this is what the job's pointer leads to.
    pub(super) fn is_latest(&self, recovered: &Recovered) -> bool {
        recovered.snapshot.as_ref() == self.latest()
    }

    /// The next attempt goes on from this.
    pub(super) fn restore(&mut self, recovered: Recovered, now: Now) {
        for (uid, count) in recovered.writers {
            let known = self.writers.entry(uid).or_default();
            *known = count.max(*known);
        }
        self.positions = recovered.positions;
        if let Some(snapshot) = &recovered.snapshot {
            self.coordinator.go_back_to(snapshot.checkpoint);
        }
        self.restores += u64::from(recovered.snapshot.is_some());
        self.restored =
            recovered.snapshot.map(|snapshot| Restored { snapshot, unix_millis: now.unix_millis });
    }

    /// What the attempt was restored from is damaged; false if that was known, or it was restored from nothing.
    pub(super) fn found_damaged(&mut self) -> bool {
        let restored = self.restored.as_ref().filter(|_| !self.is_running);
        restored.is_some_and(|restored| self.damaged.insert(restored.snapshot.checkpoint))
    }

    pub(super) fn positions(&self) -> Option<&Positions> {
        self.restored.as_ref().map(|_| &self.positions)
    }

    pub(super) const fn restored(&self) -> Option<&Restored> {
        self.restored.as_ref()
    }

    /// The attempt must end, for this reason.
    pub(super) fn fail(&mut self, exception: Exception) {
        self.failure.get_or_insert(exception);
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        let failure = self.failure.as_ref().map(|_| 0);
        [failure, self.coordinator.deadline(), self.commits.deadline()].into_iter().flatten().min()
    }

    /// The job has ended, and with it the stop that somebody waits for.
    pub(super) fn answer_stop(&mut self, status: JobStatus, exceptions: &Exceptions, _now: Now) {
        let Some((request, path)) = self.stopping.take() else { return };
        let result = if status == JobStatus::Finished {
            Ok(path)
        } else {
            let why = exceptions.root().map_or("", |root| root.message.as_str());
            Err(format!("the savepoint {path} is complete, but the job is {}: {why}", status.as_str()))
        };
        self.operations.end(request, result);
    }
}

impl Job {
    /// Its checkpoints' coordinator.
    #[must_use]
    pub const fn coordinator(&self) -> &Coordinator<Arc<Part>> {
        &self.checkpoints.coordinator
    }

    /// How often it went on from a snapshot.
    #[must_use]
    pub const fn restores(&self) -> u64 {
        self.checkpoints.restores
    }

    /// Where its snapshots go.
    #[must_use]
    pub const fn snapshot_places(&self) -> &Places {
        &self.checkpoints.places
    }

    /// What users have asked of it.
    #[must_use]
    pub const fn operations(&self) -> &Operations {
        &self.checkpoints.operations
    }

    /// How often in a row committing checkpoints' output has failed.
    #[must_use]
    pub const fn failed_commits(&self) -> u32 {
        self.checkpoints.commits.failures()
    }

    /// Whether a checkpoint may refer to no earlier files.
    #[must_use]
    pub fn wants_full_checkpoint(&self, kind: &Kind) -> bool {
        matches!(kind, Kind::Requested { full: true, .. }) || !self.checkpoints.is_incremental
    }

    /// A task has taken its part of a checkpoint.
    pub fn checkpoint_acknowledged(
        &mut self,
        task: Task,
        checkpoint: CheckpointId,
        mut part: Part,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        part.unix_millis = now.unix_millis;
        let event = Event::Acknowledged { attempt: self.attempt, checkpoint, task, part: Arc::new(part) };
        self.coordinate(event, now, effects);
    }

    /// A task couldn't take its part.
    pub fn checkpoint_declined(
        &mut self,
        task: Task,
        checkpoint: CheckpointId,
        reason: String,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let event = Event::Declined { attempt: self.attempt, checkpoint, task, reason };
        self.coordinate(event, now, effects);
    }

    /// A snapshot's `_metadata` is written, or couldn't be.
    pub fn snapshot_written(
        &mut self,
        checkpoint: CheckpointId,
        result: Result<Written, Failure>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let result = result.map_err(|failure| failure.message);
        self.coordinate(Event::Written { checkpoint, result }, now, effects);
    }

    /// The record that leads to the checkpoint is written.
    pub(super) fn pointer_recorded(&mut self, checkpoint: CheckpointId, now: Now, effects: &mut Vec<Effect>) {
        let stops = self.checkpoints.begun.get(&checkpoint).is_some_and(|begun| begun.kind.stops_job());
        self.coordinate(Event::Published { checkpoint, result: Ok(()) }, now, effects);
        if stops && matches!(self.phase, Phase::Running { .. }) {
            self.stop(Next::Commit, now, effects);
        }
    }

    /// A task has entered a state that isn't a failure.
    pub(super) fn tell_coordinator(
        &mut self,
        task: Task,
        state: TaskState,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        if !matches!(self.phase, Phase::Running { .. }) {
            return;
        }
        let attempt = self.attempt;
        if self.checkpoints.is_running {
            if state == TaskState::Finished
                && let Some(part) = self.execution.finished_parts().remove(&task)
            {
                self.coordinate(part.end_of(attempt, task), now, effects);
            }
        } else if self.execution.all_run() {
            self.checkpoints.is_running = true;
            let tasks = self.execution.all_tasks();
            self.coordinate(Event::Running { attempt, tasks }, now, effects);
            for (task, part) in self.execution.finished_parts() {
                self.coordinate(part.end_of(attempt, task), now, effects);
            }
        }
    }

    /// The attempt is over.
    pub(super) fn end_checkpoints(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.pause_checkpoints(Event::Ended, now, effects);
    }

    /// A part of the job starts anew; the tasks of the others give up what is under way.
    pub(super) fn interrupt_checkpoints(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.pause_checkpoints(Event::Interrupted, now, effects);
    }

    /// Tells the tasks that go on what was committed while a part of the job started anew.
    pub(super) fn tell_survivors(&self, effects: &mut Vec<Effect>) {
        let restored = self.checkpoints.restored.as_ref();
        effects.extend(restored.map(|from| Effect::Order(Order::Complete(from.snapshot.checkpoint))));
    }

    fn pause_checkpoints(&mut self, event: Event<Arc<Part>>, now: Now, effects: &mut Vec<Effect>) {
        self.checkpoints.is_running = false;
        self.checkpoints.failure = None;
        self.checkpoints.commits = Commits::default();
        self.coordinate(event, now, effects);
        let Checkpoints { begun, coordinator, .. } = &mut self.checkpoints;
        begun.retain(|checkpoint, _| coordinator.is_under_way(*checkpoint));
    }

    /// Time has passed.
    pub(super) fn look_after_checkpoints(&mut self, now: Now, random: f64, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Running { .. }) {
            return;
        }
        if let Some(exception) = self.checkpoints.failure.take() {
            self.failed(exception, now, random, effects);
            return;
        }
        if self.checkpoints.coordinator.deadline().is_some_and(|deadline| now.reached(deadline)) {
            self.coordinate(Event::Tick, now, effects);
        }
        self.retry_commit(now, effects);
        if self.checkpoints.coordinator.ids_left() < IDS / 2 && !self.writes.waits(Reason::Ids) {
            self.checkpoints.reserve_ids();
            self.writes.want(Reason::Ids, effects);
        }
    }

    pub(super) fn coordinate(&mut self, event: Event<Arc<Part>>, now: Now, effects: &mut Vec<Effect>) {
        for action in self.checkpoints.coordinator.handle(event, now) {
            self.take_action(action, now, effects);
        }
    }

    fn take_action(&mut self, action: Action<Arc<Part>>, now: Now, effects: &mut Vec<Effect>) {
        let job = self.spec.id;
        match action {
            Action::Trigger { checkpoint, unix_millis, kind } => {
                tracing::debug!(%job, %checkpoint, ?kind, "checkpoint triggered");
                self.trigger(checkpoint, unix_millis, kind, effects);
            }
            Action::Abort { checkpoint, reason } => {
                tracing::warn!(%job, %checkpoint, reason, "checkpoint given up");
                self.give_up(checkpoint, &reason, now, effects);
            }
            Action::Write { checkpoint, kind, parts } => {
                let Some(begun) = self.checkpoints.begun.get_mut(&checkpoint) else { return };
                begun.parts = Arc::new(parts);
                effects.push(Effect::WriteSnapshot(Box::new(SnapshotWrite {
                    attempt: self.attempt,
                    checkpoint,
                    is_savepoint: kind.is_savepoint(),
                    triggered_unix_millis: begun.unix_millis,
                    path: begun.path.clone(),
                    parts: Arc::clone(&begun.parts),
                })));
            }
            Action::Publish { checkpoint, .. } => {
                if let Some(begun) = self.checkpoints.begun.get(&checkpoint)
                    && begun.kind.stops_job()
                {
                    self.concluding = Some(sink_commits(&begun.parts));
                }
                self.writes.want(Reason::Pointer(checkpoint), effects);
            }
            Action::Notify { checkpoint } => {
                tracing::info!(%job, %checkpoint, "checkpoint complete");
                if let Some(begun) = self.checkpoints.begun.remove(&checkpoint)
                    && !begun.kind.stops_job()
                {
                    self.commit_checkpoint(checkpoint, begun.parts, effects);
                }
            }
            Action::Discard { checkpoint, path, completed } => {
                self.checkpoints.begun.remove(&checkpoint);
                effects.push(Effect::Discard(Discard::Checkpoint { path, completed }));
            }
            Action::Answer { kind, result } => self.answer(&kind, result),
            Action::FailJob { reason } => {
                self.checkpoints.fail(Exception::of_job(Code::CheckpointsFailed, reason, now.unix_millis));
            }
        }
    }

    fn trigger(&mut self, checkpoint: CheckpointId, unix_millis: i64, kind: Kind, effects: &mut Vec<Effect>) {
        let base = &self.checkpoints.places.checkpoints;
        let (path, location) = match &kind {
            Kind::Savepoint(Savepoint { target, request, .. }) => {
                // The request's number is random.
                let path = layout::savepoint_location(target, self.spec.id, *request as u64);
                (path.clone(), path)
            }
            _ => (layout::checkpoint_location(base, self.spec.id, checkpoint), base.clone()),
        };
        let begun = Begun { kind: kind.clone(), path, unix_millis, parts: Arc::default() };
        self.checkpoints.begun.insert(checkpoint, begun);
        effects.push(Effect::Order(Order::Trigger { checkpoint, unix_millis, kind, location }));
    }

    /// Its sources go on; but where event time has run to its end they can't.
    fn give_up(&mut self, checkpoint: CheckpointId, reason: &str, now: Now, effects: &mut Vec<Effect>) {
        effects.push(Effect::Order(Order::Abort(checkpoint)));
        let Some(begun) = self.checkpoints.begun.remove(&checkpoint) else { return };
        if let Kind::Savepoint(Savepoint { stop: Some(Stop::Drain), .. }) = begun.kind {
            let message =
                format!("the job was to stop and its savepoint failed after its input was drained: {reason}");
            self.checkpoints.fail(Exception::of_job(Code::CheckpointsFailed, message, now.unix_millis));
        }
    }
}
