//! The contract of sources: splits found by the JobManager, when a job is submitted and while it runs, read by readers in tasks.
//!
//! A source's watermarks are made per split by the task that reads it, from the watermark expression of the table; readers
//! only say which split records came from.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use weir_proto::v1::{Predicate, Split};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::metrics::OperatorMetrics;

/// Whether a source ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Boundedness {
    /// It ends by itself.
    Bounded,
    /// It goes on until the job is cancelled.
    Unbounded,
}

/// A table that can be read: made by [`Connector::source`](crate::connector::Connector::source) from checked options.
#[async_trait]
pub trait Source: Send + Sync {
    /// Whether it ends.
    fn boundedness(&self) -> Boundedness;

    /// For each predicate, whether the readers will apply it exactly; those are dropped from the plan.
    fn accepts(&self, predicates: &[Predicate]) -> Vec<bool> {
        vec![false; predicates.len()]
    }

    /// The most parallel instances that can have work, if that is known before the splits are.
    fn max_parallelism(&self) -> Option<u32> {
        None
    }

    /// Finds the splits: called once when a job is submitted, with the parallelism of the source's vertex. The result is kept
    /// with the job, so a restart reads the same.
    async fn discover(&self, parallelism: u32) -> Result<Vec<Split>>;

    /// How often to look for further splits while the job runs; `None`: never.
    fn discovery_interval(&self) -> Option<Duration> {
        None
    }

    /// The splits that have come since `known` were found, in the order in which they are to be read. What is returned is kept
    /// with the job like the first ones: each split is found once, and after a restart it is read again like the others.
    async fn discover_more(&self, _known: &[Split]) -> Result<Vec<Split>> {
        Ok(Vec::new())
    }

    /// A reader over `splits`, which may be none.
    fn reader(&self, context: ReaderContext, splits: Vec<Split>) -> Result<Box<dyn SourceReader>>;
}

/// Where a reader runs.
#[derive(Clone)]
pub struct ReaderContext {
    /// What it must emit; see `SourceSpec.projected_schema`.
    pub projected_schema: SchemaRef,
    /// What it promised to apply.
    pub filters: Vec<Predicate>,
    /// Which parallel instance it is.
    pub subtask: u32,
    /// How many there are.
    pub parallelism: u32,
    /// Bytes that may be read ahead.
    pub read_ahead_bytes: usize,
    /// The I/O runtime: files are read and decoded there. What is spawned is aborted when the reader is dropped.
    pub io: tokio::runtime::Handle,
    /// For paced sources.
    pub clock: Arc<dyn Clock>,
    /// The source operator's counters.
    pub metrics: Arc<OperatorMetrics>,
}

/// How far a split has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SplitProgress {
    /// Nothing of it has been handed over: reading begins where the split says.
    Fresh,
    /// Reading goes on here, in the connector's own unit: what [`Split`]'s `position` says after a restore.
    At(u64),
    /// To its end. A reader that is given a split whose `ended` is set hands nothing of it over, its end apart.
    Ended,
}

impl SplitProgress {
    /// Where a reader that is given this split begins.
    #[must_use]
    pub const fn of(split: &Split) -> Self {
        match (split.ended, split.position) {
            (true, _) => Self::Ended,
            (false, Some(position)) => Self::At(position),
            (false, None) => Self::Fresh,
        }
    }
}

/// What a reader hands over.
#[derive(Debug)]
pub enum SourceEvent {
    /// Records of one split, in its order; `split` is the position in the reader's list. About
    /// [`TARGET_ROWS`](crate::batch::TARGET_ROWS) rows.
    Records {
        /// Position in the list that the reader was made with.
        split: usize,
        /// The rows, of the projected schema.
        records: RecordBatch,
    },
    /// A split has ended: it holds the watermark back no longer.
    SplitFinished {
        /// Position in the list that the reader was made with.
        split: usize,
    },
    /// Records that couldn't be decoded, for the side output: rows of [`dead_letters`](crate::side_output::dead_letters).
    DeadLetters(RecordBatch),
}

/// Reads splits on a slot's thread: a poll computes or takes what the I/O runtime has brought, and never blocks.
pub trait SourceReader {
    /// The next event; `None` when all splits have ended, unless more may come ([`Source::discovery_interval`]). Cancel-safe. One
    /// poll does about one batch of work.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<SourceEvent>>>;

    /// Whether a split (by its position in the reader's list) goes on where one that is read before it has ended, as the parts of a
    /// file do. Such a split doesn't hold the watermark back before its first record. Any other one does, or its records might
    /// be late for no fault of theirs.
    fn continues(&self, _split: usize) -> bool {
        false
    }

    /// How far each split of the reader's list has been read, counting what has been handed over, for a snapshot.
    ///
    /// `None` in the middle of events that belong together, as a batch and its dead letters do: a barrier between them would
    /// lose or double some. It is asked again after the next event, which comes at once.
    fn progress(&self) -> Option<Vec<SplitProgress>>;

    /// A checkpoint is complete in which the splits had come so far: those who watch the source's progress from outside may be
    /// told. Never blocks, and no failure of it fails the job.
    fn checkpoint_complete(&mut self, _progress: &[SplitProgress]) {}

    /// Splits that were found later: their positions go on where the list ends.
    fn add_splits(&mut self, _splits: Vec<Split>) -> Result<()> {
        Err(Error::internal("a source whose splits are all known from the start was given more"))
    }
}
