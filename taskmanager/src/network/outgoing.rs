//! What a remote channel sends next: schema, events, and as many rows as its credit covers.
//!
//! Invariant: elements leave in order, the schema before all of them; a batch is cut by rows to fit a frame and the credit
//! before it leaves the queue, so nothing is sent without credit. Runs under the channel's lock: a call costs microseconds.

use arrow::datatypes::SchemaRef;
use weir_api::batch::Batch;
use weir_api::element::StreamElement;
use weir_api::error::{Error, Result};

use super::credit::sender::{Decision, Demand, Head, Sender};
use super::failure::Failure;
use super::measure::{own_views, wire_bytes};
use super::queue::ElementQueue;
use super::wire::batch::{MAX_ROWS, Prefix};
use super::wire::message::Backlog;

/// The sizes that cutting goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) segment_bytes: usize,
    pub(crate) frame_bytes: usize,
}

impl Sizes {
    pub(crate) const fn segments(&self, bytes: usize) -> usize {
        let segments = bytes.div_ceil(self.segment_bytes);
        if segments == 0 { 1 } else { segments }
    }

    /// What a batch costs in a frame.
    pub(crate) fn cost(&self, batch: &Batch) -> usize {
        self.segments(wire_bytes(batch))
    }
}

/// One thing for the writer of a connection.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// What the batches will hold.
    Schema(SchemaRef),
    /// Records, within the credit.
    Data(Batch, Prefix),
    /// A message about credit.
    Backlog(Backlog),
    /// An event.
    Event(StreamElement),
    /// The channel has failed: nothing follows.
    Closed(Failure),
}

/// The state of a remote consumer's channel.
#[derive(Debug)]
pub(crate) struct Remote {
    sizes: Sizes,
    sender: Sender,
    schema_sent: bool,
    reclaim: bool,
    closed: bool,
}

impl Remote {
    /// A consumer that has granted `credit` segments.
    pub(crate) fn new(credit: usize, sizes: Sizes) -> Self {
        let frame = (sizes.frame_bytes / sizes.segment_bytes).max(1);
        Self { sizes, sender: Sender::new(credit, frame), schema_sent: false, reclaim: false, closed: false }
    }

    /// The consumer grants more. False: it breaks the rules.
    #[must_use]
    pub(crate) fn grant(&mut self, segments: usize, released_frames: u64) -> bool {
        self.sender.granted(segments, released_frames)
    }

    /// The consumer wants back what isn't needed.
    pub(crate) const fn ask_back(&mut self) {
        self.reclaim = true;
    }

    /// Whether an answer is due though nothing is queued.
    pub(crate) const fn is_asked(&self) -> bool {
        self.reclaim
    }

    /// Whether the consumer has let go of everything that was sent.
    pub(crate) const fn is_idle(&self) -> bool {
        self.sender.in_flight() == 0
    }

    /// What goes next; `None` when nothing can.
    pub(crate) fn next(
        &mut self,
        queue: &mut ElementQueue,
        schema: Option<&SchemaRef>,
        failure: Option<&Failure>,
    ) -> Result<Option<Outgoing>> {
        if self.closed {
            return Ok(None);
        }
        if let Some(failure) = failure {
            self.closed = true;
            return Ok(Some(Outgoing::Closed(failure.clone())));
        }
        let Some(schema) = schema else {
            return Ok(None);
        };
        if !self.schema_sent {
            self.schema_sent = true;
            return Ok(Some(Outgoing::Schema(SchemaRef::clone(schema))));
        }
        if std::mem::take(&mut self.reclaim) {
            return Ok(Some(Outgoing::Backlog(self.give_back(queue))));
        }
        match queue.front() {
            None => Ok(None),
            Some((StreamElement::Batch(_), whole)) => self.next_batch(queue, whole),
            Some(_) => Ok(queue.pop().map(Outgoing::Event)),
        }
    }

    fn give_back(&mut self, queue: &ElementQueue) -> Backlog {
        let first = self.first_cost(queue);
        let returned = self.sender.reclaimed(queue.segments(), first);
        let demand = self.sender.demand(queue.segments(), first);
        self.sender.announced(demand);
        Backlog { backlog: demand.backlog as u32, need: demand.need as u32, returned: returned as u32 }
    }

    fn next_batch(&mut self, queue: &mut ElementQueue, whole: usize) -> Result<Option<Outgoing>> {
        let head = Head { whole, first: self.first_cost(queue), queued: queue.segments() };
        match self.sender.next(head) {
            Decision::Wait => Ok(None),
            Decision::Announce(demand) => {
                self.sender.announced(demand);
                let (backlog, need) = (demand.backlog as u32, demand.need as u32);
                Ok(Some(Outgoing::Backlog(Backlog { backlog, need, returned: 0 })))
            }
            Decision::Send(room) => {
                let Some(batch) = queue.pop_batch() else {
                    return Err(Error::internal("the batch at the head of a channel vanished"));
                };
                let (batch, cost) = self.cut(queue, batch, whole, room)?;
                let demand = match queue.batches() {
                    0 => Demand::default(),
                    _ => self.sender.demand(queue.segments(), self.first_cost(queue)),
                };
                if !self.sender.sent(cost, demand) {
                    return Err(Error::internal(format!(
                        "a frame of {cost} segments against a credit of {}",
                        self.sender.credit()
                    )));
                }
                let prefix =
                    Prefix { cost: cost as u32, backlog: demand.backlog as u32, need: demand.need as u32 };
                Ok(Some(Outgoing::Data(batch, prefix)))
            }
        }
    }

    /// What the first record of the first batch costs by itself, in a queue that may hold events before it.
    fn first_cost(&self, queue: &ElementQueue) -> usize {
        match queue.first_batch() {
            None => 0,
            Some((_, 1)) => 1,
            Some((batch, whole)) => own(&batch.slice(0, 1)).map_or(whole, |first| self.sizes.cost(&first)),
        }
    }

    /// The rows from the start of the batch that fit into `room` segments, and what they cost; the rest goes back.
    fn cut(
        &self,
        queue: &mut ElementQueue,
        batch: Batch,
        whole: usize,
        room: usize,
    ) -> Result<(Batch, usize)> {
        let rows = batch.num_rows();
        if whole <= room && rows <= MAX_ROWS {
            return Ok((batch, whole));
        }
        // Equal parts, rather than full ones and a small rest.
        let mut taken = rows.div_ceil(whole.div_ceil(room)).clamp(1, MAX_ROWS.min(rows));
        let mut part = own(&batch.slice(0, taken))?;
        let mut cost = self.sizes.cost(&part);
        while cost > room && taken > 1 {
            taken = (taken * room / cost).clamp(1, taken - 1);
            part = own(&batch.slice(0, taken))?;
            cost = self.sizes.cost(&part);
        }
        if taken < rows {
            let rest = batch.slice(taken, rows - taken);
            let cost = self.sizes.cost(&rest);
            queue.push_front(rest, cost);
        }
        Ok((part, cost))
    }
}

/// A slice whose view columns don't drag the whole batch's text along.
fn own(slice: &Batch) -> Result<Batch> {
    let records = own_views(slice.records().clone())?;
    let owned = match slice.kinds() {
        Some(kinds) => Batch::with_kinds(records, kinds.clone())?,
        None => Batch::new(records),
    };
    Ok(slice.permits().iter().cloned().fold(owned, Batch::with_permit))
}

#[cfg(test)]
#[path = "outgoing_tests.rs"]
mod tests;
