//! A task's part in checkpoints: does what the state machine says, on the slot's thread, without waiting.
//!
//! What comes by the mailbox goes to [`Machine`], and what it answers is done to the task's parts: barriers go into the chain, what
//! was frozen to the uploader, reports to the session. Invariant: reports leave in the order in which they were made; while the
//! session takes none they wait here, as many as the machine has snapshots.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::PollSender;
use weir_api::clock::Clock;
use weir_api::element::{Barrier, StreamElement};
use weir_api::fail_point::FailPoint;
use weir_api::id::CheckpointId;
use weir_api::sink::Committable;
use weir_api::watermark::Watermark;
use weir_api::{Error, Result};
use weir_proto::v1::{CheckpointAcknowledged, CheckpointDeclined, Split, TaskSnapshot};

use super::chain::Chain;
use super::checkpoint::{Action, Event, Machine};
use super::head::Head;
use super::mailbox::{Letter, Mailbox};
use super::metrics::TaskMetrics;
use super::tail::Tail;
use crate::deploy::{Report, subtask_id};
use crate::snapshot::{Chains, Job, Owner, Stores, Uploaded, Uploader};

type Actions = Vec<Action<Vec<Committable>, TaskSnapshot>>;

/// See the module.
pub(crate) struct Control {
    owner: Owner,
    machine: Machine<Vec<Committable>, TaskSnapshot>,
    mailbox: Mailbox,
    uploader: Option<Uploader>,
    /// What the uploader begins with.
    chains: Option<Chains>,
    stores: Arc<Stores>,
    io: tokio::runtime::Handle,
    clock: Arc<dyn Clock>,
    metrics: Arc<TaskMetrics>,
    reports: PollSender<Report>,
    outbox: VecDeque<Report>,
    times: BTreeMap<CheckpointId, Times>,
    finished: Option<Vec<(CheckpointId, Vec<Committable>)>>,
}

/// What a checkpoint took so far.
#[derive(Clone, Copy)]
struct Times {
    alignment: Duration,
    freeze: Duration,
    frozen_at: Instant,
}

/// What a control is made of.
pub(crate) struct Parts {
    pub(crate) owner: Owner,
    pub(crate) machine: Machine<Vec<Committable>, TaskSnapshot>,
    pub(crate) mailbox: Mailbox,
    pub(crate) stores: Arc<Stores>,
    pub(crate) io: tokio::runtime::Handle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<TaskMetrics>,
    pub(crate) reports: tokio::sync::mpsc::Sender<Report>,
}

/// The parts of a task that a checkpoint concerns.
pub(crate) struct Body<'a> {
    pub(crate) head: &'a mut Head,
    pub(crate) chain: &'a mut Chain,
    pub(crate) tail: &'a mut Tail,
}

impl Control {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { owner, machine, mailbox, stores, io, clock, metrics, reports } = parts;
        Self {
            owner,
            machine,
            mailbox,
            uploader: None,
            chains: None,
            stores,
            io,
            clock,
            metrics,
            reports: PollSender::new(reports),
            outbox: VecDeque::new(),
            times: BTreeMap::new(),
            finished: None,
        }
    }

    /// The state is made of these layers: checkpoints may build on them.
    pub(crate) fn adopt(&mut self, chains: Chains) {
        self.chains = Some(chains);
        self.machine.handle(Event::Adopted);
    }

    /// The state is there: the task may begin.
    pub(crate) fn restored(&mut self, body: &mut Body<'_>) -> Result<()> {
        FailPoint::RestoreDone.pass()?;
        let actions = self.machine.handle(Event::Restored);
        self.perform(actions, None, body)
    }

    /// Attends to what has come by the mailbox, and sends what is to be said. The task is woken when there is more.
    pub(crate) fn attend(&mut self, body: &mut Body<'_>, cx: &mut Context<'_>) -> Result<()> {
        for letter in self.mailbox.letters(cx) {
            let event = match letter {
                Letter::Notice(notice) => Event::from(notice),
                Letter::Uploaded(uploaded) => {
                    let Uploaded { checkpoint, result, kept } = *uploaded;
                    if kept {
                        self.machine.handle(Event::Kept(checkpoint));
                    }
                    if let Some(uploader) = &mut self.uploader {
                        uploader.ended(checkpoint);
                    }
                    Event::Uploaded { checkpoint, result }
                }
            };
            let actions = self.machine.handle(event);
            self.perform(actions, None, body)?;
        }
        if self.flush(cx) {
            FailPoint::Acknowledged.pass()?;
        }
        Ok(())
    }

    /// Lets a source's barrier in, if one is due and may come now.
    pub(crate) fn emit(&mut self, body: &mut Body<'_>) -> Result<bool> {
        if !self.machine.has_barrier() {
            return Ok(false);
        }
        let Some(splits) = body.head.capture()? else { return Ok(false) };
        FailPoint::BarrierReceived.pass()?;
        let actions = self.machine.handle(Event::Ready);
        self.perform(actions, Some(splits), body)?;
        Ok(true)
    }

    /// The barrier has come on all inputs.
    pub(crate) fn aligned(&mut self, barrier: Barrier, body: &mut Body<'_>) -> Result<()> {
        let actions = self.machine.handle(Event::Aligned(barrier));
        self.perform(actions, None, body)
    }

    /// Whether a sink prepares at this barrier.
    pub(crate) fn freezes(&self, checkpoint: CheckpointId) -> bool {
        self.machine.freezes(checkpoint)
    }

    /// The barrier has come out.
    pub(crate) fn passed(
        &mut self,
        checkpoint: CheckpointId,
        prepared: Option<Vec<Committable>>,
        body: &mut Body<'_>,
    ) -> Result<()> {
        self.look_what_is_committed(body.tail);
        let actions = self.machine.handle(Event::Passed { checkpoint, prepared });
        self.perform(actions, None, body)
    }

    /// What the output at the end of input belongs to.
    pub(crate) const fn last_checkpoint(&self) -> CheckpointId {
        self.machine.last_checkpoint()
    }

    /// The newest checkpoint whose barrier the task has met.
    pub(crate) const fn newest(&self) -> CheckpointId {
        self.machine.newest()
    }

    /// The end of input is out.
    pub(crate) fn ended(&mut self, prepared: Option<Vec<Committable>>, body: &mut Body<'_>) -> Result<()> {
        self.look_what_is_committed(body.tail);
        let actions = self.machine.handle(Event::Ended { prepared });
        self.perform(actions, None, body)
    }

    /// Ready when everything is said: what the sink prepared that isn't known to be committed, and the position of the sink.
    pub(crate) fn poll_finished(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Vec<(CheckpointId, Vec<Committable>)>> {
        self.flush(cx);
        match self.finished.take_if(|_| self.outbox.is_empty()) {
            Some(prepared) => Poll::Ready(prepared),
            None => Poll::Pending,
        }
    }

    /// Whether elements may come in.
    pub(crate) fn takes_input(&self) -> bool {
        self.machine.takes_input()
    }

    /// Whose checkpoints these are.
    pub(crate) const fn owner(&self) -> &Owner {
        &self.owner
    }

    fn look_what_is_committed(&mut self, tail: &Tail) {
        let committed = tail.committed(self.machine.completed());
        self.machine.handle(Event::Committed(committed));
    }

    fn perform(
        &mut self,
        actions: Actions,
        mut splits: Option<Vec<Split>>,
        body: &mut Body<'_>,
    ) -> Result<()> {
        for action in actions {
            match action {
                Action::Start => {}
                Action::EndTime => {
                    let end = StreamElement::Watermark(Watermark::MAX);
                    body.chain.push(0, end.into());
                }
                Action::Snapshot { barrier, scope } => {
                    let checkpoint = self.note_start(barrier, body.head.take_alignment());
                    body.head.remember(checkpoint);
                    body.chain.snapshots().begin(checkpoint, scope, splits.take());
                    body.chain.push(0, StreamElement::Barrier(barrier).into());
                }
                Action::Pass(barrier) => body.chain.push(0, StreamElement::Barrier(barrier).into()),
                Action::Upload { checkpoint, savepoint, prepared, .. } => {
                    self.upload(checkpoint, savepoint, prepared, body.chain)?;
                }
                Action::Cancel(checkpoint) => {
                    body.chain.snapshots().take(checkpoint);
                    self.times.remove(&checkpoint);
                    if let Some(uploader) = &mut self.uploader {
                        uploader.cancel(checkpoint);
                    }
                }
                Action::Release(checkpoint) => body.head.cancel(checkpoint),
                Action::Acknowledge { checkpoint, part } => self.acknowledge(checkpoint, part),
                Action::Decline { checkpoint, reason } => self.decline(checkpoint, reason),
                Action::Complete(checkpoint) => {
                    FailPoint::CompleteReceived.pass()?;
                    body.head.complete(checkpoint);
                    body.tail.commit(checkpoint)?;
                    self.look_what_is_committed(body.tail);
                }
                Action::Finish { prepared } => self.finished = Some(prepared),
            }
        }
        Ok(())
    }

    fn note_start(&mut self, barrier: Barrier, alignment: Duration) -> CheckpointId {
        let checkpoint = CheckpointId(barrier.checkpoint_id);
        let since = self.clock.unix_millis().saturating_sub(barrier.timestamp_millis);
        let delay = Duration::from_millis(since.max(0) as u64).saturating_sub(alignment);
        self.metrics.checkpoints.begin(delay, alignment);
        let times = Times { alignment, freeze: Duration::ZERO, frozen_at: Instant::now() };
        self.times.insert(checkpoint, times);
        checkpoint
    }

    fn upload(
        &mut self,
        checkpoint: CheckpointId,
        savepoint: Option<String>,
        prepared: Vec<(CheckpointId, Vec<Committable>)>,
        chain: &mut Chain,
    ) -> Result<()> {
        let snapshot = chain.snapshots().take(checkpoint);
        let snapshot = snapshot.ok_or_else(|| {
            Error::internal(format!("checkpoint {checkpoint} is to be written and nobody has frozen for it"))
        })?;
        self.metrics.checkpoints.frozen(snapshot.freeze, chain.state_bytes());
        if let Some(times) = self.times.get_mut(&checkpoint) {
            *times = Times { freeze: snapshot.freeze, frozen_at: Instant::now(), ..*times };
        }
        let start = || {
            let (stores, mailbox) = (Arc::clone(&self.stores), self.mailbox.clone());
            let chains = self.chains.take().unwrap_or_default();
            Uploader::start(self.owner.clone(), stores, chains, mailbox, &self.io)
        };
        self.uploader.get_or_insert_with(start).begin(Job { snapshot, savepoint, prepared });
        Ok(())
    }

    fn acknowledge(&mut self, checkpoint: CheckpointId, snapshot: TaskSnapshot) {
        let (mut alignment_millis, mut freeze_micros, mut upload_millis) = (0, 0, 0);
        if let Some(times) = self.times.remove(&checkpoint) {
            alignment_millis = times.alignment.as_millis() as u64;
            freeze_micros = times.freeze.as_micros() as u64;
            upload_millis = times.frozen_at.elapsed().as_millis() as u64;
        }
        self.outbox.push_back(Report::Acknowledged(Box::new(CheckpointAcknowledged {
            task: Some(subtask_id(self.owner.task)),
            checkpoint_id: checkpoint.0,
            snapshot: Some(snapshot),
            alignment_millis,
            freeze_micros,
            upload_millis,
        })));
    }

    fn decline(&mut self, checkpoint: CheckpointId, reason: String) {
        self.times.remove(&checkpoint);
        self.outbox.push_back(Report::Declined(Box::new(CheckpointDeclined {
            task: Some(subtask_id(self.owner.task)),
            checkpoint_id: checkpoint.0,
            reason,
        })));
    }

    /// Whether an acknowledgement has left.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        let mut has_acknowledged = false;
        while !self.outbox.is_empty() {
            match self.reports.poll_reserve(cx) {
                Poll::Pending => break,
                // Without a session there is nobody to tell: the process is ending.
                Poll::Ready(Err(_)) => self.outbox.clear(),
                Poll::Ready(Ok(())) => {
                    if let Some(report) = self.outbox.pop_front() {
                        has_acknowledged |= matches!(report, Report::Acknowledged(_));
                        // The place is reserved.
                        let _ = self.reports.send_item(report);
                    }
                }
            }
        }
        has_acknowledged
    }
}
