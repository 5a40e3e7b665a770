//! One remote channel at its consumer: elements that have come and wait for the task.
//!
//! Bounded by the credit that was granted; events by the queue's own limit. Invariant: the channel is in its gate's ready list
//! exactly while `scheduled` is set. Nothing is dropped under the lock.

use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use weir_api::batch::Batch;
use weir_api::element::StreamElement;

use super::failure::Failure;
use super::gate_credit::GateCredit;
use super::id::ChannelKey;
use super::queue::ElementQueue;
use super::ready::{ReadyList, lock};
use super::subpartition::Popped;

/// The most events that may wait. Between two batches watermarks and changes of activity replace each other, so these are
/// barriers, of which a checkpoint has one.
const MAX_EVENTS: usize = 1 << 14;

/// The consumer's end of a remote channel.
#[derive(Debug)]
pub(crate) struct Inbox {
    key: ChannelKey,
    schema: SchemaRef,
    credit: Arc<GateCredit>,
    /// Its number on the connection.
    number: u32,
    /// Position among the remote channels of the gate.
    index: usize,
    ready: Arc<ReadyList>,
    /// Position among all channels of the gate.
    channel: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: ElementQueue,
    scheduled: bool,
    closed: bool,
    failure: Option<Failure>,
}

impl Inbox {
    pub(crate) fn new(
        key: ChannelKey,
        schema: SchemaRef,
        credit: Arc<GateCredit>,
        (number, index): (u32, usize),
        (ready, channel): (Arc<ReadyList>, u32),
    ) -> Arc<Self> {
        Arc::new(Self {
            key,
            schema,
            credit,
            number,
            index,
            ready,
            channel,
            state: Mutex::new(State::default()),
        })
    }

    pub(crate) const fn key(&self) -> ChannelKey {
        self.key
    }

    pub(crate) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) const fn credit(&self) -> &Arc<GateCredit> {
        &self.credit
    }

    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    pub(crate) const fn index(&self) -> usize {
        self.index
    }

    /// Records have come.
    pub(crate) fn push(&self, batch: Batch, segments: usize) {
        self.update(|state| match state.closed {
            true => Some(batch),
            false => {
                state.queue.push_batch(batch, segments);
                None
            }
        });
    }

    /// An event has come. False: more of them wait than a producer that keeps the rules can have sent.
    #[must_use]
    pub(crate) fn push_event(&self, event: StreamElement) -> bool {
        let mut bounded = true;
        self.update(|state| {
            if !state.closed {
                state.queue.push_event(event);
                bounded = state.queue.events() <= MAX_EVENTS;
            }
        });
        bounded
    }

    /// Nothing more will come, and what has come isn't worth reading.
    pub(crate) fn fail(&self, failure: Failure) {
        self.update(|state| {
            state.failure.get_or_insert(failure);
            std::mem::take(&mut state.queue)
        });
    }

    /// The task takes nothing more.
    pub(crate) fn close(&self) {
        let dropped = {
            let mut state = lock(&self.state);
            state.closed = true;
            std::mem::take(&mut state.queue)
        };
        drop(dropped);
    }

    /// Takes the oldest element.
    pub(crate) fn pop(&self) -> Popped {
        let mut state = lock(&self.state);
        if let Some(failure) = &state.failure {
            return Popped::Failed(failure.clone());
        }
        let element = state.queue.pop();
        state.scheduled = !state.queue.is_empty();
        match element {
            Some(element) => Popped::Element(element, state.scheduled),
            None => Popped::Empty,
        }
    }

    /// How many batches wait.
    pub(crate) fn len(&self) -> usize {
        lock(&self.state).queue.batches()
    }

    /// Changes the state and tells the gate; what the change returns is dropped outside of the lock.
    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) {
        let (dropped, announce) = {
            let mut state = lock(&self.state);
            let dropped = change(&mut state);
            let something = !state.queue.is_empty() || state.failure.is_some();
            let announce = something && !state.closed && !state.scheduled;
            state.scheduled |= announce;
            (dropped, announce)
        };
        drop(dropped);
        if announce {
            self.ready.push(self.channel);
        }
    }
}
