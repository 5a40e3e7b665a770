//! What a process keeps of its snapshots on its own disk, so that a restart on the same host downloads nothing.
//!
//! Invariant: the folder holds at most so many bytes and files, those that were used last: what newer checkpoints replace goes by itself. A copy is never trusted: whoever reads it verifies what it gets against the
//! manifest, and falls back to the store. So nothing here is synced, and a torn copy is only a lost one.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use weir_api::error::{Error, Result};

use crate::name::FileName;

/// How many files there are at most: a checkpoint that changes little writes files of a few kilobytes, thousands an hour.
const MAX_FILES: usize = 8192;

/// A folder of copies. Clones share it.
#[derive(Clone, Debug)]
pub struct Copies(Arc<Folder>);

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    max_bytes: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Size, and when it was last used.
    files: BTreeMap<FileName, (u64, u64)>,
    /// The one that was used longest ago comes first.
    by_use: BTreeMap<u64, FileName>,
    bytes: u64,
    uses: u64,
}

impl Held {
    fn touch(&mut self, name: &FileName) -> bool {
        let Some(file) = self.files.get_mut(name) else { return false };
        self.uses += 1;
        self.by_use.remove(&file.1);
        self.by_use.insert(self.uses, *name);
        file.1 = self.uses;
        true
    }

    fn add(&mut self, name: FileName, bytes: u64) {
        self.remove(&name);
        self.uses += 1;
        self.files.insert(name, (bytes, self.uses));
        self.by_use.insert(self.uses, name);
        self.bytes += bytes;
    }

    fn remove(&mut self, name: &FileName) {
        if let Some((bytes, used)) = self.files.remove(name) {
            self.by_use.remove(&used);
            self.bytes -= bytes;
        }
    }

    /// Takes out what was used longest ago until one more file with `room` more bytes fits.
    fn make_room(&mut self, room: u64, max_bytes: u64) -> Vec<FileName> {
        let mut out = Vec::new();
        while self.bytes + room > max_bytes || self.files.len() >= MAX_FILES {
            let Some((_, name)) = self.by_use.first_key_value().map(|(used, name)| (*used, *name)) else {
                break;
            };
            self.remove(&name);
            out.push(name);
        }
        out
    }
}

impl Copies {
    /// Opens the folder, makes it if need be, and takes up what is in it. What isn't a copy is removed.
    pub async fn open(path: PathBuf, max_bytes: u64) -> Result<Self> {
        let open = move || -> io::Result<Self> {
            std::fs::create_dir_all(&path)?;
            let mut held = Held::default();
            for entry in std::fs::read_dir(&path)? {
                let entry = entry?;
                match entry.file_name().to_string_lossy().parse() {
                    Ok(name) => held.add(name, entry.metadata()?.len()),
                    Err(_) if entry.metadata()?.is_file() => std::fs::remove_file(entry.path())?,
                    Err(_) => {}
                }
            }
            for name in held.make_room(0, max_bytes) {
                std::fs::remove_file(path.join(name.to_string()))?;
            }
            Ok(Self(Arc::new(Folder { path, max_bytes, held: Mutex::new(held) })))
        };
        blocking(open).await
    }

    /// Keeps a copy, in the place of older ones. A file larger than the folder isn't kept. Where the store is a disk, `stored` says
    /// where the file is there: on the same file system it is linked instead of written again, as nobody ever changes it.
    pub async fn keep(&self, name: FileName, bytes: Bytes, stored: Option<PathBuf>) -> Result<()> {
        let size = bytes.len() as u64;
        if size > self.0.max_bytes {
            return Ok(());
        }
        let out = self.held(|held| {
            let out = held.make_room(size, self.0.max_bytes);
            held.add(name, size);
            out
        });
        let folder = self.0.clone();
        let write = move || {
            for name in out {
                remove(&folder.path, &name)?;
            }
            let path = folder.path.join(name.to_string());
            if stored.is_some_and(|stored| std::fs::hard_link(stored, &path).is_ok()) {
                return Ok(());
            }
            let temporary = folder.path.join(format!("{name}.tmp"));
            std::fs::write(&temporary, &bytes)?;
            std::fs::rename(&temporary, path)
        };
        let written = blocking(write).await;
        if written.is_err() {
            self.held(|held| held.remove(&name));
        }
        written
    }

    /// A part of a copy, unverified. `None`: there is none that can be read. Copies of other processes that share the folder are found
    /// too; they count from then on.
    pub async fn read(&self, name: &FileName, offset: u64, length: u64) -> Option<Bytes> {
        let is_known = self.held(|held| held.touch(name));
        let path = self.0.path.join(name.to_string());
        let (copies, name) = (self.clone(), *name);
        let read = move || {
            let mut file = std::fs::File::open(path)?;
            if !is_known {
                let bytes = file.metadata()?.len();
                copies.held(|held| held.add(name, bytes));
            }
            file.seek(SeekFrom::Start(offset))?;
            // Whatever length the copy has: no more is read than asked for.
            let mut bytes = Vec::new();
            file.take(length).read_to_end(&mut bytes)?;
            Ok(bytes.into())
        };
        blocking(read).await.ok()
    }

    /// Removes a copy.
    pub async fn forget(&self, name: &FileName) {
        self.held(|held| held.remove(name));
        let (folder, name) = (self.0.clone(), *name);
        // Should it stay, it will be found damaged again.
        let _ = blocking(move || remove(&folder.path, &name)).await;
    }

    /// How many bytes the copies take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.held(|held| held.bytes)
    }

    fn held<T>(&self, with: impl FnOnce(&mut Held) -> T) -> T {
        // The counts are whole whatever happened to a thread that held them.
        with(&mut self.0.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn remove(folder: &Path, name: &FileName) -> io::Result<()> {
    match std::fs::remove_file(folder.join(name.to_string())) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|outcome| outcome);
    done.map_err(|error| Error::from(error).context("keep a local copy of a snapshot"))
}

#[cfg(test)]
mod tests {
    use weir_api::id::{Attempt, CheckpointId};

    use super::*;
    use crate::name::ContentHash;

    fn name(checkpoint: u64) -> FileName {
        FileName { attempt: Attempt(1), checkpoint: CheckpointId(checkpoint), hash: ContentHash(9) }
    }

    #[tokio::test]
    async fn what_another_process_of_the_host_keeps_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let one = Copies::open(folder.path().to_owned(), 100).await.unwrap();
        let other = Copies::open(folder.path().to_owned(), 100).await.unwrap();
        one.keep(name(1), vec![1; 60].into(), None).await.unwrap();
        assert_eq!(other.read(&name(1), 58, 10).await.unwrap(), vec![1u8; 2]);
        assert_eq!(other.bytes(), 60);
        assert!(other.read(&name(2), 0, 1).await.is_none());
        other.keep(name(3), vec![3; 60].into(), None).await.unwrap();
        assert!(one.read(&name(1), 0, 1).await.is_none(), "it made room");
    }

    #[tokio::test]
    async fn what_stands_on_the_same_disk_is_linked() {
        use std::os::unix::fs::MetadataExt;

        let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let copies = Copies::open(folder.path().to_owned(), 100).await.unwrap();
        let stored = store.path().join("file");
        std::fs::write(&stored, [7; 60]).unwrap();
        copies.keep(name(1), vec![7; 60].into(), Some(stored.clone())).await.unwrap();
        assert_eq!(std::fs::metadata(&stored).unwrap().nlink(), 2);
        std::fs::remove_file(&stored).unwrap();
        assert_eq!(copies.read(&name(1), 0, 60).await.unwrap(), vec![7u8; 60], "the copy stays");
        // Where there is nothing to link, the bytes are written.
        copies.keep(name(2), vec![8; 10].into(), Some(stored)).await.unwrap();
        assert_eq!(copies.read(&name(2), 0, 10).await.unwrap(), vec![8u8; 10]);
        assert_eq!(copies.bytes(), 70);
    }

    #[test]
    fn many_small_files_are_too_many() {
        let mut held = Held::default();
        for n in 0..20_000 {
            let out = held.make_room(1, 1 << 30);
            assert_eq!(out.len(), usize::from(n >= MAX_FILES as u64), "{n}");
            held.add(name(n), 1);
            // One of them is used again and again.
            assert!(held.touch(&name(0)) && !out.contains(&name(0)));
        }
        assert_eq!(
            (held.files.len(), held.by_use.len(), held.bytes),
            (MAX_FILES, MAX_FILES, MAX_FILES as u64)
        );
    }

    #[tokio::test]
    async fn the_folder_stays_within_its_bytes_and_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::open(folder.path().to_owned(), 100).await.unwrap();
        for n in 0..5 {
            copies.keep(name(n), vec![n as u8; 40].into(), None).await.unwrap();
            assert!(copies.read(&name(0), 0, 1).await.is_some() || n > 0);
            assert!(copies.bytes() <= 100);
        }
        assert!(copies.read(&name(2), 0, 1).await.is_none(), "used longest ago");
        assert_eq!(copies.read(&name(4), 38, 10).await.unwrap(), vec![4u8; 2]);
        copies.keep(name(7), vec![0; 101].into(), None).await.unwrap();
        std::fs::write(folder.path().join("x.arrow.tmp"), "torn").unwrap();
        let again = Copies::open(folder.path().to_owned(), 50).await.unwrap();
        assert_eq!(again.bytes(), 40);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
