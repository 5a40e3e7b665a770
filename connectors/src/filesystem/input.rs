//! Files open for reading, wherever they are.
//!
//! A local file is read where it lies. An object is read by ranges, a few of them ahead of what is decoded, so that a request's
//! delay is paid once. Invariant: what has been fetched and not taken is bounded; nothing is read of an object that has been
//! replaced since it was found, and reading doesn't go on in a local file whose size is another. Reading blocks: it happens on
//! the I/O runtime's threads for blocking work.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use bytes::{Buf, Bytes};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use weir_api::error::{Code, Error, Result};
use weir_api::storage::object_store::{
    Error as StoreError, GetOptions, OBJECT_STORE_COALESCE_DEFAULT, ObjectStore, coalesce_ranges,
};
use weir_api::storage::{FileSystems, Location, ObjectLocation, failed};

use super::split::FileInfo;

/// Bytes of one request.
const RANGE_BYTES: u64 = 4 << 20;
/// Requests ahead of what is taken.
const RANGES: usize = 3;
/// Bytes of a request for the rest of a line behind a split's end.
const TAIL_BYTES: u64 = 256 << 10;

/// Opens files.
#[derive(Clone)]
pub struct Inputs {
    file_systems: FileSystems,
    io: Handle,
}

impl Inputs {
    /// What `file_systems` holds, requested on `io`.
    #[must_use]
    pub const fn new(file_systems: FileSystems, io: Handle) -> Self {
        Self { file_systems, io }
    }

    /// Looks whether a local file is what was found, before it is read; `place`: where reading goes on that was begun before.
    /// Objects are asked for under the condition that they are.
    pub fn check(&self, file: &FileInfo, place: Option<&dyn Display>) -> Result<()> {
        let Location::Local(path) = self.file_systems.resolve(&file.path)? else { return Ok(()) };
        let len = match fs::metadata(&path) {
            Ok(metadata) => Some(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let what = match (len, place) {
            (Some(len), _) if len == file.len => return Ok(()),
            // What is appended to a file isn't read.
            (Some(len), None) if len > file.len => return Ok(()),
            (Some(len), _) => format!("has {len} bytes, but had {} when it was found", file.len),
            (None, _) => "is gone".to_owned(),
        };
        Err(match place {
            Some(place) => changed(&file.path, place, &what),
            // Another machine may not see yet what was written a moment ago.
            None => Error::new(Code::Io, format!("{} {what}", file.path)),
        })
    }

    /// The bytes of a file from `start` on, most of them up to `end`.
    pub fn from(&self, file: &FileInfo, start: u64, end: u64) -> Result<Box<dyn Read + Send>> {
        Ok(match self.file_systems.resolve(&file.path)? {
            Location::Local(path) => {
                let mut file = File::open(&path)?;
                file.seek(SeekFrom::Start(start))?;
                Box::new(file)
            }
            Location::Object(location) => Box::new(ObjectReader {
                location,
                io: self.io.clone(),
                requested: start,
                end,
                len: file.len,
                etag: file.etag.clone(),
                current: Bytes::new(),
                ahead: VecDeque::new(),
            }),
        })
    }

    /// A file whose parts are read in any order.
    pub fn chunks(&self, file: &FileInfo) -> Result<Chunks> {
        let source = match self.file_systems.resolve(&file.path)? {
            Location::Local(path) => ChunkSource::Local(File::open(&path)?),
            Location::Object(location) => {
                let (io, etag) = (self.io.clone(), file.etag.clone());
                ChunkSource::Object { location, io, len: file.len, etag }
            }
        };
        Ok(Chunks { source, loaded: Vec::new() })
    }
}

/// Reads an object from front to back.
struct ObjectReader {
    location: ObjectLocation,
    io: Handle,
    /// Requests have been made up to here.
    requested: u64,
    /// So far it is worth to read ahead.
    end: u64,
    len: u64,
    etag: Option<String>,
    current: Bytes,
    ahead: VecDeque<JoinHandle<Result<Bytes>>>,
}

impl ObjectReader {
    fn request(&mut self, range: Range<u64>) {
        self.requested = range.end;
        let (location, etag) = (self.location.clone(), self.etag.clone());
        self.ahead.push_back(self.io.spawn(async move { get(&location, range, etag).await }));
    }
}

async fn get(location: &ObjectLocation, range: Range<u64>, etag: Option<String>) -> Result<Bytes> {
    let start = range.start;
    match requested(location, range, etag).await {
        Err(StoreError::Precondition { .. }) => {
            Err(changed(location, &format_args!("byte {start}"), "has been replaced since it was found"))
        }
        Err(StoreError::NotFound { .. }) => Err(changed(location, &format_args!("byte {start}"), "is gone")),
        found => found.map_err(|error| failed("read", location, error)),
    }
}

async fn requested(
    location: &ObjectLocation,
    range: Range<u64>,
    etag: Option<String>,
) -> std::result::Result<Bytes, StoreError> {
    let options = GetOptions { range: Some(range.into()), if_match: etag, ..GetOptions::default() };
    location.bucket.objects.get_opts(&location.key, options).await?.bytes().await
}

/// What is to be read isn't there any more as it was found.
fn changed(path: &dyn Display, place: &dyn Display, what: &str) -> Error {
    Error::new(
        Code::RecordsLost,
        format!("go on with {path} at {place}: it {what}; put it back as it was, or start the job anew"),
    )
}

/// The error of this crate behind one of a reader of files, which only hands it on.
pub fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

impl Read for ObjectReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            while self.ahead.len() < RANGES && self.requested < self.end.min(self.len) {
                self.request(self.requested..(self.requested + RANGE_BYTES).min(self.end).min(self.len));
            }
            if self.ahead.is_empty() && self.requested < self.len {
                self.request(self.requested..(self.requested + TAIL_BYTES).min(self.len));
            }
            let Some(next) = self.ahead.pop_front() else { return Ok(0) };
            self.current = self.io.block_on(next).map_err(io::Error::other)?.map_err(io::Error::other)?;
        }
        let taken = out.len().min(self.current.len());
        if let (Some(out), Some(bytes)) = (out.get_mut(..taken), self.current.get(..taken)) {
            out.copy_from_slice(bytes);
        }
        self.current.advance(taken);
        Ok(taken)
    }
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        self.ahead.iter().for_each(JoinHandle::abort);
    }
}

enum ChunkSource {
    Local(File),
    Object { location: ObjectLocation, io: Handle, len: u64, etag: Option<String> },
}

/// A file whose parts are read in any order; see [`Self::load`].
pub struct Chunks {
    source: ChunkSource,
    loaded: Vec<(u64, Bytes)>,
}

impl Chunks {
    /// Reads these ranges, which don't overlap, at once: what lies in them costs no further reading. Forgets what has been
    /// loaded before.
    pub fn load(&mut self, ranges: &[Range<u64>]) -> Result<()> {
        self.loaded.clear();
        let bytes = match &self.source {
            ChunkSource::Local(file) => {
                ranges.iter().map(|range| read_at(file, range)).collect::<io::Result<Vec<_>>>()?
            }
            ChunkSource::Object { location, io, etag, .. } => {
                let fetch = |range| get(location, range, etag.clone());
                io.block_on(coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT))?
            }
        };
        self.loaded = ranges.iter().map(|range| range.start).zip(bytes).collect();
        Ok(())
    }

    fn fetch(&self, range: Range<u64>) -> Result<Bytes> {
        for (start, bytes) in &self.loaded {
            let Some(offset) = range.start.checked_sub(*start) else { continue };
            let (Ok(from), Ok(len)) = (usize::try_from(offset), usize::try_from(range.end - range.start))
            else {
                continue;
            };
            if from.checked_add(len).is_some_and(|end| end <= bytes.len()) {
                return Ok(bytes.slice(from..from + len));
            }
        }
        match &self.source {
            ChunkSource::Local(file) => Ok(read_at(file, &range)?),
            ChunkSource::Object { location, io, etag, .. } => io.block_on(get(location, range, etag.clone())),
        }
    }
}

fn read_at(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(len);
    let mut file = file;
    file.seek(SeekFrom::Start(range.start))?;
    file.take(len as u64).read_to_end(&mut bytes)?;
    if bytes.len() < len {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it says"));
    }
    Ok(bytes.into())
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        match &self.source {
            ChunkSource::Local(file) => file.metadata().map_or(0, |metadata| metadata.len()),
            ChunkSource::Object { len, .. } => *len,
        }
    }
}

impl ChunkReader for Chunks {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        // What a page's header may take; what is loaded is given to its end.
        for (of, bytes) in &self.loaded {
            if let Some(rest) = start.checked_sub(*of).and_then(|from| usize::try_from(from).ok())
                && rest < bytes.len()
            {
                return Ok(bytes.slice(rest..).reader());
            }
        }
        let end = (start + TAIL_BYTES).min(self.len());
        self.get_bytes(start, usize::try_from(end.saturating_sub(start)).unwrap_or(0)).map(Buf::reader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.fetch(start..start + length as u64).map_err(|error: Error| match error.code() {
            Code::Io => ParquetError::External(Box::new(io::Error::other(error))),
            _ => ParquetError::External(Box::new(error)),
        })
    }
}
