//! The bounded queue between an operator and the next stage of its chain.
//!
//! Main and side output share one queue: what is emitted later never overtakes, whichever way it leaves, so a barrier parts
//! the rows of both alike. Invariant: an operator that looks at [`Output::has_room`] before each push overshoots the limit by at
//! most one element. Lives on one thread: no lock, no channel.

use std::collections::VecDeque;

use crate::batch::Batch;
use crate::element::StreamElement;
use crate::watermark::Watermark;

/// What waits in an [`Output`].
#[derive(Clone, Debug)]
pub enum Emitted {
    /// For the next stage.
    Element(StreamElement),
    /// Rows of a side output: the stages behind pass them on untouched.
    Side(SideBatch),
}

impl Emitted {
    /// What the next stage gets; `None` for rows of a side output.
    #[must_use]
    pub fn into_element(self) -> Option<StreamElement> {
        match self {
            Self::Element(element) => Some(element),
            Self::Side(_) => None,
        }
    }
}

impl From<StreamElement> for Emitted {
    fn from(element: StreamElement) -> Self {
        Self::Element(element)
    }
}

/// Rows of one operator's side output, in the columns of [`side_output`](crate::side_output).
#[derive(Clone, Debug)]
pub struct SideBatch {
    /// The position in its chain of the operator that emitted them.
    pub operator: usize,
    /// The rows.
    pub batch: Batch,
}

/// Elements that an operator has emitted and the next stage has not taken yet.
#[derive(Debug)]
pub struct Output {
    queue: VecDeque<Emitted>,
    /// The operator's position in its chain.
    operator: usize,
    limit: usize,
}

impl Output {
    /// A queue that has room while it holds fewer than `limit` elements, of the operator at position 0.
    ///
    /// `limit` is at least 1. Batches aim at [`TARGET_ROWS`](crate::batch::TARGET_ROWS), so few elements are enough.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self::of_operator(0, limit)
    }

    /// [`Output::new`] for the operator at this position of its chain.
    #[must_use]
    pub fn of_operator(operator: usize, limit: usize) -> Self {
        debug_assert!(limit > 0, "a queue without room can't make progress");
        Self { queue: VecDeque::with_capacity(limit + 1), operator, limit: limit.max(1) }
    }

    /// Whether another element may be pushed; if not, return [`Progress::NeedRoom`](crate::operator::Progress).
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.len() < self.limit
    }

    /// Emits records; batches without rows vanish.
    pub fn push(&mut self, batch: Batch) {
        if batch.num_rows() > 0 {
            self.queue.push_back(Emitted::Element(StreamElement::Batch(batch)));
        }
    }

    /// Emits rows of the operator's side output, which take room like others; batches without rows vanish. Where nobody reads
    /// the side output they are dropped at the end of the chain.
    pub fn push_side(&mut self, batch: Batch) {
        if batch.num_rows() > 0 {
            self.queue.push_back(Emitted::Side(SideBatch { operator: self.operator, batch }));
        }
    }

    /// Emits a watermark.
    pub fn push_watermark(&mut self, watermark: Watermark) {
        self.queue.push_back(Emitted::Element(StreamElement::Watermark(watermark)));
    }

    /// Emits anything; the driver's way to pass on what operators don't see.
    pub fn pass(&mut self, emitted: Emitted) {
        match emitted {
            Emitted::Element(StreamElement::Batch(batch)) => self.push(batch),
            other => self.queue.push_back(other),
        }
    }

    /// Takes the oldest element.
    pub fn pop(&mut self) -> Option<Emitted> {
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
}
