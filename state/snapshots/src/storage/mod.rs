//! Puts bytes where they survive, and gets them back, on local disks and object stores alike.
//!
//! Decides when a put counts, how much is on its way at once, and who wins where two write one name. Invariant: what [`Storage::put`]
//! or [`Storage::create`] has returned for is durable and whole; nothing is ever seen half-written. Requests to object stores are
//! tried again by their client (see `weir_api::storage`), and by [`again`] where it doesn't. Knows nothing of what the bytes are.

mod again;
mod disk;
#[cfg(test)]
mod tests;
mod upload;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
pub use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::sync::{Semaphore, SemaphorePermit};
use weir_api::error::{Code, Error, Result};
use weir_api::storage::{Location, failed, is_not_found};

use again::again;
pub use disk::TEMPORARY;
pub use upload::Record;

/// How often a file is written that others seem to be writing.
const CONFLICTS: u32 = 5;
/// Bytes in flight are counted in units of this.
const UNIT: usize = 1024;

/// How much a [`Storage`] does at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files larger than this are uploaded in parts of this.
    pub part_bytes: usize,
    /// How many files and parts are on their way.
    pub concurrent: usize,
    /// How many bytes of them.
    pub bytes_in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { part_bytes: 8 << 20, concurrent: 8, bytes_in_flight: 64 << 20 }
    }
}

/// A store of snapshots. Clones share their limits.
#[derive(Clone)]
pub struct Storage(Arc<Inner>);

struct Inner {
    objects: Arc<dyn ObjectStore>,
    writes: Writes,
    /// Tells this process's and attempt's temporary files and records from others'.
    writer: String,
    limits: Limits,
    requests: Semaphore,
    units: Semaphore,
    counter: AtomicU64,
}

enum Writes {
    /// By our own steps, as the library leaves out every fsync.
    Disk(LocalFileSystem),
    /// By the store itself.
    Objects(Arc<dyn MultipartStore>),
}

/// What became of a [`Storage::create`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Created {
    /// The name holds our bytes, from now or from a try before.
    Ours,
    /// Another writer was first: the name holds these bytes.
    Theirs(Bytes),
}

/// A file that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its path.
    pub path: Path,
    /// When it was written, in milliseconds since 1970, by the store's clock.
    pub modified_millis: i64,
    /// Its size.
    pub bytes: u64,
}

impl Storage {
    /// An object store. `writer` is unique among processes and attempts: letters, digits and `-`.
    #[must_use]
    pub fn objects(
        objects: Arc<dyn ObjectStore>,
        uploads: Arc<dyn MultipartStore>,
        writer: &str,
        limits: Limits,
    ) -> Self {
        Self::new(objects, Writes::Objects(uploads), writer, limits)
    }

    /// A local file system.
    #[must_use]
    pub fn local(files: LocalFileSystem, writer: &str, limits: Limits) -> Self {
        Self::new(Arc::new(files.clone()), Writes::Disk(files), writer, limits)
    }

    /// The store that a location is in, and the path in it.
    pub fn at(location: &Location, writer: &str, limits: Limits) -> Result<(Self, Path)> {
        match location {
            Location::Object(object) => {
                let bucket = &object.bucket;
                let storage = Self::objects(bucket.objects.clone(), bucket.uploads.clone(), writer, limits);
                Ok((storage, object.key.clone()))
            }
            Location::Local(path) => {
                let path = std::path::absolute(path)?;
                let key = Path::from_absolute_path(&path)
                    .map_err(|error| failed("find", &path.display(), error.into()))?;
                Ok((Self::local(LocalFileSystem::new(), writer, limits), key))
            }
        }
    }

    fn new(objects: Arc<dyn ObjectStore>, writes: Writes, writer: &str, limits: Limits) -> Self {
        let units = (limits.bytes_in_flight / UNIT).clamp(1, u32::MAX as usize);
        Self(Arc::new(Inner {
            objects,
            writes,
            writer: writer.to_owned(),
            limits,
            requests: Semaphore::new(limits.concurrent.max(1)),
            units: Semaphore::new(units.min(Semaphore::MAX_PERMITS)),
            counter: AtomicU64::new(0),
        }))
    }

    /// Writes a file, or writes it again: only for names that always hold the same bytes.
    pub async fn put(&self, path: &Path, bytes: Bytes) -> Result<()> {
        let _room = self.room(bytes.len()).await?;
        match &self.0.writes {
            Writes::Disk(files) => {
                self.put_on_disk(files, path, bytes, disk::Mode::Replace).await.map_err(Error::from)
            }
            Writes::Objects(_) => again(|| self.0.objects.put(path, bytes.clone().into()))
                .await
                .map(drop)
                .map_err(|error| failed("write", path, error)),
        }
        .map_err(|error| error.context(format_args!("write {path}")))
    }

    /// Writes a file that nobody has written, in one step that only one of several writers can win.
    pub async fn create(&self, path: &Path, bytes: Bytes) -> Result<Created> {
        let _room = self.room(bytes.len()).await?;
        for _ in 0..CONFLICTS {
            let is_taken = match &self.0.writes {
                Writes::Disk(files) => {
                    match self.put_on_disk(files, path, bytes.clone(), disk::Mode::Create).await {
                        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => true,
                        Err(error) => return Err(Error::from(error).context(format_args!("write {path}"))),
                        Ok(()) => false,
                    }
                }
                Writes::Objects(_) => self.create_object(path, &bytes).await?,
            };
            if !is_taken {
                return Ok(Created::Ours);
            }
            // The answer to our own first try may have been lost, so the content says who won.
            match self.get(path).await {
                Ok(found) if found == bytes => return Ok(Created::Ours),
                Ok(found) => return Ok(Created::Theirs(found)),
                // S3 answers with a conflict while somebody else's write is under way, which may come to nothing.
                Err(error) if error.code() == Code::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(Code::Io, format!("write {path}: others were writing it, and it isn't there yet")))
    }

    /// Whether somebody has written it already.
    async fn create_object(&self, path: &Path, bytes: &Bytes) -> Result<bool> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = || self.0.objects.put_opts(path, bytes.clone().into(), options.clone());
        match again(put).await {
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(true)
            }
            outcome => outcome.map(|_| false).map_err(|error| failed("write", path, error)),
        }
    }

    /// A whole file.
    pub async fn get(&self, path: &Path) -> Result<Bytes> {
        let read = || async { self.0.objects.get(path).await?.bytes().await };
        again(read).await.map_err(|error| failed("read", path, error))
    }

    /// `length` bytes of a file from `offset` on.
    pub async fn get_range(&self, path: &Path, offset: u64, length: u64) -> Result<Bytes> {
        let range = offset..offset.saturating_add(length);
        again(|| self.0.objects.get_range(path, range.clone()))
            .await
            .map_err(|error| failed("read", path, error))
    }

    /// A file's size; `None`: it isn't there.
    pub async fn size(&self, path: &Path) -> Result<Option<u64>> {
        match again(|| self.0.objects.head(path)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(failed("look for", path, error)),
        }
    }

    /// Where a file is on this machine's file systems; `None`: in an object store.
    #[must_use]
    pub fn on_disk(&self, path: &Path) -> Option<std::path::PathBuf> {
        match &self.0.writes {
            Writes::Disk(files) => files.path_to_filesystem(path).ok(),
            Writes::Objects(_) => None,
        }
    }

    /// Every file below `folder`.
    pub async fn list(&self, folder: &Path) -> Result<Vec<Listed>> {
        if let Writes::Disk(files) = &self.0.writes {
            return self.list_disk(files, folder).await;
        }
        let listed = |meta: object_store::ObjectMeta| Listed {
            path: meta.location,
            modified_millis: meta.last_modified.timestamp_millis(),
            bytes: meta.size,
        };
        let all = || self.0.objects.list(Some(folder)).map_ok(listed).try_collect();
        again(all).await.map_err(|error| failed("list", folder, error))
    }

    /// The folders and files right below `folder`.
    pub async fn list_names(&self, folder: &Path) -> Result<Vec<Path>> {
        let found = again(|| self.0.objects.list_with_delimiter(Some(folder))).await;
        let found = found.map_err(|error| failed("list", folder, error))?;
        Ok(found
            .common_prefixes
            .into_iter()
            .chain(found.objects.into_iter().map(|meta| meta.location))
            .collect())
    }

    /// Removes a file. One that is gone already is fine.
    pub async fn delete(&self, path: &Path) -> Result<()> {
        match again(|| self.0.objects.delete(path)).await {
            Err(error) if !is_not_found(&error) => Err(failed("delete", path, error)),
            _ => Ok(()),
        }
    }

    /// Removes a folder that has become empty, where a store has folders. One that isn't empty, or isn't there, is fine.
    pub async fn remove_folder(&self, folder: &Path) {
        if let Writes::Disk(files) = &self.0.writes
            && let Ok(path) = files.path_to_filesystem(folder)
        {
            // What can't be removed stays, empty or not.
            let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir(path)).await;
        }
    }

    /// Waits until one more request with so many bytes may be on its way.
    async fn room(&self, bytes: usize) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>)> {
        let most = (self.0.limits.bytes_in_flight / UNIT).clamp(1, u32::MAX as usize);
        let units = bytes.div_ceil(UNIT).clamp(1, most) as u32;
        let closed = |_| Error::internal("the storage's limits are gone");
        let request = self.0.requests.acquire().await.map_err(closed)?;
        Ok((request, self.0.units.acquire_many(units).await.map_err(closed)?))
    }

    /// A name that nothing else of this writer has.
    fn unique(&self) -> String {
        format!("{}.{}", self.0.writer, self.0.counter.fetch_add(1, Ordering::Relaxed))
    }

    async fn put_on_disk(
        &self,
        files: &LocalFileSystem,
        path: &Path,
        bytes: Bytes,
        mode: disk::Mode,
    ) -> std::io::Result<()> {
        let target = files.path_to_filesystem(path)?;
        let writer = self.unique();
        let put = move || disk::put(&mut disk::Real, &target, &writer, &bytes, mode);
        tokio::task::spawn_blocking(put).await.map_err(std::io::Error::other)?
    }

    /// The library's own listing passes over nothing either, but fails when a file vanishes under it.
    async fn list_disk(&self, files: &LocalFileSystem, folder: &Path) -> Result<Vec<Listed>> {
        let files = files.clone();
        let wanted = folder.clone();
        let list = move || -> Result<Vec<Listed>> {
            let root = files.path_to_filesystem(&wanted).map_err(|error| failed("list", &wanted, error))?;
            let mut found = Vec::new();
            for (path, metadata) in disk::list(&root)? {
                let below =
                    path.strip_prefix(&root).map_err(|_| Error::internal("a file outside its folder"))?;
                let parts = below.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
                let path = parts.fold(wanted.clone(), |path, part| path.join(part));
                let modified = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let modified_millis = i64::try_from(modified.as_millis()).unwrap_or(i64::MAX);
                found.push(Listed { path, modified_millis, bytes: metadata.len() });
            }
            Ok(found)
        };
        let listed = tokio::task::spawn_blocking(list).await;
        listed.map_err(|error| Error::internal("a listing was cut short").with_source(error))?
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({}, {})", self.0.objects, self.0.writer)
    }
}
