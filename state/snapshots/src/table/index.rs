//! The index section of a state file, field by field, little-endian.
//!
//! Invariant: what [`Index::decode`] accepts is whole (its checksum fits) and consistent (blocks follow each other from the head
//! to the tail, in key-group order), so readers may slice by it. Doesn't know what a block holds.

use bytes::{BufMut, Bytes};
use weir_api::error::{Code, Error, Result};
use weir_api::graph::KeyGroupRange;
use xxhash_rust::xxh3::xxh3_64;

use crate::damage::{Damage, hex};

/// Opens the section.
const MAGIC: [u8; 8] = *b"WEIRSNAP";
/// The version of the section; the first 12 bytes and the last 16 stay as they are in all versions.
const VERSION: u32 = 1;
/// Magic, version, contents, key columns, blocks, rows, head's length and checksum, footer's checksum, state's name's length.
const FIXED: usize = 8 + 4 + 4 + 4 + 4 + 8 + 8 + 8 + 8 + 4;
/// Offset, length, first and last key group, rows, checksum.
const ENTRY: usize = 8 + 8 + 4 + 4 + 4 + 8;
/// Length and checksum of the section.
pub(super) const CLOSING: usize = 8 + 8;
/// The footer's flatbuffer starts at a multiple of this.
const ALIGNMENT: usize = 64;

/// What the rows of a file mean.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Contents {
    /// Every row that there is.
    Full,
    /// Rows that were added, changed or deleted since the layer below.
    Delta,
}

impl Contents {
    /// Columns before the key's.
    #[must_use]
    pub const fn leading_columns(self) -> usize {
        match self {
            Self::Full => 1,
            Self::Delta => 2,
        }
    }
}

/// One record batch of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Where it starts.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// Its smallest key group.
    pub first_key_group: u32,
    /// Its largest key group, included.
    pub last_key_group: u32,
    /// Its rows.
    pub rows: u32,
    /// Its xxh3-64.
    pub hash: u64,
}

impl Block {
    /// Whether it may hold rows of `range`.
    #[must_use]
    pub const fn overlaps(&self, range: KeyGroupRange) -> bool {
        self.first_key_group < range.end && range.start <= self.last_key_group
    }
}

/// Where each key group lies in a file, and what the file's parts hash to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Index {
    /// The state's name.
    pub state: String,
    /// What the rows mean.
    pub contents: Contents,
    /// How many columns after the leading ones make the key.
    pub key_columns: u32,
    /// The length of magic and schema.
    pub head_bytes: u64,
    /// Their xxh3-64.
    pub head_hash: u64,
    /// The xxh3-64 of everything behind the section.
    pub footer_hash: u64,
    /// In the file's order.
    pub blocks: Vec<Block>,
}

impl Index {
    /// All rows of the file.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.rows)).sum()
    }

    /// Where the blocks end.
    #[must_use]
    pub fn data_end(&self) -> u64 {
        self.blocks.last().map_or(self.head_bytes, |block| block.offset + block.bytes)
    }

    /// The section's bytes, a multiple of [`ALIGNMENT`] when they start at one.
    pub(super) fn encode(&self) -> Vec<u8> {
        let plain = FIXED + self.state.len() + self.blocks.len() * ENTRY + CLOSING;
        let length = plain.next_multiple_of(ALIGNMENT);
        let mut out = Vec::with_capacity(length);
        out.put_slice(&MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(match self.contents {
            Contents::Full => 0,
            Contents::Delta => 1,
        });
        out.put_u32_le(self.key_columns);
        out.put_u32_le(self.blocks.len() as u32);
        out.put_u64_le(self.rows());
        out.put_u64_le(self.head_bytes);
        out.put_u64_le(self.head_hash);
        out.put_u64_le(self.footer_hash);
        out.put_u32_le(self.state.len() as u32);
        out.put_slice(self.state.as_bytes());
        for block in &self.blocks {
            out.put_u64_le(block.offset);
            out.put_u64_le(block.bytes);
            out.put_u32_le(block.first_key_group);
            out.put_u32_le(block.last_key_group);
            out.put_u32_le(block.rows);
            out.put_u64_le(block.hash);
        }
        out.put_bytes(0, length - plain);
        out.put_u64_le(length as u64);
        let hash = xxh3_64(&out);
        out.put_u64_le(hash);
        out
    }

    /// Reads a section that starts at `at` in `file`. Its checksum comes first: what is wrong after that was written so.
    pub(super) fn decode(file: &str, at: u64, section: &[u8]) -> Result<Self> {
        let damaged = |part, expected: &str, actual: &str| Damage::new(file, at, part, expected, actual);
        let Some((covered, closing)) = section.split_last_chunk::<8>() else {
            return Err(damaged("the index", "a section", "too few bytes").into());
        };
        let (expected, actual) = (u64::from_le_bytes(*closing), xxh3_64(covered));
        if expected != actual {
            return Err(damaged("the index's checksum", &hex(expected), &hex(actual)).into());
        }
        let mut fields = Fields(covered);
        if fields.take::<8>() != Some(MAGIC) {
            return Err(damaged("the index's magic", "WEIRSNAP", "other bytes").into());
        }
        let version = fields.u32().unwrap_or(0);
        if version != VERSION {
            return Err(Error::new(
                Code::SnapshotVersion,
                format!(
                    "{file} has version {version}, this Weir reads version {VERSION}: use the Weir that wrote it"
                ),
            ));
        }
        let index =
            fields.index().ok_or_else(|| damaged("the index", "whole fields", "a field cut short"))?;
        index.check_order().map_err(|actual| damaged("the index", "blocks in order", actual))?;
        Ok(index)
    }

    fn check_order(&self) -> Result<(), &'static str> {
        let mut end = self.head_bytes;
        let mut key_group = 0;
        for block in &self.blocks {
            if block.offset != end || block.rows == 0 {
                return Err("a gap between blocks");
            }
            if block.first_key_group < key_group || block.last_key_group < block.first_key_group {
                return Err("key groups out of order");
            }
            end = block.offset.checked_add(block.bytes).ok_or("a block past any end")?;
            key_group = block.last_key_group;
        }
        Ok(())
    }
}

/// The rest of a section.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn index(mut self) -> Option<Index> {
        let contents = match self.u32()? {
            0 => Contents::Full,
            1 => Contents::Delta,
            _ => return None,
        };
        let key_columns = self.u32()?;
        let count = self.u32()? as usize;
        let rows = self.u64()?;
        let (head_bytes, head_hash, footer_hash) = (self.u64()?, self.u64()?, self.u64()?);
        let length = self.u32()? as usize;
        let (state, rest) = self.0.split_at_checked(length)?;
        let state = std::str::from_utf8(state).ok()?.to_owned();
        self.0 = rest;
        // The entries are there before room for them is made.
        if rest.len() / ENTRY < count {
            return None;
        }
        let mut blocks = Vec::with_capacity(count);
        for _ in 0..count {
            let (offset, bytes) = (self.u64()?, self.u64()?);
            let (first_key_group, last_key_group, rows) = (self.u32()?, self.u32()?, self.u32()?);
            blocks.push(Block { offset, bytes, first_key_group, last_key_group, rows, hash: self.u64()? });
        }
        let index = Index { state, contents, key_columns, head_bytes, head_hash, footer_hash, blocks };
        (index.rows() == rows).then_some(index)
    }
}

/// The section's length as its last 16 bytes say it.
pub(super) fn section_length(closing: &Bytes) -> Option<u64> {
    closing.first_chunk::<8>().map(|length| u64::from_le_bytes(*length))
}
