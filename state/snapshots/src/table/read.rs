//! Reads files of state, byte by verified byte.
//!
//! Invariant: a block is decoded only after its checksum and its file's index are known to be what was written, so neither a
//! flipped bit nor a swapped file gets as far as Arrow's decoder. That decoder panics on what it doesn't expect; should a file
//! with fitting checksums make it do so (a bug, or forged), the panic ends as an error here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::{self, MetadataVersion};
use bytes::Bytes;
use weir_api::error::Result;
use weir_api::graph::KeyGroupRange;
use xxhash_rust::xxh3::xxh3_64;

use super::index::{Block, CLOSING, Index, section_length};
use super::write::{END_OF_STREAM, key_groups};
use super::{Summary, check_schema};
use crate::damage::{Damage, hex};
use crate::name::ContentHash;

/// The footer's length and the magic at the end of every Arrow file.
const TRAILER: usize = 10;

/// A file of which the tail has been read.
#[derive(Clone, Debug)]
pub struct OpenFile {
    path: String,
    index: Index,
    schema: SchemaRef,
    version: MetadataVersion,
}

impl OpenFile {
    /// Takes the last [`Summary::tail_bytes`] bytes of the file.
    pub fn new(path: &str, tail: &Bytes, summary: &Summary) -> Result<Self> {
        let Some(at) = summary.bytes.checked_sub(summary.tail_bytes) else {
            return Err(Damage::new(path, 0, "the tail", "part of the file", "longer than the file").into());
        };
        if tail.len() as u64 != summary.tail_bytes {
            let expected = format!("{} bytes to the end", summary.tail_bytes);
            let actual = format!("{} bytes", tail.len());
            return Err(Damage::new(path, at, "the tail's length", expected, actual).into());
        }
        let actual = xxh3_64(tail);
        if actual != summary.tail_hash {
            return Err(
                Damage::new(path, at, "the index and footer", hex(summary.tail_hash), hex(actual)).into()
            );
        }
        let (section, footer) = split_tail(tail)
            .ok_or_else(|| Damage::new(path, at, "the tail", "index and footer", "other lengths"))?;
        let section_at = at + END_OF_STREAM.len() as u64;
        let index = Index::decode(path, section_at, section)?;
        let (footer_at, actual) = (section_at + section.len() as u64, xxh3_64(footer));
        if actual != index.footer_hash {
            return Err(
                Damage::new(path, footer_at, "the footer", hex(index.footer_hash), hex(actual)).into()
            );
        }
        if index.data_end() != at || index.rows() != summary.rows {
            return Err(Damage::new(path, section_at, "the index", "blocks up to the tail", "others").into());
        }
        let (schema, version) = caught(path, footer_at, || schema_of(footer))?;
        check_schema(&schema, index.contents, index.key_columns)?;
        Ok(Self { path: path.to_owned(), index, schema, version })
    }

    /// Where each key group lies.
    #[must_use]
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// The rows' columns.
    #[must_use]
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows of a block whose key group lies in `range`. `bytes` are the block's.
    pub fn rows(&self, block: &Block, bytes: Bytes, range: KeyGroupRange) -> Result<RecordBatch> {
        check_part(&self.path, block.offset, "a block", block.bytes, block.hash, &bytes)?;
        let buffer = Buffer::from(bytes);
        let batch = caught(&self.path, block.offset, || self.decode(&buffer))?;
        let groups = key_groups(&batch)?;
        let fits = batch.num_rows() == block.rows as usize
            && groups.first() == Some(&block.first_key_group)
            && groups.last() == Some(&block.last_key_group)
            && groups.is_sorted();
        if !fits {
            let expected = format!(
                "{} rows of key groups {} to {}",
                block.rows, block.first_key_group, block.last_key_group
            );
            return Err(Damage::new(&self.path, block.offset, "a block's rows", expected, "others").into());
        }
        let start = groups.partition_point(|&key_group| key_group < range.start);
        let end = groups.partition_point(|&key_group| key_group < range.end);
        Ok(batch.slice(start, end.saturating_sub(start)))
    }

    fn decode(&self, buffer: &Buffer) -> Result<RecordBatch, String> {
        // The message's own length: a mark, the metadata's length, the metadata.
        let metadata = buffer.get(4..8).and_then(|length| length.try_into().ok()).map(i32::from_le_bytes);
        let metadata =
            metadata.filter(|length| *length > 0 && (*length as usize) < buffer.len()).ok_or("no length")?;
        let body = buffer.len() as i64 - 8 - i64::from(metadata);
        let block = ipc::Block::new(0, metadata + 8, body);
        FileDecoder::new(self.schema.clone(), self.version)
            .read_record_batch(&block, buffer)
            .map_err(|error| error.to_string())?
            .ok_or_else(|| "no rows".to_owned())
    }
}

/// Checks every byte of a file against its summary, decodes every row, and gives back its index.
pub fn verify_whole(path: &str, bytes: &Bytes, summary: &Summary) -> Result<OpenFile> {
    let actual = bytes.len() as u64;
    if actual != summary.bytes {
        let at = actual.min(summary.bytes);
        let (expected, actual) = (format!("{} bytes", summary.bytes), format!("{actual} bytes"));
        return Err(Damage::new(path, at, "the file's length", expected, actual).into());
    }
    let tail = bytes.slice(summary.bytes.saturating_sub(summary.tail_bytes) as usize..);
    let file = OpenFile::new(path, &tail, summary)?;
    let index = file.index();
    check_part(path, 0, "the head", index.head_bytes, index.head_hash, &part(bytes, 0, index.head_bytes))?;
    for block in &index.blocks {
        let all = KeyGroupRange { start: 0, end: u32::MAX };
        file.rows(block, part(bytes, block.offset, block.bytes), all)?;
    }
    // Head, blocks and tail are all of the file; the hash of the whole also ties it to its name.
    let hash = ContentHash::of(bytes);
    if hash != summary.hash {
        return Err(Damage::new(path, 0, "the file's hash", summary.hash, hash).into());
    }
    Ok(file)
}

fn part(bytes: &Bytes, offset: u64, length: u64) -> Bytes {
    let end = offset.saturating_add(length).min(bytes.len() as u64);
    bytes.slice(offset.min(end) as usize..end as usize)
}

fn check_part(
    path: &str,
    offset: u64,
    part: &'static str,
    length: u64,
    hash: u64,
    bytes: &[u8],
) -> Result<()> {
    if bytes.len() as u64 != length {
        let (expected, actual) = (format!("{length} bytes"), format!("{} bytes", bytes.len()));
        return Err(Damage::new(path, offset, part, expected, actual).into());
    }
    let actual = xxh3_64(bytes);
    if actual != hash {
        return Err(Damage::new(path, offset, part, hex(hash), hex(actual)).into());
    }
    Ok(())
}

/// The section and what follows it.
fn split_tail(tail: &Bytes) -> Option<(&[u8], &[u8])> {
    let trailer: [u8; TRAILER] = *tail.last_chunk()?;
    let footer = read_footer_length(trailer).ok()?.checked_add(TRAILER)?;
    let section_end = tail.len().checked_sub(footer)?;
    let length = section_length(&tail.slice(section_end.checked_sub(CLOSING)?..section_end))?;
    let section_at = section_end.checked_sub(usize::try_from(length).ok()?)?;
    let (head, footer) = tail.split_at_checked(section_end)?;
    let (end_of_stream, section) = head.split_at_checked(section_at)?;
    (end_of_stream == END_OF_STREAM).then_some((section, footer))
}

fn schema_of(footer: &[u8]) -> Result<(SchemaRef, MetadataVersion), String> {
    let flatbuffer = footer.get(..footer.len().saturating_sub(TRAILER)).unwrap_or_default();
    let footer = ipc::root_as_footer(flatbuffer).map_err(|error| error.to_string())?;
    let schema = footer.schema().ok_or("no schema")?;
    Ok((SchemaRef::new(fb_to_schema(schema)), footer.version()))
}

/// Runs a decoder of Arrow; a refusal or a panic becomes damage.
pub(crate) fn caught<T>(path: &str, offset: u64, decode: impl FnOnce() -> Result<T, String>) -> Result<T> {
    let outcome =
        catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err("a panic of the decoder".to_owned()));
    outcome.map_err(|actual| Damage::new(path, offset, "the encoding", "Arrow IPC", actual).into())
}
