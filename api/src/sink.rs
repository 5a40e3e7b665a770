//! The contract of sinks, shaped for two-phase commit: writers prepare, the JobManager commits.
//!
//! Invariant: nothing that a writer wrote can be seen by others before its committables are committed.

use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;

use crate::batch::Batch;
use crate::error::Result;
use crate::id::{Attempt, JobId};
use crate::metrics::OperatorMetrics;

/// A table that can be written: made by [`Connector::sink`](crate::connector::Connector::sink) from checked options.
pub trait Sink: Send + Sync {
    /// A writer for one subtask.
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>>;

    /// What makes prepared output visible; `None` where writing is all there is (print, blackhole).
    fn committer(&self) -> Option<Box<dyn Committer>> {
        None
    }

    /// Whether rows other than inserts can be written.
    fn accepts_changes(&self) -> bool {
        false
    }
}

/// Where a writer runs.
#[derive(Clone)]
pub struct WriterContext {
    /// The job, for names of files and transactions.
    pub job: JobId,
    /// Its attempt, likewise: two attempts never write to one place.
    pub attempt: Attempt,
    /// The sink operator's uid.
    pub uid: String,
    /// Which parallel instance it is.
    pub subtask: u32,
    /// How many there are.
    pub parallelism: u32,
    /// The I/O runtime.
    pub io: tokio::runtime::Handle,
    /// The sink operator's counters.
    pub metrics: Arc<OperatorMetrics>,
}

/// Prepared output: the connector's own encoding of what there is to commit.
pub type Committable = Vec<u8>;

/// Writes one subtask's rows, on a slot's thread; encoding and I/O may go to the I/O runtime.
///
/// Protocol, kept by the driver: `poll_ready` until ready, `write` once, and again; `poll_flush` when the input pauses;
/// `poll_prepare` once at the end of input, after which nothing is written. Dropped without `poll_prepare`: the output is void.
pub trait SinkWriter {
    /// Ready to take one batch.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Takes a batch. It may be kept, permits and all, until it is written.
    fn write(&mut self, batch: Batch) -> Result<()>;

    /// Everything taken so far has left for its destination.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Everything is durable at its destination, invisible; the committables make it visible.
    fn poll_prepare(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<Committable>>>;
}

/// Makes prepared output visible; runs in the JobManager.
#[async_trait]
pub trait Committer: Send + Sync {
    /// Makes all of it visible. Idempotent: committing twice is committing once.
    async fn commit(&self, committables: Vec<Committable>) -> Result<()>;

    /// Removes what the attempts up to `attempt` of the job left uncommitted. Idempotent.
    async fn abort(&self, job: JobId, attempt: Attempt) -> Result<()>;
}
