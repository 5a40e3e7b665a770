//! Large parts of prepared output, kept beside a job's checkpoints or in a savepoint's folder.
//!
//! Invariant: a blob's name says which attempt wrote it and what is in it, so two blobs of one name hold the same bytes, and one of an
//! attempt that is over can be told from those of the present one. Doesn't know which blobs are still needed.

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use weir_api::error::{Code, Result};
use weir_api::id::Attempt;
use weir_api::sink::{Blob, Blobs};

use crate::damage::Damage;
use crate::name::ContentHash;
use crate::storage::Storage;

/// Ends every blob's name.
const EXTENSION: &str = ".blob";

/// A folder with blobs.
#[derive(Clone, Debug)]
pub struct BlobFolder {
    storage: Storage,
    folder: Path,
    attempt: Attempt,
}

impl BlobFolder {
    /// Blobs in `folder`; new ones are those of `attempt`.
    #[must_use]
    pub const fn new(storage: Storage, folder: Path, attempt: Attempt) -> Self {
        Self { storage, folder, attempt }
    }
}

/// The attempt that wrote the blob of this name; `None`: it isn't a blob's.
#[must_use]
pub fn attempt_of(name: &str) -> Option<Attempt> {
    let (attempt, rest) = name.strip_suffix(EXTENSION)?.split_once('-')?;
    let hash = rest.rsplit('-').next()?;
    let is_hash = hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    attempt.parse().ok().filter(|_| is_hash).map(Attempt)
}

#[async_trait]
impl Blobs for BlobFolder {
    async fn put(&self, bytes: Bytes) -> Result<Blob> {
        let hash = ContentHash::of(&bytes);
        let name = format!("{}-{hash}{EXTENSION}", self.attempt);
        let blob = Blob { name, bytes: bytes.len() as u64, hash: hash.0 };
        self.storage.put(&self.folder.clone().join(blob.name.as_str()), bytes).await?;
        Ok(blob)
    }

    async fn get(&self, blob: &Blob) -> Result<Bytes> {
        read(&self.storage, &self.folder.clone().join(blob.name.as_str()), blob).await
    }
}

/// The blob that lies at `path`, if every byte of it is as it was written.
pub async fn read(storage: &Storage, path: &Path, blob: &Blob) -> Result<Bytes> {
    let bytes = match storage.get(path).await {
        Err(error) if error.code() == Code::NotFound => {
            return Err(Damage::missing(path.as_ref(), blob.bytes).into());
        }
        bytes => bytes?,
    };
    let found = ContentHash::of(&bytes);
    if bytes.len() as u64 != blob.bytes || found.0 != blob.hash {
        let expected = format!("{} bytes with hash {}", blob.bytes, ContentHash(blob.hash));
        let actual = format!("{} bytes with hash {found}", bytes.len());
        return Err(Damage::new(path.as_ref(), 0, "the blob", expected, actual).into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use std::sync::Arc;

    use super::*;
    use crate::storage::Limits;

    #[tokio::test]
    async fn what_was_put_comes_back_and_nothing_else() {
        let memory = Arc::new(InMemory::new());
        let storage = Storage::objects(memory.clone(), memory, "w", Limits::default());
        let blobs = BlobFolder::new(storage.clone(), Path::from("a/taskowned"), Attempt(3));
        let blob = blobs.put(Bytes::from_static(b"rows")).await.unwrap();
        assert_eq!(attempt_of(&blob.name), Some(Attempt(3)));
        assert_eq!(blobs.get(&blob).await.unwrap(), "rows");
        let path = Path::from("a/taskowned").join(blob.name.as_str());
        storage.put(&path, Bytes::from_static(b"rowS")).await.unwrap();
        assert_eq!(blobs.get(&blob).await.unwrap_err().code(), Code::SnapshotDamaged);
        storage.delete(&path).await.unwrap();
        let missing = blobs.get(&blob).await.unwrap_err();
        assert_eq!(missing.code(), Code::SnapshotDamaged, "{missing}");
        let of_task = "7-1.0.2-5-0123456789abcdef0123456789abcdef.blob";
        assert_eq!(attempt_of(of_task), Some(Attempt(7)));
        for other in ["3-00.blob", "x", "3-4-00000000000000000000000000000000.arrow"] {
            assert_eq!(attempt_of(other), None);
        }
    }
}
