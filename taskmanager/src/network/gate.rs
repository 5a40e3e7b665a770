//! An input gate: one input of one consuming subtask, fed by a channel per producer.
//!
//! Channels take turns, one element each, so a fast producer can't starve a slow one; order holds within a channel. Invariant:
//! after an error or the end of the last channel nothing comes any more. Lives on the consuming task's thread.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use weir_api::element::StreamElement;
use weir_api::error::Result;

use super::connection::client::Connection;
use super::failure::Failure;
use super::gate_credit::GateCredit;
use super::id::{ChannelIndex, GateId};
use super::inbox::Inbox;
use super::ready::{ReadyList, lock};
use super::registry::{End, Registry, Releasable};
use super::subpartition::{Popped, Subpartition};

/// The input of one subtask on one of its inputs.
pub struct InputGate {
    id: GateId,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    channels: Vec<Channel>,
    open: usize,
    /// Channels that aren't read for now.
    held: Vec<bool>,
    /// Those of them that had something to read meanwhile.
    passed_over: Vec<u32>,
    failed: bool,
    /// Of the remote channels, if there are any.
    credit: Option<Arc<GateCredit>>,
}

/// One producer.
pub(crate) enum Channel {
    /// In this process.
    Local(Arc<Subpartition>),
    /// In another TaskManager.
    Remote(Arc<Inbox>, Arc<Connection>),
    /// It has sent its end of input.
    Ended,
}

/// What producers' threads reach of a gate.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) ready: Arc<ReadyList>,
    failure: Mutex<Option<Failure>>,
}

impl Releasable for Shared {
    fn release(&self, failure: &Failure) {
        lock(&self.failure).get_or_insert_with(|| failure.clone());
        self.ready.wake();
    }
}

impl InputGate {
    pub(crate) fn new(
        id: GateId,
        shared: Arc<Shared>,
        registry: Arc<Registry>,
        channels: Vec<Channel>,
        credit: Option<Arc<GateCredit>>,
    ) -> Result<Self> {
        let watched: Weak<dyn Releasable> = Arc::downgrade(&(Arc::clone(&shared) as Arc<dyn Releasable>));
        let open = channels.len();
        let (held, passed_over) = (vec![false; open], Vec::new());
        let gate = Self { id, shared, registry, channels, open, held, passed_over, failed: false, credit };
        gate.registry.watch(id, watched)?;
        Ok(gate)
    }

    /// Which gate this is.
    #[must_use]
    pub const fn id(&self) -> GateId {
        self.id
    }

    /// How many channels it reads.
    #[must_use]
    pub const fn channels(&self) -> usize {
        self.channels.len()
    }

    /// The next element of any channel; `None` after the end of input of the last one.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(ChannelIndex, StreamElement)>>> {
        if self.open == 0 || self.failed {
            return Poll::Ready(None);
        }
        loop {
            let channel = match self.shared.ready.poll_pop(cx) {
                Poll::Ready(channel) => Some(channel),
                Poll::Pending => None,
            };
            let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(failure) = failure {
                return self.fail(failure);
            }
            let Some(channel) = channel else {
                return Poll::Pending;
            };
            if self.held.get(channel as usize).copied().unwrap_or(false) {
                self.passed_over.push(channel);
                continue;
            }
            let popped = match self.channels.get(channel as usize) {
                Some(Channel::Local(subpartition)) => subpartition.pop(),
                Some(Channel::Remote(inbox, _)) => inbox.pop(),
                Some(Channel::Ended) | None => Popped::Empty,
            };
            match popped {
                Popped::Empty => {}
                Popped::Failed(failure) => return self.fail(failure),
                Popped::Element(element, more) => {
                    if more {
                        self.shared.ready.push_back(channel);
                    }
                    if matches!(element, StreamElement::EndOfInput) {
                        self.close(channel);
                        self.open -= 1;
                    }
                    return Poll::Ready(Some(Ok((ChannelIndex(channel), element))));
                }
            }
        }
    }

    /// Reads a channel no further until [`InputGate::release_held`]: what comes in it waits, and holds its producer back.
    pub fn hold(&mut self, channel: usize) {
        if let Some(held) = self.held.get_mut(channel) {
            *held = true;
        }
    }

    /// Reads all channels again.
    pub fn release_held(&mut self) {
        self.held.fill(false);
        for channel in self.passed_over.drain(..) {
            self.shared.ready.push_back(channel);
        }
    }

    /// How many batches have come and wait to be taken.
    #[must_use]
    pub fn queue_length(&self) -> usize {
        self.channels
            .iter()
            .map(|channel| match channel {
                Channel::Local(subpartition) => subpartition.len(),
                Channel::Remote(inbox, _) => inbox.len(),
                Channel::Ended => 0,
            })
            .sum()
    }

    /// How much of the memory that its remote channels may hold is in use, 0 to 100.
    #[must_use]
    pub fn pool_usage_percent(&self) -> u8 {
        self.credit.as_ref().map_or(0, |credit| credit.usage_percent())
    }

    fn fail(&mut self, failure: Failure) -> Poll<Option<Result<(ChannelIndex, StreamElement)>>> {
        self.failed = true;
        Poll::Ready(Some(Err(failure.into())))
    }

    fn close(&mut self, channel: u32) {
        let Some(channel) = self.channels.get_mut(channel as usize) else {
            return;
        };
        match std::mem::replace(channel, Channel::Ended) {
            Channel::Local(subpartition) => self.registry.leave(&subpartition, End::Consumer),
            Channel::Remote(inbox, connection) => connection.cancel(&inbox),
            Channel::Ended => {}
        }
    }
}

impl Drop for InputGate {
    fn drop(&mut self) {
        for channel in 0..self.channels.len() {
            self.close(channel as u32);
        }
    }
}

impl std::fmt::Debug for InputGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InputGate").field("id", &self.id).field("open", &self.open).finish_non_exhaustive()
    }
}
