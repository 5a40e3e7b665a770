//! The world: one queue of happenings in virtual time, the processes that they happen to, and what lies between those.
//!
//! Everything random comes from the seed, everything else from the queue's order, so a seed is a run. What is real in it: the
//! JobManager's core, the TaskManager's session, the tasks' checkpoint machines and their aligners. Everything that does I/O
//! there is a shell here that does what the machines ask for, late, twice, or not at all.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;

use weir_api::id::{CheckpointId, JobId};
use weir_jobmanager::control::event::SessionId;
use weir_jobmanager::control::now::Now;
use weir_proto::v1::{JobManagerMessage, TaskManagerMessage, TaskSnapshot};

use super::channel::Channels;
use super::files::Files;
use super::job::Plan;
use super::log::Log;
use super::master::Master;
use super::metadata::{self, Metadata};
use super::network::Network;
use super::oracle::Oracle;
use super::publish::Publishers;
use super::random::Random;
use super::storage::{self, Storage};
use super::swarm::Swarm;
use super::task::Task;
use super::trace::Trace;
use super::worker::Worker;

/// One of the world's tasks; never used twice.
pub(crate) type TaskId = usize;
/// A process of a TaskManager: which, and its how manieth life.
pub(crate) type Life = (usize, u32);

/// Who asked the store for something, and what for.
#[derive(Clone, Debug)]
pub(crate) enum Asker {
    /// A task's sink makes what it wrote for a checkpoint durable.
    Prepare(TaskId, CheckpointId),
    /// A task's files for a checkpoint.
    Upload(TaskId, CheckpointId),
    /// What a finished task leaves.
    Last(TaskId, Box<TaskSnapshot>),
    /// A task reads the manifest that it goes on from.
    Manifest(TaskId),
    /// A task reads a file of it.
    File(TaskId, Rc<str>),
    /// The JobManager of a generation.
    Master(u64, super::master::Asked),
    /// Nobody waits for it.
    Nobody,
}

/// What happens.
#[derive(Debug)]
pub(crate) enum Happening {
    MasterStarts,
    MasterTicks(u64),
    /// A stream from a TaskManager reaches the JobManager's host.
    Dialled(Life, SessionId),
    Opened(Life, SessionId),
    ToMaster(SessionId, Box<TaskManagerMessage>),
    ToWorker(Life, SessionId, Box<JobManagerMessage>),
    MasterLosesSession(SessionId, &'static str),
    WorkerLosesSession(Life, SessionId),
    WorkerStarts(usize),
    WorkerTicks(Life),
    /// A TaskManager's tasks have all ended.
    Drained(Life),
    MetadataHears(metadata::Write),
    MetadataAnswers(metadata::Answer),
    StorageHears(Asker, storage::Request, u8),
    StorageAnswers(Asker, storage::Request, storage::Answer, u8),
    /// What the JobManager of a generation has begun goes on.
    MasterGoesOn(u64, super::master::Operation),
    Publish(usize),
    Arrives(usize),
    Breaks {
        channel: usize,
        at_consumer: bool,
    },
    SourceGoesOn(TaskId),
    TaskGoesOn(TaskId),
    TaskEnds(TaskId),
    UploadEnds(TaskId, CheckpointId),
    Snapshot {
        savepoint: bool,
        full: bool,
    },
    /// Somebody looks how far the job is.
    Story,
    Fault(usize),
    BrokerLooks,
}

/// See the module.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) random: Random,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    happenings: Vec<Option<Happening>>,
    free: Vec<usize>,
    sequence: u64,
    pub(crate) trace: Trace,
    pub(crate) swarm: Rc<Swarm>,
    pub(crate) plans: BTreeMap<JobId, Plan>,
    pub(crate) metadata: Metadata,
    pub(crate) storage: Storage,
    pub(crate) log: Log,
    pub(crate) files: Files,
    pub(crate) network: Network,
    pub(crate) master: Master,
    pub(crate) workers: Vec<Worker>,
    pub(crate) tasks: Vec<Option<Task>>,
    pub(crate) channels: Channels,
    pub(crate) publishers: Publishers,
    pub(crate) oracle: Oracle,
}

impl World {
    pub(crate) fn new(swarm: Rc<Swarm>, in_words: bool) -> Self {
        let random = Random::new(swarm.seed, 2);
        let mut world = Self {
            now: 1_000,
            random,
            queue: BinaryHeap::with_capacity(1_024),
            happenings: Vec::with_capacity(1_024),
            free: Vec::with_capacity(1_024),
            sequence: 0,
            trace: Trace::new(in_words),
            plans: BTreeMap::new(),
            metadata: Metadata::default(),
            storage: Storage::default(),
            log: Log::default(),
            files: Files::default(),
            network: Network::new(swarm.managers),
            master: Master::default(),
            workers: (0..swarm.managers)
                .map(|position| Worker::new(position, swarm.slots, swarm.seed))
                .collect(),
            tasks: Vec::new(),
            channels: Channels::default(),
            publishers: Publishers::default(),
            oracle: Oracle::new(&swarm),
            swarm,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.after(0, Happening::MasterStarts);
        for position in 0..self.swarm.managers {
            let wait = self.random.below(300);
            self.after(wait, Happening::WorkerStarts(position));
        }
        self.after(10, Happening::Story);
        let swarm = Rc::clone(&self.swarm);
        for (position, fault) in swarm.faults.iter().enumerate() {
            self.after(fault.at, Happening::Fault(position));
        }
        self.after(swarm.transaction_timeout, Happening::BrokerLooks);
    }

    /// Whether faults may still happen.
    pub(crate) fn is_faulty(&self) -> bool {
        self.now < self.swarm.calm_from
    }

    pub(crate) fn after(&mut self, wait: u64, happening: Happening) {
        self.sequence += 1;
        let place = self.free.pop().unwrap_or(self.happenings.len());
        if place == self.happenings.len() {
            self.happenings.push(Some(happening));
        } else {
            self.happenings[place] = Some(happening);
        }
        self.queue.push(Reverse((self.now + wait, self.sequence, place)));
    }

    pub(crate) fn clock(&self) -> Now {
        Now { monotonic_millis: self.now, unix_millis: self.now as i64 + self.master.skew }
    }

    pub(crate) fn say(&self, words: impl FnOnce() -> String) {
        self.trace.say(self.now, words);
    }

    /// Runs to the end of the story, or to a violation.
    pub(crate) fn run(&mut self) {
        let end = self.swarm.calm_from + super::swarm::PATIENCE;
        while let Some(Reverse((at, sequence, place))) = self.queue.pop() {
            self.now = self.now.max(at);
            if let Some(until) =
                self.happenings[place].as_ref().and_then(|happening| self.wakes_at(happening))
            {
                // It keeps its place among those that wait with it.
                self.queue.push(Reverse((until, sequence, place)));
                continue;
            }
            if self.now > end {
                let state = self.describe();
                self.oracle.violated(format!(
                    "it isn't over {} ms after the last fault: {state}",
                    super::swarm::PATIENCE
                ));
            }
            let Some(happening) = self.happenings[place].take() else { continue };
            self.free.push(place);
            self.happen(happening);
            if self.oracle.has_violation() || self.is_over() {
                return;
            }
        }
        self.oracle.violated("nothing happens any more".to_owned());
    }

    /// How far everything is, for whoever asks why it isn't over.
    fn describe(&self) -> String {
        let sources = self.tasks.iter().flatten().filter_map(|task| match &task.work {
            super::task::Work::Source { splits, .. } => Some((task.id.subtask.0, splits)),
            _ => None,
        });
        let splits = sources.flat_map(|(subtask, splits)| {
            splits
                .iter()
                .map(move |split| format!("split {} of {subtask} at {}", split.number, split.position))
        });
        let splits = splits.collect::<Vec<_>>().join(", ");
        let (files, log) = (self.files.rows().len(), self.log.visible().len());
        let lengths = &self.swarm.input.lengths;
        format!(
            "{}; {splits}; splits are {lengths:?} long; {files} rows in files, {log} in the log",
            self.master.describe()
        )
    }

    /// The process that something happens to; while that is stopped, it waits.
    fn wakes_at(&self, happening: &Happening) -> Option<u64> {
        let worker = |position: usize| self.workers[position].paused_until;
        let task = |task: TaskId| self.tasks[task].as_ref().map_or(0, |task| worker(task.life.0));
        let until = match happening {
            Happening::MasterTicks(_)
            | Happening::Dialled(..)
            | Happening::ToMaster(..)
            | Happening::MasterLosesSession(..)
            | Happening::MetadataAnswers(_)
            | Happening::MasterGoesOn(..)
            | Happening::StorageAnswers(Asker::Master(..), ..)
            | Happening::Snapshot { .. }
            | Happening::Story => self.master.paused_until,
            Happening::Opened(life, _)
            | Happening::ToWorker(life, ..)
            | Happening::WorkerLosesSession(life, _)
            | Happening::WorkerTicks(life)
            | Happening::Drained(life) => worker(life.0),
            Happening::StorageAnswers(asker, ..) => asker.task().map_or(0, task),
            Happening::SourceGoesOn(id)
            | Happening::TaskGoesOn(id)
            | Happening::TaskEnds(id)
            | Happening::UploadEnds(id, _) => task(*id),
            Happening::Publish(id) => match self.publishers.owner(*id) {
                Some(super::publish::Owner::Task(id)) => task(id),
                Some(super::publish::Owner::Master { .. }) => self.master.paused_until,
                None => 0,
            },
            Happening::Arrives(channel) => worker(self.channels.consumer(*channel).0),
            Happening::Breaks { channel, at_consumer } => {
                let (producer, consumer) = self.channels.ends(*channel);
                worker(if *at_consumer { consumer.0 } else { producer.0 })
            }
            _ => 0,
        };
        (until > self.now).then_some(until)
    }

    fn happen(&mut self, happening: Happening) {
        self.note(&happening);
        match happening {
            Happening::MasterStarts => self.start_master(),
            Happening::MasterTicks(generation) => self.tick_master(generation),
            Happening::Dialled(life, session) => self.dialled(life, session),
            Happening::Opened(life, session) => self.opened(life, session),
            Happening::ToMaster(session, message) => self.master_hears(session, *message),
            Happening::ToWorker(life, session, message) => self.worker_hears(life, session, message),
            Happening::MasterLosesSession(session, why) => self.master_loses(session, why),
            Happening::WorkerLosesSession(life, session) => self.worker_loses(life, session),
            Happening::WorkerStarts(position) => self.start_worker(position),
            Happening::WorkerTicks(life) => self.tick_worker(life),
            Happening::Drained(life) => self.drained(life),
            Happening::MetadataHears(write) => self.metadata_hears(write),
            Happening::MetadataAnswers(answer) => self.metadata_answers(answer),
            Happening::StorageHears(asker, request, tries) => self.storage_hears(asker, request, tries),
            Happening::StorageAnswers(asker, request, answer, tries) => {
                self.storage_answers(asker, request, answer, tries);
            }
            Happening::MasterGoesOn(generation, operation) => self.master_goes_on(generation, operation),
            Happening::Publish(publisher) => self.publish(publisher),
            Happening::Arrives(channel) => self.arrives(channel),
            Happening::Breaks { channel, at_consumer } => self.breaks(channel, at_consumer),
            Happening::SourceGoesOn(task) => self.source_goes_on(task),
            Happening::TaskGoesOn(task) => self.run_task(task),
            Happening::TaskEnds(task) => self.task_ends(task),
            Happening::UploadEnds(task, checkpoint) => self.uploaded(task, checkpoint, Ok(())),
            Happening::Snapshot { savepoint, full } => self.take_snapshot(savepoint, full),
            Happening::Story => self.go_on_with_the_story(),
            Happening::Fault(position) => self.fault(position),
            Happening::BrokerLooks => {
                self.log.expire(self.now, self.swarm.transaction_timeout);
                self.after(self.swarm.transaction_timeout, Happening::BrokerLooks);
            }
        }
    }

    fn note(&mut self, happening: &Happening) {
        let detail = match happening {
            Happening::Arrives(channel) => *channel as u64,
            Happening::SourceGoesOn(task) | Happening::TaskGoesOn(task) | Happening::TaskEnds(task) => {
                *task as u64
            }
            Happening::ToMaster(session, _) | Happening::ToWorker(_, session, _) => session.0,
            Happening::Publish(publisher) => *publisher as u64,
            Happening::UploadEnds(task, checkpoint) => ((*task as u64) << 32) ^ checkpoint.0,
            Happening::StorageHears(asker, _, tries) | Happening::StorageAnswers(asker, _, _, tries) => {
                asker.task().unwrap_or_default() as u64 ^ (u64::from(*tries) << 32)
            }
            _ => 0,
        };
        // The discriminant's number isn't guaranteed, but within one build it is the same.
        let what = discriminant(happening);
        self.trace.note(self.now, what, detail);
    }

    /// Asks the store for something.
    pub(crate) fn ask_storage(&mut self, asker: Asker, request: storage::Request) {
        let wait = self.storage_latency();
        self.after(wait, Happening::StorageHears(asker, request, 0));
    }

    fn storage_latency(&mut self) -> u64 {
        let slow = self.network.storage_slow_until > self.now && self.random.chance(50);
        1 + if slow { self.random.below(4_000) } else { self.random.below(15) }
    }

    fn storage_hears(&mut self, asker: Asker, request: storage::Request, tries: u8) {
        let away = self.now < self.network.storage_away_until;
        let failing = away || (self.is_faulty() && self.random.chance(self.swarm.storage_errors));
        if let storage::Request::Delete { path } = &request {
            self.say(|| format!("{path} is deleted"));
            self.oracle.deleted(path);
        }
        // Half of what fails has happened.
        let answer = if failing {
            if !away && self.random.chance(50) {
                let _ = self.storage.apply(&request, self.now);
            }
            Err(storage::Refusal::Unavailable)
        } else {
            self.storage.apply(&request, self.now)
        };
        let wait = self.random.below(8);
        self.after(wait, Happening::StorageAnswers(asker, request, answer, tries));
    }

    /// Clients try again, not for ever.
    fn storage_answers(
        &mut self,
        asker: Asker,
        request: storage::Request,
        answer: storage::Answer,
        tries: u8,
    ) {
        if answer == Err(storage::Refusal::Unavailable) && tries < 3 && !matches!(asker, Asker::Nobody) {
            let wait = (50 << tries) + self.storage_latency();
            self.after(wait, Happening::StorageHears(asker, request, tries + 1));
            return;
        }
        match asker {
            Asker::Prepare(task, checkpoint) => self.prepared(task, checkpoint, answer),
            Asker::Upload(task, checkpoint) => self.uploaded(task, checkpoint, answer.map(drop)),
            Asker::Manifest(task) => self.manifest_read(task, answer),
            Asker::Last(task, part) => match answer {
                Ok(_) => self.finished(task, *part),
                Err(_) => self.fail_task(task, "what it leaves can't be made durable"),
            },
            Asker::File(task, path) => self.file_read(task, &path, answer),
            Asker::Master(generation, asked) => self.storage_answers_master(generation, asked, answer),
            Asker::Nobody => {}
        }
    }
}

impl Asker {
    fn task(&self) -> Option<TaskId> {
        match self {
            Self::Prepare(task, _)
            | Self::Upload(task, _)
            | Self::Last(task, _)
            | Self::Manifest(task)
            | Self::File(task, _) => Some(*task),
            Self::Master(..) | Self::Nobody => None,
        }
    }
}

fn discriminant(happening: &Happening) -> u64 {
    match happening {
        Happening::MasterStarts => 1,
        Happening::MasterTicks(_) => 2,
        Happening::Dialled(..) => 3,
        Happening::Opened(..) => 4,
        Happening::ToMaster(..) => 5,
        Happening::ToWorker(..) => 6,
        Happening::MasterLosesSession(..) => 7,
        Happening::WorkerLosesSession(..) => 8,
        Happening::WorkerStarts(_) => 9,
        Happening::WorkerTicks(_) => 10,
        Happening::Drained(_) => 11,
        Happening::MetadataHears(_) => 12,
        Happening::MetadataAnswers(_) => 13,
        Happening::StorageHears(..) => 14,
        Happening::StorageAnswers(..) => 15,
        Happening::MasterGoesOn(..) => 16,
        Happening::Publish(_) => 17,
        Happening::Arrives(_) => 18,
        Happening::Breaks { .. } => 19,
        Happening::SourceGoesOn(_) => 20,
        Happening::TaskGoesOn(_) => 21,
        Happening::TaskEnds(_) => 22,
        Happening::UploadEnds(..) => 23,
        Happening::Story => 24,
        Happening::Snapshot { .. } => 26,
        Happening::Fault(_) => 27,
        Happening::BrokerLooks => 28,
    }
}
