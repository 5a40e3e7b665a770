//! The head of a task: a source's reader, or the inlet from other tasks.

use std::task::{Context, Poll};

use weir_api::Result;
use weir_api::output::Emitted;

use super::inlet::Inlet;
use super::reader::Reader;

/// Where a task's elements come from.
pub(crate) enum Head {
    Reader(Box<Reader>),
    Inlet(Inlet),
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
