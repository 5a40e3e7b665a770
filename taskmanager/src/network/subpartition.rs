//! One channel at its producer: what is queued for one consuming subtask.
//!
//! A local consumer takes elements from here directly; for a remote one a connection's writer does, against credit. The queue
//! never refuses: the producer looks at [`Subpartition::has_room`] before it routes more records. Invariant: the consumer is in
//! its ready list exactly while `scheduled` is set. Dropping either end wakes the other. Nothing is dropped under the lock, as
//! dropping a batch gives permits back, which may wake whoever waits for this very channel.

use std::sync::{Arc, Mutex, OnceLock};
use std::task::Context;

use arrow::datatypes::SchemaRef;
use futures::task::AtomicWaker;
use weir_api::batch::Batch;
use weir_api::element::StreamElement;
use weir_api::error::Code;

use super::failure::Failure;
use super::id::ChannelKey;
use super::outgoing::{Outgoing, Remote};
use super::queue::ElementQueue;
use super::ready::{ReadyList, lock};

/// The producer's end of a channel, shared with whoever consumes it.
#[derive(Debug)]
pub(crate) struct Subpartition {
    key: ChannelKey,
    limit: usize,
    schema: OnceLock<SchemaRef>,
    producer: AtomicWaker,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: ElementQueue,
    consumer: Option<(Arc<ReadyList>, u32)>,
    /// The credit of a remote consumer.
    remote: Option<Remote>,
    scheduled: bool,
    ended: bool,
    delivered: bool,
    failure: Option<Failure>,
}

/// What a consumer finds.
#[derive(Debug)]
pub(crate) enum Popped {
    /// An element; whether more are queued, in which case the consumer puts the channel back into its ready list.
    Element(StreamElement, bool),
    /// Nothing for now: the channel announces itself.
    Empty,
    /// The channel has failed.
    Failed(Failure),
}

impl Subpartition {
    /// An empty channel that holds its producer back beyond `limit` segments.
    pub(crate) fn new(key: ChannelKey, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            key,
            limit,
            schema: OnceLock::new(),
            producer: AtomicWaker::new(),
            state: Mutex::new(State::default()),
        })
    }

    pub(crate) const fn key(&self) -> ChannelKey {
        self.key
    }

    /// The producer is deployed: the consumer may be told the schema.
    pub(crate) fn set_schema(&self, schema: SchemaRef) {
        let _ = self.schema.set(schema);
        self.schedule();
    }

    /// The consumer is there: it is told through `list` whenever there is something.
    pub(crate) fn set_consumer(&self, list: Arc<ReadyList>, channel: u32) {
        lock(&self.state).consumer = Some((list, channel));
        self.schedule();
    }

    /// A connection speaks for the consumer, which has granted credit.
    pub(crate) fn set_remote_consumer(&self, list: Arc<ReadyList>, channel: u32, remote: Remote) {
        {
            let mut state = lock(&self.state);
            state.consumer = Some((list, channel));
            state.remote = Some(remote);
        }
        self.schedule();
    }

    /// Takes what can be sent next; for a connection. `None`: the channel announces itself when there is something again.
    pub(crate) fn take_outgoing(&self) -> weir_api::Result<Option<Outgoing>> {
        let (outgoing, wake) = {
            let mut guard = lock(&self.state);
            let state = &mut *guard;
            let full = state.queue.segments() >= self.limit;
            let Some(remote) = &mut state.remote else {
                state.scheduled = false;
                return Ok(None);
            };
            let outgoing = remote.next(&mut state.queue, self.schema.get(), state.failure.as_ref())?;
            state.scheduled = outgoing.is_some();
            (outgoing, full && state.queue.segments() < self.limit)
        };
        if wake {
            self.producer.wake();
        }
        Ok(outgoing)
    }

    /// The end of input has been written to the connection.
    pub(crate) fn set_delivered(&self) {
        lock(&self.state).delivered = true;
        self.producer.wake();
    }

    /// Changes the credit of a remote consumer; the connection is told if that lets something go. False: the consumer breaks
    /// the rules.
    pub(crate) fn update_credit(&self, change: impl FnOnce(&mut Remote) -> bool) -> bool {
        let (valid, announced) = {
            let mut state = lock(&self.state);
            let valid = state.remote.as_mut().is_some_and(change);
            (valid, state.announce())
        };
        if let Some((list, channel)) = announced {
            list.push(channel);
        }
        valid
    }

    /// Queues records that take `segments`.
    pub(crate) fn push(&self, batch: Batch, segments: usize) -> Result<(), Failure> {
        self.update(|state| {
            state.queue.push_batch(batch, segments);
        })
    }

    /// Queues an event.
    pub(crate) fn push_event(&self, event: StreamElement) -> Result<(), Failure> {
        self.update(|state| {
            state.ended |= matches!(event, StreamElement::EndOfInput);
            state.queue.push_event(event);
        })
    }

    fn update(&self, change: impl FnOnce(&mut State)) -> Result<(), Failure> {
        let announced = {
            let mut state = lock(&self.state);
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            change(&mut state);
            state.announce()
        };
        if let Some((list, channel)) = announced {
            list.push(channel);
        }
        Ok(())
    }

    fn schedule(&self) {
        let announced = lock(&self.state).announce();
        if let Some((list, channel)) = announced {
            list.push(channel);
        }
    }

    /// Takes the oldest element; for a local consumer.
    pub(crate) fn pop(&self) -> Popped {
        let (popped, wake) = {
            let mut state = lock(&self.state);
            if let Some(failure) = &state.failure {
                return Popped::Failed(failure.clone());
            }
            let full = state.queue.segments() >= self.limit;
            match state.queue.pop() {
                Some(element) => {
                    state.scheduled = !state.queue.is_empty();
                    state.delivered |= matches!(element, StreamElement::EndOfInput);
                    let wake = state.delivered || (full && state.queue.segments() < self.limit);
                    (Popped::Element(element, state.scheduled), wake)
                }
                None => {
                    state.scheduled = false;
                    (Popped::Empty, false)
                }
            }
        };
        if wake {
            self.producer.wake();
        }
        popped
    }

    /// Whether the producer may route more records here.
    pub(crate) fn has_room(&self) -> bool {
        let state = lock(&self.state);
        state.failure.is_some() || state.queue.segments() < self.limit
    }

    /// Whether the consumer could take something right now and finds nothing.
    pub(crate) fn is_hungry(&self) -> bool {
        let state = lock(&self.state);
        let idle = state.remote.as_ref().is_none_or(Remote::is_idle);
        state.consumer.is_some() && !state.scheduled && state.queue.is_empty() && idle
    }

    /// Whether everything up to the end of input has been taken.
    pub(crate) fn is_delivered(&self) -> Result<bool, Failure> {
        let state = lock(&self.state);
        match (&state.failure, state.delivered) {
            (Some(failure), false) => Err(failure.clone()),
            (_, delivered) => Ok(delivered),
        }
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        lock(&self.state).failure.clone()
    }

    /// The producer is woken when there is room again, when everything is delivered, and when the channel fails.
    pub(crate) fn register_producer(&self, cx: &Context<'_>) {
        self.producer.register(cx.waker());
    }

    /// How many batches are queued.
    pub(crate) fn len(&self) -> usize {
        lock(&self.state).queue.batches()
    }

    /// Ends the channel for both sides; what is queued is dropped. The first failure stays.
    pub(crate) fn fail(&self, failure: Failure) {
        let (dropped, announced) = {
            let mut state = lock(&self.state);
            if state.delivered || state.failure.is_some() {
                return;
            }
            state.failure = Some(failure);
            (std::mem::take(&mut state.queue), state.announce())
        };
        drop(dropped);
        self.producer.wake();
        if let Some((list, channel)) = announced {
            list.push(channel);
        }
    }

    /// The producer goes away: unless it has ended its output, that is the consumer's failure.
    pub(crate) fn producer_closed(&self) {
        if !lock(&self.state).ended {
            self.fail(Failure::new(
                Code::ChannelClosed,
                format!("{}: the producing task ended without finishing; its own error says why", self.key),
            ));
        }
    }

    /// The consumer goes away: unless it has seen the end, that is the producer's failure.
    pub(crate) fn consumer_closed(&self) {
        self.fail(Failure::new(
            Code::ChannelClosed,
            format!("{}: the consuming task ended before its input; its own error says why", self.key),
        ));
    }
}

impl State {
    /// Whom to tell that there is something; nobody if it knows.
    fn announce(&mut self) -> Option<(Arc<ReadyList>, u32)> {
        let asked = self.remote.as_ref().is_some_and(Remote::is_asked);
        if self.scheduled || (self.queue.is_empty() && self.failure.is_none() && !asked) {
            return None;
        }
        let consumer = self.consumer.clone()?;
        self.scheduled = true;
        Some(consumer)
    }
}
