//! Output that is prepared and too large for a manifest, in files that the job's checkpoints refer to until it is committed.
//!
//! Invariant: a name is used once: it holds the attempt, the task and a number beside the content's hash.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use weir_api::Result;
use weir_api::id::ExecutionId;
use weir_api::sink::{Blob, Blobs};
use weir_snapshots::blobs;
use weir_snapshots::layout::JobFolder;
use weir_snapshots::name::ContentHash;
use weir_snapshots::storage::Storage;

/// The blobs of one task's sink.
#[derive(Debug)]
pub(crate) struct TaskBlobs {
    storage: Storage,
    folder: JobFolder,
    task: ExecutionId,
    /// Position of the sink in its chain.
    operator: usize,
    next: AtomicU64,
}

impl TaskBlobs {
    pub(crate) const fn new(storage: Storage, folder: JobFolder, task: ExecutionId, operator: usize) -> Self {
        Self { storage, folder, task, operator, next: AtomicU64::new(0) }
    }
}

#[async_trait]
impl Blobs for TaskBlobs {
    async fn put(&self, bytes: Bytes) -> Result<Blob> {
        let hash = ContentHash::of(&bytes);
        let ExecutionId { attempt, vertex, subtask, .. } = self.task;
        let (operator, number) = (self.operator, self.next.fetch_add(1, Ordering::Relaxed));
        let name = format!("{attempt}-{vertex}.{operator}.{subtask}-{number}-{hash}.blob");
        let length = bytes.len() as u64;
        self.storage.put(&self.folder.task_owned(&name), bytes).await?;
        Ok(Blob { name, bytes: length, hash: hash.0 })
    }

    async fn get(&self, blob: &Blob) -> Result<Bytes> {
        blobs::read(&self.storage, &self.folder.task_owned(&blob.name), blob).await
    }
}
