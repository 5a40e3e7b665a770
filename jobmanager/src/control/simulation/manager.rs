//! Fake TaskManagers: they follow the protocol as real ones do, late and unreliably.
//!
//! As real ones: all tasks are cancelled when a session is lost, and no session begins before the last has ended; an attempt is
//! deployed once and never after a later one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use prost::Message as _;
use rand::RngExt as _;
use weir_api::id::{
    Attempt, CheckpointId, ExecutionId, JobId, LeaderEpoch, SubtaskIndex, TaskManagerId, VertexIndex,
};
use weir_api::sink::Prepared;
use weir_proto::v1::job_manager_message::Body;
use weir_proto::v1::trigger_checkpoint::Purpose;
use weir_proto::v1::{
    self as proto, DeployTasks, Failure, JobManagerMessage, OperatorPart, PendingCommittables, Split,
    SplitPosition, SubtaskSnapshot, TaskSnapshot, TriggerCheckpoint,
};

use super::{Happening, World};
use crate::control::checkpoint::part::Part;
use crate::control::event::{Event, ManagerInfo, Said, SessionId};
use crate::control::task::TaskState;

/// What a TaskManager has planned.
pub(super) enum Plan {
    Dial,
    Beat(SessionId),
    Start(ExecutionId),
    End(ExecutionId, TaskState),
    /// What a task did at a barrier.
    Acknowledge(ExecutionId, CheckpointId, Box<Part>),
    Decline(ExecutionId, CheckpointId),
}

pub(super) struct Manager {
    position: usize,
    incarnation: u32,
    slots: u32,
    session: Option<SessionId>,
    registered: bool,
    epoch: LeaderEpoch,
    tasks: BTreeMap<ExecutionId, u32>,
    cancelling: HashMap<ExecutionId, ()>,
    fence: HashMap<JobId, Attempt>,
    /// What sinks have prepared and haven't heard to be complete, with the last barrier.
    pending: BTreeMap<ExecutionId, (CheckpointId, Vec<Prepared>)>,
    /// Checkpoints that tasks have begun: no task finishes before it has said what became of its part.
    begun: BTreeSet<(ExecutionId, CheckpointId)>,
    /// Attempts whose sources wait behind a barrier.
    parked: BTreeMap<(JobId, Attempt), CheckpointId>,
    dialling: bool,
    /// Cancelled tasks don't end before this.
    pub(super) stuck_until: u64,
    /// So many tasks will fail.
    pub(super) failing: u32,
}

impl Manager {
    pub(super) fn new(position: usize) -> Self {
        Self {
            position,
            incarnation: 0,
            slots: 1 + position as u32 % 3,
            session: None,
            registered: false,
            epoch: LeaderEpoch(0),
            tasks: BTreeMap::new(),
            cancelling: HashMap::new(),
            fence: HashMap::new(),
            pending: BTreeMap::new(),
            begun: BTreeSet::new(),
            parked: BTreeMap::new(),
            dialling: true,
            stuck_until: 0,
            failing: 0,
        }
    }

    fn id(&self) -> TaskManagerId {
        TaskManagerId::new(format!("tm-{}-{}", self.position, self.incarnation)).expect("valid")
    }

    /// The same for every message, so that a stream stays in order.
    pub(super) fn latency(&self) -> u64 {
        5 + 7 * self.position as u64
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.tasks.is_empty() && self.registered
    }

    fn info(&self) -> ManagerInfo {
        let id = self.id();
        ManagerInfo {
            data_address: format!("{id}:1"),
            id,
            metrics_address: String::new(),
            slots: self.slots,
            version: "1".to_owned(),
            host: "host".to_owned(),
            cpu_cores: 1,
            physical_memory_bytes: 1,
            network_memory_bytes: 1,
        }
    }
}

impl World {
    /// The process dies; another comes in its place.
    pub(super) fn kill_manager(&mut self, position: usize) {
        let manager = &mut self.managers[position];
        let session = manager.session;
        let fresh = Manager { incarnation: manager.incarnation + 1, ..Manager::new(position) };
        *manager = fresh;
        self.oracle.kills += 1;
        if let Some(session) = session {
            // The kernel closes its sockets, unless its host is gone too.
            if self.chance(80) {
                self.core_notices(session);
            }
        }
        let wait = self.random.random_range(0..30_000);
        self.after(wait, Happening::Manager(position, Plan::Dial));
    }

    /// The network goes away, for one end or both.
    pub(super) fn cut_off(&mut self, position: usize) {
        let Some(session) = self.managers[position].session else { return };
        self.oracle.cuts += 1;
        let both = self.random.random_range(0..3);
        if both != 0 {
            self.core_notices(session);
        }
        if both != 1 {
            let wait = self.random.random_range(0..2_000);
            self.after(wait, Happening::SessionLost(position, session));
        } else {
            // It goes on until it finds the JobManager silent.
            self.after(50_000, Happening::SessionLost(position, session));
        }
    }

    fn core_notices(&mut self, session: SessionId) {
        let wait = self.random.random_range(0..2_000);
        let event = Event::SessionEnded { session, reason: "cut".to_owned() };
        self.after(wait, Happening::ToCore(self.generation, event));
    }

    pub(super) fn manager_acts(&mut self, position: usize, plan: Plan) {
        match plan {
            Plan::Dial => self.dial(position),
            Plan::Beat(session) => {
                if self.managers[position].session == Some(session) {
                    self.say(position, Said::Heartbeat);
                    self.after(10_000, Happening::Manager(position, Plan::Beat(session)));
                }
            }
            Plan::Start(task) => {
                let manager = &self.managers[position];
                if manager.tasks.contains_key(&task) && !manager.cancelling.contains_key(&task) {
                    self.say_state(position, task, TaskState::Initializing);
                    self.say_state(position, task, TaskState::Running);
                }
            }
            Plan::End(task, state) => self.end(position, task, state),
            Plan::Acknowledge(task, checkpoint, part) => {
                self.managers[position].begun.remove(&(task, checkpoint));
                if self.managers[position].tasks.contains_key(&task) {
                    self.say(position, Said::Acknowledged { task, checkpoint, part });
                }
            }
            Plan::Decline(task, checkpoint) => {
                self.managers[position].begun.remove(&(task, checkpoint));
                let reason = "the disk is full".to_owned();
                self.say(position, Said::Declined { task, checkpoint, reason });
            }
        }
    }

    fn dial(&mut self, position: usize) {
        if !self.managers[position].tasks.is_empty() {
            return;
        }
        if self.core.is_none() || self.now < self.paused_until {
            self.after(1_000, Happening::Manager(position, Plan::Dial));
            return;
        }
        let session = SessionId(self.next_session);
        self.next_session += 1;
        self.sessions.insert(session, position);
        let manager = &mut self.managers[position];
        manager.dialling = false;
        manager.session = Some(session);
        let event = Event::Register { session, epoch: manager.epoch, info: manager.info() };
        let wait = manager.latency();
        self.after(wait, Happening::ToCore(self.generation, event));
        self.after(10_000, Happening::Manager(position, Plan::Beat(session)));
    }

    /// Says something on the present session; sometimes twice, sometimes late.
    fn say(&mut self, position: usize, said: Said) {
        let manager = &self.managers[position];
        let (Some(session), true) = (manager.session, manager.registered) else { return };
        let (epoch, latency) = (manager.epoch, manager.latency());
        // What a task says of checkpoints doesn't overtake its end: one stream.
        let in_order = matches!(
            said,
            Said::Acknowledged { .. } | Said::Declined { .. } | Said::Task { state: TaskState::Finished, .. }
        );
        let late =
            if !in_order && self.faulty() && self.chance(5) { self.random.random_range(0..3_000) } else { 0 };
        let twice = (self.chance(5) && !matches!(said, Said::Metrics { .. })).then(|| said.clone());
        self.after(latency + late, Happening::ToCore(self.generation, Event::Said { session, epoch, said }));
        if let Some(said) = twice {
            let wait = latency + self.random.random_range(0..5_000);
            self.after(wait, Happening::ToCore(self.generation, Event::Said { session, epoch, said }));
        }
    }

    fn say_state(&mut self, position: usize, task: ExecutionId, state: TaskState) {
        let failure = (state == TaskState::Failed).then(|| Failure {
            code: "WEIR-3002".to_owned(),
            message: "lost".to_owned(),
            restartable: !self.chance(10),
            timestamp_millis: self.now,
        });
        let part = (state == TaskState::Finished).then(|| {
            let last = self.managers[position].pending.get(&task).map_or(CheckpointId(0), |(last, _)| *last);
            let mut part = Part { finished: true, ..self.part(position, task, last.next()) };
            part.snapshot.last_checkpoint_id = last.0;
            Arc::new(part)
        });
        self.say(position, Said::Task { task, state, failure, part });
    }

    pub(super) fn manager_hears(&mut self, position: usize, session: SessionId, message: JobManagerMessage) {
        let manager = &mut self.managers[position];
        if manager.session != Some(session) {
            return;
        }
        match message.body {
            Some(Body::Registered(_)) => {
                assert!(LeaderEpoch(message.leader_epoch) >= manager.epoch, "an old leader was followed");
                manager.epoch = LeaderEpoch(message.leader_epoch);
                manager.registered = true;
            }
            Some(Body::Deploy(deploy)) => self.deploy(position, &deploy),
            Some(Body::AddSplits(add)) => {
                let task = add.task.expect("a task");
                let task = ExecutionId {
                    job: JobId::try_from_slice(&task.job_id).expect("an id"),
                    attempt: Attempt(task.attempt),
                    vertex: VertexIndex(task.vertex),
                    subtask: SubtaskIndex(task.subtask),
                };
                // One that is being cancelled reads nothing any more, which nobody needs to know.
                if manager.tasks.contains_key(&task) {
                    let recorded = self.store[&task.job].1.splits.as_slice();
                    self.oracle.given(task, add.first as usize, &add.splits, recorded);
                }
            }
            Some(Body::TriggerCheckpoint(trigger)) => self.barrier(position, &trigger),
            Some(Body::CheckpointComplete(complete)) => {
                let job = JobId::try_from_slice(&complete.job_id).expect("an id");
                let (attempt, id) = (Attempt(complete.attempt), CheckpointId(complete.checkpoint_id));
                let pending = self.managers[position].pending.iter_mut();
                let own = pending.filter(|(task, _)| (task.job, task.attempt) == (job, attempt));
                own.for_each(|(_, (_, prepared))| prepared.retain(|one| one.checkpoint > id));
                self.heard_of_completion(job, attempt, id);
            }
            Some(Body::AbortCheckpoint(abort)) => {
                let job = JobId::try_from_slice(&abort.job_id).expect("an id");
                let key = (job, Attempt(abort.attempt));
                let id = CheckpointId(abort.checkpoint_id);
                manager.begun.retain(|(task, begun)| (task.job, task.attempt) != key || *begun != id);
                if manager.parked.get(&key) == Some(&id) {
                    manager.parked.remove(&key);
                }
            }
            Some(Body::Cancel(cancel)) => {
                let job = JobId::try_from_slice(&cancel.job_id).expect("an id");
                let attempt = Attempt(cancel.attempt);
                let known = manager.fence.entry(job).or_default();
                *known = attempt.max(*known);
                let tasks: Vec<_> = manager
                    .tasks
                    .keys()
                    .filter(|task| task.job == job && task.attempt <= attempt)
                    .copied()
                    .collect();
                self.cancel(position, tasks);
            }
            _ => {}
        }
    }

    /// The tasks of an attempt meet a barrier, each takes its part and says so some time, or not.
    fn barrier(&mut self, position: usize, trigger: &TriggerCheckpoint) {
        let job = JobId::try_from_slice(&trigger.job_id).expect("an id");
        let (attempt, id) = (Attempt(trigger.attempt), CheckpointId(trigger.checkpoint_id));
        let manager = &mut self.managers[position];
        if matches!(trigger.purpose(), Purpose::Suspend | Purpose::Drain) {
            manager.parked.insert((job, attempt), id);
        }
        let tasks: Vec<_> = (manager.tasks.keys())
            .filter(|task| (task.job, task.attempt) == (job, attempt))
            .filter(|task| !manager.cancelling.contains_key(task))
            .copied()
            .collect();
        for task in tasks {
            let part = Box::new(self.part(position, task, id));
            self.managers[position].begun.insert((task, id));
            let trouble = if self.faulty() { self.random.random_range(0..100) } else { 50 };
            let wait = self.random.random_range(0..1_500);
            match trouble {
                0..=1 => {}
                2..=3 => self.after(wait, Happening::Manager(position, Plan::Decline(task, id))),
                4..=7 => {
                    self.after(wait + 12_000, Happening::Manager(position, Plan::Acknowledge(task, id, part)))
                }
                _ => self.after(wait, Happening::Manager(position, Plan::Acknowledge(task, id, part))),
            }
        }
    }

    /// What a task takes at a barrier: a source how far it has read (as far as the barrier's number), a sink what it has prepared
    /// since the last one, and what it doesn't know to be committed.
    fn part(&mut self, position: usize, task: ExecutionId, id: CheckpointId) -> Part {
        let mut snapshot = SubtaskSnapshot { index: task.subtask.0, ..Default::default() };
        if task.vertex == VertexIndex(1) {
            let payload = format!("{task} at {id}").into_bytes();
            self.lines.prepared(task.job, task.attempt, id, payload.clone());
            let (last, pending) = self.managers[position].pending.entry(task).or_default();
            *last = id;
            pending.push(Prepared { checkpoint: id, subtask: task.subtask, committable: payload.into() });
            snapshot.committables = (pending.iter())
                .map(|one| PendingCommittables {
                    checkpoint_id: one.checkpoint.0,
                    encoding_version: 1,
                    entries: vec![proto::Prepared {
                        payload: one.committable.payload.to_vec(),
                        blobs: Vec::new(),
                    }],
                })
                .collect();
        } else {
            let splits = self.oracle.splits_of(task).into_iter();
            snapshot.splits = splits
                .map(|split| SplitPosition {
                    split_id: split.clone(),
                    encoding_version: 1,
                    payload: Split { id: split, weight: 1, position: Some(id.0), ..Default::default() }
                        .encode_to_vec(),
                })
                .collect();
        }
        let operators = vec![OperatorPart { operator: 0, schemas: Vec::new(), subtask: Some(snapshot) }];
        Part::read(task.subtask, TaskSnapshot { operators, ..TaskSnapshot::default() }).expect("a valid part")
    }

    fn deploy(&mut self, position: usize, deploy: &DeployTasks) {
        let job = JobId::try_from_slice(&deploy.job_id).expect("an id");
        let attempt = Attempt(deploy.attempt);
        let id = self.managers[position].id();
        if self.managers[position].fence.get(&job).is_some_and(|known| *known >= attempt) {
            return;
        }
        self.managers[position].fence.insert(job, attempt);
        for assignment in &deploy.splits {
            let place = &deploy.placement[assignment.subtask as usize];
            assert_eq!(place.task_manager_id, id.as_str(), "splits of a subtask that runs elsewhere");
        }
        for (subtask, place) in
            deploy.placement.iter().enumerate().filter(|(_, place)| place.task_manager_id == id.as_str())
        {
            let busy = self.managers[position].tasks.iter().find(|(_, slot)| **slot == place.slot);
            assert!(
                busy.is_none(),
                "slot {} of {id} runs {:?} already",
                place.slot,
                busy.map(|(task, _)| task)
            );
            let graph = deploy.graph.as_ref().expect("a graph");
            let here = (0..).zip(&graph.vertices).filter(|(_, vertex)| (subtask as u32) < vertex.parallelism);
            for (vertex, _) in here.collect::<Vec<(u32, _)>>() {
                let task = ExecutionId {
                    job,
                    attempt,
                    vertex: VertexIndex(vertex),
                    subtask: SubtaskIndex(subtask as u32),
                };
                let own = deploy
                    .splits
                    .iter()
                    .filter(|own| (own.vertex, own.subtask) == (task.vertex.0, task.subtask.0));
                let own: Vec<_> = own.flat_map(|own| own.splits.iter().cloned()).collect();
                for split in &own {
                    let position = self.lines.position(job, attempt, &split.id);
                    assert_eq!(split.position, position, "{task} reads {} from elsewhere", split.id);
                }
                let recorded = self.store[&task.job].1.splits.as_slice();
                self.oracle.given(task, 0, &own, recorded);
                self.start(position, task, place.slot);
            }
        }
    }

    fn start(&mut self, position: usize, task: ExecutionId, slot: u32) {
        let has_splits = task.vertex != VertexIndex(0) || self.oracle.has_split(task);
        assert!(has_splits, "a source without its split");
        let manager = &mut self.managers[position];
        manager.tasks.insert(task, slot);
        let fails = manager.failing > 0 && self.now < super::FAULTS_END;
        manager.failing -= u32::from(fails);
        let wait = self.random.random_range(0..500);
        self.after(wait, Happening::Manager(position, Plan::Start(task)));
        let end = if fails { TaskState::Failed } else { TaskState::Finished };
        let wait = self.random.random_range(1_000..40_000);
        self.after(wait, Happening::Manager(position, Plan::End(task, end)));
    }

    fn cancel(&mut self, position: usize, tasks: Vec<ExecutionId>) {
        for task in tasks {
            if self.managers[position].cancelling.insert(task, ()).is_none() {
                let stuck = self.managers[position].stuck_until.saturating_sub(self.now);
                let wait = stuck + self.random.random_range(0..1_000);
                self.after(wait, Happening::Manager(position, Plan::End(task, TaskState::Canceled)));
            }
        }
    }

    fn end(&mut self, position: usize, task: ExecutionId, state: TaskState) {
        let manager = &mut self.managers[position];
        if manager.cancelling.contains_key(&task) && state != TaskState::Canceled {
            return;
        }
        // A source that may get more doesn't finish, nor does anything behind a barrier that the job stops behind.
        let is_parked = manager.parked.contains_key(&(task.job, task.attempt))
            || manager.begun.iter().any(|(begun, _)| *begun == task);
        if state == TaskState::Finished
            && manager.tasks.contains_key(&task)
            && (is_parked || !self.oracle.has_read_all(task))
        {
            self.after(1_000, Happening::Manager(position, Plan::End(task, state)));
            return;
        }
        let manager = &mut self.managers[position];
        manager.cancelling.remove(&task);
        if manager.tasks.remove(&task).is_none() {
            return;
        }
        if manager.tasks.keys().all(|other| (other.job, other.attempt) != (task.job, task.attempt)) {
            manager.parked.remove(&(task.job, task.attempt));
        }
        if state == TaskState::Finished {
            self.oracle.finished(task);
        }
        self.say_state(position, task, state);
        self.managers[position].pending.remove(&task);
        self.managers[position].begun.retain(|(begun, _)| *begun != task);
        self.redial_when_empty(position);
    }

    pub(super) fn manager_loses(&mut self, position: usize, session: SessionId) {
        let manager = &mut self.managers[position];
        if manager.session != Some(session) {
            return;
        }
        manager.session = None;
        manager.registered = false;
        let tasks: Vec<_> = manager.tasks.keys().copied().collect();
        self.cancel(position, tasks);
        self.redial_when_empty(position);
    }

    fn redial_when_empty(&mut self, position: usize) {
        let manager = &mut self.managers[position];
        if manager.session.is_none() && manager.tasks.is_empty() && !manager.dialling {
            manager.dialling = true;
            let wait = self.random.random_range(0..5_000);
            self.after(wait, Happening::Manager(position, Plan::Dial));
        }
    }
}
