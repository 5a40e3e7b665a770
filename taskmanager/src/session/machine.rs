//! The session with the JobManager as a state machine: register, heartbeats, commands, loss, and again.
//!
//! ```text
//! Waiting ──due──▶ Dialling ──open──▶ Registering ──Registered──▶ Active
//!    ▲                │ failed            │ refused, silent, ended    │ ended, silent, malformed
//!    ├────────────────┴───────────────────┘                           ▼
//!    └──────────────────────── all tasks have ended ────────────── Draining
//! ```
//!
//! Invariants: commands are obeyed only while active, and only those of the registered leader's epoch; when a session is lost
//! all tasks are cancelled, and no other begins before the last of them has ended. Pure: time, messages and jitter's seed come
//! in, actions go out.

use std::collections::VecDeque;
use std::time::Duration;

use weir_api::error::Code;
use weir_api::id::{Attempt, ExecutionId, JobId, LeaderEpoch, SubtaskIndex, VertexIndex};
use weir_api::{Error, Result};
use weir_proto::v1::{
    AddSplits, CancelTasks, CheckpointAcknowledged, CheckpointDeclined, DeployTasks, JobManagerMessage,
    MetricsReport, Register, Registered, Split, TaskManagerHeartbeat, TaskManagerMessage, TaskStateChanged,
    job_manager_message, task_manager_message,
};

use super::backoff::Backoff;
use super::fence::Fence;
use super::notice;
use crate::region::Region;
use crate::task::checkpoint::Notice;

/// How long the JobManager may take to answer a registration.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(10);
/// What the JobManager may ask for as heartbeat interval and timeout.
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(24 * 3600);

/// What happens to the session.
#[derive(Debug)]
pub enum Event {
    /// Nothing but that time has passed.
    Tick,
    /// The stream that [`Action::Dial`] asked for is open.
    Opened,
    /// It couldn't be opened, or it has ended.
    Ended(String),
    /// The JobManager says something.
    Received(Box<JobManagerMessage>),
    /// A task has changed its state.
    TaskState(Box<TaskStateChanged>),
    /// A task has taken its part of a checkpoint.
    Acknowledged(Box<CheckpointAcknowledged>),
    /// A task couldn't take its part of a checkpoint.
    Declined(Box<CheckpointDeclined>),
    /// Metrics are due to be told.
    Metrics(Box<MetricsReport>),
    /// No task runs.
    Drained,
}

/// What the shell has to do.
#[derive(Debug)]
pub enum Action {
    /// Open a stream to this address.
    Dial(String),
    /// Send this on the stream.
    Send(Box<TaskManagerMessage>),
    /// Give the stream up, if there is one.
    Close,
    /// Start the tasks that are placed here.
    Deploy(JobId, Attempt, Box<DeployTasks>),
    /// Cancel the tasks of attempts up to this in a part of the job, or in all of it.
    Cancel(JobId, Attempt, Region),
    /// Hand splits, which follow the first so many, to a task.
    AddSplits(ExecutionId, usize, Vec<Split>),
    /// Tell all tasks of the job's attempt.
    Checkpoint(JobId, Attempt, Notice),
    /// Cancel every task and say [`Event::Drained`] when the last has ended.
    Drain,
}

enum State {
    Waiting { until: u64 },
    Dialling,
    Registering { deadline: u64 },
    Active(Active),
    Draining,
}

struct Active {
    interval: u64,
    timeout: u64,
    next_beat: u64,
    silent_at: u64,
    sequence: u64,
}

/// The session's state.
pub struct Machine {
    register: Register,
    addresses: VecDeque<String>,
    backoff: Backoff,
    fence: Fence,
    state: State,
}

impl Machine {
    /// A session that dials at its first tick. `addresses` holds one at least; they are tried in turn.
    pub fn new(register: Register, addresses: Vec<String>, backoff: Backoff) -> Self {
        Self {
            register,
            addresses: addresses.into(),
            backoff,
            fence: Fence::default(),
            state: State::Waiting { until: 0 },
        }
    }

    /// When the next [`Event::Tick`] is due, in the milliseconds of `now`.
    pub fn deadline(&self) -> Option<u64> {
        match &self.state {
            State::Waiting { until } => Some(*until),
            State::Dialling | State::Draining => None,
            State::Registering { deadline } => Some(*deadline),
            State::Active(active) => Some(active.next_beat.min(active.silent_at)),
        }
    }

    /// Whether the JobManager hears what is sent.
    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Active(_))
    }

    /// The leader that is obeyed.
    #[cfg(test)]
    pub(crate) fn epoch(&self) -> LeaderEpoch {
        self.fence.epoch()
    }

    /// Takes an event at `now`, in milliseconds that never go back.
    pub fn handle(&mut self, event: Event, now: u64) -> Vec<Action> {
        match (event, &mut self.state) {
            (Event::Tick, _) => self.tick(now),
            (Event::Opened, State::Dialling) => {
                self.state = State::Registering { deadline: after(now, REGISTRATION_TIMEOUT) };
                vec![self.send(task_manager_message::Body::Register(self.register.clone()))]
            }
            (Event::Ended(reason), _) => self.lose(now, &reason),
            (Event::Received(message), State::Registering { .. } | State::Active(_)) => {
                self.receive(*message, now).unwrap_or_else(|error| self.lose(now, &error.chain()))
            }
            (Event::TaskState(state), State::Active(_)) => {
                vec![self.send(task_manager_message::Body::TaskState(*state))]
            }
            (Event::Acknowledged(acknowledged), State::Active(_)) => {
                vec![self.send(task_manager_message::Body::CheckpointAcknowledged(*acknowledged))]
            }
            (Event::Declined(declined), State::Active(_)) => {
                vec![self.send(task_manager_message::Body::CheckpointDeclined(*declined))]
            }
            (Event::Metrics(report), State::Active(_)) => {
                vec![self.send(task_manager_message::Body::Metrics(*report))]
            }
            (Event::Drained, State::Draining) => {
                self.wait(now);
                Vec::new()
            }
            // What is told to nobody, and what comes of a stream that was given up.
            (
                Event::Opened
                | Event::Received(_)
                | Event::TaskState(_)
                | Event::Acknowledged(_)
                | Event::Declined(_)
                | Event::Metrics(_)
                | Event::Drained,
                _,
            ) => Vec::new(),
        }
    }

    fn tick(&mut self, now: u64) -> Vec<Action> {
        match &mut self.state {
            State::Waiting { until } if now >= *until => {
                self.state = State::Dialling;
                self.addresses.rotate_left(1);
                let address = self.addresses.back().cloned().unwrap_or_default();
                vec![Action::Dial(address)]
            }
            State::Registering { deadline } if now >= *deadline => {
                self.lose(now, "the JobManager doesn't answer the registration")
            }
            State::Active(active) if now >= active.silent_at => {
                let reason = format!("the JobManager has been silent for {} ms", active.timeout);
                self.lose(now, &reason)
            }
            State::Active(active) if now >= active.next_beat => {
                active.next_beat = now.saturating_add(active.interval);
                active.sequence += 1;
                let sequence = active.sequence;
                vec![self.send(task_manager_message::Body::Heartbeat(TaskManagerHeartbeat { sequence }))]
            }
            _ => Vec::new(),
        }
    }

    /// The stream is gone or must go.
    fn lose(&mut self, now: u64, reason: &str) -> Vec<Action> {
        match &self.state {
            State::Active(_) => {
                tracing::warn!(reason, "the session with the JobManager is lost; all tasks are cancelled");
                self.state = State::Draining;
                vec![Action::Close, Action::Drain]
            }
            State::Dialling | State::Registering { .. } => {
                tracing::warn!(reason, "can't register with the JobManager; trying again");
                self.wait(now);
                vec![Action::Close]
            }
            State::Waiting { .. } | State::Draining => Vec::new(),
        }
    }

    fn wait(&mut self, now: u64) {
        self.state = State::Waiting { until: after(now, self.backoff.next()) };
    }

    fn receive(&mut self, message: JobManagerMessage, now: u64) -> Result<Vec<Action>> {
        use job_manager_message::Body;
        let epoch = LeaderEpoch(message.leader_epoch);
        let body = message.body.ok_or_else(|| malformed("a message without a body"))?;
        let active = match (&mut self.state, body) {
            (_, Body::Refused(refused)) => {
                return Err(Error::new(
                    Code::Fenced,
                    format!("the JobManager refuses this TaskManager: {}", refused.reason),
                ));
            }
            (State::Registering { .. }, Body::Registered(registered)) => {
                return self.activate(epoch, registered, now);
            }
            (State::Active(active), body) => (active, body),
            _ => return Err(malformed("a command before the registration was answered")),
        };
        let (active, body) = active;
        if !self.fence.is_leader(epoch) {
            tracing::warn!(%epoch, leader = %self.fence.epoch(), "dropped a message of another leader");
            return Ok(Vec::new());
        }
        active.silent_at = now.saturating_add(active.timeout);
        match body {
            Body::Registered(_) => Err(malformed("a second answer to the registration")),
            Body::Refused(_) | Body::Heartbeat(_) => Ok(Vec::new()),
            Body::Deploy(deploy) => self.deploy(deploy),
            Body::Cancel(cancel) => self.cancel(cancel),
            Body::AddSplits(add) => add_splits(add),
            Body::TriggerCheckpoint(message) => notice::trigger(message).map(|notice| self.notify(notice)),
            Body::CheckpointComplete(message) => notice::complete(&message).map(|notice| self.notify(notice)),
            Body::AbortCheckpoint(message) => notice::abort(&message).map(|notice| self.notify(notice)),
        }
    }

    fn activate(&mut self, epoch: LeaderEpoch, registered: Registered, now: u64) -> Result<Vec<Action>> {
        let Registered { heartbeat_interval_millis: interval, heartbeat_timeout_millis: timeout } =
            registered;
        let longest = LONGEST_HEARTBEAT.as_millis() as u64;
        if interval == 0 || timeout <= interval || timeout > longest {
            return Err(malformed(&format!("heartbeats every {interval} ms with a timeout of {timeout} ms")));
        }
        self.fence.follow(epoch)?;
        self.backoff.reset();
        tracing::info!(%epoch, "registered with the JobManager");
        self.state = State::Active(Active {
            interval,
            timeout,
            next_beat: now.saturating_add(interval),
            silent_at: now.saturating_add(timeout),
            sequence: 0,
        });
        Ok(Vec::new())
    }

    fn deploy(&mut self, deploy: DeployTasks) -> Result<Vec<Action>> {
        let (job, attempt) = job_attempt(&deploy.job_id, deploy.attempt)?;
        if let Err(error) = self.fence.deploy(job, attempt, deploy.vertices.is_empty()) {
            tracing::warn!(%job, %attempt, error = error.message(), "refused a deployment");
            return Ok(Vec::new());
        }
        Ok(vec![Action::Deploy(job, attempt, Box::new(deploy))])
    }

    fn cancel(&mut self, cancel: CancelTasks) -> Result<Vec<Action>> {
        let (job, attempt) = job_attempt(&cancel.job_id, cancel.attempt)?;
        let region = Region::new(cancel.vertices, cancel.edges);
        self.fence.cancel(job, attempt, region.is_whole());
        Ok(vec![Action::Cancel(job, attempt, region)])
    }

    fn notify(&self, (job, attempt, notice): (JobId, Attempt, Notice)) -> Vec<Action> {
        if !self.fence.is_current(job, attempt) {
            tracing::debug!(%job, %attempt, ?notice, "dropped what concerns another attempt");
            return Vec::new();
        }
        vec![Action::Checkpoint(job, attempt, notice)]
    }

    fn send(&self, body: task_manager_message::Body) -> Action {
        Action::Send(Box::new(TaskManagerMessage { leader_epoch: self.fence.epoch().0, body: Some(body) }))
    }
}

pub(super) fn job_attempt(job: &[u8], attempt: u32) -> Result<(JobId, Attempt)> {
    let job = JobId::try_from_slice(job)?;
    if attempt == 0 {
        return Err(malformed("attempt 0, where attempts are counted from 1"));
    }
    Ok((job, Attempt(attempt)))
}

/// Whether the task still runs is the executor's to know.
fn add_splits(add: AddSplits) -> Result<Vec<Action>> {
    let task = add.task.ok_or_else(|| malformed("splits for no task"))?;
    let (job, attempt) = job_attempt(&task.job_id, task.attempt)?;
    let (vertex, subtask) = (VertexIndex(task.vertex), SubtaskIndex(task.subtask));
    let task = ExecutionId { job, attempt, vertex, subtask };
    Ok(vec![Action::AddSplits(task, add.first as usize, add.splits)])
}

pub(super) fn malformed(what: &str) -> Error {
    Error::new(Code::MalformedMessage, format!("the JobManager sent {what}"))
}

fn after(now: u64, wait: Duration) -> u64 {
    now.saturating_add(wait.as_millis() as u64)
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
