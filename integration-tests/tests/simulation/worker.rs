//! A TaskManager: its real session machine, and an executor that starts, cancels and reports tasks.
//!
//! As the real executor does: an attempt's tasks are started once, cancelled ones end after a while, and when the session is lost
//! all are cancelled and no other begins before the last has ended.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use weir_api::id::{Attempt, CheckpointId, ExecutionId, JobId, SubtaskIndex, VertexIndex};
use weir_jobmanager::control::event::SessionId;
use weir_proto::v1::{
    self as proto, DeployTasks, JobManagerMessage, Register, TaskSnapshot, TaskStateChanged,
};
use weir_taskmanager::protocol::Backoff;
use weir_taskmanager::protocol::checkpoint::Event as TaskEvent;
use weir_taskmanager::protocol::session::{Action, Event, Machine};

use super::job::Plan;
use super::network::Host;
use super::snapshot;
use super::task::{Prepared, Task, Work, work};
use super::world::{Happening, Life, TaskId, World};

/// What all tasks of an attempt have in common.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) plan: Plan,
    pub(crate) restore: Option<proto::Restore>,
    pub(crate) location: String,
    pub(crate) incremental: bool,
}

impl Deployment {
    /// The folder of the job's checkpoints.
    pub(crate) fn folder(&self) -> String {
        format!("{}/{}", self.location, self.plan.id())
    }
}

/// See the module.
pub(crate) struct Worker {
    position: usize,
    incarnation: u32,
    slots: u32,
    seed: u64,
    machine: Option<Machine>,
    pub(crate) paused_until: u64,
    session: Option<SessionId>,
    tasks: BTreeSet<TaskId>,
    ticks_at: Option<u64>,
    draining: bool,
    /// Cancelled tasks don't end before this.
    pub(crate) stuck_until: u64,
}

impl Worker {
    pub(crate) fn new(position: usize, slots: u32, seed: u64) -> Self {
        Self {
            position,
            incarnation: 0,
            slots,
            seed,
            machine: None,
            paused_until: 0,
            session: None,
            tasks: BTreeSet::new(),
            ticks_at: None,
            draining: false,
            stuck_until: 0,
        }
    }

    /// Its present life, if it is alive.
    pub(crate) fn life(&self) -> Option<Life> {
        self.machine.as_ref().map(|_| (self.position, self.incarnation))
    }

    pub(crate) const fn session(&self) -> Option<SessionId> {
        self.session
    }

    pub(crate) fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.tasks.iter().copied()
    }

    fn register(&self) -> Register {
        let id = format!("tm-{}-{}", self.position, self.incarnation);
        Register {
            data_address: format!("{id}:1"),
            task_manager_id: id,
            slots: self.slots,
            version: "1".to_owned(),
            host: format!("host-{}", self.position),
            cpu_cores: 1,
            physical_memory_bytes: 1,
            network_memory_bytes: 1,
            ..Register::default()
        }
    }
}

/// Which life a TaskManager's id is of.
pub(crate) fn life_of(id: &str) -> Option<Life> {
    let (position, incarnation) = id.strip_prefix("tm-")?.split_once('-')?;
    Some((position.parse().ok()?, incarnation.parse().ok()?))
}

impl World {
    pub(crate) fn start_worker(&mut self, position: usize) {
        let worker = &mut self.workers[position];
        if worker.machine.is_some() {
            return;
        }
        worker.incarnation += 1;
        let backoff = Backoff::new(
            Duration::from_millis(100),
            Duration::from_millis(1_000),
            worker.seed ^ (u64::from(worker.incarnation) << 32) ^ position as u64,
        );
        worker.machine = Some(Machine::new(worker.register(), vec!["master".to_owned()], backoff));
        let life = (position, worker.incarnation);
        self.feed_worker(life, Event::Tick);
    }

    /// kill -9. `silently`: the host is gone too, nobody's connection is reset.
    pub(crate) fn kill_worker(&mut self, position: usize, silently: bool, down: u64) {
        let seed = self.swarm.seed;
        let worker = &mut self.workers[position];
        if worker.machine.is_none() {
            return;
        }
        let (session, tasks) = (worker.session, std::mem::take(&mut worker.tasks));
        let (incarnation, slots) = (worker.incarnation, worker.slots);
        *worker = Worker { incarnation, ..Worker::new(position, slots, seed) };
        for task in tasks {
            self.tasks[task] = None;
        }
        self.reset_connections(position, None, silently);
        if let Some(session) = session
            && !silently
        {
            let wait = self.network.latency(Host::Worker(position), Host::Master, self.now, &mut self.random);
            self.after(wait, Happening::MasterLosesSession(session, "the connection was reset"));
        }
        self.after(down, Happening::WorkerStarts(position));
    }

    pub(crate) fn tick_worker(&mut self, life: Life) {
        let worker = &mut self.workers[life.0];
        if worker.life() == Some(life) && worker.ticks_at.is_some_and(|at| at <= self.now) {
            worker.ticks_at = None;
            self.feed_worker(life, Event::Tick);
        }
    }

    fn feed_worker(&mut self, life: Life, event: Event) {
        let now = self.now;
        let worker = &mut self.workers[life.0];
        if worker.life() != Some(life) {
            return;
        }
        let Some(machine) = worker.machine.as_mut() else { return };
        let actions = machine.handle(event, now);
        let deadline = machine.deadline().map(|deadline| deadline.max(now));
        if let Some(deadline) = deadline
            && worker.ticks_at.is_none_or(|at| deadline < at)
        {
            worker.ticks_at = Some(deadline);
            self.after(deadline - now, Happening::WorkerTicks(life));
        }
        for action in actions {
            self.do_for_worker(life, action);
        }
    }

    fn do_for_worker(&mut self, life: Life, action: Action) {
        let (here, now) = (Host::Worker(life.0), self.now);
        match action {
            Action::Dial(_) => {
                let session = self.master.new_session(life);
                self.workers[life.0].session = Some(session);
                let wait = self.network.latency(here, Host::Master, now, &mut self.random);
                self.after(wait, Happening::Dialled(life, session));
            }
            Action::Send(message) => {
                if let Some(session) = self.workers[life.0].session {
                    self.send_to_master(life, session, message);
                }
            }
            Action::Close => {
                if let Some(session) = self.workers[life.0].session.take() {
                    let wait = self.network.latency(here, Host::Master, now, &mut self.random);
                    self.after(wait, Happening::MasterLosesSession(session, "the TaskManager closed it"));
                }
            }
            Action::Deploy(job, attempt, deploy) => self.deploy(life, job, attempt, &deploy),
            Action::Cancel(job, attempt, region) => {
                let mut tasks = self.tasks_of(life, job, |other| other <= attempt);
                tasks.retain(|task| {
                    self.tasks[*task].as_ref().is_some_and(|task| region.has_vertex(task.id.vertex.0))
                });
                self.cancel_tasks(life, tasks);
            }
            Action::AddSplits(task, first, splits) => self.add_splits(life, task, first, &splits),
            Action::Drain => {
                self.workers[life.0].draining = true;
                let tasks: Vec<_> = self.workers[life.0].tasks().collect();
                self.cancel_tasks(life, tasks);
                self.drained_if_empty(life);
            }
            Action::Checkpoint(job, attempt, notice) => {
                for task in self.tasks_of(life, job, |other| other == attempt) {
                    self.tell(task, notice.clone().into());
                    self.nudge_source(task);
                }
            }
        }
    }

    fn tasks_of(&self, life: Life, job: JobId, attempt: impl Fn(Attempt) -> bool) -> Vec<TaskId> {
        let is_of = |task: &TaskId| {
            self.tasks[*task].as_ref().is_some_and(|task| task.id.job == job && attempt(task.id.attempt))
        };
        self.workers[life.0].tasks().filter(is_of).collect()
    }

    /// A source that waits for its next batch takes a barrier at once.
    fn nudge_source(&mut self, id: TaskId) {
        let ready =
            self.tasks[id].as_ref().is_some_and(|task| !task.cancelled && task.checkpoints.has_barrier());
        if ready && self.random.chance(50) {
            self.tell(id, TaskEvent::Ready);
        }
    }

    pub(crate) fn opened(&mut self, life: Life, session: SessionId) {
        if self.workers[life.0].session == Some(session) {
            self.feed_worker(life, Event::Opened);
        }
    }

    pub(crate) fn worker_hears(&mut self, life: Life, session: SessionId, message: Box<JobManagerMessage>) {
        if self.workers[life.0].session == Some(session) {
            self.feed_worker(life, Event::Received(message));
        }
    }

    pub(crate) fn worker_loses(&mut self, life: Life, session: SessionId) {
        if self.workers[life.0].session == Some(session) {
            self.workers[life.0].session = None;
            self.feed_worker(life, Event::Ended("the stream has ended".to_owned()));
        }
    }

    fn deploy(&mut self, life: Life, job: JobId, attempt: Attempt, deploy: &DeployTasks) {
        let Some(plan) = self.plans.get(&job).cloned() else { return };
        self.say(|| format!("{life:?} deploys attempt {attempt} of {}: {:?}", plan.number, deploy.restore));
        let deployment = Rc::new(Deployment {
            restore: deploy.restore.clone(),
            location: deploy.checkpoint_location.clone(),
            incremental: self.swarm.incremental,
            plan,
        });
        let lives: Vec<_> =
            deploy.placement.iter().map(|place| life_of(&place.task_manager_id).unwrap_or((0, 0))).collect();
        let mut begun = Vec::new();
        for (subtask, _) in lives.iter().enumerate().filter(|(_, place)| **place == life) {
            let starts = |vertex: &u32| deploy.vertices.is_empty() || deploy.vertices.contains(vertex);
            for vertex in (0..deployment.plan.vertices()).filter(starts) {
                let subtask = subtask as u32;
                if subtask < deployment.plan.parallelism(vertex) {
                    let (vertex, subtask) = (VertexIndex(vertex), SubtaskIndex(subtask));
                    let id = ExecutionId { job, attempt, vertex, subtask };
                    begun.push(self.begin_task(life, id, &deployment, &lives, deploy));
                }
            }
        }
        for task in begun {
            self.report_state(task, proto::TaskState::Initializing, None, None);
            self.restore(task);
        }
    }

    fn begin_task(
        &mut self,
        life: Life,
        id: ExecutionId,
        deployment: &Rc<Deployment>,
        lives: &[Life],
        deploy: &DeployTasks,
    ) -> TaskId {
        let plan = &deployment.plan;
        let (vertex, subtask) = (id.vertex.0, id.subtask.0);
        let task = self.tasks.len();
        let here = (vertex, subtask);
        let route = |from, to| (plan.number, id.attempt.0, from, to);
        let mut inputs = Vec::new();
        for source in (0..vertex).filter(|source| plan.targets(*source).contains(&vertex)) {
            for from in 0..plan.parallelism(source) {
                let channel = self.channels.open(route((source, from), here), lives[from as usize], life);
                self.channels.consumed_by(channel, task, inputs.len());
                inputs.push(channel);
            }
        }
        let mut outputs = Vec::new();
        for target in plan.targets(vertex) {
            let channels = (0..plan.parallelism(target)).map(|to| {
                let channel = self.channels.open(route(here, (target, to)), life, lives[to as usize]);
                self.channels.produced_by(channel, task);
                channel
            });
            outputs.push(channels.collect());
        }
        let own = deploy.splits.iter().filter(|share| (share.vertex, share.subtask) == here);
        let splits: Vec<_> = own.flat_map(|share| share.splits.iter().cloned()).collect();
        let splits = snapshot::begin(&splits, &self.swarm.input);
        let work = work(plan, vertex, splits);
        self.tasks.push(Some(Task::new(id, life, Rc::clone(deployment), inputs, outputs, work)));
        self.workers[life.0].tasks.insert(task);
        task
    }

    fn add_splits(&mut self, life: Life, id: ExecutionId, first: usize, more: &[proto::Split]) {
        let of_life: Vec<_> = self.workers[life.0].tasks().collect();
        let found =
            of_life.into_iter().find(|task| self.tasks[*task].as_ref().is_some_and(|task| task.id == id));
        let input = Rc::clone(&self.swarm.input);
        let Some(Task { work: Work::Source { splits, .. }, .. }) = found.and_then(|task| self.task_mut(task))
        else {
            return;
        };
        let known = splits.len().saturating_sub(first);
        if first > splits.len() {
            self.oracle.violated(format!("{id} is given splits from number {first} on and has fewer"));
            return;
        }
        splits.extend(snapshot::begin(more, &input).into_iter().skip(known));
    }

    fn cancel_tasks(&mut self, life: Life, tasks: Vec<TaskId>) {
        let stuck = self.workers[life.0].stuck_until.saturating_sub(self.now);
        for task in tasks {
            if let Some(found) = self.task_mut(task).filter(|task| !task.cancelled) {
                found.cancelled = true;
                let wait = stuck + self.random.below(50);
                self.after(wait, Happening::TaskEnds(task));
            }
        }
    }

    /// A cancelled task has ended.
    pub(crate) fn task_ends(&mut self, id: TaskId) {
        self.report_state(id, proto::TaskState::Canceled, None, None);
        self.remove_task(id);
    }

    /// A task ends by an error that a restart may help against.
    pub(crate) fn fail_task(&mut self, id: TaskId, why: &str) {
        let Some(task) = self.task_mut(id).filter(|task| !task.cancelled) else { return };
        let what = task.id;
        self.say(|| format!("{what} fails: {why}"));
        let failure = proto::Failure {
            code: "WEIR-3002".to_owned(),
            message: why.to_owned(),
            restartable: true,
            timestamp_millis: self.now,
        };
        self.report_state(id, proto::TaskState::Failed, Some(failure), None);
        self.remove_task(id);
    }

    fn remove_task(&mut self, id: TaskId) {
        if let Some(task) = self.tasks[id].take() {
            self.workers[task.life.0].tasks.remove(&id);
            self.drained_if_empty(task.life);
        }
    }

    fn drained_if_empty(&mut self, life: Life) {
        let worker = &mut self.workers[life.0];
        if worker.draining && worker.tasks.is_empty() {
            self.after(0, Happening::Drained(life));
        }
    }

    pub(crate) fn drained(&mut self, life: Life) {
        let worker = &mut self.workers[life.0];
        if worker.life() == Some(life) && worker.tasks.is_empty() && std::mem::take(&mut worker.draining) {
            self.feed_worker(life, Event::Drained);
        }
    }

    pub(crate) fn report_state(
        &mut self,
        id: TaskId,
        state: proto::TaskState,
        failure: Option<proto::Failure>,
        snapshot: Option<TaskSnapshot>,
    ) {
        let Some(task) = self.tasks[id].as_ref() else { return };
        self.say(|| format!("{} is {state:?}", task.id));
        let (life, task) = (task.life, subtask_id(&task.id));
        let changed = TaskStateChanged { task: Some(task), state: state.into(), failure, snapshot };
        self.feed_worker(life, Event::TaskState(Box::new(changed)));
    }

    /// The task's sink (if it is one) has prepared its last, and all that was to be acknowledged is.
    pub(crate) fn finish(&mut self, id: TaskId, prepared: Vec<(CheckpointId, Prepared)>) {
        let Some(task) = self.task_mut(id) else { return };
        let (last, newest) = (task.checkpoints.last_checkpoint(), task.checkpoints.newest());
        let frozen = super::task::last_state(task);
        let (mut snapshot, file) =
            snapshot::part(task, last, weir_api::state::Scope::Full, None, &frozen, &prepared);
        snapshot.last_checkpoint_id = newest.0;
        for part in snapshot.operators.iter_mut().filter_map(|operator| operator.subtask.as_mut()) {
            part.finished = true;
        }
        if let Some((path, object)) = file {
            let request = super::storage::Request::Put { path, object, if_absent: false };
            self.ask_storage(super::world::Asker::Last(id, Box::new(snapshot)), request);
        } else {
            self.finished(id, snapshot);
        }
    }

    /// What it leaves is durable.
    pub(crate) fn finished(&mut self, id: TaskId, snapshot: TaskSnapshot) {
        if self.tasks[id].as_ref().is_some_and(|task| !task.cancelled) {
            self.report_state(id, proto::TaskState::Finished, None, Some(snapshot));
            self.remove_task(id);
        }
    }

    pub(crate) fn acknowledge(&mut self, id: TaskId, checkpoint: CheckpointId, part: TaskSnapshot) {
        let Some(task) = self.tasks[id].as_ref() else { return };
        self.say(|| format!("{} acknowledges {checkpoint}", task.id));
        let (life, task) = (task.life, subtask_id(&task.id));
        let message = proto::CheckpointAcknowledged {
            task: Some(task),
            checkpoint_id: checkpoint.0,
            snapshot: Some(part),
            ..Default::default()
        };
        self.feed_worker(life, Event::Acknowledged(Box::new(message)));
    }

    pub(crate) fn decline(&mut self, id: TaskId, checkpoint: CheckpointId, reason: String) {
        let Some(task) = self.tasks[id].as_ref() else { return };
        self.say(|| format!("{} declines {checkpoint}: {reason}", task.id));
        let (life, task) = (task.life, subtask_id(&task.id));
        let message = proto::CheckpointDeclined { task: Some(task), checkpoint_id: checkpoint.0, reason };
        self.feed_worker(life, Event::Declined(Box::new(message)));
    }
}

fn subtask_id(id: &ExecutionId) -> proto::SubtaskId {
    proto::SubtaskId {
        job_id: id.job.as_bytes().to_vec(),
        attempt: id.attempt.0,
        vertex: id.vertex.0,
        subtask: id.subtask.0,
    }
}
