//! One job's life: a state machine from submission to its end, over any number of attempts.
//!
//! Decides: when an attempt is recorded, deployed, cancelled, given up; when a failure restarts the job and when it ends it;
//! when results are committed. Invariants, held up by the simulation in `control::simulation`:
//! - attempts only grow, and one is recorded before any task of it is deployed;
//! - a failure restarts the regions that it broke, and no others ([`partial`]); those keep the attempt that they were deployed with;
//! - slots are given back exactly once, after the tasks in them have ended (what hasn't in time drains);
//! - splits that are found later are recorded before anybody reads them, and each is read by one subtask;
//! - a checkpoint's output is committed only after the job's pointer to it was recorded, and before an attempt begins;
//! - the job's last results are committed only after every task of the attempt has finished, or the savepoint that the job stops
//!   behind is complete, and that was recorded; from then on nothing can restart, cancel or abort the job any more.
//!
//! It doesn't know sessions, slots of other jobs, or how anything is stored: it returns [`Effect`]s. Phases: see [`phase`].

pub mod checkpoints;
mod commits;
pub mod discovery;
mod ending;
pub mod exceptions;
pub mod operations;
mod partial;
pub mod phase;
pub mod record;
pub mod recovery;
pub mod running;
pub mod status;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use weir_api::config::{Configuration, options};
use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, CheckpointId, JobId, VertexIndex};
use weir_proto::v1::SplitAssignment;

use self::checkpoints::{Checkpoints, Order, SnapshotWrite};
use self::discovery::{Discovery, Found};
use self::exceptions::{Exception, Exceptions};
use self::partial::Partial;
use self::phase::{Next, Phase};
use self::record::{JobRecord, JobSpec, SinkCommit, Stage};
use self::recovery::{Discard, Recovery};
use self::status::{History, JobStatus};
use self::writes::{Reason, Writes};
use super::execution::ExecutionGraph;
use super::now::Now;
use super::regions::{Regions, Vertices};
use super::restart;
use super::schedule::{Previous, Shortage, Slot};
use super::slots::Stuck;

/// How often a commit is tried before the job fails with its results uncommitted.
const MAX_COMMIT_FAILURES: u32 = 10;
/// The longest wait between two tries.
const MAX_COMMIT_WAIT: Duration = Duration::from_secs(30);

/// The version of a record in the metadata: a write names the one it replaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version(pub u64);

/// Why something outside failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Stable code.
    pub code: Code,
    /// What went wrong.
    pub message: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { code: error.code(), message: error.chain() }
    }
}

/// What a job wants done. The answers come back through the methods of the same names in the past tense.
#[derive(Debug)]
pub enum Effect {
    /// Write its record; answered by [`Job::persisted`].
    Persist,
    /// Send the attempt to the TaskManagers of its placement: all of it, or only these vertices.
    Deploy(Option<Vertices>),
    /// Tell the TaskManagers to stop what runs of attempts up to this one: all of it, or only these vertices.
    CancelTasks(Attempt, Option<Vertices>),
    /// Take back its slots; those with stuck tasks drain first.
    Release(Vec<Slot>, Stuck),
    /// Commit what the attempt prepared: for a checkpoint while it runs, or (`None`) at the job's end; answered by
    /// [`Job::committed`].
    Commit(Attempt, Option<CheckpointId>, Vec<SinkCommit>),
    /// Find out what the attempt goes on from, and commit that; answered by [`Job::recovered_from`].
    Recover(Box<Recovery>),
    /// Commit what the last checkpoint holds, then remove what attempts left; answered by [`Job::aborted`].
    Abort(Box<Recovery>),
    /// Write a snapshot's `_metadata`; answered by [`Job::snapshot_written`].
    WriteSnapshot(Box<SnapshotWrite>),
    /// Tell the tasks of the present attempt.
    Order(Order),
    /// Delete snapshots that are over.
    Discard(Discard),
    /// Ask the source of this vertex for further splits; answered by [`Job::discovered`].
    Discover(VertexIndex),
    /// Send splits to a task of the present attempt.
    AddSplits(Found),
    /// The metadata belongs to another leader now: this JobManager must stop.
    StepDown(String),
}

/// The limits of a job that come from its configuration and the cluster's.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long it waits for slots.
    pub slot_timeout: Duration,
    /// How long it waits for cancelled tasks to end.
    pub cancel_timeout: Duration,
    /// How long it waits for deployed tasks to answer.
    pub deploy_timeout: Duration,
    /// How many failures it remembers.
    pub exceptions: usize,
}

/// One job.
#[derive(Debug)]
pub struct Job {
    spec: Arc<JobSpec>,
    version: Version,
    attempt: Attempt,
    phase: Phase,
    history: History,
    execution: ExecutionGraph,
    regions: Regions,
    /// While only a part of it starts anew.
    partial: Option<Partial>,
    /// Of its placement.
    hosts: Vec<String>,
    strategy: restart::Strategy,
    exceptions: Exceptions,
    limits: Limits,
    restarts: u32,
    ended: Option<i64>,
    /// A cancellation that came while a write was outstanding.
    cancel_requested: bool,
    splits: Arc<Vec<SplitAssignment>>,
    discovery: Discovery,
    writes: Writes,
    checkpoints: Checkpoints,
    /// The savepoint that it stops behind is complete but for its pointer, which may have been recorded: what is to be committed
    /// then. It can't go on any more.
    concluding: Option<Vec<SinkCommit>>,
}

/// The configuration that counts for a job: its own over the cluster's.
#[must_use]
pub fn effective(cluster: &Configuration, spec: &JobSpec) -> Configuration {
    let mut configuration = cluster.clone();
    // The graph's holds what the statements `SET`, which comes last.
    let own = spec.config.iter().chain(spec.graph.config());
    for (key, value) in own {
        // Both were checked when the job was submitted; a key that a newer version no longer knows has no effect.
        let _ = configuration.set(key, value);
    }
    configuration
}

impl Job {
    /// A job that was just submitted and recorded.
    #[must_use]
    pub fn submitted(
        record: JobRecord,
        version: Version,
        cluster: &Configuration,
        limits: Limits,
        now: Now,
    ) -> Self {
        let mut job = Self::new(record, version, cluster, limits, JobStatus::Initializing, now);
        job.history.set(JobStatus::Created, now.unix_millis);
        job
    }

    /// A job that another leader left, at whatever point.
    #[must_use]
    pub fn recovered(
        record: JobRecord,
        version: Version,
        cluster: &Configuration,
        limits: Limits,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Self {
        let stage = record.stage.clone();
        let status = match stage {
            Stage::Ended { status, .. } => status,
            _ => JobStatus::Reconciling,
        };
        let mut job = Self::new(record, version, cluster, limits, status, now);
        match stage {
            Stage::Ended { status, unix_millis } => {
                job.remember_end(status, unix_millis);
                // The leader before may not have come to it.
                job.discard_at_the_end(status, effects);
            }
            Stage::Committing(sinks) => job.commit(sinks, effects),
            Stage::Active => {}
        }
        job
    }

    fn new(
        record: JobRecord,
        version: Version,
        cluster: &Configuration,
        limits: Limits,
        status: JobStatus,
        now: Now,
    ) -> Self {
        let configuration = effective(cluster, &record.spec);
        let strategy = restart::Config::from_configuration(&configuration);
        let execution = ExecutionGraph::new(&record.spec.graph, record.attempt, now.unix_millis);
        let mut limits = limits;
        limits.slot_timeout = configuration.get(&options::SLOT_REQUEST_TIMEOUT);
        Self {
            version,
            attempt: record.attempt,
            phase: Phase::Waiting { deadline: now.after(limits.slot_timeout), shortage: None },
            history: History::new(status, now.unix_millis),
            execution,
            regions: Regions::of(&record.spec.graph),
            partial: None,
            hosts: Vec::new(),
            strategy: restart::Strategy::new(strategy),
            exceptions: Exceptions::new(limits.exceptions, record.exceptions),
            limits,
            restarts: record.attempt.0.saturating_sub(1),
            ended: None,
            cancel_requested: false,
            splits: record.splits,
            discovery: Discovery::new(&record.spec.discovery),
            writes: Writes::default(),
            checkpoints: Checkpoints::new(&configuration, record.snapshots),
            concluding: None,
            spec: record.spec,
        }
    }

    fn remember_end(&mut self, status: JobStatus, unix_millis: i64) {
        use super::task::TaskState;
        let state = if status == JobStatus::Finished { TaskState::Finished } else { TaskState::Canceled };
        self.execution.advance_all(state, unix_millis);
        self.history = History::new(status, unix_millis);
        self.ended = Some(unix_millis);
        self.phase = Phase::Ended;
    }

    /// What never changes of it.
    #[must_use]
    pub const fn spec(&self) -> &Arc<JobSpec> {
        &self.spec
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.spec.id
    }

    /// The version of its record.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Its present attempt; 0 before the first.
    #[must_use]
    pub const fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// What it waits for.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Its state, and when it entered which.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// The tasks of the present (or last) attempt.
    #[must_use]
    pub const fn execution(&self) -> &ExecutionGraph {
        &self.execution
    }

    /// Its failures.
    #[must_use]
    pub const fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    /// Its restart strategy.
    #[must_use]
    pub const fn strategy(&self) -> &restart::Strategy {
        &self.strategy
    }

    /// How often it was started again.
    #[must_use]
    pub const fn restarts(&self) -> u32 {
        self.restarts
    }

    /// When it ended, in Unix milliseconds.
    #[must_use]
    pub const fn ended(&self) -> Option<i64> {
        self.ended
    }

    /// Its record as it must be written now.
    #[must_use]
    pub fn record(&self) -> JobRecord {
        let stage = match &self.phase {
            Phase::Recording(sinks) | Phase::Committing { sinks, .. } => Stage::Committing(sinks.clone()),
            Phase::Closing(status) => {
                Stage::Ended { status: *status, unix_millis: self.ended.unwrap_or_default() }
            }
            Phase::Ended => {
                Stage::Ended { status: self.history.current(), unix_millis: self.ended.unwrap_or_default() }
            }
            _ => self.concluding.clone().map_or(Stage::Active, Stage::Committing),
        };
        JobRecord {
            spec: Arc::clone(&self.spec),
            splits: Arc::clone(&self.splits),
            attempt: self.attempt,
            stage,
            snapshots: self.checkpoints.record(),
            exceptions: self.exceptions.iter().cloned().collect(),
        }
    }

    /// How many slots it wants now, and which it had on which hosts; `None` unless it waits for slots.
    #[must_use]
    pub fn wants_slots(&self) -> Option<(u32, Previous<'_>)> {
        let previous = Previous { slots: self.execution.placement(), hosts: &self.hosts };
        matches!(self.phase, Phase::Waiting { .. }).then(|| (self.spec.graph.required_slots(), previous))
    }

    /// There weren't enough slots.
    pub fn short(&mut self, missing: Shortage) {
        if let Phase::Waiting { shortage, .. } = &mut self.phase {
            *shortage = Some(missing);
        }
    }

    /// It got slots: its next attempt begins with being recorded.
    pub fn place(&mut self, placement: Vec<Slot>, hosts: Vec<String>, now: Now, effects: &mut Vec<Effect>) {
        debug_assert!(matches!(self.phase, Phase::Waiting { .. }));
        self.attempt = self.attempt.next();
        if let Some(partial) = &self.partial {
            self.execution.restart(&partial.vertices, self.attempt, placement, now.unix_millis);
        } else {
            self.execution = ExecutionGraph::new(&self.spec.graph, self.attempt, now.unix_millis);
            self.execution.scheduled(placement, now.unix_millis);
        }
        self.hosts = hosts;
        self.checkpoints.reserve_ids();
        self.phase = Phase::Allocating;
        self.writes.want(Reason::Phase, effects);
    }

    /// Someone wants it cancelled.
    pub fn cancel(&mut self, now: Now, effects: &mut Vec<Effect>) -> Result<()> {
        let too_late = |what: &str| {
            Err(Error::new(
                Code::InvalidArgument,
                format!("job {} can't be cancelled: it {what}", self.spec.id),
            ))
        };
        match &self.phase {
            Phase::Ended | Phase::Closing(_) if self.history.current() == JobStatus::Canceled => Ok(()),
            Phase::Ended => too_late(&format!("is {} already", self.history.current().as_str())),
            Phase::Closing(JobStatus::Canceled) => Ok(()),
            Phase::Closing(status) => too_late(&format!("is about to be {}", status.as_str())),
            _ if self.concluding.is_some() => too_late("stops behind a savepoint that is complete"),
            Phase::Recording(_) | Phase::Committing { .. } => {
                too_late("has finished and is making its results visible")
            }
            Phase::Waiting { .. } | Phase::Backoff { .. } => {
                self.history.set(JobStatus::Cancelling, now.unix_millis);
                self.go_on(Next::End(JobStatus::Canceled), now, effects);
                Ok(())
            }
            Phase::Allocating | Phase::Recovering { .. } if self.ends_soon() => Ok(()),
            Phase::Allocating | Phase::Recovering { retry_at: None, .. } => {
                self.history.set(JobStatus::Cancelling, now.unix_millis);
                self.cancel_requested = true;
                Ok(())
            }
            Phase::Recovering { .. } => {
                self.history.set(JobStatus::Cancelling, now.unix_millis);
                self.give_up_slots(Next::End(JobStatus::Canceled), now, effects);
                Ok(())
            }
            Phase::Running { .. } => {
                self.history.set(JobStatus::Cancelling, now.unix_millis);
                self.stop(Next::End(JobStatus::Canceled), now, effects);
                Ok(())
            }
            Phase::Stopping { next: Next::End(_), .. } | Phase::Aborting(_) => Ok(()),
            Phase::Stopping { .. } if self.partial.is_some() => {
                self.history.set(JobStatus::Cancelling, now.unix_millis);
                self.stop(Next::End(JobStatus::Canceled), now, effects);
                Ok(())
            }
            Phase::Stopping { .. } => {
                self.history.set(JobStatus::Cancelling, now.unix_millis);
                if let Phase::Stopping { next, .. } = &mut self.phase {
                    *next = Next::End(JobStatus::Canceled);
                }
                Ok(())
            }
        }
    }

    /// The JobManager stops; the record lets the next one go on.
    pub fn suspend(&mut self, now: Now) {
        if !self.history.current().is_terminal() {
            self.history.set(JobStatus::Suspended, now.unix_millis);
        }
    }

    /// When [`Job::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let is_running = matches!(self.phase, Phase::Running { .. });
        let while_running = is_running.then(|| [self.discovery.deadline(), self.checkpoints.deadline()]);
        let always = [self.phase.deadline(), self.writes.deadline()];
        always.into_iter().chain(while_running.into_iter().flatten()).flatten().min()
    }

    /// Time has passed. `random` is uniform in `0.0..1.0`.
    pub fn tick(&mut self, now: Now, random: f64, effects: &mut Vec<Effect>) {
        if self.phase.deadline().is_some_and(|deadline| now.reached(deadline)) {
            self.phase_is_due(now, random, effects);
        }
        self.writes.tick(now, effects);
        self.look_for_splits(now, effects);
        self.look_after_checkpoints(now, random, effects);
    }

    fn phase_is_due(&mut self, now: Now, random: f64, effects: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Waiting { shortage, .. } => {
                let missing = shortage.map_or_else(String::new, |shortage| format!(": {shortage}"));
                let seconds = self.limits.slot_timeout.as_secs_f64();
                let message = format!(
                    "no slots within {seconds} s (slot.request.timeout) for job '{}'{missing}; start TaskManagers or lower \
                     the parallelism",
                    self.spec.name
                );
                self.starved(
                    Exception::of_job(Code::NoSlots, message, now.unix_millis),
                    now,
                    random,
                    effects,
                );
            }
            Phase::Running { deploy_deadline } => {
                *deploy_deadline = u64::MAX;
                if self.execution.is_deploying() {
                    self.deploy_timed_out(now, random, effects);
                }
            }
            Phase::Stopping { .. } => self.stopped(now, effects),
            Phase::Backoff { .. } => self.wait_for_slots(now),
            Phase::Committing { retry_at, sinks, .. } => {
                *retry_at = None;
                let sinks = sinks.clone();
                effects.push(Effect::Commit(self.attempt, None, sinks));
            }
            Phase::Recovering { retry_at, .. } => {
                *retry_at = None;
                effects.push(Effect::Recover(Box::new(self.recovery())));
            }
            Phase::Allocating
            | Phase::Recording(_)
            | Phase::Closing(_)
            | Phase::Aborting(_)
            | Phase::Ended => {}
        }
    }
}
