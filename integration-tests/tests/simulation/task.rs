//! A task: the real checkpoint machine and the real aligner, around a source, a keyed count or a sink.
//!
//! The shell does what they ask for. It takes elements from its channels as they come, one at a time, unless its aligner holds
//! a channel back or its sink prepares; what takes time (a restore, an upload, a preparation) goes on in the queue.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use weir_api::element::Barrier;
use weir_api::id::{CheckpointId, ExecutionId};
use weir_api::state::Scope;
use weir_proto::v1::{self as proto, TaskSnapshot};
use weir_taskmanager::protocol::checkpoint::{Action, Event, Machine};
use weir_taskmanager::protocol::{Aligner, Decision};

use super::channel::Element;
use super::job::{COUNT, Commits, KEY_GROUPS, Record, SOURCE};
use super::planted::{Bug, is_planted};
use super::snapshot::{self, Layers};
use super::world::{Happening, Life, TaskId, World};

/// What a sink prepared at one barrier.
pub(crate) type Prepared = Vec<proto::Prepared>;
pub(crate) type Checkpoints = Machine<Prepared, TaskSnapshot>;
type Actions = Vec<Action<Prepared, TaskSnapshot>>;

/// What was frozen at a barrier.
#[derive(Debug, Clone)]
pub(crate) enum Frozen {
    Splits(Vec<SplitState>),
    Counts(Rc<BTreeMap<u16, u32>>),
    Nothing,
}

#[derive(Clone, Debug)]
pub(crate) struct SplitState {
    pub(crate) split: proto::Split,
    pub(crate) number: u16,
    pub(crate) position: u32,
    pub(crate) ended: bool,
}

/// What a task computes.
#[derive(Debug)]
pub(crate) enum Work {
    Source { splits: Vec<SplitState>, bounded: bool, turn: usize },
    Count { counts: BTreeMap<u16, u32>, dirty: BTreeMap<u16, u32> },
    Sink { commits: Commits, rows: Vec<Record>, publisher: Option<usize>, published: VecDeque<u64> },
}

/// See the module.
pub(crate) struct Task {
    pub(crate) id: ExecutionId,
    pub(crate) life: Life,
    pub(crate) deployment: Rc<super::worker::Deployment>,
    pub(crate) inputs: Vec<usize>,
    held: Vec<bool>,
    ended: Vec<bool>,
    /// By target vertex, by its subtask.
    pub(crate) outputs: Vec<Vec<usize>>,
    aligner: Aligner,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) work: Work,
    frozen: BTreeMap<CheckpointId, Frozen>,
    pub(crate) layers: Layers,
    uploads: BTreeMap<CheckpointId, TaskSnapshot>,
    /// The barrier for which its sink prepares, or none at the end of input.
    preparing: Option<Option<Barrier>>,
    pub(crate) restore: snapshot::Restore,
    pub(crate) cancelled: bool,
    /// Its state is restored.
    has_started: bool,
    turn: usize,
}

impl Task {
    pub(crate) fn new(
        id: ExecutionId,
        life: Life,
        deployment: Rc<super::worker::Deployment>,
        inputs: Vec<usize>,
        outputs: Vec<Vec<usize>>,
        work: Work,
    ) -> Self {
        let restored = deployment.restore.as_ref().map(|restore| CheckpointId(restore.checkpoint_id));
        let count = inputs.len();
        Self {
            id,
            life,
            held: vec![false; count],
            ended: vec![false; count],
            aligner: Aligner::new(count),
            checkpoints: Machine::new(
                deployment.plan.role(id.vertex.0) == SOURCE,
                restored,
                deployment.incremental,
            ),
            inputs,
            outputs,
            work,
            frozen: BTreeMap::new(),
            layers: Layers::default(),
            uploads: BTreeMap::new(),
            preparing: None,
            restore: snapshot::Restore::default(),
            cancelled: false,
            has_started: false,
            turn: 0,
            deployment,
        }
    }

    pub(crate) fn has_ended(&self, channel: usize) -> bool {
        self.inputs.iter().zip(&self.ended).any(|(input, ended)| *input == channel && *ended)
    }

    pub(crate) fn takes_input(&self) -> bool {
        self.preparing.is_none() && !self.cancelled && self.checkpoints.takes_input()
    }

    /// What its state is now.
    fn freeze(&mut self, scope: Scope) -> Frozen {
        match &mut self.work {
            Work::Source { splits, .. } => Frozen::Splits(splits.clone()),
            Work::Count { counts, dirty } => {
                let changed = std::mem::take(dirty);
                Frozen::Counts(Rc::new(match scope {
                    Scope::Full => counts.clone(),
                    Scope::Changes => changed,
                }))
            }
            Work::Sink { .. } => Frozen::Nothing,
        }
    }
}

impl World {
    pub(crate) fn task_is_alive(&self, task: &Task) -> bool {
        self.workers[task.life.0].life() == Some(task.life)
    }

    /// The task, if it is there and its process too.
    pub(crate) fn task_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        let life = self.tasks[id].as_ref()?.life;
        if self.workers[life.0].life() != Some(life) {
            return None;
        }
        self.tasks[id].as_mut()
    }

    /// Tells the task's checkpoint machine, and does what it asks for.
    pub(crate) fn tell(&mut self, id: TaskId, event: Event<Prepared, TaskSnapshot>) {
        let Some(task) = self.task_mut(id) else { return };
        let actions = task.checkpoints.handle(event);
        self.perform(id, actions);
    }

    fn perform(&mut self, id: TaskId, actions: Actions) {
        for action in actions {
            match action {
                Action::Start => self.started(id),
                Action::EndTime => {}
                Action::Snapshot { barrier, scope } => {
                    let Some(task) = self.task_mut(id) else { return };
                    let frozen = task.freeze(scope);
                    task.frozen.insert(CheckpointId(barrier.checkpoint_id), frozen);
                    self.pass(id, barrier);
                }
                Action::Pass(barrier) => self.pass(id, barrier),
                Action::Upload { checkpoint, scope, savepoint, prepared } => {
                    self.upload(id, checkpoint, scope, savepoint, prepared);
                }
                Action::Cancel(checkpoint) => {
                    if let Some(task) = self.task_mut(id) {
                        task.frozen.remove(&checkpoint);
                        task.uploads.remove(&checkpoint);
                    }
                }
                Action::Release(checkpoint) => {
                    let Some(task) = self.task_mut(id) else { return };
                    let decision = task.aligner.on_cancel(checkpoint.0);
                    self.decide(id, 0, decision);
                }
                Action::Acknowledge { checkpoint, part } => self.acknowledge(id, checkpoint, part),
                Action::Decline { checkpoint, reason } => self.decline(id, checkpoint, reason),
                Action::Complete(checkpoint) => self.complete(id, checkpoint),
                Action::Finish { prepared } => self.finish(id, prepared),
            }
        }
    }

    /// The state is there: input may come.
    fn started(&mut self, id: TaskId) {
        self.report_state(id, proto::TaskState::Running, None, None);
        let Some(task) = self.task_mut(id) else { return };
        task.has_started = true;
        let (vertex, subtask) = (task.id.vertex.0, task.id.subtask.0);
        let is_source = task.deployment.plan.role(vertex) == SOURCE;
        let number = task.deployment.plan.number;
        if let Work::Sink { commits: Commits::Tasks, .. } = task.work {
            let sink = super::job::SinkId::new(number, vertex as u8);
            let publisher = self.new_publisher(super::publish::Owner::Task(id), (sink, subtask));
            if let Some(Task { work: Work::Sink { publisher: place, .. }, .. }) = self.task_mut(id) {
                *place = Some(publisher);
            }
        }
        if is_source {
            let wait = self.random.below(30);
            self.after(wait, Happening::SourceGoesOn(id));
        }
        self.run_task(id);
    }

    /// Takes what has come, as far as that goes.
    pub(crate) fn run_task(&mut self, id: TaskId) {
        loop {
            let Some(task) = self.tasks[id].as_ref() else { return };
            if !self.task_is_alive(task) || !task.takes_input() {
                return;
            }
            if self.workers[task.life.0].paused_until > self.now {
                let wait = self.workers[task.life.0].paused_until - self.now;
                self.after(wait, Happening::TaskGoesOn(id));
                return;
            }
            let count = task.inputs.len();
            let turn = task.turn;
            let next = (0..count)
                .map(|step| (turn + step) % count)
                .find(|position| !task.held[*position] && self.channels.has_arrived(task.inputs[*position]));
            let Some(position) = next else { return };
            let channel = task.inputs[position];
            let Some(element) = self.channels.take(channel) else { return };
            let Some(task) = self.task_mut(id) else { return };
            task.turn = position + 1;
            match element {
                Element::Records(records) => self.process(id, &records),
                Element::Barrier(barrier) => {
                    let decision = task.aligner.on_barrier(position, barrier);
                    self.decide(id, position, decision);
                }
                Element::End => {
                    task.ended[position] = true;
                    let decision = task.aligner.on_end(position);
                    self.decide(id, position, decision);
                    self.end_if_all_have(id);
                }
            }
        }
    }

    fn decide(&mut self, id: TaskId, position: usize, decision: Decision) {
        let Some(task) = self.task_mut(id) else { return };
        if decision.release {
            task.held.fill(false);
        }
        if decision.wait
            && let Some(held) = task.held.get_mut(position)
        {
            *held = true;
        }
        if let Some(barrier) = decision.aligned {
            self.tell(id, Event::Aligned(barrier));
        }
        if decision.release {
            // Not from within: what released may be in the middle of an element.
            self.after(0, Happening::TaskGoesOn(id));
        }
    }

    fn process(&mut self, id: TaskId, records: &[Record]) {
        let Some(task) = self.task_mut(id) else { return };
        if !task.has_started {
            let what = format!("{} takes input before its state is restored", task.id);
            self.oracle.violated(what);
            return;
        }
        match &mut task.work {
            Work::Source { .. } => {}
            Work::Count { counts, dirty } => {
                let counted: Vec<_> = records
                    .iter()
                    .map(|record| {
                        let count = counts.entry(record.key).or_default();
                        *count += 1;
                        dirty.insert(record.key, *count);
                        Record { count: *count, ..*record }
                    })
                    .collect();
                self.emit(id, &counted);
            }
            Work::Sink { rows, .. } => rows.extend_from_slice(records),
        }
    }

    /// Sends records to the subtasks that own their keys.
    pub(crate) fn emit(&mut self, id: TaskId, records: &[Record]) {
        let Some(task) = self.tasks[id].as_ref() else { return };
        let outputs = task.outputs.clone();
        for channels in outputs {
            let parallelism = channels.len() as u32;
            for (subtask, channel) in channels.into_iter().enumerate() {
                let own = records.iter().filter(|record| owner(record.key, parallelism) == subtask);
                let own: Rc<[Record]> = own.copied().collect();
                if !own.is_empty() {
                    self.send(channel, Element::Records(own));
                }
            }
        }
    }

    pub(crate) fn emit_everywhere(&mut self, id: TaskId, element: &Element) {
        let Some(task) = self.tasks[id].as_ref() else { return };
        let channels: Vec<_> = task.outputs.iter().flatten().copied().collect();
        for channel in channels {
            self.send(channel, element.clone());
        }
    }

    /// A barrier goes through the task: on, or into its sink, which prepares.
    fn pass(&mut self, id: TaskId, barrier: Barrier) {
        let checkpoint = CheckpointId(barrier.checkpoint_id);
        let Some(task) = self.task_mut(id) else { return };
        let freezes = task.checkpoints.freezes(checkpoint);
        if !matches!(task.work, Work::Sink { .. }) {
            self.emit_everywhere(id, &Element::Barrier(barrier));
            self.tell(id, Event::Passed { checkpoint, prepared: None });
        } else if freezes {
            task.preparing = Some(Some(barrier));
            self.prepare(id, checkpoint);
        } else {
            self.tell(id, Event::Passed { checkpoint, prepared: None });
        }
    }

    /// The sink's output for a checkpoint is durable, or isn't.
    pub(crate) fn prepared(&mut self, id: TaskId, checkpoint: CheckpointId, answer: super::storage::Answer) {
        let Some(task) = self.task_mut(id) else { return };
        if task.cancelled {
            return;
        }
        if answer.is_err() {
            self.fail_task(id, "output can't be made durable");
            return;
        }
        let Work::Sink { rows, .. } = &mut task.work else { return };
        let is_empty = rows.is_empty();
        rows.clear();
        let prepared = if is_empty { Vec::new() } else { vec![snapshot::committable(task, checkpoint)] };
        match task.preparing.take() {
            Some(Some(_)) => self.tell(id, Event::Passed { checkpoint, prepared: Some(prepared) }),
            Some(None) => self.tell(id, Event::Ended { prepared: Some(prepared) }),
            None => {}
        }
        self.run_task(id);
    }

    fn end_if_all_have(&mut self, id: TaskId) {
        let Some(task) = self.task_mut(id) else { return };
        if !task.ended.iter().all(|ended| *ended) {
            return;
        }
        let last = task.checkpoints.last_checkpoint();
        if matches!(task.work, Work::Sink { .. }) {
            task.preparing = Some(None);
            self.prepare(id, last);
        } else {
            self.emit_everywhere(id, &Element::End);
            self.tell(id, Event::Ended { prepared: None });
        }
    }

    /// What was frozen leaves for the store.
    fn upload(
        &mut self,
        id: TaskId,
        checkpoint: CheckpointId,
        scope: Scope,
        savepoint: Option<String>,
        prepared: Vec<(CheckpointId, Prepared)>,
    ) {
        let Some(task) = self.task_mut(id) else { return };
        let frozen = task.frozen.remove(&checkpoint).unwrap_or(Frozen::Nothing);
        let (part, file) = snapshot::part(task, checkpoint, scope, savepoint.as_deref(), &frozen, &prepared);
        task.uploads.insert(checkpoint, part);
        let early = is_planted(Bug::AcknowledgedBeforeUpload);
        match file {
            Some((path, object)) => {
                let request = super::storage::Request::Put { path, object, if_absent: false };
                let asker = if early {
                    super::world::Asker::Nobody
                } else {
                    super::world::Asker::Upload(id, checkpoint)
                };
                self.ask_storage(asker, request);
                if early {
                    self.after(0, Happening::UploadEnds(id, checkpoint));
                }
            }
            None => {
                let wait = self.random.below(20);
                self.after(wait, Happening::UploadEnds(id, checkpoint));
            }
        }
    }

    /// The files of a checkpoint are durable, or can't be made so.
    pub(crate) fn uploaded(
        &mut self,
        id: TaskId,
        checkpoint: CheckpointId,
        result: Result<(), super::storage::Refusal>,
    ) {
        let Some(task) = self.task_mut(id) else { return };
        let Some(mut part) = task.uploads.remove(&checkpoint).filter(|_| !task.cancelled) else { return };
        if let Work::Source { splits, .. } = &task.work
            && is_planted(Bug::LatePosition)
        {
            snapshot::replace_positions(&mut part, splits);
        }
        let result = result.map(|()| part).map_err(|refusal| format!("the store says {refusal:?}"));
        self.tell(id, Event::Uploaded { checkpoint, result });
    }

    /// A checkpoint is complete, says the JobManager.
    fn complete(&mut self, id: TaskId, checkpoint: CheckpointId) {
        let Some(task) = self.task_mut(id) else { return };
        let Work::Sink { commits, publisher, published, .. } = &mut task.work else { return };
        match (*commits, *publisher) {
            (Commits::Master, _) => self.tell(id, Event::Committed(checkpoint)),
            (Commits::Tasks, Some(publisher)) => {
                let last = published.back().copied().unwrap_or(0);
                let due: Vec<_> = task
                    .checkpoints
                    .prepared()
                    .filter(|(prepared, _)| *prepared <= checkpoint && prepared.0 > last)
                    .filter_map(|(prepared, entries)| {
                        let entry = entries.first()?;
                        let blob = entry.blobs.first().map(|blob| blob.name.as_str());
                        Some((prepared.0, snapshot::path_of(&entry.payload, blob)))
                    })
                    .collect();
                if let Work::Sink { published, .. } = &mut task.work {
                    published.extend(due.iter().map(|(checkpoint, _)| *checkpoint));
                    if published.is_empty() && due.is_empty() {
                        // Nothing was prepared: nothing is owed.
                        self.tell(id, Event::Committed(checkpoint));
                        return;
                    }
                }
                self.publish_more(publisher, due.into_iter());
            }
            (Commits::Tasks, None) => {}
        }
    }

    /// The task's output up to this checkpoint is in the log.
    pub(crate) fn task_published(&mut self, id: TaskId, checkpoint: u64) {
        self.tell(id, Event::Committed(CheckpointId(checkpoint)));
        if let Some(Task { work: Work::Sink { published, .. }, .. }) = self.task_mut(id) {
            // The last one stays, to know what has been begun.
            while published.len() > 1 && published.front().is_some_and(|first| *first <= checkpoint) {
                published.pop_front();
            }
        }
    }
}

/// The subtask that owns a key.
pub(crate) fn owner(key: u16, parallelism: u32) -> usize {
    weir_api::graph::subtask_of_key_group(u32::from(key) % KEY_GROUPS, parallelism, KEY_GROUPS) as usize
}

/// What a vertex computes.
pub(crate) fn work(plan: &super::job::Plan, vertex: u32, splits: Vec<SplitState>) -> Work {
    match plan.role(vertex) {
        SOURCE => Work::Source { splits, bounded: plan.bounded, turn: 0 },
        COUNT => Work::Count { counts: BTreeMap::new(), dirty: BTreeMap::new() },
        _ => Work::Sink {
            commits: plan.commits(vertex).unwrap_or(Commits::Master),
            rows: Vec::new(),
            publisher: None,
            published: VecDeque::new(),
        },
    }
}

/// The state that a task leaves when it has finished: as its input has ended, nobody will ever need counts.
pub(crate) fn last_state(task: &Task) -> Frozen {
    match &task.work {
        Work::Source { splits, .. } => Frozen::Splits(splits.clone()),
        Work::Count { .. } | Work::Sink { .. } => Frozen::Nothing,
    }
}
