//! The reader over computed rows: picks the split that is behind, waits where numbers aren't due yet, and emits batches.
//!
//! Runs inline on the slot's thread: nothing here does I/O. Waiting is a tokio timer of the slot's runtime.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use weir_api::clock::Clock;
use weir_api::error::Result;
use weir_api::source::{SourceEvent, SourceReader};

use super::Rows;
use super::numbers::{Cursor, Share};
use super::timeline::Timeline;

/// Paced rows are gathered this long, so that a fast source isn't cut into tiny batches.
const GATHER: Duration = Duration::from_millis(10);

/// How many numbers there are and how fast they come.
#[derive(Clone, Debug)]
pub struct Course {
    /// The first number that isn't generated any more; none: it goes on.
    pub end: Option<u64>,
    /// When a number is due; none: as fast as they are taken.
    pub pace: Option<Timeline>,
    /// Whether the source stays up, silent, after its end.
    pub keep_alive: bool,
}

/// Reads shares of a generator's numbers.
pub struct Reader<R> {
    rows: R,
    course: Course,
    clock: Arc<dyn Clock>,
    cursors: Vec<Option<Cursor>>,
    /// On the monotonic clock, when number 0 is due; set by the first poll.
    started_millis: Option<u64>,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
    pieces: Vec<Range<u64>>,
}

impl<R: Rows> Reader<R> {
    /// A reader of `shares`.
    #[must_use]
    pub fn new(rows: R, course: Course, shares: &[Share], clock: Arc<dyn Clock>) -> Self {
        let cursors = shares.iter().map(|share| Some(Cursor::new(*share))).collect();
        Self { rows, course, clock, cursors, started_millis: None, timer: None, pieces: Vec::new() }
    }

    /// The split whose next number is the smallest.
    fn hindmost(&self) -> Option<(usize, u64)> {
        self.cursors
            .iter()
            .enumerate()
            .filter_map(|(index, cursor)| cursor.as_ref().map(|cursor| (index, cursor.next())))
            .min_by_key(|(_, next)| *next)
    }

    /// The first number that may not be taken yet, and how long until `next` may; `None` when there is nothing to wait for.
    fn limit(&mut self, next: u64) -> (u64, Option<Duration>) {
        let end = self.course.end.unwrap_or(u64::MAX);
        let Some(pace) = &self.course.pace else { return (end, None) };
        let now = self.clock.monotonic_millis();
        let elapsed = now.saturating_sub(*self.started_millis.get_or_insert(now));
        let due = pace.due(elapsed).min(end);
        let wait = (next >= due)
            .then(|| Duration::from_millis(pace.millis(next).saturating_sub(elapsed)).max(GATHER));
        (due, wait)
    }
}

impl<R: Rows> SourceReader for Reader<R> {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<SourceEvent>>> {
        loop {
            if let Some(timer) = &mut self.timer {
                std::task::ready!(timer.as_mut().poll(context));
                self.timer = None;
            }
            let Some((split, next)) = self.hindmost() else { return Poll::Ready(None) };
            if self.course.end.is_some_and(|end| next >= end) {
                if self.course.keep_alive {
                    // Nothing will ever come: the task ends by being cancelled.
                    return Poll::Pending;
                }
                if let Some(cursor) = self.cursors.get_mut(split) {
                    *cursor = None;
                }
                return Poll::Ready(Some(Ok(SourceEvent::SplitFinished { split })));
            }
            let (limit, wait) = self.limit(next);
            if let Some(wait) = wait {
                self.timer = Some(Box::pin(tokio::time::sleep(wait)));
                continue;
            }
            if let Some(Some(cursor)) = self.cursors.get_mut(split) {
                cursor.take(self.rows.numbers_per_batch(), limit, &mut self.pieces);
            }
            match self.rows.generate(&self.pieces, self.clock.unix_millis()) {
                Ok(records) if records.num_rows() == 0 => {
                    // A filter that few rows pass mustn't keep the slot.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok(records) => return Poll::Ready(Some(Ok(SourceEvent::Records { split, records }))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}
