//! Deletes a savepoint that its owner no longer wants.
//!
//! Invariant: only a folder whose `_metadata` can be read and says that it is a savepoint's; `_metadata` goes first, so that what a
//! crash leaves is no snapshot any more; nothing outside the folder goes, nor anything in it that the manifest doesn't name. Whether
//! a job still needs the savepoint isn't known here.

use std::collections::BTreeSet;

use object_store::path::Path;
use weir_api::error::{Code, Error, Result};

use crate::layout::SnapshotFolder;
use crate::manifest::{Kind, Scope};
use crate::restore::Source;
use crate::storage::Storage;

/// Deletes the savepoint in `folder`; answers how many files there were beside its manifest.
pub async fn dispose(storage: &Storage, folder: &SnapshotFolder) -> Result<usize> {
    let source = Source { storage: storage.clone(), copies: None, folder: folder.clone() };
    let manifest = source.manifest().await?;
    if manifest.kind != Kind::Savepoint || folder.checkpoint_id().is_some() {
        return Err(Error::new(
            Code::InvalidArgument,
            format!(
                "{} is checkpoint {} of job {}, not a savepoint: jobs delete their checkpoints themselves, and others may need its \
                 files",
                folder.path(),
                manifest.checkpoint,
                manifest.job
            ),
        ));
    }
    let files = manifest.files().filter(|file| file.scope == Scope::Exclusive).map(|file| folder.file(file));
    let blobs = folder.blobs(Kind::Savepoint);
    let blobs = manifest.blobs().map(|blob| blobs.clone().join(blob.name.as_str()));
    let files: BTreeSet<Path> = files.chain(blobs).collect();
    storage.delete(&folder.metadata()).await?;
    for file in &files {
        storage.delete(file).await?;
    }
    storage.remove_folder(folder.path()).await;
    Ok(files.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use object_store::memory::InMemory;
    use weir_api::id::{CheckpointId, JobId};

    use super::*;
    use crate::layout::JobFolder;
    use crate::manifest::{Layer, Manifest};
    use crate::restore::complete;
    use crate::sample::{handle, manifest, table};
    use crate::storage::Limits;
    use crate::table::{self, Contents, encode};

    fn storage() -> Storage {
        let memory = Arc::new(InMemory::new());
        Storage::objects(memory.clone(), memory, "test", Limits::default())
    }

    async fn write(storage: &Storage, folder: &SnapshotFolder, kind: Kind, scope: Scope) -> Manifest {
        let limits = table::Limits { block_bytes: 1500, file_bytes: 6000 };
        let mut files = Vec::new();
        for encoded in encode(&table(0..128, 3), Contents::Full, 1, limits).unwrap() {
            let file = handle(scope.clone(), 1, 1, &encoded.summary);
            storage.put(&folder.file(&file), encoded.bytes).await.unwrap();
            files.push(file);
        }
        let manifest = Manifest { kind, ..manifest(1, vec![Layer { delta: false, files }]) };
        assert!(complete(storage, folder, &manifest).await.unwrap().is_none());
        manifest
    }

    #[tokio::test]
    async fn a_savepoint_goes_with_its_files_and_nothing_else() {
        let storage = storage();
        let target = Path::from("saved");
        let (one, other) = (0, 1);
        let [one, other] = [one, other]
            .map(|random| SnapshotFolder::savepoint(&target, JobId::from_bytes([0xab; 16]), random));
        let manifest = write(&storage, &one, Kind::Savepoint, Scope::Exclusive).await;
        write(&storage, &other, Kind::Savepoint, Scope::Exclusive).await;
        let foreign = one.path().clone().join("notes.txt");
        storage.put(&foreign, Bytes::from_static(b"mine")).await.unwrap();
        let of_other = storage.list(other.path()).await.unwrap().len();

        assert_eq!(dispose(&storage, &one).await.unwrap(), manifest.files().count());
        let left: Vec<_> =
            storage.list(one.path()).await.unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(left, [foreign]);
        assert_eq!(storage.list(other.path()).await.unwrap().len(), of_other);
        assert_eq!(dispose(&storage, &one).await.unwrap_err().code(), Code::NotFound);
    }

    #[tokio::test]
    async fn what_is_not_a_savepoint_stays() {
        let storage = storage();
        let job = JobFolder::new(&Path::from("base"), JobId::from_bytes([0xab; 16]));
        let checkpoint = job.checkpoint(CheckpointId(1));
        write(&storage, &checkpoint, Kind::Checkpoint, Scope::Shared).await;
        let before = storage.list(job.path()).await.unwrap().len();
        let refused = dispose(&storage, &checkpoint).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(
            dispose(&storage, &SnapshotFolder::named(job.path())).await.unwrap_err().code(),
            Code::NotFound
        );

        let damaged = SnapshotFolder::named(&Path::from("saved/savepoint-x"));
        let bytes = Bytes::from_static(b"not a manifest");
        storage.put(&damaged.metadata(), bytes).await.unwrap();
        assert!(dispose(&storage, &damaged).await.is_err());
        assert_eq!(storage.list(job.path()).await.unwrap().len(), before);
        assert_eq!(storage.list(damaged.path()).await.unwrap().len(), 1);
    }
}
