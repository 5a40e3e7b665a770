//! Elements of one channel in order: batches with their cost, and a bounded number of events between them.
//!
//! Invariant: between two batches (or barriers) lie at most [`MAX_EVENTS`] events. Events cost no credit, so a producer that
//! sends watermarks to a consumer that doesn't take them must not fill memory: consecutive ones of a kind replace each other.

use std::collections::VecDeque;

use weir_api::batch::Batch;
use weir_api::element::StreamElement;

/// How many watermarks and changes of activity may lie between two batches.
pub(crate) const MAX_EVENTS: usize = 16;

/// The queue of one channel.
#[derive(Debug, Default)]
pub(crate) struct ElementQueue {
    elements: VecDeque<(StreamElement, usize)>,
    segments: usize,
    batches: usize,
    /// Events at the back that may be merged.
    tail: usize,
}

impl ElementQueue {
    pub(crate) fn push_batch(&mut self, batch: Batch, segments: usize) {
        self.segments += segments;
        self.batches += 1;
        self.tail = 0;
        self.elements.push_back((StreamElement::Batch(batch), segments));
    }

    /// Takes the batch at the front.
    pub(crate) fn pop_batch(&mut self) -> Option<Batch> {
        match self.front() {
            Some((StreamElement::Batch(_), _)) => match self.pop() {
                Some(StreamElement::Batch(batch)) => Some(batch),
                _ => None,
            },
            _ => None,
        }
    }

    /// Puts back what was left of a batch after a part of it had been sent.
    pub(crate) fn push_front(&mut self, batch: Batch, segments: usize) {
        self.segments += segments;
        self.batches += 1;
        self.elements.push_front((StreamElement::Batch(batch), segments));
    }

    pub(crate) fn push_event(&mut self, event: StreamElement) {
        match event {
            StreamElement::Batch(batch) => return self.push_batch(batch, 1),
            StreamElement::Watermark(_) | StreamElement::Idle | StreamElement::Active => {}
            StreamElement::Barrier(_) | StreamElement::EndOfInput => {
                self.tail = 0;
                self.elements.push_back((event, 0));
                return;
            }
        }
        if self.tail > 0
            && let Some((last, _)) = self.elements.back_mut()
            && same_kind(last, &event)
        {
            *last = event;
            return;
        }
        if self.tail == MAX_EVENTS {
            self.merge_tail();
        }
        self.elements.push_back((event, 0));
        self.tail += 1;
    }

    /// Keeps the last watermark and the last activity of the tail.
    fn merge_tail(&mut self) {
        let tail = self.elements.split_off(self.elements.len() - self.tail);
        let (mut watermark, mut activity) = (None, None);
        for (event, _) in tail {
            match event {
                StreamElement::Watermark(_) => watermark = Some(event),
                _ => activity = Some(event),
            }
        }
        self.tail = 0;
        for event in [activity, watermark].into_iter().flatten() {
            self.elements.push_back((event, 0));
            self.tail += 1;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<StreamElement> {
        let (element, segments) = self.elements.pop_front()?;
        self.segments -= segments;
        if matches!(element, StreamElement::Batch(_)) {
            self.batches -= 1;
        }
        self.tail = self.tail.min(self.elements.len());
        Some(element)
    }

    pub(crate) fn front(&self) -> Option<(&StreamElement, usize)> {
        self.elements.front().map(|(element, segments)| (element, *segments))
    }

    /// The first batch, behind whatever events, and its cost.
    pub(crate) fn first_batch(&self) -> Option<(&Batch, usize)> {
        self.elements.iter().find_map(|(element, segments)| match element {
            StreamElement::Batch(batch) => Some((batch, *segments)),
            _ => None,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// What the queued batches cost.
    pub(crate) const fn segments(&self) -> usize {
        self.segments
    }

    /// How many events are queued.
    pub(crate) fn events(&self) -> usize {
        self.elements.len() - self.batches
    }

    /// How many batches are queued.
    pub(crate) const fn batches(&self) -> usize {
        self.batches
    }
}

fn same_kind(a: &StreamElement, b: &StreamElement) -> bool {
    use StreamElement::{Active, Idle, Watermark};
    matches!((a, b), (Watermark(_), Watermark(_)) | (Idle | Active, Idle | Active))
}

#[cfg(test)]
mod tests {
    use weir_api::watermark::Watermark;

    use super::*;

    #[test]
    fn events_between_batches_are_bounded_and_the_latest_survive() {
        let mut queue = ElementQueue::default();
        for time in 0..1000 {
            queue.push_event(StreamElement::Watermark(Watermark(time)));
            queue.push_event(if time % 2 == 0 { StreamElement::Idle } else { StreamElement::Active });
        }
        queue.push_event(StreamElement::EndOfInput);
        let elements: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert!(elements.len() <= MAX_EVENTS + 1, "{} elements", elements.len());
        assert!(matches!(elements.last(), Some(StreamElement::EndOfInput)));
        let last = elements.iter().rev().find_map(|element| match element {
            StreamElement::Watermark(watermark) => Some(watermark.0),
            _ => None,
        });
        assert_eq!(last, Some(999));
        let activity =
            elements.iter().rev().find(|e| matches!(e, StreamElement::Idle | StreamElement::Active));
        assert!(matches!(activity, Some(StreamElement::Active)));
    }

    #[test]
    fn a_watermark_before_a_barrier_is_not_replaced_by_one_after_it() {
        let mut queue = ElementQueue::default();
        let barrier = weir_api::element::Barrier {
            checkpoint_id: 1,
            timestamp_millis: 0,
            purpose: weir_api::element::Purpose::Checkpoint,
        };
        queue.push_event(StreamElement::Watermark(Watermark(1)));
        queue.push_event(StreamElement::Barrier(barrier));
        queue.push_event(StreamElement::Watermark(Watermark(2)));
        queue.push_event(StreamElement::Watermark(Watermark(3)));
        let texts: Vec<_> =
            std::iter::from_fn(|| queue.pop()).map(|element| format!("{element:?}")).collect();
        assert_eq!(texts.len(), 3);
        assert!(texts[0].contains("Watermark(1)") && texts[2].contains("Watermark(3)"));
    }
}
