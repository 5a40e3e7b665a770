//! Where a chain's elements come from when its head is a source: the reader's records, and the watermarks made of them.
//!
//! Invariant: a watermark comes right behind the batch that advanced it, so the same splits give the same stream; the last
//! element before the end of input is [`Watermark::MAX`]; what is captured for a checkpoint is how far everything had come that was
//! handed over. Time only decides which splits are idle.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use weir_api::clock::Clock;
use weir_api::element::StreamElement;
use weir_api::id::CheckpointId;
use weir_api::output::{Emitted, SideBatch};
use weir_api::source::{SourceEvent, SourceReader, SplitProgress};
use weir_api::watermark::Watermark;
use weir_api::{Batch, Error, Result};
use weir_operators::WatermarkGenerator;
use weir_proto::v1::Split;

use super::mailbox::Mailbox;

/// For how many checkpoints that aren't complete the progress is remembered.
const MAX_REMEMBERED: usize = 64;

/// A source as the head of a task.
pub(crate) struct Reader {
    reader: Box<dyn SourceReader>,
    /// All that the reader was given.
    splits: Vec<Split>,
    /// None: the table has no watermark.
    generator: Option<WatermarkGenerator>,
    clock: Arc<dyn Clock>,
    /// Whether an edge carries the dead letters.
    has_dead_letter_edge: bool,
    /// Splits that are found while the task runs.
    mailbox: Option<Mailbox>,
    started: bool,
    /// What comes next, before the reader is asked again.
    pending: VecDeque<Emitted>,
    ended: bool,
    /// What was captured last.
    captured: Vec<SplitProgress>,
    /// How far the splits had come at checkpoints that may complete.
    progress: BTreeMap<CheckpointId, Vec<SplitProgress>>,
}

impl Reader {
    pub(crate) fn new(
        reader: Box<dyn SourceReader>,
        splits: Vec<Split>,
        generator: Option<WatermarkGenerator>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            reader,
            splits,
            generator,
            clock,
            has_dead_letter_edge: false,
            mailbox: None,
            started: false,
            pending: VecDeque::new(),
            ended: false,
            captured: Vec::new(),
            progress: BTreeMap::new(),
        }
    }

    /// Where splits come that are found while the task runs.
    pub(crate) fn with_mailbox(mut self, mailbox: Mailbox) -> Self {
        self.mailbox = Some(mailbox);
        self
    }

    /// Whether an edge carries the dead letters: without one a reader that hands over some is wrong.
    pub(crate) fn with_dead_letter_edge(mut self, exists: bool) -> Self {
        self.has_dead_letter_edge = exists;
        self
    }

    /// The next element.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Emitted>> {
        loop {
            if let Some(element) = self.pending.pop_front() {
                return Poll::Ready(Ok(element));
            }
            if self.ended {
                return Poll::Ready(Err(Error::internal("a source is read after its end")));
            }
            self.look_for_splits(cx)?;
            if !self.pending.is_empty() {
                continue;
            }
            match ready!(self.reader.poll_next(cx)) {
                Some(event) => {
                    self.take(event?)?;
                    if self.pending.is_empty() {
                        // A source that filters everything out may go on like this for long: others want the thread too.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                None => {
                    self.ended = true;
                    self.pending.push_back(StreamElement::Watermark(Watermark::MAX).into());
                    self.pending.push_back(StreamElement::EndOfInput.into());
                }
            }
        }
    }

    /// Looks which splits have become idle.
    pub(crate) fn on_time(&mut self) {
        if !self.ended {
            self.advance(None);
        }
    }

    /// When [`Reader::on_time`] is due, in milliseconds since 1970.
    pub(crate) fn deadline(&self) -> Option<i64> {
        self.generator.as_ref().filter(|_| !self.ended).and_then(WatermarkGenerator::next_timeout)
    }

    /// The splits and how far each has come, if a barrier may come now.
    pub(crate) fn capture(&mut self) -> Result<Option<Vec<Split>>> {
        if self.ended || !self.pending.is_empty() {
            return Ok(None);
        }
        let Some(progress) = self.reader.progress() else { return Ok(None) };
        if progress.len() != self.splits.len() {
            return Err(Error::internal(format!(
                "a reader of {} splits tells the progress of {}",
                self.splits.len(),
                progress.len()
            )));
        }
        let mut splits = self.with_watermarks();
        for (split, progress) in splits.iter_mut().zip(&progress) {
            match progress {
                SplitProgress::Fresh => {}
                SplitProgress::At(position) => split.position = Some(*position),
                SplitProgress::Ended => split.ended = true,
            }
        }
        self.captured = progress;
        Ok(Some(splits))
    }

    /// What was captured last belongs to this checkpoint.
    pub(crate) fn remember(&mut self, checkpoint: CheckpointId) {
        self.progress.insert(checkpoint, std::mem::take(&mut self.captured));
        if self.progress.len() > MAX_REMEMBERED {
            self.progress.pop_first();
        }
    }

    /// The checkpoint is complete.
    pub(crate) fn complete(&mut self, checkpoint: CheckpointId) {
        if let Some(progress) = self.progress.remove(&checkpoint) {
            self.reader.checkpoint_complete(&progress);
        }
        self.progress.retain(|later, _| *later > checkpoint);
    }

    /// The splits at the end of input: all have been read to theirs.
    pub(crate) fn final_splits(&self) -> Vec<Split> {
        let mut splits = self.with_watermarks();
        splits.iter_mut().for_each(|split| split.ended = true);
        splits
    }

    fn with_watermarks(&self) -> Vec<Split> {
        let mut splits = self.splits.clone();
        if let Some(generator) = &self.generator {
            for (split, watermark) in splits.iter_mut().zip(generator.split_watermarks()) {
                split.watermark = watermark.map(|watermark| watermark.0);
            }
        }
        splits
    }

    /// Takes up the splits that have come. A source that has none yet, but may get some, is idle from its first moment.
    fn look_for_splits(&mut self, cx: &Context<'_>) -> Result<()> {
        let splits = self.mailbox.as_ref().map(|mailbox| mailbox.take(cx)).transpose()?.unwrap_or_default();
        if splits.is_empty() && self.started {
            return Ok(());
        }
        self.started = true;
        let count = splits.len();
        if count > 0 {
            self.splits.extend_from_slice(&splits);
            self.reader
                .add_splits(splits)
                .map_err(|error| error.context("take up splits that were found"))?;
        }
        if let Some(generator) = &mut self.generator {
            let reader = self.reader.as_ref();
            generator.add_splits(count, self.clock.unix_millis(), |split| reader.continues(split));
            self.advance(None);
        }
        Ok(())
    }

    fn take(&mut self, event: SourceEvent) -> Result<()> {
        match event {
            SourceEvent::Records { split, records } => {
                if records.num_rows() == 0 {
                    return Ok(());
                }
                if let Some(generator) = &mut self.generator {
                    generator.on_records(split, &records, self.clock.unix_millis())?;
                }
                self.advance(Some(Batch::new(records)));
            }
            SourceEvent::SplitFinished { split } => {
                if let Some(generator) = &mut self.generator {
                    generator.on_finished(split)?;
                }
                self.advance(None);
            }
            SourceEvent::DeadLetters(_) if !self.has_dead_letter_edge => {
                return Err(Error::internal(
                    "a source hands over dead letters, which no edge of the job carries",
                ));
            }
            SourceEvent::DeadLetters(records) => {
                if records.num_rows() > 0 {
                    // A source is the head of its chain.
                    self.pending.push_back(Emitted::Side(SideBatch { operator: 0, batch: records.into() }));
                }
            }
        }
        Ok(())
    }

    /// Queues the end of idleness, the batch, the watermark behind it, the beginning of idleness.
    fn advance(&mut self, batch: Option<Batch>) {
        let now = self.clock.unix_millis();
        let change = self.generator.as_mut().map(|generator| generator.poll(now)).unwrap_or_default();
        if change.idle == Some(false) {
            self.pending.push_back(StreamElement::Active.into());
        }
        self.pending.extend(batch.map(|batch| StreamElement::Batch(batch).into()));
        self.pending.extend(change.watermark.map(|watermark| StreamElement::Watermark(watermark).into()));
        if change.idle == Some(true) {
            self.pending.push_back(StreamElement::Idle.into());
        }
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
