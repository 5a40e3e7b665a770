//! Thousands of clusters in a second: the core against fake TaskManagers, metadata and sinks, under seeded faults.
//!
//! Faults: TaskManagers killed, cut off (noticed by both ends, by one, or only by silence), slow to cancel; tasks failing for
//! reasons that a restart can or can't help; reports delayed, duplicated and reordered; writes of metadata failing before or
//! after they took effect; commits failing; sources that can't say what splits they have; the JobManager stopped for a while, or killed and followed by another one; jobs
//! cancelled at any moment. After the faults: no job may be stuck, no slot lost. What must hold at every moment is [`oracle`]'s.

mod manager;
mod oracle;
mod script;
mod snapshots;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use weir_api::error::Code;
use weir_api::id::{Attempt, CheckpointId, JobId, LeaderEpoch, VertexIndex};
use weir_proto::v1::job_manager_message::Body;
use weir_proto::v1::{JobManagerMessage, Split};

use self::manager::Manager;
use self::oracle::Oracle;
use self::snapshots::Lines;
use super::Core;
use super::checkpoint::{Kind, Savepoint, Stop};
use super::event::{Action, Event, SessionId};
use super::fixtures;
use super::job::checkpoints::SnapshotWrite;
use super::job::record::{JobRecord, SinkCommit, Stage};
use super::job::recovery::Recovery;
use super::job::{Failure, Version};
use super::now::Now;

/// Faults happen until then.
const FAULTS_END: u64 = 180_000;
/// Then every job must have ended within this.
const PATIENCE: u64 = 3_600_000;
const JOBS: u8 = 5;
const MANAGERS: usize = 4;

enum Happening {
    /// Something for the JobManager of this generation.
    ToCore(u64, Event),
    ToManager(usize, SessionId, Box<JobManagerMessage>),
    /// The TaskManager notices that its session is over.
    SessionLost(usize, SessionId),
    /// Something the TaskManager itself has planned.
    Manager(usize, manager::Plan),
    Write {
        generation: u64,
        epoch: LeaderEpoch,
        record: Box<JobRecord>,
        expected: Version,
    },
    Commit {
        generation: u64,
        job: JobId,
        attempt: Attempt,
        checkpoint: Option<CheckpointId>,
        sinks: Vec<SinkCommit>,
    },
    /// A source is asked for what it has beyond these splits.
    Discover {
        generation: u64,
        job: JobId,
        vertex: VertexIndex,
        known: Vec<String>,
    },
    WriteSnapshot(u64, JobId, Box<SnapshotWrite>),
    Recover(u64, JobId, Attempt, Box<Recovery>),
    Conclude(u64, JobId, Attempt),
    Submit(u8),
    Cancel(JobId),
    /// A user wants a savepoint, and perhaps the job stopped behind it.
    Savepoint(JobId, Option<Stop>),
    Fault,
    CoreStarts,
}

struct World {
    now: u64,
    random: StdRng,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: HashMap<u64, Happening>,
    sequence: u64,
    core: Option<Core>,
    generation: u64,
    paused_until: u64,
    epoch: LeaderEpoch,
    store: BTreeMap<JobId, (Version, JobRecord)>,
    managers: Vec<Manager>,
    /// Which TaskManager has which session, on the JobManager's side.
    sessions: BTreeMap<SessionId, usize>,
    next_session: u64,
    /// Jobs whose records are being written, by the JobManager of which generation.
    writing: HashSet<(u64, JobId)>,
    oracle: Oracle,
    lines: Lines,
    waiting_to_submit: u8,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            now: 1_000,
            random: StdRng::seed_from_u64(seed),
            queue: BinaryHeap::new(),
            happenings: HashMap::new(),
            sequence: 0,
            core: None,
            generation: 0,
            paused_until: 0,
            epoch: LeaderEpoch(0),
            store: BTreeMap::new(),
            managers: (0..MANAGERS).map(Manager::new).collect(),
            sessions: BTreeMap::new(),
            next_session: 1,
            writing: HashSet::new(),
            oracle: Oracle::default(),
            lines: Lines::default(),
            waiting_to_submit: JOBS,
        };
        world.start_core();
        for manager in 0..MANAGERS {
            let wait = world.random.random_range(0..3_000);
            world.after(wait, Happening::Manager(manager, manager::Plan::Dial));
        }
        for n in 0..JOBS {
            let wait = world.random.random_range(0..60_000);
            world.after(wait, Happening::Submit(n + 1));
        }
        for _ in 0..world.random.random_range(0..25) {
            let wait = world.random.random_range(0..FAULTS_END);
            world.after(wait, Happening::Fault);
        }
        world
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn faulty(&self) -> bool {
        self.now < FAULTS_END
    }

    fn after(&mut self, wait: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + wait, self.sequence)));
        self.happenings.insert(self.sequence, happening);
    }

    fn clock(&self) -> Now {
        Now { monotonic_millis: self.now, unix_millis: self.now as i64 }
    }

    fn run(&mut self) {
        let mut idle_steps = 0;
        while self.now < FAULTS_END + PATIENCE {
            if !self.faulty() && self.waiting_to_submit == 0 && self.everything_is_over() {
                return;
            }
            let deadline = self.core.as_ref().map(|core| core.next_deadline().max(self.paused_until));
            let next = self.queue.peek().map(|Reverse((at, _))| *at);
            let before = self.now;
            match (deadline, next) {
                (Some(deadline), next) if next.is_none_or(|next| deadline < next) => {
                    self.now = self.now.max(deadline);
                    self.feed(Event::Tick);
                }
                (_, Some(_)) => {
                    let Some(Reverse((at, sequence))) = self.queue.pop() else { return };
                    self.now = self.now.max(at);
                    if let Some(happening) = self.happenings.remove(&sequence) {
                        self.happen(happening);
                    }
                }
                _ => break,
            }
            idle_steps = if self.now == before { idle_steps + 1 } else { 0 };
            assert!(idle_steps < 10_000, "time stands still at {before}");
        }
        let jobs = self
            .core
            .as_ref()
            .map(|core| core.jobs().map(|job| format!("{:?}", job.phase())).collect::<Vec<_>>());
        panic!("stuck after {} ms: {jobs:#?}", self.now);
    }

    /// Every job has ended, nothing runs, every slot is free.
    fn everything_is_over(&self) -> bool {
        let Some(core) = &self.core else { return false };
        core.jobs().all(|job| job.history().current().is_terminal())
            && self.managers.iter().all(|manager| manager.is_quiet())
            && core.managers().len() == MANAGERS
            && core.slots().free() == core.slots().total()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::ToCore(generation, event) => {
                if generation != self.generation || self.core.is_none() {
                    return;
                }
                if self.now < self.paused_until {
                    let wait = self.paused_until - self.now;
                    self.after(wait, Happening::ToCore(generation, event));
                    return;
                }
                self.feed(event);
            }
            Happening::ToManager(manager, session, message) => self.manager_hears(manager, session, *message),
            Happening::SessionLost(manager, session) => self.manager_loses(manager, session),
            Happening::Manager(manager, plan) => self.manager_acts(manager, plan),
            Happening::Write { generation, epoch, record, expected } => {
                self.write(generation, epoch, *record, expected);
            }
            Happening::Commit { generation, job, attempt, checkpoint, sinks } => {
                self.commit(generation, job, attempt, checkpoint, sinks)
            }
            Happening::Discover { generation, job, vertex, known } => {
                self.discover(generation, job, vertex, known);
            }
            Happening::WriteSnapshot(generation, job, write) => self.write_snapshot(generation, job, &write),
            Happening::Recover(generation, job, attempt, recovery) => {
                self.recover(generation, job, attempt, &recovery);
            }
            Happening::Conclude(generation, job, attempt) => {
                if generation == self.generation {
                    self.commit_pointer(job);
                }
                self.happen(Happening::ToCore(generation, Event::Aborted { job, attempt }));
            }
            Happening::Savepoint(job, stop) => {
                let (now, request) = (self.clock(), self.random.random());
                let kind = Kind::Savepoint(Savepoint { request, target: "s3://save".to_owned(), stop });
                match self.core.as_mut().map(|core| core.request(job, kind, now)) {
                    Some(Ok(actions)) => self.perform(actions),
                    // Not now.
                    _ if self.faulty() => self.after(2_000, Happening::Savepoint(job, stop)),
                    _ => {}
                }
            }
            Happening::Submit(n) => self.submit(n),
            Happening::Cancel(job) => {
                let now = self.clock();
                if let Some(Ok(actions)) = self.core.as_mut().map(|core| core.cancel(job, now)) {
                    self.perform(actions);
                }
            }
            Happening::Fault => self.fault(),
            Happening::CoreStarts => self.start_core(),
        }
    }

    fn feed(&mut self, event: Event) {
        let now = self.clock();
        if let Event::SessionEnded { session, .. } = &event {
            self.sessions.remove(session);
        }
        if let Event::Persisted { job, .. } = &event {
            self.writing.remove(&(self.generation, *job));
        }
        if let Some(actions) = self.core.as_mut().map(|core| core.handle(event, now)) {
            self.perform(actions);
        }
    }

    fn start_core(&mut self) {
        if self.core.is_some() {
            return;
        }
        self.generation += 1;
        self.epoch = self.epoch.next();
        let records = self.store.values().map(|(version, record)| (record.clone(), *version)).collect();
        let seed = self.random.random();
        let (core, actions) = Core::new(self.epoch, fixtures::settings(seed), records, self.clock());
        self.core = Some(core);
        self.perform(actions);
    }

    /// The process is gone; what it had sent may still arrive, its answers go nowhere.
    fn kill_core(&mut self) {
        self.core = None;
        self.paused_until = 0;
        for (session, manager) in std::mem::take(&mut self.sessions) {
            let wait = self.random.random_range(0..1_000);
            self.after(wait, Happening::SessionLost(manager, session));
        }
        let wait = self.random.random_range(100..20_000);
        self.after(wait, Happening::CoreStarts);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        let generation = self.generation;
        let mut triggered = HashSet::new();
        for action in actions {
            match action {
                Action::Send(session, message) => self.send(session, message, &mut triggered),
                Action::Close(session, _) => {
                    if let Some(manager) = self.sessions.remove(&session) {
                        let wait = self.random.random_range(0..100);
                        self.after(wait, Happening::SessionLost(manager, session));
                    }
                }
                Action::Persist { record, expected } => {
                    let first = self.writing.insert((generation, record.spec.id));
                    assert!(first, "two writes of one record are outstanding");
                    // Some are so slow that the job has come to want another one.
                    let slow = self.faulty() && self.chance(10);
                    let wait = self.random.random_range(0..if slow { 10_000 } else { 200 });
                    let epoch = self.epoch;
                    self.after(wait, Happening::Write { generation, epoch, record, expected });
                }
                Action::Delete(..) => panic!("no job is forgotten here"),
                Action::Commit { job, attempt, checkpoint, sinks } => {
                    let wait = self.random.random_range(0..500);
                    self.after(wait, Happening::Commit { generation, job, attempt, checkpoint, sinks });
                }
                Action::Recover { job, attempt, recovery } => {
                    assert_eq!(recovery.fence.next(), attempt);
                    self.oracle.aborted(job, recovery.fence);
                    let wait = self.storage_wait();
                    self.after(wait, Happening::Recover(generation, job, attempt, recovery));
                }
                Action::WriteSnapshot { job, write, .. } => {
                    let wait = self.storage_wait();
                    self.after(wait, Happening::WriteSnapshot(generation, job, write));
                }
                Action::Discard { job, discard, .. } => self.discard(job, &discard),
                Action::Abort { job, attempt, .. } => {
                    self.oracle.aborted(job, attempt);
                    let wait = self.random.random_range(0..500);
                    self.after(wait, Happening::Conclude(generation, job, attempt));
                }
                Action::Discover { job, vertex, known } => {
                    let known: Vec<_> =
                        known.iter().flat_map(|share| &share.splits).map(|split| split.id.clone()).collect();
                    let recorded = self.store.get(&job).map(|(_, record)| record.splits.as_slice());
                    self.oracle.asked(&known, recorded.unwrap_or_default());
                    let wait = self.random.random_range(0..8_000);
                    self.after(wait, Happening::Discover { generation, job, vertex, known });
                }
                Action::StepDown(_) => {
                    self.kill_core();
                    return;
                }
            }
        }
    }

    /// `triggered`: the checkpoints that were triggered with it. One checkpoint's triggers go out together.
    fn send(
        &mut self,
        session: SessionId,
        message: Box<JobManagerMessage>,
        triggered: &mut HashSet<(JobId, CheckpointId)>,
    ) {
        if let Some(Body::Deploy(deploy)) = &message.body {
            let job = JobId::try_from_slice(&deploy.job_id).expect("an id");
            self.oracle.deployed(job, Attempt(deploy.attempt));
        }
        if let Some(Body::TriggerCheckpoint(trigger)) = &message.body {
            let job = JobId::try_from_slice(&trigger.job_id).expect("an id");
            let id = CheckpointId(trigger.checkpoint_id);
            let is_first = triggered.insert((job, id));
            self.triggered(job, id, is_first);
        }
        if let Some(manager) = self.sessions.get(&session).copied() {
            // In order: one stream.
            let wait = self.managers[manager].latency();
            self.after(wait, Happening::ToManager(manager, session, message));
        }
    }

    fn write(&mut self, generation: u64, epoch: LeaderEpoch, record: JobRecord, expected: Version) {
        let job = record.spec.id;
        let io = Err(Failure { code: Code::Io, message: "disk".to_owned() });
        let found = self.store.get(&job).map(|(version, _)| *version);
        let result = if self.faulty() && self.chance(5) {
            io
        } else if epoch != self.epoch || found != Some(expected) {
            Err(Failure { code: Code::Fenced, message: "another".to_owned() })
        } else {
            let version = Version(expected.0 + 1);
            self.oracle.recorded(self.store.get(&job).map(|(_, record)| record), &record);
            self.store.insert(job, (version, record));
            // Written, but the answer is lost.
            if self.faulty() && self.chance(2) { io } else { Ok(version) }
        };
        let wait = self.random.random_range(0..50);
        self.after(wait, Happening::ToCore(generation, Event::Persisted { job, result }));
    }

    fn commit(
        &mut self,
        generation: u64,
        job: JobId,
        attempt: Attempt,
        checkpoint: Option<CheckpointId>,
        sinks: Vec<SinkCommit>,
    ) {
        // A process that died meanwhile commits no more.
        if generation != self.generation {
            return;
        }
        if let Some(checkpoint) = checkpoint {
            self.commit_checkpoint(generation, job, attempt, checkpoint, &sinks);
            return;
        }
        let failing = self.faulty() && self.chance(20);
        let took_effect = !failing || self.chance(50);
        if took_effect {
            let record = self.store.get(&job).map(|(_, record)| record);
            self.oracle.committed(job, attempt, &sinks, record);
            self.commit_last(job, attempt, &sinks);
        }
        let result =
            if failing { Err(Failure { code: Code::Io, message: "storage".to_owned() }) } else { Ok(()) };
        self.after(10, Happening::ToCore(generation, Event::Committed { job, attempt, checkpoint, result }));
    }

    fn discover(&mut self, generation: u64, job: JobId, vertex: VertexIndex, known: Vec<String>) {
        let result = if self.faulty() && self.chance(20) {
            Err(Failure { code: Code::Io, message: "the source can't be reached".to_owned() })
        } else {
            let there = self.oracle.splits_that_exist(job, self.now);
            let new = there.into_iter().filter(|id| !known.contains(id));
            Ok(new.map(|id| Split { id, payload: Vec::new(), weight: 1, ..Split::default() }).collect())
        };
        self.after(0, Happening::ToCore(generation, Event::Discovered { job, vertex, result }));
    }

    fn check_the_end(&self) {
        let core = self.core.as_ref().expect("everything is over");
        for job in core.jobs() {
            let (_, record) = &self.store[&job.id()];
            let Stage::Ended { status, .. } = &record.stage else {
                panic!("{:?} isn't recorded as ended", job.id())
            };
            assert_eq!(*status, job.history().current());
            self.oracle.ended(job.id(), *status);
            if *status != super::job::status::JobStatus::Finished {
                self.check_output(job.id());
            }
        }
        assert_eq!(core.jobs().count(), usize::from(JOBS));
    }
}

fn simulate(seeds: std::ops::Range<u64>) -> Oracle {
    let mut total = Oracle::default();
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.run();
            world.check_the_end();
            (world.oracle, world.lines)
        });
        match outcome {
            Ok((oracle, lines)) => {
                total.add(oracle);
                total.lines.add(&lines);
            }
            Err(panic) => {
                eprintln!("seed {seed} failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
    total
}

#[test]
fn no_job_is_stuck_no_commit_doubled_no_slot_lost() {
    let seeds =
        std::env::var("WEIR_SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let total = simulate(0..seeds);
    eprintln!("{total:?}");
    // The faults must have bitten: a simulation in which nothing happens proves nothing.
    total.check_coverage();
}
