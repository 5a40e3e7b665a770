//! The core of the JobManager: who is registered, which job holds which slots, what every job does next.
//!
//! A pure state machine: [`Core::handle`] takes an [`Event`] and the time and answers [`Action`]s; it has no socket, no clock, no
//! thread, and its only random numbers come from the seed it was made with. So the simulation in `simulation` can put thousands
//! of clusters through losses, delays and duplicated messages in a second. It reads and writes nothing; `service` does that.
//!
//! Fencing: a message under another leader epoch, of a session that was replaced, or about an attempt that is over changes no
//! job. If it shows a task that should not be running any more, the answer is to cancel that task.
//!
//! Read next: [`job`] for a job's life, [`slots`] and [`schedule`] for slots, [`restart`] for restart strategies.

pub mod checkpoint;
mod effects;
pub mod event;
pub mod execution;
pub mod heartbeat;
pub mod inbound;
pub mod job;
pub mod managers;
pub mod measure;
mod messages;
pub mod now;
pub mod planted;
pub mod regions;
pub mod restart;
pub mod schedule;
pub mod slots;
pub mod splits;
pub mod task;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod partial_tests;
mod reports;
#[cfg(test)]
mod simulation;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use weir_api::config::Configuration;
use weir_api::error::{Code, Error, Result};
use weir_api::id::{JobId, LeaderEpoch};

use self::checkpoint::Kind;
use self::event::{Action, Event, ManagerInfo, SessionId};
use self::job::record::JobRecord;
use self::job::status::JobStatus;
use self::job::{Effect, Job, Limits, Version};
use self::managers::Managers;
use self::now::Now;
use self::schedule::{Slot, Spread};
use self::slots::Slots;

/// Why a session ended whose TaskManager took its leave: nothing to be warned of, unless its tasks say otherwise.
pub const LEFT: &str = "the TaskManager closed the session";

/// What a core is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The version that TaskManagers must have.
    pub version: String,
    /// The cluster's configuration; jobs' own goes over it.
    pub configuration: Configuration,
    /// How often a sign of life is sent.
    pub heartbeat_interval: Duration,
    /// After this long without one a TaskManager is lost.
    pub heartbeat_timeout: Duration,
    /// How jobs are spread over TaskManagers.
    pub spread: Spread,
    /// What holds for every job, where its own configuration says nothing else.
    pub limits: Limits,
    /// How many ended jobs are kept.
    pub ended_jobs: usize,
    /// Where random numbers begin.
    pub seed: u64,
}

/// The core.
#[derive(Debug)]
pub struct Core {
    epoch: LeaderEpoch,
    settings: Settings,
    managers: Managers,
    slots: Slots,
    jobs: BTreeMap<JobId, Job>,
    /// In the order of submission.
    order: Vec<JobId>,
    /// In the order in which they ended.
    ended: VecDeque<JobId>,
    random: StdRng,
    heartbeat_sequence: u64,
    next_heartbeat: u64,
    last_handled: u64,
}

impl Core {
    /// A core under a new leadership, with the jobs that the metadata holds, and what is to be done for them at once.
    #[must_use]
    pub fn new(
        epoch: LeaderEpoch,
        settings: Settings,
        mut records: Vec<(JobRecord, Version)>,
        now: Now,
    ) -> (Self, Vec<Action>) {
        let mut core = Self {
            epoch,
            managers: Managers::new(settings.version.clone(), settings.heartbeat_timeout),
            slots: Slots::default(),
            jobs: BTreeMap::new(),
            order: Vec::new(),
            ended: VecDeque::new(),
            random: StdRng::seed_from_u64(settings.seed),
            heartbeat_sequence: 0,
            next_heartbeat: now.after(settings.heartbeat_interval),
            last_handled: now.monotonic_millis,
            settings,
        };
        records.sort_by_key(|(record, _)| (record.spec.submitted_unix_millis, record.spec.id));
        let mut actions = Vec::new();
        for (record, version) in records {
            let mut effects = Vec::new();
            let limits = core.settings.limits.clone();
            let job =
                Job::recovered(record, version, &core.settings.configuration, limits, now, &mut effects);
            let id = job.id();
            core.jobs.insert(id, job);
            core.order.push(id);
            core.apply(id, effects, &mut actions);
        }
        let mut ended: Vec<_> =
            core.jobs.values().filter_map(|job| job.ended().map(|end| (end, job.id()))).collect();
        ended.sort_unstable();
        core.ended.extend(ended.into_iter().map(|(_, id)| id));
        core.forget_ended_jobs(&mut actions);
        (core, actions)
    }

    /// The leadership that it acts under.
    #[must_use]
    pub const fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// What it was made with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All jobs, in the order of submission.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.order.iter().filter_map(|id| self.jobs.get(id))
    }

    /// One job; the error is for users.
    pub fn job(&self, id: JobId) -> Result<&Job> {
        self.jobs.get(&id).ok_or_else(|| unknown(id))
    }

    /// The registered TaskManagers.
    #[must_use]
    pub const fn managers(&self) -> &Managers {
        &self.managers
    }

    /// All slots.
    #[must_use]
    pub const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// When [`Event::Tick`] is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> u64 {
        let jobs = self.jobs.values().filter_map(Job::deadline).min();
        [jobs, self.managers.next_deadline()].into_iter().flatten().fold(self.next_heartbeat, u64::min)
    }

    /// Takes an event.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        self.notice_pause(now);
        match event {
            Event::Register { session, epoch, info } => {
                self.register(session, epoch, info, now, &mut actions)
            }
            Event::Said { session, epoch, said } => self.said(session, epoch, said, now, &mut actions),
            Event::SessionEnded { session, reason } => self.lose(session, &reason, now, &mut actions),
            Event::Submitted { record, version } => self.submitted(record, version, now),
            Event::Persisted { job, result } => {
                let held = self.holds_slots(job);
                self.with_job(job, &mut actions, |job, effects| job.persisted(result, held, now, effects));
                self.note_end(job, &mut actions);
            }
            Event::Committed { job, attempt, checkpoint, result } => {
                self.with_job(job, &mut actions, |job, effects| {
                    if job.attempt() == attempt {
                        job.committed(checkpoint, result, now, effects);
                    }
                });
            }
            Event::Recovered { job, attempt, result } => {
                let held = self.holds_slots(job);
                self.with_job(job, &mut actions, |job, effects| {
                    if job.attempt() == attempt {
                        job.recovered_from(result, held, now, effects);
                    }
                });
            }
            Event::SnapshotWritten { job, checkpoint, result } => {
                self.with_job(job, &mut actions, |job, effects| {
                    job.snapshot_written(checkpoint, result, now, effects);
                });
            }
            Event::Aborted { job, attempt } => {
                self.with_job(job, &mut actions, |job, effects| {
                    if job.attempt() == attempt {
                        job.aborted(now, effects);
                    }
                });
            }
            Event::Discovered { job, vertex, result } => {
                self.with_job(job, &mut actions, |job, effects| job.discovered(vertex, result, now, effects));
            }
            Event::Tick => {}
        }
        self.tick(now, &mut actions);
        self.schedule(now, &mut actions);
        actions
    }

    fn holds_slots(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|found| self.slots.holds(job, found.execution().placement()))
    }

    /// Asks for a checkpoint or a savepoint; what becomes of it is in the job's operations.
    pub fn request(&mut self, id: JobId, kind: Kind, now: Now) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        let mut effects = Vec::new();
        self.jobs.get_mut(&id).ok_or_else(|| unknown(id))?.request(kind, now, &mut effects)?;
        self.apply(id, effects, &mut actions);
        Ok(actions)
    }

    /// Cancels a job.
    pub fn cancel(&mut self, id: JobId, now: Now) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        let mut effects = Vec::new();
        let job = self.jobs.get_mut(&id).ok_or_else(|| unknown(id))?;
        let before = job.history().current();
        job.cancel(now, &mut effects)?;
        log_change(job, before);
        self.apply(id, effects, &mut actions);
        self.schedule(now, &mut actions);
        Ok(actions)
    }

    /// The JobManager stops; its TaskManagers are told.
    pub fn suspend(&mut self, now: Now) -> Vec<Action> {
        self.jobs.values_mut().for_each(|job| job.suspend(now));
        let sessions = self.managers.iter().map(|(_, manager)| manager.session);
        sessions.map(|session| Action::Close(session, "the JobManager is shutting down".to_owned())).collect()
    }

    /// A process that was stopped for a while must not take the silence of that time for a loss.
    fn notice_pause(&mut self, now: Now) {
        let pause = now.monotonic_millis.saturating_sub(self.last_handled);
        let usual = 2 * u64::try_from(self.settings.heartbeat_interval.as_millis()).unwrap_or(u64::MAX / 2);
        if pause > usual {
            self.managers.pardon(pause);
        }
        self.last_handled = now.monotonic_millis;
    }

    fn register(
        &mut self,
        session: SessionId,
        epoch: LeaderEpoch,
        info: ManagerInfo,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let refusal = if epoch > self.epoch {
            Some(format!("leader {} is over, TaskManager {} knows leader {epoch}", self.epoch, info.id))
        } else {
            self.managers.check(&info).err().map(|error| error.to_string())
        };
        if let Some(reason) = refusal {
            actions.push(Action::Close(session, reason));
            return;
        }
        if let Some(older) = self.managers.session_of(&info.id) {
            let reason = "the same TaskManager registered again";
            actions.push(Action::Close(older, reason.to_owned()));
            self.lose(older, reason, now, actions);
        }
        tracing::info!(task_manager = %info.id, slots = info.slots, address = info.data_address, "TaskManager registered");
        self.slots.add(info.id.clone(), info.slots);
        self.managers.add(session, info, now);
        let answer = messages::registered(self.settings.heartbeat_interval, self.settings.heartbeat_timeout);
        actions.push(Action::Send(session, messages::message(self.epoch, answer)));
    }

    /// A TaskManager is gone.
    fn lose(&mut self, session: SessionId, why: &str, now: Now, actions: &mut Vec<Action>) {
        let Some(id) = self.managers.remove(session) else { return };
        if why == LEFT {
            tracing::info!(task_manager = %id, "TaskManager left");
        } else {
            tracing::warn!(task_manager = %id, why, "TaskManager lost");
        }
        self.slots.remove(&id);
        for job in self.order.clone() {
            let random = self.random.random();
            self.with_job(job, actions, |job, effects| job.manager_lost(&id, why, now, random, effects));
        }
    }

    fn submitted(&mut self, record: JobRecord, version: Version, now: Now) {
        let limits = self.settings.limits.clone();
        let job = Job::submitted(record, version, &self.settings.configuration, limits, now);
        let id = job.id();
        if self.jobs.insert(id, job).is_none() {
            self.order.push(id);
        }
    }

    fn tick(&mut self, now: Now, actions: &mut Vec<Action>) {
        for session in self.managers.silent(now) {
            let reason = format!("silent for {} ms", self.settings.heartbeat_timeout.as_millis());
            actions.push(Action::Close(session, reason.clone()));
            self.lose(session, &reason, now, actions);
        }
        if now.reached(self.next_heartbeat) {
            self.heartbeat_sequence += 1;
            self.next_heartbeat = now.after(self.settings.heartbeat_interval);
            for (_, manager) in self.managers.iter() {
                let body = messages::heartbeat(self.heartbeat_sequence);
                actions.push(Action::Send(manager.session, messages::message(self.epoch, body)));
            }
        }
        let due = |job: &&Job| job.deadline().is_some_and(|deadline| now.reached(deadline));
        let due: Vec<JobId> = self.jobs.values().filter(due).map(Job::id).collect();
        for id in due {
            let random = self.random.random();
            self.with_job(id, actions, |job, effects| job.tick(now, random, effects));
        }
    }

    /// Gives slots to the jobs that wait for some, in the order of submission; one that needs more than there are doesn't hold
    /// up those behind it.
    fn schedule(&mut self, now: Now, actions: &mut Vec<Action>) {
        let mut hosts = None;
        for id in self.order.clone() {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            let Some((needed, previous)) = job.wants_slots() else { continue };
            let hosts = hosts.get_or_insert_with(|| self.managers.hosts());
            let placement = if job.keeps_slots() {
                self.slots.refill(id, previous.slots, hosts, self.settings.spread)
            } else {
                self.slots.allocate(id, needed, previous, hosts, self.settings.spread)
            };
            match placement {
                Ok(placement) => {
                    let mut effects = Vec::new();
                    let host = |slot: &Slot| hosts.get(&slot.manager).cloned().unwrap_or_default();
                    let on = placement.iter().map(host).collect();
                    job.place(placement, on, now, &mut effects);
                    self.apply(id, effects, actions);
                }
                Err(shortage) => job.short(shortage),
            }
        }
    }

    fn with_job(
        &mut self,
        id: JobId,
        actions: &mut Vec<Action>,
        act: impl FnOnce(&mut Job, &mut Vec<Effect>),
    ) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let mut effects = Vec::new();
        let before = job.history().current();
        act(job, &mut effects);
        log_change(job, before);
        self.apply(id, effects, actions);
    }

    fn note_end(&mut self, id: JobId, actions: &mut Vec<Action>) {
        let over = self.jobs.get(&id).is_some_and(|job| job.history().current().is_terminal());
        if over && !self.ended.contains(&id) {
            self.ended.push_back(id);
            self.forget_ended_jobs(actions);
        }
    }

    fn forget_ended_jobs(&mut self, actions: &mut Vec<Action>) {
        while self.ended.len() > self.settings.ended_jobs.max(1) {
            let Some(id) = self.ended.pop_front() else { return };
            self.order.retain(|other| *other != id);
            if let Some(job) = self.jobs.remove(&id) {
                actions.push(Action::Delete(id, job.version()));
            }
        }
    }

    fn random_of(&mut self) -> f64 {
        self.random.random()
    }
}

/// The one place that logs what becomes of jobs.
fn log_change(job: &Job, before: JobStatus) {
    let status = job.history().current();
    if status == before {
        return;
    }
    let (id, attempt, from, to) = (job.id(), job.attempt(), before.as_str(), status.as_str());
    match (status, job.exceptions().root()) {
        (JobStatus::Failing | JobStatus::Failed | JobStatus::Restarting, Some(root)) => {
            let task = root.task.as_deref().unwrap_or_default();
            tracing::warn!(job = %id, %attempt, from, to, code = root.code, cause = root.message, task, "job");
        }
        _ => tracing::info!(job = %id, %attempt, from, to, "job"),
    }
}

fn unknown(id: JobId) -> Error {
    Error::new(Code::UnknownJob, format!("there is no job {id}; it may have ended and been forgotten"))
}
