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
