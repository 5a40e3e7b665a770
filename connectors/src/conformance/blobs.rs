//! Blobs in memory: they outlive tasks and attempts, as the ones beside a job's checkpoints do.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use weir_api::error::{Code, Error, Result};
use weir_api::sink::{Blob, Blobs};
use xxhash_rust::xxh3::xxh3_128;

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<BTreeMap<String, Bytes>>);

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(&self, bytes: Bytes) -> Result<Blob> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let blob =
            Blob { name: format!("blob-{}", all.len()), bytes: bytes.len() as u64, hash: xxh3_128(&bytes) };
        all.insert(blob.name.clone(), bytes);
        Ok(blob)
    }

    async fn get(&self, blob: &Blob) -> Result<Bytes> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(&blob.name).filter(|bytes| xxh3_128(bytes) == blob.hash);
        found.cloned().ok_or_else(|| Error::new(Code::NotFound, format!("there is no blob {}", blob.name)))
    }
}
