//! The JobManager: its real core, and a shell that does what the core asks for, one process after the other.
//!
//! A generation is one life of the process. What it had sent out when it died may still arrive; answers to it go nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_api::error::Code;
use weir_api::id::{CheckpointId, JobId, LeaderEpoch};
use weir_jobmanager::control::Core;
use weir_jobmanager::control::Settings;
use weir_jobmanager::control::event::{Action, Event, SessionId};
use weir_jobmanager::control::job::{Failure, Limits};
use weir_jobmanager::control::schedule::Spread;
use weir_jobmanager::control::task::TaskState;
use weir_proto::v1::{DeployTasks, JobManagerMessage};
use weir_snapshots::registry::Registry;

use super::commit::Commit;
use super::metadata;
use super::network::Host;
use super::planted::{Bug, is_planted};
use super::swarm::Kind;
use super::task::Task;
use super::world::{Happening, Life, World};

/// Where checkpoints go.
pub(crate) const LOCATION: &str = "memory:///checkpoints";
/// Where savepoints go.
pub(crate) const SAVEPOINTS: &str = "memory:///savepoints";

/// What the JobManager asked the store for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// To write a snapshot's `_metadata`.
    Write { job: JobId, checkpoint: CheckpointId, path: String, full_size: u64, new_size: u64 },
    /// To read the one that an attempt goes on from: for this commit.
    Read(usize),
}

/// What the JobManager does in steps.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Commit(usize),
    /// It looks for splits.
    Discover(JobId, u32),
}

/// See the module.
#[derive(Default)]
pub(crate) struct Master {
    pub(super) core: Option<Core>,
    pub(crate) generation: u64,
    pub(crate) paused_until: u64,
    pub(crate) skew: i64,
    epoch: LeaderEpoch,
    sessions: BTreeMap<SessionId, Life>,
    next_session: u64,
    ticks_at: Option<u64>,
    pub(super) commits: Vec<Option<Commit>>,
    /// When the last message on a stream arrives, at either end.
    arrivals: BTreeMap<(SessionId, bool), u64>,
    pub(super) registries: BTreeMap<JobId, Registry>,
    pub(super) story: super::story::Story,
    /// Deployments of parts of jobs.
    partial: BTreeSet<(JobId, u32)>,
}

impl Master {
    pub(crate) fn is_alive(&self, generation: u64) -> bool {
        self.core.is_some() && self.generation == generation
    }

    /// A TaskManager dials.
    pub(crate) fn new_session(&mut self, _life: Life) -> SessionId {
        self.next_session += 1;
        SessionId(self.next_session)
    }

    pub(crate) fn describe(&self) -> String {
        let Some(core) = &self.core else { return "no JobManager".to_owned() };
        let jobs = core.jobs().map(|job| {
            let status = job.history().current().as_str();
            let why = job.exceptions().root().map_or("", |root| root.message.as_str());
            let tasks = job.execution().counts();
            let under_way = job.coordinator().in_progress();
            format!(
                "{} attempt {} {status} {:?} ({why}), tasks by state {tasks:?}, {under_way} checkpoints under way",
                job.id(),
                job.attempt(),
                job.phase().describe()
            )
        });
        jobs.collect::<Vec<_>>().join("; ")
    }
}

fn settings(seed: u64) -> Settings {
    Settings {
        version: "1".to_owned(),
        configuration: weir_api::config::Configuration::default(),
        heartbeat_interval: Duration::from_millis(1_000),
        heartbeat_timeout: Duration::from_millis(4_000),
        spread: Spread::Even,
        limits: Limits {
            slot_timeout: Duration::from_secs(3_600),
            cancel_timeout: Duration::from_secs(20),
            deploy_timeout: Duration::from_secs(20),
            exceptions: 4,
        },
        ended_jobs: 100,
        seed,
    }
}

impl World {
    pub(crate) fn start_master(&mut self) {
        if self.master.core.is_some() {
            return;
        }
        self.master.generation += 1;
        self.master.epoch = self.metadata.lead();
        let records =
            self.metadata.records.values().map(|(version, record)| (record.clone(), *version)).collect();
        let (core, actions) = Core::new(self.master.epoch, settings(self.swarm.seed), records, self.clock());
        self.master.core = Some(core);
        self.do_for_master(actions);
        self.schedule_tick();
    }

    /// The process is gone. `silently`: its host too.
    pub(crate) fn kill_master(&mut self, silently: bool, down: u64) {
        if self.master.core.take().is_none() {
            return;
        }
        self.master.paused_until = 0;
        self.master.ticks_at = None;
        self.master.commits.clear();
        self.master.registries.clear();
        for (session, life) in std::mem::take(&mut self.master.sessions) {
            if !silently {
                let to = Host::Worker(life.0);
                let wait = self.network.latency(Host::Master, to, self.now, &mut self.random);
                self.after(wait, Happening::WorkerLosesSession(life, session));
            }
        }
        self.after(down, Happening::MasterStarts);
    }

    pub(crate) fn tick_master(&mut self, generation: u64) {
        if self.master.is_alive(generation) && self.master.ticks_at.is_some_and(|at| at <= self.now) {
            self.master.ticks_at = None;
            self.feed_master(Event::Tick);
        }
    }

    fn schedule_tick(&mut self) {
        let Some(core) = &self.master.core else { return };
        let deadline = core.next_deadline().max(self.now);
        if self.master.ticks_at.is_none_or(|at| deadline < at) {
            self.master.ticks_at = Some(deadline);
            self.after(deadline - self.now, Happening::MasterTicks(self.master.generation));
        }
    }

    pub(crate) fn feed_master(&mut self, event: Event) {
        let now = self.clock();
        let Some(core) = self.master.core.as_mut() else { return };
        let actions = core.handle(event, now);
        self.do_for_master(actions);
        self.schedule_tick();
    }

    pub(super) fn do_for_master(&mut self, actions: Vec<Action>) {
        let generation = self.master.generation;
        for action in actions {
            match action {
                Action::Send(session, message) => self.send_to_worker(session, message),
                Action::Close(session, _) => {
                    if let Some(life) = self.master.sessions.remove(&session) {
                        let to = Host::Worker(life.0);
                        let wait = self.network.latency(Host::Master, to, self.now, &mut self.random);
                        self.after(wait, Happening::WorkerLosesSession(life, session));
                    }
                }
                Action::Persist { record, expected } => {
                    let wait = 1 + self.random.below(10) + self.sickness(Kind::Metadata, 4_000);
                    let write = metadata::Write { generation, epoch: self.master.epoch, record, expected };
                    self.after(wait, Happening::MetadataHears(write));
                }
                Action::Delete(job, _) => {
                    self.metadata.records.remove(&job);
                }
                Action::Commit { job, attempt, checkpoint, sinks } => {
                    self.begin_commit(Commit::of_checkpoint(job, attempt, checkpoint, sinks));
                }
                Action::Abort { job, attempt, recovery } => {
                    self.begin_commit(Commit::of_abort(job, attempt, *recovery));
                }
                Action::Recover { job, attempt, recovery } => {
                    self.begin_commit(Commit::of_recovery(job, attempt, *recovery));
                }
                Action::WriteSnapshot { job, epoch, write } => self.write_snapshot(job, epoch, &write),
                Action::Discard { job, attempts, discard } => self.discard(job, attempts, &discard),
                Action::Discover { job, vertex, .. } => {
                    let wait = self.random.below(500);
                    self.after(wait, Happening::MasterGoesOn(generation, Operation::Discover(job, vertex.0)));
                }
                Action::StepDown(why) => {
                    self.say(|| format!("the JobManager steps down: {why}"));
                    let down = self.random.range(50, 500);
                    self.kill_master(false, down);
                    return;
                }
            }
        }
    }

    pub(crate) fn metadata_hears(&mut self, write: metadata::Write) {
        let job = write.record.spec.id;
        let failing = self.is_faulty() && self.random.chance(self.swarm.metadata_errors);
        let io = Failure { code: Code::Io, message: "the metadata can't be reached".to_owned() };
        let unchecked = is_planted(Bug::PointerWithoutCompare);
        let result = if failing && self.random.chance(50) {
            Err(io)
        } else if let Some(why) = self.metadata.refuses(&write).filter(|_| !unchecked) {
            Err(Failure { code: Code::Fenced, message: why.to_owned() })
        } else {
            let before = self.metadata.records.get(&job).map(|(_, record)| record.clone());
            if let Some(plan) = self.plans.get(&job) {
                self.oracle.recorded(before.as_ref(), &write.record, plan, &self.storage);
            }
            let version = self.metadata.put(*write.record, write.expected);
            // Written, and the answer is lost.
            if failing { Err(io) } else { Ok(version) }
        };
        let answer = metadata::Answer { generation: write.generation, job, result };
        let wait = 1 + self.random.below(5) + self.sickness(Kind::Metadata, 4_000);
        self.after(wait, Happening::MetadataAnswers(answer));
    }

    pub(crate) fn metadata_answers(&mut self, answer: metadata::Answer) {
        if self.master.is_alive(answer.generation) {
            self.feed_master(Event::Persisted { job: answer.job, result: answer.result });
        }
    }

    pub(crate) fn dialled(&mut self, life: Life, session: SessionId) {
        let wait = self.network.latency(Host::Master, Host::Worker(life.0), self.now, &mut self.random);
        if self.master.core.is_some() {
            self.master.sessions.insert(session, life);
            self.after(wait, Happening::Opened(life, session));
        } else {
            self.after(wait, Happening::WorkerLosesSession(life, session));
        }
    }

    pub(crate) fn master_loses(&mut self, session: SessionId, why: &str) {
        if self.master.sessions.remove(&session).is_some() {
            self.feed_master(Event::SessionEnded { session, reason: why.to_owned() });
        }
    }

    /// How late a message or an answer of this kind is.
    pub(crate) fn sickness(&mut self, kind: Kind, most: u64) -> u64 {
        match self.swarm.sick {
            Some(sick) if sick.kind == kind && self.is_faulty() && self.random.chance(sick.percent) => {
                self.random.below(most)
            }
            _ => 0,
        }
    }

    /// When a message arrives that sets out now, on a stream: once, twice or (of the kinds that may) never.
    pub(super) fn carry(
        &mut self,
        session: SessionId,
        life: Life,
        to_master: bool,
        kind: Option<Kind>,
    ) -> Vec<u64> {
        let (from, to) = if to_master {
            (Host::Worker(life.0), Host::Master)
        } else {
            (Host::Master, Host::Worker(life.0))
        };
        let wait = self.network.latency(from, to, self.now, &mut self.random);
        let last = self.master.arrivals.get(&(session, to_master)).copied().unwrap_or(0);
        let mut at = (self.now + wait).max(last);
        // Where the protocol needs the stream's order, messages have it: what a task leaves when it has finished must not overtake its
        // acknowledgements, and a source that is parked is told when its stop is given up.
        let kind = match kind {
            Some(Kind::Acknowledge | Kind::Decline) if self.swarm.plans.iter().any(|plan| plan.bounded) => {
                Some(Kind::State)
            }
            Some(Kind::Abort) if !self.swarm.stops.is_empty() => Some(Kind::State),
            kind => kind,
        };
        let Some(kind) = kind.filter(|_| self.is_faulty()) else {
            self.master.arrivals.insert((session, to_master), at);
            return vec![at - self.now];
        };
        let sick =
            self.swarm.sick.filter(|sick| sick.kind == kind).filter(|sick| self.random.chance(sick.percent));
        if kind == Kind::State {
            // Only as a part of its stream.
            at += if sick.is_some() { self.random.below(2_000) } else { 0 };
            self.master.arrivals.insert((session, to_master), at);
            return vec![at - self.now];
        }
        if sick.is_some_and(|sick| sick.lost) || self.random.chance(self.swarm.message_loss) {
            return Vec::new();
        }
        if sick.is_some() || self.random.chance(self.swarm.message_delays) {
            return vec![at - self.now + self.random.below(5_000)];
        }
        self.master.arrivals.insert((session, to_master), at);
        let mut arrivals = vec![at - self.now];
        if self.random.chance(self.swarm.message_doubles) {
            arrivals.push(at - self.now + self.random.below(3_000));
        }
        arrivals
    }

    fn send_to_worker(&mut self, session: SessionId, message: Box<JobManagerMessage>) {
        use weir_proto::v1::job_manager_message::Body;
        let Some(life) = self.master.sessions.get(&session).copied() else { return };
        let kind = match &message.body {
            Some(Body::TriggerCheckpoint(_)) => Some(Kind::Trigger),
            Some(Body::CheckpointComplete(_)) => Some(Kind::Complete),
            Some(Body::AbortCheckpoint(_)) => Some(Kind::Abort),
            _ => None,
        };
        if let Some(Body::Deploy(deploy)) = &message.body
            && !deploy.vertices.is_empty()
        {
            self.note_partial(deploy);
        }
        if kind.is_some() {
            self.say(|| format!("to {life:?}: {:?}", message.body));
        }
        for wait in self.carry(session, life, false, kind) {
            self.after(wait, Happening::ToWorker(life, session, message.clone()));
        }
    }

    /// A part of a job starts anew: how many tasks go on beside it?
    fn note_partial(&mut self, deploy: &DeployTasks) {
        let Ok(job) = JobId::try_from_slice(&deploy.job_id) else { return };
        let goes_on = |task: &&Task| {
            task.id.job == job && !task.cancelled && !deploy.vertices.contains(&task.id.vertex.0)
        };
        let survivors = self.tasks.iter().flatten().filter(goes_on).count() as u64;
        // One deployment goes to several TaskManagers.
        if self.master.partial.insert((job, deploy.attempt)) {
            self.oracle.partial += 1;
            self.oracle.survivors += survivors;
        }
    }

    /// Whether the JobManager counts on the task.
    pub(super) fn is_counted_on(&self, task: &Task) -> bool {
        let Some(core) = &self.master.core else { return false };
        let session = self.workers[task.life.0].session();
        let is_known = session.is_some_and(|session| self.is_connected(session));
        core.job(task.id.job).is_ok_and(|job| {
            let execution = job.execution();
            let state = execution.task(task.id.vertex, task.id.subtask).map(|known| known.state());
            is_known
                && execution.attempt_of(task.id.vertex) == Some(task.id.attempt)
                && state == Some(TaskState::Running)
        })
    }

    pub(super) fn is_connected(&self, session: SessionId) -> bool {
        self.master.sessions.contains_key(&session)
    }
}
