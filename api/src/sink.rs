//! The contract of sinks, shaped for two-phase commit: writers prepare, the JobManager commits.
//!
//! Invariant: nothing that a writer wrote can be seen by others before its committables are committed.

use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;

use crate::batch::Batch;
use crate::error::Result;
use crate::id::{Attempt, CheckpointId, JobId, SubtaskIndex};
use crate::metrics::OperatorMetrics;

/// A table that can be written: made by [`Connector::sink`](crate::connector::Connector::sink) from checked options.
pub trait Sink: Send + Sync {
    /// A writer for one subtask.
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>>;

    /// What makes prepared output visible; `None` where writing is all there is (print, blackhole).
    fn committer(&self) -> Option<Box<dyn Committer>> {
        None
    }

    /// Whether writers make their own output visible while the job runs ([`SinkWriter::commit`]). The committer is then asked
    /// only before an attempt starts and at the job's end, when no writer of the job can be at work any more; and, without a
    /// fence, for what writers left that have finished while others go on, and for a snapshot that another job starts from.
    fn commits_in_task(&self) -> bool {
        false
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
    /// Where prepared output can be kept until it is committed; `None`: the job takes no checkpoints.
    pub blobs: Option<Arc<dyn Blobs>>,
}

/// Prepared output: what there is to commit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Committable {
    /// The connector's own encoding; small, as every checkpoint's manifest holds it until it is committed.
    pub payload: Bytes,
    /// What is too large for a manifest.
    pub blobs: Vec<Blob>,
}

impl From<Vec<u8>> for Committable {
    fn from(payload: Vec<u8>) -> Self {
        Self { payload: payload.into(), blobs: Vec::new() }
    }
}

/// Bytes that lie beside the job's checkpoints for as long as one of them refers to them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Blob {
    /// Its file's name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// xxh3-128 of it.
    pub hash: u128,
}

/// Keeps blobs durably. A blob that no completed checkpoint refers to after its task's end is removed.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Writes a blob; it is durable when this returns.
    async fn put(&self, bytes: Bytes) -> Result<Blob>;

    /// Reads one back; what isn't what was written is an error.
    async fn get(&self, blob: &Blob) -> Result<Bytes>;
}

/// Writes one subtask's rows, on a slot's thread; encoding and I/O may go to the I/O runtime.
///
/// Protocol, kept by the driver: `poll_ready` until ready, `write` once, and again; `poll_flush` when the input pauses;
/// `poll_prepare` at every barrier, after which writing goes on, and once at the end of input, after which nothing is written;
/// `commit` when a checkpoint is complete. Dropped: what was prepared is the completed checkpoints' to commit, the rest is void.
pub trait SinkWriter {
    /// Ready to take one batch.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Takes a batch. It may be kept, permits and all, until it is written.
    fn write(&mut self, batch: Batch) -> Result<()>;

    /// Everything taken so far has left for its destination.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Everything taken since the last preparation is durable, invisible; the committables make it visible. They belong to
    /// `checkpoint`: ids grow, and one that wasn't completed is never used again. At the end of input it is the last barrier's
    /// successor. Cancel-safe: repeated with the same id until ready.
    fn poll_prepare(
        &mut self,
        checkpoint: CheckpointId,
        context: &mut Context<'_>,
    ) -> Poll<Result<Vec<Committable>>>;

    /// The checkpoint is complete: what was prepared up to it may become visible, in order. Where writers commit
    /// ([`Sink::commits_in_task`]) this starts it; a failure comes from a later call.
    fn commit(&mut self, _up_to: CheckpointId) -> Result<()> {
        Ok(())
    }

    /// The newest checkpoint of those completed, of which `completed` is the last, whose output need not be committed again: the
    /// next ones' manifests don't hold it any more.
    fn committed(&self, completed: CheckpointId) -> CheckpointId {
        completed
    }
}

/// One committable and where it comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prepared {
    /// The checkpoint that it was prepared for.
    pub checkpoint: CheckpointId,
    /// The subtask that prepared it.
    pub subtask: SubtaskIndex,
    /// What there is to commit.
    pub committable: Committable,
}

/// Whose output is committed.
#[derive(Clone)]
pub struct CommitScope {
    /// The job.
    pub job: JobId,
    /// The sink operator's uid.
    pub uid: String,
    /// Every writer of an attempt up to this one is over, or must be kept from making anything visible from now on; `None`: the
    /// job may be running, and its writers go on.
    pub fence: Option<Attempt>,
    /// The most writers that the sink has had in any of those attempts.
    pub parallelism: u32,
    /// Where the blobs of committables are.
    pub blobs: Option<Arc<dyn Blobs>>,
}

/// Makes prepared output visible; runs in the JobManager.
#[async_trait]
pub trait Committer: Send + Sync {
    /// Makes all of it visible, in the order given, which is each subtask's oldest first. Idempotent: committing twice is
    /// committing once. With a fence, also where there is nothing to commit, none of the fenced writers can commit anything
    /// after it.
    async fn commit(&self, scope: &CommitScope, prepared: Vec<Prepared>) -> Result<()>;

    /// A savepoint, which isn't the job's last checkpoint, holds this output: from now on [`Self::abort`] spares it, until it is
    /// committed. To be called before the savepoint is reported to be complete. Idempotent; nothing to do where what is
    /// prepared doesn't lie with the destination.
    async fn keep(&self, _scope: &CommitScope, _prepared: &[Prepared]) -> Result<()> {
        Ok(())
    }

    /// Removes what the attempts up to `attempt` of the job left uncommitted and no savepoint holds. Called behind a commit with
    /// a fence of what the job's last checkpoint holds. Idempotent.
    async fn abort(&self, job: JobId, attempt: Attempt) -> Result<()>;
}
