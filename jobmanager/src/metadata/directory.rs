//! Metadata in a local directory: the embedded default.
//!
//! ```text
//! DIR/lock        held (flock) by the leading process for as long as it lives
//! DIR/epoch       the last leader epoch
//! DIR/jobs/ID     one file per job
//! ```
//!
//! Files are `WEIRMETA`, format (u32), version (u64), length (u64), payload, CRC-32 of all before; integers little-endian.
//! Invariant: a file is written beside its place, synced, renamed, and its directory synced, so that after any crash it holds
//! either what was there before or what was written, and nothing that was answered is lost. The lock makes a second leader
//! impossible while the first lives, so an epoch and a version that were checked still hold when the rename happens; one write
//! at a time passes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use weir_api::error::{Code, Error, Result};
use weir_api::id::{JobId, LeaderEpoch};

use super::{MAX_RECORD_BYTES, Metadata, Stored, Version, conflict, fenced};

const MAGIC: [u8; 8] = *b"WEIRMETA";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 8 + 4 + 8 + 8;
const CHECKSUM_BYTES: usize = 4;
/// What a file is called before it is whole.
const UNFINISHED: &str = ".tmp";

/// Keeps jobs in a directory.
#[derive(Clone, Debug)]
pub struct Directory {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    path: PathBuf,
    /// Held as long as this process leads.
    lock: Option<File>,
    epoch: LeaderEpoch,
}

impl Directory {
    /// The directory at `path`; made if it isn't there.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let jobs = path.join("jobs");
        fs::create_dir_all(&jobs).map_err(|error| failed("create the metadata directory", &jobs, error))?;
        Ok(Self { state: Arc::new(Mutex::new(State { path, lock: None, epoch: LeaderEpoch(0) })) })
    }

    /// Files are read and written where blocking is allowed.
    async fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut State) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let state = Arc::clone(&self.state);
        tokio::task::spawn_blocking(move || {
            // Every write is atomic on disk, so a panic leaves nothing half-changed.
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            act(&mut state)
        })
        .await
        .map_err(|error| Error::internal("writing metadata was cut short").with_source(error))?
    }
}

impl State {
    fn lead(&mut self) -> Result<LeaderEpoch> {
        if self.lock.is_none() {
            self.lock = Some(self.take_lock()?);
            self.remove_unfinished()?;
        }
        let path = self.path.join("epoch");
        let last = read(&path)?.map_or(0, |(version, _)| version);
        let next = last.checked_add(1).ok_or_else(|| Error::internal("leader epochs have run out"))?;
        write(&path, next, &[])?;
        self.epoch = LeaderEpoch(next);
        Ok(self.epoch)
    }

    fn take_lock(&self) -> Result<File> {
        let path = self.path.join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failed("open", &path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = (&mut file).take(64).read_to_string(&mut holder);
                return Err(Error::new(
                    Code::Fenced,
                    format!(
                        "the metadata directory {} belongs to another JobManager (process {}); stop it or choose another \
                         directory",
                        self.path.display(),
                        holder.trim()
                    ),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path, error)),
        }
        // Only for people who look into it.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(file)
    }

    fn remove_unfinished(&self) -> Result<()> {
        for directory in [self.path.clone(), self.path.join("jobs")] {
            for entry in fs::read_dir(&directory).map_err(|error| failed("list", &directory, error))? {
                let path = entry.map_err(|error| failed("list", &directory, error))?.path();
                if path.extension().is_some_and(|extension| extension == &UNFINISHED[1..]) {
                    fs::remove_file(&path).map_err(|error| failed("remove", &path, error))?;
                }
            }
        }
        Ok(())
    }

    fn job_path(&self, job: JobId) -> PathBuf {
        self.path.join("jobs").join(job.to_string())
    }

    fn check(&self, epoch: LeaderEpoch, job: JobId, expected: Option<Version>) -> Result<()> {
        if self.lock.is_none() || epoch != self.epoch {
            return Err(fenced(epoch, self.epoch));
        }
        let found = read(&self.job_path(job))?.map(|(version, _)| Version(version));
        if found != expected {
            return Err(conflict(job, expected, found));
        }
        Ok(())
    }

    fn jobs(&self) -> Result<Vec<Stored>> {
        let directory = self.path.join("jobs");
        let mut stored = Vec::new();
        for entry in fs::read_dir(&directory).map_err(|error| failed("list", &directory, error))? {
            let path = entry.map_err(|error| failed("list", &directory, error))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // What isn't named like a job isn't ours.
            let Ok(job) = name.parse::<JobId>() else { continue };
            if let Some((version, bytes)) = read(&path)? {
                stored.push(Stored { job, version: Version(version), bytes });
            }
        }
        stored.sort_by_key(|stored| stored.job);
        Ok(stored)
    }
}

#[async_trait]
impl Metadata for Directory {
    async fn lead(&self) -> Result<LeaderEpoch> {
        self.run(State::lead).await
    }

    async fn jobs(&self) -> Result<Vec<Stored>> {
        self.run(|state| state.jobs()).await
    }

    async fn put(
        &self,
        epoch: LeaderEpoch,
        job: JobId,
        expected: Option<Version>,
        bytes: Vec<u8>,
    ) -> Result<Version> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(Error::new(
                Code::InvalidArgument,
                format!(
                    "the record of job {job} holds {} bytes, at most {MAX_RECORD_BYTES} can be kept",
                    bytes.len()
                ),
            ));
        }
        self.run(move |state| {
            state.check(epoch, job, expected)?;
            let version = expected.map_or(1, |version| version.0 + 1);
            write(&state.job_path(job), version, &bytes)?;
            Ok(Version(version))
        })
        .await
    }

    async fn delete(&self, epoch: LeaderEpoch, job: JobId, expected: Version) -> Result<()> {
        self.run(move |state| {
            state.check(epoch, job, Some(expected))?;
            let path = state.job_path(job);
            fs::remove_file(&path).map_err(|error| failed("remove", &path, error))?;
            sync_parent(&path)
        })
        .await
    }
}

/// The file's bytes: what [`read`] takes apart.
fn encode(version: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len() + CHECKSUM_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(payload);
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Version and payload; the error says what is wrong.
fn decode(bytes: &[u8]) -> Result<(u64, Vec<u8>), &'static str> {
    let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or("it is too short")?;
    let (magic, rest) = body.split_first_chunk::<8>().ok_or("it is too short")?;
    let (format, rest) = rest.split_first_chunk::<4>().ok_or("it is too short")?;
    let (version, rest) = rest.split_first_chunk::<8>().ok_or("it is too short")?;
    let (length, payload) = rest.split_first_chunk::<8>().ok_or("it is too short")?;
    if *magic != MAGIC {
        return Err("it isn't a metadata file");
    }
    if u32::from_le_bytes(*format) != FORMAT {
        return Err("it was written by another version of Weir");
    }
    if u64::from_le_bytes(*length) != payload.len() as u64 {
        return Err("its length is wrong");
    }
    if u32::from_le_bytes(*checksum) != crc32fast::hash(body) {
        return Err("its checksum is wrong");
    }
    Ok((u64::from_le_bytes(*version), payload.to_vec()))
}

fn read(path: &Path) -> Result<Option<(u64, Vec<u8>)>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path, error)),
    };
    decode(&bytes).map(Some).map_err(|what| {
        Error::new(
            Code::Io,
            format!(
                "the metadata file {} can't be read: {what}; restore it or move it away, then start again",
                path.display()
            ),
        )
    })
}

fn write(path: &Path, version: u64, payload: &[u8]) -> Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    File::create(&unfinished)
        .and_then(|mut file| {
            file.write_all(&encode(version, payload))?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&unfinished, path))
        .map_err(|error| failed("write", path, error))?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| failed("sync", parent, error))
}

fn failed(doing: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(Code::Io, format!("can't {doing} {}", path.display())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let bytes = encode(7, b"ab");
        let expected = [
            b"WEIRMETA".as_slice(),
            &[1, 0, 0, 0],
            &[7, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0],
            b"ab",
            &crc32fast::hash(&bytes[..30]).to_le_bytes(),
        ]
        .concat();
        assert_eq!(bytes, expected);
        assert_eq!(bytes[30..], [0x71, 0x8b, 0xb9, 0xe5], "the checksum is CRC-32 (IEEE)");
        assert_eq!(decode(&bytes), Ok((7, b"ab".to_vec())));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = encode(7, b"payload");
        for position in 0..bytes.len() {
            assert!(decode(&bytes[..position]).is_err(), "cut at {position}");
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[position] ^= 1 << bit;
                assert!(decode(&damaged).is_err(), "bit {bit} of byte {position}");
            }
        }
    }
}
