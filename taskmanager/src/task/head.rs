//! The head of a task: a source's reader, or the inlet from other tasks.

use std::task::{Context, Poll};
use std::time::Duration;

use weir_api::Result;
use weir_api::id::CheckpointId;
use weir_api::output::Emitted;
use weir_proto::v1::Split;

use super::inlet::Inlet;
use super::reader::Reader;

/// Where a task's elements come from.
pub(crate) enum Head {
    Reader(Box<Reader>),
    Inlet(Box<Inlet>),
}

impl Head {
    /// The next element, and which input it is for. After the end of input there is none to ask for.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(u32, Emitted)>> {
        match self {
            Self::Reader(reader) => reader.poll_next(cx).map_ok(|element| (0, element)),
            Self::Inlet(inlet) => inlet.poll_next(cx).map_ok(|(input, element)| (input, element.into())),
        }
    }

    /// Some time has passed.
    pub(crate) fn on_time(&mut self) {
        if let Self::Reader(reader) = self {
            reader.on_time();
        }
    }

    /// When [`Head::on_time`] is due, in milliseconds since 1970.
    pub(crate) fn deadline(&self) -> Option<i64> {
        match self {
            Self::Reader(reader) => reader.deadline(),
            Self::Inlet(_) => None,
        }
    }

    /// A source's splits and how far each has come, if a barrier may come now; it remembers them for the checkpoint until that
    /// is complete.
    pub(crate) fn capture(&mut self) -> Result<Option<Vec<Split>>> {
        match self {
            Self::Reader(reader) => reader.capture(),
            Self::Inlet(_) => Ok(None),
        }
    }

    /// What was captured last belongs to this checkpoint.
    pub(crate) fn remember(&mut self, checkpoint: CheckpointId) {
        if let Self::Reader(reader) = self {
            reader.remember(checkpoint);
        }
    }

    /// The checkpoint is complete.
    pub(crate) fn complete(&mut self, checkpoint: CheckpointId) {
        if let Self::Reader(reader) = self {
            reader.complete(checkpoint);
        }
    }

    /// The checkpoint is given up.
    pub(crate) fn cancel(&mut self, checkpoint: CheckpointId) {
        if let Self::Inlet(inlet) = self {
            inlet.cancel(checkpoint.0);
        }
    }

    /// How long the alignment of the last barrier took, once.
    pub(crate) fn take_alignment(&mut self) -> Duration {
        match self {
            Self::Reader(_) => Duration::ZERO,
            Self::Inlet(inlet) => inlet.take_alignment(),
        }
    }

    /// A source's splits at its end.
    pub(crate) fn final_splits(&self) -> Option<Vec<Split>> {
        match self {
            Self::Reader(reader) => Some(reader.final_splits()),
            Self::Inlet(_) => None,
        }
    }

    /// Bytes are counted where batches come from other tasks; a source's reader counts its own.
    pub(crate) fn counts_bytes(&self) -> bool {
        matches!(self, Self::Inlet(_))
    }

    /// Buffers that have come and wait to be taken, and the share of the input buffers in use, in per cent.
    pub(crate) fn queue(&self) -> (usize, u8) {
        match self {
            Self::Reader(_) => (0, 0),
            Self::Inlet(inlet) => (inlet.queue_length(), inlet.pool_usage_percent()),
        }
    }
}
