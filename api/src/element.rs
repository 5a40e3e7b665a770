//! What flows through channels and chains, in order.

use crate::batch::Batch;
use crate::watermark::Watermark;

/// A checkpoint's mark in the stream: what comes before it belongs to the checkpoint, what comes after does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Barrier {
    /// The checkpoint's growing number.
    pub checkpoint_id: u64,
    /// When it was triggered, in milliseconds since 1970.
    pub timestamp_millis: i64,
    /// What it is taken for.
    pub purpose: Purpose,
}

/// What a snapshot is taken for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Purpose {
    /// Recovery: it may build on files of earlier ones.
    #[default]
    Checkpoint,
    /// Likewise, and it doesn't build on files of earlier ones.
    FullCheckpoint,
    /// A user: everything is written anew, the job goes on.
    Savepoint,
    /// A user who stops the job: sources emit nothing behind the barrier.
    Suspend,
    /// Likewise, and event time runs to its end before the barrier.
    Drain,
}

impl Purpose {
    /// Whether it lies in a folder of its own, without reference to other files.
    #[must_use]
    pub const fn is_savepoint(self) -> bool {
        !matches!(self, Self::Checkpoint | Self::FullCheckpoint)
    }

    /// Whether sources emit nothing behind the barrier.
    #[must_use]
    pub const fn stops_sources(self) -> bool {
        matches!(self, Self::Suspend | Self::Drain)
    }
}

/// One element of a stream.
#[derive(Clone, Debug)]
pub enum StreamElement {
    /// Records.
    Batch(Batch),
    /// No record with a smaller event time is expected.
    Watermark(Watermark),
    /// A checkpoint's mark.
    Barrier(Barrier),
    /// The channel holds watermarks back no longer, until `Active`.
    Idle,
    /// Records may come again.
    Active,
    /// Nothing comes after this.
    EndOfInput,
}
