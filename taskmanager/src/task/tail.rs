//! Where a chain's elements go: to the partitions of its outgoing edges, every element to each of them, or to a sink's writer.
//!
//! Invariant: an element is handed over only after [`Tail::poll_ready`] was ready. Counts what leaves.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use weir_api::element::StreamElement;
use weir_api::sink::{Committable, SinkWriter};
use weir_api::{Error, Result};

use super::metrics::TaskMetrics;
use crate::network::ResultPartition;

/// The end of a task.
pub(crate) struct Tail {
    exit: Exit,
    metrics: Arc<TaskMetrics>,
    /// Something was handed over since the last flush.
    dirty: bool,
    ended: bool,
}

/// The two kinds of ends.
pub(crate) enum Exit {
    /// One for each edge; never empty.
    Partitions(Vec<ResultPartition>),
    /// The last operator of the chain is a sink.
    Sink(Box<dyn SinkWriter>),
}

impl Tail {
    pub(crate) fn new(exit: Exit, metrics: Arc<TaskMetrics>) -> Self {
        Self { exit, metrics, dirty: false, ended: false }
    }

    /// Ready to take one element.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.exit {
            Exit::Sink(writer) => writer.poll_ready(cx),
            Exit::Partitions(partitions) => {
                for partition in partitions {
                    ready!(partition.poll_ready(cx))?;
                }
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Takes an element.
    pub(crate) fn send(&mut self, element: StreamElement) -> Result<()> {
        match &element {
            StreamElement::Batch(batch) => {
                self.metrics.records_out.add(batch.num_rows() as u64);
                self.dirty = true;
                if matches!(self.exit, Exit::Partitions(_)) {
                    self.metrics.bytes_out.add(batch.slice_bytes() as u64);
                }
            }
            StreamElement::Watermark(watermark) => self.metrics.set_output_watermark(*watermark),
            StreamElement::EndOfInput => self.ended = true,
            StreamElement::Barrier(_) | StreamElement::Idle | StreamElement::Active => {}
        }
        match &mut self.exit {
            Exit::Sink(writer) => match element {
                StreamElement::Batch(batch) => writer.write(batch),
                _ => Ok(()),
            },
            Exit::Partitions(partitions) => {
                let Some((last, others)) = partitions.split_last_mut() else { return Ok(()) };
                for partition in others {
                    partition.emit_event(element.clone())?;
                }
                last.emit_event(element)
            }
        }
    }

    /// Whether something handed over waits for a flush.
    pub(crate) fn is_dirty(&self) -> bool {
        match &self.exit {
            Exit::Sink(_) => self.dirty,
            Exit::Partitions(partitions) => {
                self.dirty && partitions.iter().any(ResultPartition::has_gathered)
            }
        }
    }

    /// The task is about to wait for input: consumers that have nothing to do get what was gathered for them.
    pub(crate) fn flush_hungry(&mut self) -> Result<()> {
        match &mut self.exit {
            Exit::Sink(_) => Ok(()),
            Exit::Partitions(partitions) => partitions.iter_mut().try_for_each(ResultPartition::flush_hungry),
        }
    }

    /// The buffer timeout has passed while the task is busy: what was gathered for consumers sets out. A sink's flush waits for
    /// a pause of the input.
    pub(crate) fn flush_partitions(&mut self) -> Result<()> {
        match &mut self.exit {
            Exit::Sink(_) => Ok(()),
            Exit::Partitions(partitions) => partitions.iter_mut().try_for_each(ResultPartition::flush),
        }
    }

    /// The buffer timeout has passed and the task waits: everything handed over sets out.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.exit {
            Exit::Sink(writer) => ready!(writer.poll_flush(cx))?,
            Exit::Partitions(partitions) => partitions.iter_mut().try_for_each(ResultPartition::flush)?,
        }
        self.dirty = false;
        Poll::Ready(Ok(()))
    }

    /// After the end of input: ready when consumers have taken everything, or the sink's output is prepared.
    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Committable>>> {
        if !self.ended {
            return Poll::Ready(Err(Error::internal("a task finishes before the end of its input")));
        }
        match &mut self.exit {
            Exit::Sink(writer) => writer.poll_prepare(cx),
            Exit::Partitions(partitions) => {
                for partition in partitions {
                    ready!(partition.poll_finished(cx))?;
                }
                Poll::Ready(Ok(Vec::new()))
            }
        }
    }

    /// Batches queued and not yet taken, and the share of the output buffers in use.
    pub(crate) fn queue(&self) -> (usize, u8) {
        match &self.exit {
            Exit::Sink(_) => (0, 0),
            Exit::Partitions(partitions) => (
                partitions.iter().map(ResultPartition::queue_length).sum(),
                partitions.iter().map(ResultPartition::pool_usage_percent).max().unwrap_or(0),
            ),
        }
    }
}
