//! Keys that are strings, bytes, or encoded rows.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use weir_api::state::byte_log::{ByteLog, FrozenBytes, Span};
use weir_api::state::chunks::{Chunks, FrozenChunks};

use super::shards::{SHARDS, shard_of};

/// A table of byte strings.
pub(super) struct BytesTable {
    /// Half of each key's hash with its number: growing doesn't read the keys again, and few unequal ones are compared.
    shards: [HashTable<(u32, u32)>; SHARDS],
    spans: Chunks<Span>,
    log: ByteLog,
    hasher: RandomState,
}

/// Keys as they were at a freeze.
pub(super) struct FrozenStrings {
    spans: FrozenChunks<Span>,
    bytes: FrozenBytes,
}

impl Default for BytesTable {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| HashTable::new());
        Self { shards, spans: Chunks::default(), log: ByteLog::default(), hasher: RandomState::default() }
    }
}

/// A hash of 64 bits from the half that is kept.
#[inline]
const fn spread(half: u32) -> u64 {
    let product = (half as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The low bits of a product know only the low bits of its factors.
    product ^ (product >> 32)
}

impl BytesTable {
    #[inline]
    pub(super) fn id(&mut self, key: &[u8]) -> u32 {
        let half = (self.hasher.hash_one(key) >> 32) as u32;
        let hash = spread(half);
        let shard = shard_of(hash);
        let (spans, log) = (&self.spans, &self.log);
        let found = self.shards[shard]
            .find(hash, |&(other, id)| other == half && log.get(spans.get(id as usize)) == key)
            .map(|entry| entry.1);
        found.unwrap_or_else(|| {
            let id = self.push(key);
            self.shards[shard].insert_unique(hash, (half, id), |entry| spread(entry.0));
            id
        })
    }

    /// A number for a key that can't be found again.
    pub(super) fn push(&mut self, key: &[u8]) -> u32 {
        let id = self.spans.len() as u32;
        let span = self.log.push(key);
        self.spans.push(span);
        id
    }

    pub(super) const fn len(&self) -> usize {
        self.spans.len()
    }

    pub(super) fn freeze(&mut self) -> FrozenStrings {
        FrozenStrings { spans: self.spans.freeze(), bytes: self.log.freeze() }
    }

    pub(super) fn size_bytes(&self) -> usize {
        let tables: usize = self.shards.iter().map(HashTable::allocation_size).sum();
        tables + self.spans.size_bytes() + self.log.size_bytes()
    }
}

impl FrozenStrings {
    pub(super) fn get(&self, id: u32) -> &[u8] {
        self.bytes.get(self.spans.get(id as usize))
    }
}
