//! Frames on their way in.
//!
//! Invariant: a header is checked (magic, version, checksum, sequence) before its length is believed, the caller says how long
//! the body may be before a byte of it is allocated, and memory grows with what really comes. A body is handed out only with
//! the right checksum.

use std::time::Duration;

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};
use weir_api::error::{Code, Error, Result};

use super::frame::{HEADER_BYTES, Header, Malformed};

/// Bytes read ahead: enough for many small frames, little enough to copy.
const READ_AHEAD_BYTES: usize = 8 << 10;
/// What is allocated at once for a body; more only when that much has come.
const FIRST_ALLOCATION_BYTES: usize = 512 << 10;
/// How long a peer may take from a frame's header to its end.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads the frames of one direction of a connection.
pub(crate) struct FrameReader<R> {
    inner: BufReader<R>,
    sequence: u64,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner: BufReader::with_capacity(READ_AHEAD_BYTES, inner), sequence: 0 }
    }

    /// The next header; `None` when the peer has closed the connection between two frames.
    pub(crate) async fn header(&mut self) -> Result<Option<Header>> {
        let mut bytes = [0; HEADER_BYTES];
        let first = self.inner.read(&mut bytes).await.map_err(|error| lost("read", error))?;
        if first == 0 {
            return Ok(None);
        }
        let rest = self.inner.read_exact(&mut bytes[first..]);
        match tokio::time::timeout(BODY_TIMEOUT, rest).await {
            Ok(read) => read.map_err(|error| lost("read a header", error))?,
            Err(_) => return Err(malformed("a header that doesn't end")),
        };
        let header = Header::decode(&bytes).map_err(|error| match error {
            Malformed::Version(_) => Error::new(Code::VersionMismatch, error.to_string()),
            _ => malformed(error),
        })?;
        if header.sequence != self.sequence {
            return Err(malformed(format!(
                "frame {} where {} belongs: replayed or out of order",
                header.sequence, self.sequence
            )));
        }
        self.sequence += 1;
        Ok(Some(header))
    }

    /// The body of the frame whose header was just read; refuses one longer than `limit`.
    pub(crate) async fn body(&mut self, header: &Header, limit: usize) -> Result<Vec<u8>> {
        let length = header.length as usize;
        if length > limit {
            return Err(malformed(format!(
                "a {:?} frame of {length} bytes where {limit} are allowed",
                header.kind
            )));
        }
        let mut body = Vec::with_capacity(length.min(FIRST_ALLOCATION_BYTES));
        match tokio::time::timeout(BODY_TIMEOUT, self.fill(&mut body, length)).await {
            Ok(read) => read.map_err(|error| lost("read a frame", error))?,
            Err(_) => return Err(malformed("a frame that doesn't end")),
        }
        if crc32fast::hash(&body) != header.body_crc {
            return Err(malformed(format!("a {:?} frame with a wrong checksum", header.kind)));
        }
        Ok(body)
    }

    async fn fill(&mut self, body: &mut Vec<u8>, length: usize) -> std::io::Result<()> {
        while body.len() < length {
            if body.len() == body.capacity() {
                body.reserve_exact(length.min(body.len() * 2) - body.len());
            }
            let missing = length - body.len();
            let read = self.inner.read_buf(&mut body.limit(missing)).await?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

/// An error about what the peer sent.
pub(crate) fn malformed(what: impl std::fmt::Display) -> Error {
    Error::new(Code::MalformedMessage, format!("the data plane received {what}"))
}

fn lost(doing: &str, error: std::io::Error) -> Error {
    Error::new(Code::ConnectionLost, format!("{doing} from the data plane's connection")).with_source(error)
}
