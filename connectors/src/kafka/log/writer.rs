//! The writer of a subtask: rows into the [`Spool`], outputs of completed checkpoints to the [`Publisher`], side by side.
//!
//! Invariant: no checkpoint is acknowledged before the transactional id is taken. Rows are refused only while completed
//! checkpoints of too many bytes wait to be published, which depends on brokers alone: a barrier behind rows that wait never
//! waits for a checkpoint. Dropping the writer ends the publisher, which leaves its transaction.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weir_api::Batch;
use weir_api::error::{Code, Error, Result};
use weir_api::id::CheckpointId;
use weir_api::sink::{Committable, SinkWriter, WriterContext};

use super::Log;
use super::committable::{Header, Output};
use super::patience::Patience;
use super::publisher::{Publisher, Role, Stored};
use super::spool::{Kept, Parts, Recent, Spool, Started};
use super::{limits, progress};
use crate::handover::Handover;
use crate::kafka::layout::Layout;
use crate::kafka::lookup;
use crate::kafka::producer::{Deliveries, Producer};
use crate::kafka::router::{Partitioner, Router};
use crate::kafka::rows::Rows;

/// What both sides see.
#[derive(Default)]
struct Status {
    error: Option<Error>,
    has_failed: bool,
    is_started: bool,
    /// Checkpoints with output that isn't published, the oldest first.
    unpublished: VecDeque<u64>,
    /// Bytes of those that are complete.
    waiting_bytes: u64,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Shared(Mutex<Status>);

impl Shared {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the status and wakes who waits for that.
    fn change(&self, change: impl FnOnce(&mut Status)) {
        let mut status = self.status();
        change(&mut status);
        if let Some(waker) = status.waker.take() {
            waker.wake();
        }
    }
}

/// See the module.
pub struct LogWriter {
    spool: Handover<Spool>,
    shared: Arc<Shared>,
    /// The checkpoint that is being prepared.
    checkpoint: Arc<AtomicU64>,
    /// Prepared, and not yet known to be complete; the oldest first.
    prepared: VecDeque<Output>,
    queue: mpsc::UnboundedSender<Output>,
    publishing: JoinHandle<()>,
    cancelled: Arc<AtomicBool>,
    unpublished_bytes: u64,
}

impl LogWriter {
    /// Starts to take the transactional id.
    pub fn new(
        log: Arc<Log>,
        layout: Arc<Layout>,
        partitioner: Partitioner,
        context: WriterContext,
    ) -> Result<Self> {
        let Some(blobs) = context.blobs.clone() else {
            return Err(Error::new(
                Code::InvalidConfiguration,
                format!(
                    "table {}: 'sink.delivery-guarantee' = 'exactly-once' publishes with each checkpoint, and the job takes none; set execution.checkpointing.interval and execution.checkpointing.dir, or 'at-least-once'",
                    log.table
                ),
            ));
        };
        let id = log.transactional_id(context.job, &context.uid, context.subtask);
        let (started, shared) = (Arc::new(OnceLock::new()), Arc::new(Shared::default()));
        let (checkpoint, cancelled) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (recent, io) = (Arc::new(Recent::default()), context.io.clone());
        let spool = Spool::new(Parts {
            rows: Rows::new(layout, log.topics.clone())?,
            header: blank(&log, &id, &context),
            checkpoint: Arc::clone(&checkpoint),
            started: Arc::clone(&started),
            blobs: Arc::clone(&blobs),
            recent: Arc::clone(&recent),
            metrics: context.metrics,
            io: io.clone(),
        });
        let (queue, outputs) = mpsc::unbounded_channel();
        let unpublished_bytes = log.unpublished_bytes;
        let publishing = Publishing {
            log,
            id,
            partitioner,
            subtask: context.subtask,
            chunks: Kept { recent, stored: Stored { blobs: Some(blobs), io: io.clone() } },
            started,
            cancelled: Arc::clone(&cancelled),
            io: io.clone(),
        };
        let told = Arc::clone(&shared);
        let publishing = io.spawn(async move {
            if let Err(error) = publishing.run(outputs, &told).await {
                told.change(|status| {
                    status.has_failed = true;
                    status.error = Some(error);
                });
            }
        });
        Ok(Self {
            spool: Handover::new(spool, io),
            shared,
            checkpoint,
            prepared: VecDeque::new(),
            queue,
            publishing,
            cancelled,
            unpublished_bytes,
        })
    }

    /// Ready once the brokers have been asked and, where `room` is wanted, there is some.
    fn poll_started(&self, room: bool, context: &Context<'_>) -> Poll<Result<()>> {
        let mut status = self.shared.status();
        if status.has_failed {
            let error = status.error.take();
            return Poll::Ready(Err(
                error.unwrap_or_else(|| Error::internal("a Kafka sink was used after it had failed"))
            ));
        }
        if status.is_started && !(room && status.waiting_bytes > self.unpublished_bytes) {
            return Poll::Ready(Ok(()));
        }
        status.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl SinkWriter for LogWriter {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        std::task::ready!(self.poll_started(true, context))?;
        self.spool.poll_ready(context)
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        self.spool.write(batch);
        Ok(())
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        std::task::ready!(self.poll_started(false, context))?;
        self.spool.poll_flush(context)
    }

    fn poll_prepare(
        &mut self,
        checkpoint: CheckpointId,
        context: &mut Context<'_>,
    ) -> Poll<Result<Vec<Committable>>> {
        std::task::ready!(self.poll_started(false, context))?;
        self.checkpoint.store(checkpoint.0, Ordering::Relaxed);
        let committables = std::task::ready!(self.spool.poll_prepare(context))?;
        for committable in &committables {
            self.prepared.push_back(Output::of(committable)?);
            self.shared.status().unpublished.push_back(checkpoint.0);
        }
        Poll::Ready(Ok(committables))
    }

    fn commit(&mut self, up_to: CheckpointId) -> Result<()> {
        while self.prepared.front().is_some_and(|output| output.header.checkpoint <= up_to.0) {
            let Some(output) = self.prepared.pop_front() else { break };
            self.shared.status().waiting_bytes += output.header.bytes;
            // If nobody takes it, the publisher has failed, which the next poll says.
            let _ = self.queue.send(output);
        }
        Ok(())
    }

    fn committed(&self, completed: CheckpointId) -> CheckpointId {
        match self.shared.status().unpublished.front() {
            Some(oldest) => CheckpointId(completed.0.min(oldest.saturating_sub(1))),
            None => completed,
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        // What blocks notices this and ends; what waits for the next output is aborted.
        self.cancelled.store(true, Ordering::Relaxed);
        self.publishing.abort();
    }
}

/// What outputs of a writer have in common.
fn blank(log: &Log, id: &str, context: &WriterContext) -> Header {
    Header {
        transactional_id: id.to_owned(),
        job: context.job.to_string(),
        attempt: context.attempt.0,
        checkpoint: 0,
        records: 0,
        bytes: 0,
        encoding: 0,
        topics: log.topics.clone(),
        progress_topic: log.progress_topic.clone(),
        progress_topic_id: None,
    }
}

/// The publisher's side.
struct Publishing {
    log: Arc<Log>,
    id: String,
    partitioner: Partitioner,
    subtask: u32,
    chunks: Kept<Stored>,
    started: Arc<OnceLock<Started>>,
    cancelled: Arc<AtomicBool>,
    io: tokio::runtime::Handle,
}

impl Publishing {
    async fn run(self, mut outputs: mpsc::UnboundedReceiver<Output>, shared: &Shared) -> Result<()> {
        let me = Arc::new(self);
        let starting = Arc::clone(&me);
        let mut publisher = blocking(&me.io, move || starting.start()).await?;
        shared.change(|status| status.is_started = true);
        while let Some(output) = outputs.recv().await {
            let (checkpoint, bytes) = (output.header.checkpoint, output.header.bytes);
            let publishing = Arc::clone(&me);
            publisher = blocking(&me.io, move || {
                publisher.publish(&output, &publishing.chunks)?;
                Ok(publisher)
            })
            .await?;
            shared.change(|status| {
                status.waiting_bytes = status.waiting_bytes.saturating_sub(bytes);
                if status.unpublished.front() == Some(&checkpoint) {
                    status.unpublished.pop_front();
                }
            });
        }
        Ok(())
    }

    /// Asks the brokers what must be known, and takes the transactional id.
    fn start(&self) -> Result<Publisher> {
        let (log, patience) = (&self.log, Patience::until(Arc::clone(&self.cancelled)));
        let producer: Producer = log
            .config
            .create_with_context(Deliveries::new(&log.table))
            .map_err(|error| log.properties.client_error(&error))?;
        let routers = log.topics.iter().map(|topic| {
            let partitions =
                lookup::partitions(&log.table, &log.properties, &producer, topic, &self.cancelled)?;
            Ok(Router::new(self.partitioner, partitions, self.subtask))
        });
        let routers = routers.collect::<Result<_>>()?;
        drop(producer);
        let message_bytes = limits::message_bytes(log, &self.io, &log.topics, &patience)?;
        let progress_topic_id = progress::ensure(log, &self.io, &patience)?;
        let mut publisher =
            Publisher::new(Arc::clone(log), self.id.clone(), message_bytes, patience, Role::Writer);
        publisher.open()?;
        // Only this sets it.
        let _ = self.started.set(Started { routers, message_bytes, progress_topic_id });
        Ok(publisher)
    }
}

async fn blocking<T: Send + 'static>(
    io: &tokio::runtime::Handle,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    io.spawn_blocking(work).await.map_err(|error| {
        let code = if error.is_panic() { Code::TaskPanicked } else { Code::Internal };
        Error::new(code, "publishing to Kafka on the I/O runtime ended early").with_source(error)
    })?
}
