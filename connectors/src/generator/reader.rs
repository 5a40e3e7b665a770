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
use weir_api::source::{SourceEvent, SourceReader, SplitProgress};
use weir_proto::v1::Split;

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

/// A share and how far it has been read.
struct Track {
    /// Where its reading began in the first attempt.
    first: u64,
    cursor: Cursor,
    ended: bool,
    /// Whether its end has been told.
    told: bool,
}

impl Track {
    fn of(split: &Split) -> Result<Self> {
        let share = Share::of(split)?;
        let fresh = Cursor::new(share);
        let cursor = match SplitProgress::of(split) {
            SplitProgress::At(next) => Cursor::at(share, next)?,
            SplitProgress::Fresh | SplitProgress::Ended => fresh,
        };
        Ok(Self { first: fresh.next(), cursor, ended: split.ended, told: false })
    }

    fn progress(&self) -> SplitProgress {
        match self.cursor.next() {
            _ if self.ended => SplitProgress::Ended,
            next if next == self.first => SplitProgress::Fresh,
            next => SplitProgress::At(next),
        }
    }
}

/// Reads shares of a generator's numbers.
pub struct Reader<R> {
    rows: R,
    course: Course,
    clock: Arc<dyn Clock>,
    tracks: Vec<Track>,
    /// What the course's clock showed when this reader began: a restored one keeps its pace from where it goes on, and doesn't
    /// hurry after what wasn't read while the job was down.
    begun_millis: u64,
    /// On the monotonic clock, when this reader began; set by the first poll.
    started_millis: Option<u64>,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
    pieces: Vec<Range<u64>>,
}

impl<R: Rows> Reader<R> {
    /// A reader of the shares that `splits` are.
    pub fn new(rows: R, course: Course, splits: &[Split], clock: Arc<dyn Clock>) -> Result<Self> {
        let tracks = splits.iter().map(Track::of).collect::<Result<Vec<_>>>()?;
        let first =
            tracks.iter().filter(|track| !track.ended).map(|track| (track.cursor.next(), track.first));
        let begun_millis = match (&course.pace, first.min()) {
            (Some(pace), Some((next, first))) if next > first => pace.millis(next),
            _ => 0,
        };
        let (started_millis, timer, pieces) = (None, None, Vec::new());
        Ok(Self { rows, course, clock, tracks, begun_millis, started_millis, timer, pieces })
    }

    /// The split whose next number is the smallest.
    fn hindmost(&self) -> Option<(usize, u64)> {
        self.tracks
            .iter()
            .enumerate()
            .filter(|(_, track)| !track.ended)
            .map(|(index, track)| (index, track.cursor.next()))
            .min_by_key(|(_, next)| *next)
    }

    /// The first number that may not be taken yet, and how long until `next` may; `None` when there is nothing to wait for.
    fn limit(&mut self, next: u64) -> (u64, Option<Duration>) {
        let end = self.course.end.unwrap_or(u64::MAX);
        let Some(pace) = &self.course.pace else { return (end, None) };
        let now = self.clock.monotonic_millis();
        let started = *self.started_millis.get_or_insert(now);
        let elapsed = now.saturating_sub(started).saturating_add(self.begun_millis);
        let due = pace.due(elapsed).min(end);
        let wait = (next >= due)
            .then(|| Duration::from_millis(pace.millis(next).saturating_sub(elapsed)).max(GATHER));
        (due, wait)
    }

    /// A split whose end is to be told.
    fn untold_end(&mut self) -> Option<usize> {
        let split = self.tracks.iter().position(|track| track.ended && !track.told)?;
        self.tracks.get_mut(split)?.told = true;
        Some(split)
    }
}

impl<R: Rows> SourceReader for Reader<R> {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<SourceEvent>>> {
        loop {
            if let Some(split) = self.untold_end() {
                return Poll::Ready(Some(Ok(SourceEvent::SplitFinished { split })));
            }
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
                if let Some(track) = self.tracks.get_mut(split) {
                    track.ended = true;
                }
                continue;
            }
            let (limit, wait) = self.limit(next);
            if let Some(wait) = wait {
                self.timer = Some(Box::pin(tokio::time::sleep(wait)));
                continue;
            }
            if let Some(track) = self.tracks.get_mut(split) {
                track.cursor.take(self.rows.numbers_per_batch(), limit, &mut self.pieces);
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

    fn progress(&self) -> Option<Vec<SplitProgress>> {
        // What a generator makes of a number is a function of it: whatever was taken has been handed over or holds no row.
        Some(self.tracks.iter().map(Track::progress).collect())
    }
}
