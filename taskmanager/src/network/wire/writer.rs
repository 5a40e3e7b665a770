//! Frames on their way out: gathered, so that one vectored write carries many of them, and batches are not copied.
//!
//! Invariant: what a frame references (the batches' buffers and their permits) is kept until the frame has been written.

use std::io::IoSlice;

use arrow::buffer::Buffer;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use weir_api::batch::Batch;
use weir_api::error::Result;

use super::batch::{Encoder, Prefix};
use super::frame::{Header, Kind};
use super::message::Message;

/// Pieces up to this size are copied together: a copy is cheaper than another entry of the vector.
const COPIED_BYTES: usize = 512;
/// The most entries of one vectored write; Linux' limit.
const MAX_SLICES: usize = 1024;

/// Frames that are ready to be written.
#[derive(Default)]
pub(crate) struct Outbox {
    sequence: u64,
    pieces: Vec<Piece>,
    bytes: usize,
    batches: Vec<Batch>,
}

enum Piece {
    Copied(Vec<u8>),
    Referenced(Buffer),
}

impl Piece {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Referenced(buffer) => buffer,
        }
    }
}

impl Outbox {
    pub(crate) const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether no more frames should be added before the next write.
    pub(crate) const fn is_full(&self, bytes: usize) -> bool {
        self.bytes >= bytes || self.pieces.len() >= MAX_SLICES - 64
    }

    /// Adds a message.
    pub(crate) fn message(&mut self, channel: u32, message: &impl Message) {
        let mut body = Vec::with_capacity(64);
        message.encode(&mut body);
        self.body(Self::kind_of(message), channel, &body);
    }

    const fn kind_of<M: Message>(_: &M) -> Kind {
        M::KIND
    }

    /// Adds a frame with this body.
    pub(crate) fn body(&mut self, kind: Kind, channel: u32, body: &[u8]) {
        self.header(kind, channel, body.len(), crc32fast::hash(body));
        self.copy(body);
    }

    /// Adds a batch.
    pub(crate) fn batch(
        &mut self,
        channel: u32,
        encoder: &mut Encoder,
        batch: Batch,
        prefix: Prefix,
    ) -> Result<()> {
        let pieces = encoder.encode(&batch, prefix)?;
        let mut hasher = crc32fast::Hasher::new();
        let mut length = 0;
        for piece in &pieces {
            hasher.update(piece);
            length += piece.len();
        }
        self.header(Kind::Data, channel, length, hasher.finalize());
        for piece in pieces {
            if piece.len() <= COPIED_BYTES {
                self.copy(&piece);
            } else {
                self.bytes += piece.len();
                self.pieces.push(Piece::Referenced(piece));
            }
        }
        self.batches.push(batch);
        Ok(())
    }

    fn header(&mut self, kind: Kind, channel: u32, length: usize, body_crc: u32) {
        debug_assert!(u32::try_from(length).is_ok(), "a frame longer than its header can say");
        let header = Header { kind, channel, length: length as u32, sequence: self.sequence, body_crc };
        self.sequence += 1;
        self.copy(&header.encode());
    }

    fn copy(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        if let Some(Piece::Copied(last)) = self.pieces.last_mut() {
            last.extend_from_slice(bytes);
        } else {
            let mut copied = Vec::with_capacity(COPIED_BYTES);
            copied.extend_from_slice(bytes);
            self.pieces.push(Piece::Copied(copied));
        }
    }

    /// Writes all frames and lets go of what they referenced.
    pub(crate) async fn write(&mut self, out: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> =
            self.pieces.iter().map(|piece| IoSlice::new(piece.as_slice())).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let end = rest.len().min(MAX_SLICES);
            let written = out.write_vectored(&rest[..end]).await?;
            if written == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut rest, written);
        }
        out.flush().await?;
        self.pieces.clear();
        self.batches.clear();
        self.bytes = 0;
        Ok(())
    }
}
