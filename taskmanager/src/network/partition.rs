//! A result partition: one edge of one producing subtask, cut into subpartitions.
//!
//! Batches wait here until the pool has room for them, are routed, gathered per target into batches worth sending, and queued.
//! They are sent when full, when the consumer is hungry, and on [`ResultPartition::flush`], which the task calls when its
//! buffer timeout has passed. Invariant: elements reach every target in the order in which they were emitted; memory that
//! isn't charged elsewhere in this process is leased from the pool before it is queued, so a slow consumer stops its producer.
//! Lives on the producing task's thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use weir_api::batch::{Batch, Permit};
use weir_api::element::StreamElement;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::Partitioning;

use super::accumulator::{Accumulator, Limits};
use super::charge::Charger;
use super::id::{PartitionId, PartitionSpec};
use super::partitioner::HashPartitioner;
use super::registry::{End, Registry};
use super::subpartition::Subpartition;

/// Rows that make it worth sending to a hungry consumer before the batch is full.
const HUNGRY_ROWS: usize = 1024;

/// The output of one subtask on one edge.
pub struct ResultPartition {
    id: PartitionId,
    registry: Arc<Registry>,
    channels: Vec<Arc<Subpartition>>,
    router: Router,
    accumulators: Vec<Accumulator>,
    limits: Limits,
    charger: Charger,
    columns: usize,
    pending: VecDeque<StreamElement>,
    ended: bool,
}

enum Router {
    /// One target.
    Single,
    /// Batches in turn; the number of the target whose turn it is.
    RoundRobin(usize),
    /// Every batch to every target.
    Broadcast,
    /// By key group.
    Hash(HashPartitioner),
}

/// What keeps a partition from taking more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Blocked {
    /// Nothing.
    No,
    /// A full queue.
    Room,
    /// The pool.
    Memory,
}

impl Router {
    /// Whether rows are copied on their way.
    const fn copies(&self) -> bool {
        match self {
            Self::Hash(partitioner) => partitioner.targets() > 1,
            _ => false,
        }
    }
}

impl ResultPartition {
    pub(crate) fn new(
        spec: &PartitionSpec,
        registry: Arc<Registry>,
        channels: Vec<Arc<Subpartition>>,
        limits: Limits,
        charger: Charger,
    ) -> Result<Self> {
        let router = match &spec.partitioning {
            Partitioning::Broadcast => Router::Broadcast,
            Partitioning::Hash(columns) => Router::Hash(HashPartitioner::new(columns, spec)?),
            _ if channels.len() == 1 => Router::Single,
            Partitioning::Forward => {
                let targets = channels.len();
                return Err(Error::internal(format!("{}: a forward edge with {targets} targets", spec.id)));
            }
            Partitioning::Rebalance | Partitioning::Rescale => {
                Router::RoundRobin(spec.id.subtask.0 as usize % channels.len().max(1))
            }
        };
        let gathered = if matches!(router, Router::Hash(_)) { channels.len() } else { 1 };
        Ok(Self {
            id: spec.id,
            registry,
            channels,
            router,
            accumulators: (0..gathered).map(|_| Accumulator::default()).collect(),
            limits,
            charger,
            columns: spec.schema.fields().len(),
            pending: VecDeque::new(),
            ended: false,
        })
    }

    /// Which partition this is.
    #[must_use]
    pub const fn id(&self) -> PartitionId {
        self.id
    }

    /// Ready when one more batch may be emitted. Call before each [`ResultPartition::emit`].
    ///
    /// Fails when a consumer is lost or the attempt is released.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let blocked = self.drive()?;
        if blocked == Blocked::No {
            return Poll::Ready(Ok(()));
        }
        self.channels.iter().for_each(|channel| channel.register_producer(cx));
        if blocked == Blocked::Memory {
            self.charger.wake_on_release(cx.waker());
        }
        // What changed before the registration has woken nobody.
        match self.drive()? {
            Blocked::No => Poll::Ready(Ok(())),
            Blocked::Memory => {
                self.charger.wake_on_release(cx.waker());
                Poll::Pending
            }
            Blocked::Room => Poll::Pending,
        }
    }

    /// Routes records, or keeps them until there is room; then [`ResultPartition::poll_ready`] is pending.
    ///
    /// One record larger than the network can carry is refused with `RecordTooLarge`.
    pub fn emit(&mut self, batch: Batch) -> Result<()> {
        self.emit_event(StreamElement::Batch(batch))
    }

    /// Sends a watermark, a change of activity, a barrier or the end of input to all targets, after all that was emitted
    /// before.
    pub fn emit_event(&mut self, element: StreamElement) -> Result<()> {
        if self.ended {
            return Err(Error::internal(format!("{}: an element after the end of input", self.id)));
        }
        match &element {
            StreamElement::Batch(batch) => {
                if batch.num_rows() == 0 {
                    return Ok(());
                }
                if batch.records().num_columns() != self.columns {
                    let columns = batch.records().num_columns();
                    return Err(Error::internal(format!(
                        "{}: a batch of {columns} columns where {} belong",
                        self.id, self.columns
                    )));
                }
                self.charger.check_records(batch, &self.id)?;
            }
            StreamElement::EndOfInput => self.ended = true,
            _ => {}
        }
        self.pending.push_back(element);
        self.drive()?;
        Ok(())
    }

    /// Queues everything that was gathered: the buffer timeout has passed.
    pub fn flush(&mut self) -> Result<()> {
        self.drive()?;
        self.flush_roomy()
    }

    /// Queues what was gathered for consumers that have nothing to do. Call when the task is about to wait.
    pub fn flush_hungry(&mut self) -> Result<()> {
        self.drive()?;
        (0..self.accumulators.len())
            .try_for_each(|index| if self.is_hungry(index) { self.send(index) } else { Ok(()) })
    }

    /// Whether rows wait for [`ResultPartition::flush`]: if so, the task's buffer timer must run.
    #[must_use]
    pub fn has_gathered(&self) -> bool {
        self.accumulators.iter().any(|accumulator| !accumulator.is_empty())
    }

    /// Ready when all has been taken by its consumers, after the end of input was emitted.
    pub fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.ended {
            return Poll::Ready(Err(Error::internal(format!("{}: not ended yet", self.id))));
        }
        self.channels.iter().for_each(|channel| channel.register_producer(cx));
        if self.poll_ready(cx)?.is_pending() {
            return Poll::Pending;
        }
        for channel in &self.channels {
            if !channel.is_delivered()? {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// How many batches are queued and not yet taken.
    #[must_use]
    pub fn queue_length(&self) -> usize {
        let gathered = self.accumulators.iter().filter(|accumulator| !accumulator.is_empty()).count();
        gathered + self.pending.len() + self.channels.iter().map(|channel| channel.len()).sum::<usize>()
    }

    /// How much of the memory that this partition may hold is in use, 0 to 100.
    #[must_use]
    pub fn pool_usage_percent(&self) -> u8 {
        self.charger.usage_percent()
    }

    /// Whether records wait for room.
    #[must_use]
    pub fn is_back_pressured(&self) -> bool {
        !self.pending.is_empty() || self.is_blocked()
    }

    /// Moves pending elements on, until nothing is pending and more may come.
    fn drive(&mut self) -> Result<Blocked> {
        for channel in &self.channels {
            if let Some(failure) = channel.failure() {
                return Err(failure.into());
            }
        }
        self.send_full()?;
        while let Some(element) = self.pending.pop_front() {
            match element {
                StreamElement::Batch(batch) => {
                    if self.is_blocked() {
                        self.pending.push_front(StreamElement::Batch(batch));
                        return Ok(Blocked::Room);
                    }
                    let charged = self.charger.charge(batch, self.router.copies())?;
                    if let Some(rest) = charged.rest {
                        self.pending.push_front(StreamElement::Batch(rest));
                    }
                    let Some((rows, permit)) = charged.rows else {
                        // What was gathered holds memory that its consumers could free.
                        self.flush_roomy()?;
                        return Ok(Blocked::Memory);
                    };
                    self.route(rows, permit)?;
                    self.send_full()?;
                    let gathered = self.accumulators.iter().filter(|gathered| !gathered.is_empty());
                    if !self.charger.has_room_for_copies(gathered.map(Accumulator::bytes)) {
                        // Gathering holds the batches that its rows came in: while there is room for copies of them, they go.
                        self.flush_roomy()?;
                    }
                }
                event => {
                    // An event comes after all records before it, room or no room: they are charged already.
                    (0..self.accumulators.len()).try_for_each(|index| self.send(index))?;
                    for channel in &self.channels {
                        channel.push_event(event.clone())?;
                    }
                }
            }
        }
        Ok(if self.is_blocked() { Blocked::Room } else { Blocked::No })
    }

    fn route(&mut self, batch: Batch, permit: Option<Permit>) -> Result<()> {
        let charge = |batch: Batch| permit.into_iter().fold(batch, Batch::with_permit);
        let Router::Hash(partitioner) = &mut self.router else {
            return self.gather(0, charge(batch));
        };
        let partitioned = partitioner.partition(batch)?;
        let batch = if partitioned.copied {
            charge(partitioned.batch)
        } else {
            charge(Charger::compacted(partitioned.batch)?)
        };
        for target in 0..self.channels.len() {
            let (start, end) = (partitioned.bounds[target], partitioned.bounds[target + 1]);
            if start < end {
                let part = if end - start == batch.num_rows() {
                    batch.clone()
                } else {
                    batch.slice(start, end - start)
                };
                self.gather(target, part)?;
            }
        }
        Ok(())
    }

    fn gather(&mut self, index: usize, batch: Batch) -> Result<()> {
        if self.accumulators[index].goes_before(&batch, &self.limits) && self.has_room(index) {
            self.send(index)?;
        }
        self.accumulators[index].add(batch);
        if self.accumulators[index].rows() >= HUNGRY_ROWS && self.is_hungry(index) {
            self.send(index)?;
        }
        Ok(())
    }

    /// Queues what is full, where the queue has room.
    fn send_full(&mut self) -> Result<()> {
        for index in 0..self.accumulators.len() {
            if self.accumulators[index].is_full(&self.limits) && self.has_room(index) {
                self.send(index)?;
            }
        }
        Ok(())
    }

    fn flush_roomy(&mut self) -> Result<()> {
        (0..self.accumulators.len())
            .try_for_each(|index| if self.has_room(index) { self.send(index) } else { Ok(()) })
    }

    /// Queues what was gathered in an accumulator, whether or not there is room: it is charged already.
    fn send(&mut self, index: usize) -> Result<()> {
        if self.accumulators[index].is_empty() {
            return Ok(());
        }
        for batch in self.accumulators[index].take(&self.charger)? {
            let segments = self.charger.cost(&batch);
            match &mut self.router {
                Router::Single => self.channels[0].push(batch, segments)?,
                Router::Hash(_) => self.channels[index].push(batch, segments)?,
                Router::RoundRobin(turn) => {
                    self.channels[*turn].push(batch, segments)?;
                    *turn = (*turn + 1) % self.channels.len();
                }
                Router::Broadcast => {
                    for channel in &self.channels {
                        channel.push(batch.clone(), segments)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The channels that an accumulator goes to next.
    fn outlets(&self, index: usize) -> &[Arc<Subpartition>] {
        match &self.router {
            Router::Single | Router::Broadcast => &self.channels,
            Router::Hash(_) => &self.channels[index..=index],
            Router::RoundRobin(turn) => &self.channels[*turn..=*turn],
        }
    }

    fn has_room(&self, index: usize) -> bool {
        self.outlets(index).iter().all(|channel| channel.has_room())
    }

    fn is_hungry(&self, index: usize) -> bool {
        self.outlets(index).iter().all(|channel| channel.is_hungry())
    }

    /// Whether a full accumulator finds no room.
    fn is_blocked(&self) -> bool {
        (0..self.accumulators.len())
            .any(|index| self.accumulators[index].is_full(&self.limits) && !self.has_room(index))
    }
}

impl Drop for ResultPartition {
    fn drop(&mut self) {
        for channel in &self.channels {
            self.registry.leave(channel, End::Producer);
        }
    }
}

impl std::fmt::Debug for ResultPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultPartition").field("id", &self.id).field("queued", &self.queue_length()).finish()
    }
}

/// Refuses what no channel can carry.
pub(crate) fn record_too_large(id: &PartitionId, bytes: usize, limit: usize) -> Error {
    Error::new(
        Code::RecordTooLarge,
        format!("{id}: a record of {bytes} bytes is larger than the {limit} bytes that the network carries"),
    )
}
