//! Where a chain's elements go: to the partitions of its outgoing edges or to a sink's writer, and to the partitions of its side
//! outputs.
//!
//! Rows of the main output go to the main edges, rows of an operator's side output to the edges that name it; events go to all.
//! Invariant: an element is handed over only after [`Tail::poll_ready`] was ready, and that asks every edge: a slow reader of a
//! side output holds the task up like any other. Counts what leaves.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use weir_api::batch::Batch;
use weir_api::element::StreamElement;
use weir_api::fail_point::FailPoint;
use weir_api::id::CheckpointId;
use weir_api::output::{Emitted, SideBatch};
use weir_api::sink::{Committable, SinkWriter};
use weir_api::{Error, Result};

use super::metrics::TaskMetrics;
use crate::network::ResultPartition;

/// The end of a task.
pub(crate) struct Tail {
    exit: Exit,
    sides: Vec<SideEdge>,
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

/// An edge that carries a side output.
pub(crate) struct SideEdge {
    /// The position in the chain of the operator whose side output it is.
    pub(crate) operator: usize,
    pub(crate) partition: ResultPartition,
}

impl Tail {
    pub(crate) fn new(exit: Exit, sides: Vec<SideEdge>, metrics: Arc<TaskMetrics>) -> Self {
        Self { exit, sides, metrics, dirty: false, ended: false }
    }

    /// Ready to take one element.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        for partition in self.partitions_mut() {
            ready!(partition.poll_ready(cx))?;
        }
        match &mut self.exit {
            Exit::Sink(writer) => writer.poll_ready(cx),
            Exit::Partitions(_) => Poll::Ready(Ok(())),
        }
    }

    /// Takes an element.
    pub(crate) fn send(&mut self, emitted: Emitted) -> Result<()> {
        match emitted {
            Emitted::Element(StreamElement::Batch(batch)) => self.send_batch(batch),
            Emitted::Element(event) => self.send_event(event),
            Emitted::Side(side) => self.send_side(side),
        }
    }

    fn send_batch(&mut self, batch: Batch) -> Result<()> {
        self.metrics.records_out.add(batch.num_rows() as u64);
        self.dirty = true;
        match &mut self.exit {
            Exit::Sink(writer) => writer.write(batch),
            Exit::Partitions(partitions) => {
                self.metrics.bytes_out.add(batch.slice_bytes() as u64);
                emit(partitions.iter_mut(), batch)
            }
        }
    }

    fn send_event(&mut self, event: StreamElement) -> Result<()> {
        match &event {
            StreamElement::Watermark(watermark) => self.metrics.set_output_watermark(*watermark),
            StreamElement::EndOfInput => self.ended = true,
            StreamElement::Barrier(_) | StreamElement::Idle | StreamElement::Active => {}
            StreamElement::Batch(_) => return Err(Error::internal("a batch is sent like an event")),
        }
        self.partitions_mut().try_for_each(|partition| partition.emit_event(event.clone()))
    }

    /// Rows of a side output that no edge carries are dropped, as in Flink.
    fn send_side(&mut self, side: SideBatch) -> Result<()> {
        let SideBatch { operator, batch } = side;
        let mut edges = self.sides.iter_mut().filter(|edge| edge.operator == operator).peekable();
        if edges.peek().is_none() {
            return Ok(());
        }
        self.metrics.side_output_records.add(batch.num_rows() as u64);
        self.metrics.bytes_out.add(batch.slice_bytes() as u64);
        self.dirty = true;
        emit(edges.map(|edge| &mut edge.partition), batch)
    }

    /// Whether something handed over waits for a flush.
    pub(crate) fn is_dirty(&self) -> bool {
        let waits = match &self.exit {
            Exit::Sink(_) => true,
            Exit::Partitions(_) => self.partitions().any(ResultPartition::has_gathered),
        };
        self.dirty && waits
    }

    /// The task is about to wait for input: consumers that have nothing to do get what was gathered for them.
    pub(crate) fn flush_hungry(&mut self) -> Result<()> {
        self.partitions_mut().try_for_each(ResultPartition::flush_hungry)
    }

    /// The buffer timeout has passed while the task is busy: what was gathered for consumers sets out. A sink's flush waits for
    /// a pause of the input.
    pub(crate) fn flush_partitions(&mut self) -> Result<()> {
        self.partitions_mut().try_for_each(ResultPartition::flush)
    }

    /// The buffer timeout has passed and the task waits: everything handed over sets out.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.flush_partitions()?;
        if let Exit::Sink(writer) = &mut self.exit {
            ready!(writer.poll_flush(cx))?;
        }
        self.dirty = false;
        Poll::Ready(Ok(()))
    }

    /// After the end of input: ready when consumers have taken everything, and the sink's output is prepared.
    pub(crate) fn poll_finish(
        &mut self,
        checkpoint: CheckpointId,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Vec<Committable>>>> {
        if !self.ended {
            return Poll::Ready(Err(Error::internal("a task finishes before the end of its input")));
        }
        for partition in self.partitions_mut() {
            ready!(partition.poll_finished(cx))?;
        }
        self.poll_prepare(checkpoint, cx)
    }

    /// Prepares a sink's output for this checkpoint; `None` where there is no sink.
    pub(crate) fn poll_prepare(
        &mut self,
        checkpoint: CheckpointId,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Vec<Committable>>>> {
        match &mut self.exit {
            Exit::Sink(writer) => writer.poll_prepare(checkpoint, cx).map_ok(Some),
            Exit::Partitions(_) => Poll::Ready(Ok(None)),
        }
    }

    /// The checkpoint is complete: a sink may make visible what it prepared up to it.
    pub(crate) fn commit(&mut self, up_to: CheckpointId) -> Result<()> {
        match &mut self.exit {
            Exit::Sink(writer) => {
                FailPoint::BeforeCommit.pass()?;
                writer.commit(up_to)
            }
            Exit::Partitions(_) => Ok(()),
        }
    }

    /// What of a sink's output, of completed checkpoints up to this one, need not be committed again.
    pub(crate) fn committed(&self, completed: CheckpointId) -> CheckpointId {
        match &self.exit {
            Exit::Sink(writer) => writer.committed(completed),
            Exit::Partitions(_) => completed,
        }
    }

    /// Whether the chain ends in a sink.
    pub(crate) const fn is_sink(&self) -> bool {
        matches!(self.exit, Exit::Sink(_))
    }

    /// Batches queued and not yet taken, and the share of the output buffers in use.
    pub(crate) fn queue(&self) -> (usize, u8) {
        let length = self.partitions().map(ResultPartition::queue_length).sum();
        (length, self.partitions().map(ResultPartition::pool_usage_percent).max().unwrap_or(0))
    }

    fn partitions(&self) -> impl Iterator<Item = &ResultPartition> {
        let main = match &self.exit {
            Exit::Partitions(partitions) => partitions.as_slice(),
            Exit::Sink(_) => &[],
        };
        main.iter().chain(self.sides.iter().map(|edge| &edge.partition))
    }

    /// The partitions of all edges.
    fn partitions_mut(&mut self) -> impl Iterator<Item = &mut ResultPartition> {
        let main = match &mut self.exit {
            Exit::Partitions(partitions) => partitions.as_mut_slice(),
            Exit::Sink(_) => &mut [],
        };
        main.iter_mut().chain(self.sides.iter_mut().map(|edge| &mut edge.partition))
    }
}

/// The batch to each of the edges.
fn emit<'a>(partitions: impl Iterator<Item = &'a mut ResultPartition>, batch: Batch) -> Result<()> {
    let mut partitions = partitions.peekable();
    while let Some(partition) = partitions.next() {
        if partitions.peek().is_none() {
            return partition.emit(batch);
        }
        partition.emit(batch.clone())?;
    }
    Ok(())
}
