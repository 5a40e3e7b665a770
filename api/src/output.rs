//! The bounded queue between an operator and the next stage of its chain.
//!
//! Invariant: an operator that looks at [`Output::has_room`] before each push overshoots the limit by at most one element.
//! Lives on one thread: no lock, no channel.

use std::collections::VecDeque;

use crate::batch::Batch;
use crate::element::StreamElement;
use crate::watermark::Watermark;

/// Elements that an operator has emitted and the next stage has not taken yet.
#[derive(Debug)]
pub struct Output {
    queue: VecDeque<StreamElement>,
    rows: u64,
    limit: usize,
}

impl Output {
    /// A queue that has room while it holds fewer than `limit` elements.
    ///
    /// `limit` is at least 1. Batches aim at [`TARGET_ROWS`](crate::batch::TARGET_ROWS), so few elements are enough.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        debug_assert!(limit > 0, "a queue without room can't make progress");
        Self { queue: VecDeque::with_capacity(limit + 1), rows: 0, limit: limit.max(1) }
    }

    /// Whether another element may be pushed; if not, return [`Progress::NeedRoom`](crate::operator::Progress).
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.len() < self.limit
    }

    /// Emits records; batches without rows vanish.
    pub fn push(&mut self, batch: Batch) {
        if batch.num_rows() > 0 {
            self.rows += batch.num_rows() as u64;
            self.queue.push_back(StreamElement::Batch(batch));
        }
    }

    /// Emits a watermark.
    pub fn push_watermark(&mut self, watermark: Watermark) {
        self.queue.push_back(StreamElement::Watermark(watermark));
    }

    /// Emits any element; the driver's way to pass on what operators don't see.
    pub fn push_element(&mut self, element: StreamElement) {
        match element {
            StreamElement::Batch(batch) => self.push(batch),
            other => self.queue.push_back(other),
        }
    }

    /// Takes the oldest element.
    pub fn pop(&mut self) -> Option<StreamElement> {
        self.queue.pop_front()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many elements wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// How many rows were ever pushed.
    #[must_use]
    pub fn total_rows(&self) -> u64 {
        self.rows
    }
}
