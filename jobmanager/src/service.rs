//! The shell around the core: one task that feeds it events and does what it says.
//!
//! Invariant: the core is touched by this task only, one event at a time, and the task never waits for the outside: writes,
//! commits and aborts run as tasks of their own that it owns, and answer with events. When it ends they end.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_api::clock::Clock;
use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, JobId, LeaderEpoch};

use crate::commit::Sinks;
use crate::control::Core;
use crate::control::checkpoint::Kind;
use crate::control::event::{Action, Event, ManagerInfo, SessionId};
use crate::control::job::record::JobRecord;
use crate::control::job::{Failure, Version};
use crate::control::now::Now;
use crate::discover::Question;
use crate::metadata::{Metadata, encoding};
use crate::session::Outbound;
use crate::snapshots::{JobPlan, Snapshots};

/// Events that may wait.
const QUEUE: usize = 1_024;

type Look = Box<dyn FnOnce(&Core, Now) + Send>;

enum Command {
    Event(Event),
    Register(SessionId, LeaderEpoch, ManagerInfo, Outbound),
    Ask(Look),
    Cancel(JobId, oneshot::Sender<Result<()>>),
    Request(JobId, Kind, oneshot::Sender<Result<()>>),
}

/// Talks to the service.
#[derive(Clone)]
pub(crate) struct Client {
    commands: mpsc::Sender<Command>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

fn gone() -> Error {
    Error::new(Code::Io, "the JobManager is shutting down")
}

impl Client {
    /// Hands over an event.
    pub(crate) async fn event(&self, event: Event) -> Result<()> {
        self.commands.send(Command::Event(event)).await.map_err(|_| gone())
    }

    /// A TaskManager wants to join.
    pub(crate) async fn register(
        &self,
        session: SessionId,
        epoch: LeaderEpoch,
        info: ManagerInfo,
        outbound: Outbound,
    ) -> Result<()> {
        let command = Command::Register(session, epoch, info, outbound);
        self.commands.send(command).await.map_err(|_| gone())
    }

    /// Looks at the core.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Core, Now) -> T + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let question: Look = Box::new(move |core, now| {
            // Whoever asked may be gone.
            let _ = reply.send(question(core, now));
        });
        self.commands.send(Command::Ask(question)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    /// Cancels a job.
    pub(crate) async fn cancel(&self, job: JobId) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Cancel(job, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Asks for a checkpoint, a savepoint or a stop; `Job::operation` says what becomes of it.
    pub(crate) async fn request(&self, job: JobId, kind: Kind) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Request(job, kind, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// The task that owns the core.
pub(crate) struct Service {
    core: Core,
    clock: Arc<dyn Clock>,
    metadata: Arc<dyn Metadata>,
    snapshots: Snapshots,
    commands: mpsc::Receiver<Command>,
    sessions: HashMap<SessionId, Outbound>,
    work: JoinSet<Event>,
    shutdown: CancellationToken,
}

impl Service {
    /// A service around a core that isn't running yet.
    pub(crate) fn new(
        core: Core,
        clock: Arc<dyn Clock>,
        metadata: Arc<dyn Metadata>,
        snapshots: Snapshots,
        shutdown: CancellationToken,
    ) -> (Self, Client) {
        let (commands_in, commands) = mpsc::channel(QUEUE);
        let service = Self {
            core,
            clock,
            metadata,
            snapshots,
            commands,
            sessions: HashMap::new(),
            work: JoinSet::new(),
            shutdown,
        };
        (service, Client { commands: commands_in })
    }

    /// Runs until the shutdown token is cancelled or another leader takes over; that is the error.
    pub(crate) async fn run(mut self, first: Vec<Action>) -> Result<()> {
        let mut result = self.perform(first);
        while result.is_ok() {
            let wait = self.core.next_deadline().saturating_sub(self.clock.monotonic_millis());
            result = tokio::select! {
                () = self.shutdown.cancelled() => break,
                Some(command) = self.commands.recv() => self.command(command),
                Some(done) = self.work.join_next(), if !self.work.is_empty() => match done {
                    Ok(event) => self.event(event),
                    Err(error) => Err(Error::internal("a task of the JobManager panicked").with_source(error)),
                },
                () = tokio::time::sleep(Duration::from_millis(wait)) => self.event(Event::Tick),
            };
        }
        self.shutdown.cancel();
        let last = self.core.suspend(self.now());
        let _ = self.perform(last);
        result
    }

    fn now(&self) -> Now {
        Now::of(self.clock.as_ref())
    }

    fn command(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Event(event) => self.event(event),
            Command::Register(session, epoch, info, outbound) => {
                self.sessions.insert(session, outbound);
                self.event(Event::Register { session, epoch, info })
            }
            Command::Ask(question) => {
                question(&self.core, self.now());
                Ok(())
            }
            Command::Cancel(job, reply) => {
                let result = match self.core.cancel(job, self.now()) {
                    Ok(actions) => {
                        self.perform(actions)?;
                        Ok(())
                    }
                    Err(error) => Err(error),
                };
                let _ = reply.send(result);
                Ok(())
            }
            Command::Request(job, kind, reply) => {
                let result = match self.core.request(job, kind, self.now()) {
                    Ok(actions) => {
                        self.perform(actions)?;
                        Ok(())
                    }
                    Err(error) => Err(error),
                };
                let _ = reply.send(result);
                Ok(())
            }
        }
    }

    fn event(&mut self, event: Event) -> Result<()> {
        if let Event::SessionEnded { session, reason } = &event {
            self.close(*session, reason.clone());
        }
        if let Event::Persisted { job, result: Err(failure) } = &event {
            tracing::error!(%job, code = %failure.code, error = failure.message, "metadata can't be written");
        }
        if let Event::Recovered { job, attempt, result: Ok(_) } = &event {
            let found = self.core.job(*job).map(|job| job.execution().oldest_attempt());
            self.collect(*job, (found.unwrap_or_default(), *attempt));
        }
        let actions = self.core.handle(event, self.now());
        self.perform(actions)
    }

    /// Does what the core wants; whom nothing can be sent to is lost, which may bring more to do.
    fn perform(&mut self, actions: Vec<Action>) -> Result<()> {
        let mut slow = Vec::new();
        for action in actions {
            match action {
                Action::Send(session, message) => {
                    let sent = self.sessions.get(&session).map(|outbound| outbound.push(*message));
                    if matches!(sent, Some(Err(_))) {
                        slow.push(session);
                    }
                }
                Action::Close(session, reason) => self.close(session, reason),
                Action::StepDown(reason) => return Err(Error::new(Code::Fenced, reason)),
                Action::Persist { record, expected } => self.persist(*record, expected),
                Action::Delete(job, version) => self.delete(job, version),
                Action::Discover { job, vertex, known } => {
                    let graph = Arc::clone(&self.core.job(job)?.spec().graph);
                    let registry = self.snapshots.connectors().clone();
                    let question = Question { registry, graph, vertex, known };
                    self.work.spawn(async move {
                        let result = guarded(question.ask()).await;
                        let result = result.map_err(|error| Failure::from(&error));
                        Event::Discovered { job, vertex, result }
                    });
                }
                snapshots => self.spawn(snapshots)?,
            }
        }
        for session in slow {
            let reason = "it doesn't take what it is sent".to_owned();
            self.event(Event::SessionEnded { session, reason })?;
        }
        Ok(())
    }

    /// Begins what concerns a job's snapshots and sinks; each answers with an event.
    fn spawn(&mut self, action: Action) -> Result<()> {
        let snapshots = self.snapshots.clone();
        match action {
            Action::Commit { job, attempt, checkpoint, sinks } => {
                let found = Sinks { snapshots, plan: self.plan(job)? };
                self.work.spawn(async move {
                    let turn = found.snapshots.turn(job).await;
                    let result = guarded(found.commit(attempt, checkpoint, sinks)).await;
                    drop(turn);
                    let result = result.map_err(|error| Failure::from(&error));
                    Event::Committed { job, attempt, checkpoint, result }
                });
            }
            Action::Recover { job, attempt, recovery } => {
                let plan = self.plan(job)?;
                self.work.spawn(async move {
                    let result = guarded(snapshots.recover(&plan, &recovery)).await;
                    let result = result.map_err(|error| Failure::from(&error));
                    Event::Recovered { job, attempt, result }
                });
            }
            Action::Abort { job, attempt, recovery } => {
                let plan = self.plan(job)?;
                self.work.spawn(async move {
                    if let Err(error) = guarded(snapshots.conclude(&plan, &recovery)).await {
                        tracing::error!(%job, %attempt, error = error.chain(), "uncommitted output stays");
                    }
                    Event::Aborted { job, attempt }
                });
            }
            Action::WriteSnapshot { job, write, .. } => {
                let plan = self.plan(job)?;
                let checkpoint = write.checkpoint;
                self.work.spawn(async move {
                    let result = guarded(snapshots.write(&plan, *write)).await;
                    let result = result.map_err(|error| Failure::from(&error));
                    Event::SnapshotWritten { job, checkpoint, result }
                });
            }
            Action::Discard { job, attempts, discard } => {
                // One that was forgotten meanwhile leaves its files.
                let (Ok(plan), now_millis) = (self.plan(job), self.clock.unix_millis()) else {
                    return Ok(());
                };
                self.work.spawn(async move {
                    let discarded = snapshots.discard(&plan, attempts, discard, now_millis);
                    if let Err(error) = guarded(discarded).await {
                        tracing::warn!(%job, error = error.chain(), "files of a checkpoint stay for now");
                    }
                    Event::Tick
                });
            }
            // The others are done where they are met.
            _ => {}
        }
        Ok(())
    }

    /// Removes what earlier attempts left, beside the one that begins.
    fn collect(&mut self, job: JobId, attempts: (Attempt, Attempt)) {
        let (Ok(plan), now_millis) = (self.plan(job), self.clock.unix_millis()) else { return };
        let snapshots = self.snapshots.clone();
        self.work.spawn(async move {
            if let Err(error) = guarded(snapshots.collect(&plan, attempts, now_millis)).await {
                tracing::warn!(%job, error = error.chain(), "orphans of checkpoints stay for now");
            }
            Event::Tick
        });
    }

    fn persist(&mut self, record: JobRecord, expected: Version) {
        let (metadata, epoch) = (Arc::clone(&self.metadata), self.core.epoch());
        self.work.spawn(async move {
            let job = record.spec.id;
            let bytes = encoding::encode(&record);
            let result = guarded(metadata.put(epoch, job, Some(expected), bytes)).await;
            Event::Persisted { job, result: result.map_err(|error| Failure::from(&error)) }
        });
    }

    fn delete(&mut self, job: JobId, version: Version) {
        let (metadata, epoch) = (Arc::clone(&self.metadata), self.core.epoch());
        self.snapshots.forget(job);
        self.work.spawn(async move {
            if let Err(error) = metadata.delete(epoch, job, version).await {
                tracing::warn!(%job, error = error.chain(), "an ended job stays in the metadata");
            }
            Event::Tick
        });
    }

    fn close(&mut self, session: SessionId, reason: String) {
        if let Some(outbound) = self.sessions.remove(&session) {
            tracing::info!(session = session.0, reason, "a session with a TaskManager has ended");
            outbound.refuse(self.core.epoch().0, reason);
        }
    }

    fn plan(&self, id: JobId) -> Result<JobPlan> {
        let job = self.core.job(id)?;
        let base = job.snapshot_places().checkpoints.clone();
        Ok(JobPlan { job: id, graph: Arc::clone(&job.spec().graph), base })
    }
}

/// A connector that panics fails its job, not the JobManager.
async fn guarded<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
        Err(Error::new(Code::TaskPanicked, format!("the JobManager's work for the job panicked: {text}")))
    })
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("sessions", &self.sessions.len()).finish_non_exhaustive()
    }
}
