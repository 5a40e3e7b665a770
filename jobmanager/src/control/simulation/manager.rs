//! Fake TaskManagers: they follow the protocol as real ones do, late and unreliably.
//!
//! As real ones: all tasks are cancelled when a session is lost, and no session begins before the last has ended; an attempt is
//! deployed once and never after a later one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rand::RngExt as _;
use weir_api::id::{
    Attempt, CheckpointId, ExecutionId, JobId, LeaderEpoch, SubtaskIndex, TaskManagerId, VertexIndex,
};
use weir_api::sink::Prepared;
use weir_proto::v1::job_manager_message::Body;
use weir_proto::v1::{DeployTasks, Failure, JobManagerMessage};

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
        let late = if self.faulty() && self.chance(5) { self.random.random_range(0..3_000) } else { 0 };
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
            let mut part = Part { finished: true, ..Part::default() };
            if task.vertex == VertexIndex(1) {
                let committable = task.to_string().into_bytes().into();
                let (checkpoint, subtask) = (CheckpointId(1), task.subtask);
                part.prepared.push((0, vec![Prepared { checkpoint, subtask, committable }]));
            }
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
        // A source that may get more doesn't finish.
        if state == TaskState::Finished
            && manager.tasks.contains_key(&task)
            && !self.oracle.has_read_all(task)
        {
            self.after(1_000, Happening::Manager(position, Plan::End(task, state)));
            return;
        }
        let manager = &mut self.managers[position];
        manager.cancelling.remove(&task);
        if manager.tasks.remove(&task).is_none() {
            return;
        }
        if state == TaskState::Finished {
            self.oracle.finished(task);
        }
        self.say_state(position, task, state);
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
