//! Which channels have something for their reader: the hand-over between the threads of producers and the one consumer.
//!
//! Invariant, kept with the `scheduled` flag of each channel: a channel is in the list at most once, so the list is bounded by
//! the number of channels, and readers take turns. Knows neither batches nor sockets.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

/// Locks; what a panicking thread left behind is still consistent here, as no critical section calls foreign code.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A queue of channel numbers with one reader.
#[derive(Debug, Default)]
pub(crate) struct ReadyList {
    queue: Mutex<VecDeque<u32>>,
    reader: AtomicWaker,
}

impl ReadyList {
    /// Appends a channel that has something, and wakes the reader.
    pub(crate) fn push(&self, channel: u32) {
        lock(&self.queue).push_back(channel);
        self.reader.wake();
    }

    /// Wakes the reader though no channel has anything: it looks at what else it waits for.
    pub(crate) fn wake(&self) {
        self.reader.wake();
    }

    /// Appends a channel; for the reader itself, which is awake.
    pub(crate) fn push_back(&self, channel: u32) {
        lock(&self.queue).push_back(channel);
    }

    /// Whether no channel has anything.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.queue).is_empty()
    }

    /// The next channel, if there is one.
    pub(crate) fn pop(&self) -> Option<u32> {
        lock(&self.queue).pop_front()
    }

    /// The next channel; the reader is woken when there is one.
    pub(crate) fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<u32> {
        if let Some(channel) = self.pop() {
            return Poll::Ready(channel);
        }
        self.reader.register(cx.waker());
        match self.pop() {
            Some(channel) => Poll::Ready(channel),
            None => Poll::Pending,
        }
    }

    /// Registers the reader's waker without taking anything.
    pub(crate) fn register(&self, cx: &mut Context<'_>) {
        self.reader.register(cx.waker());
    }
}
