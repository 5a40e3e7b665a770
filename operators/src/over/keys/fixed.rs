//! Keys of a fixed size.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use weir_api::state::chunks::{Chunks, FrozenChunks};

use super::shards::{SHARDS, shard_of};

/// A table of keys of type `K`. The order of numbers doesn't depend on the hasher's seed.
pub(super) struct FixedTable<K> {
    /// Keys with their numbers; the key stands here too, so that a hit touches one cache line.
    shards: [HashTable<(K, u32)>; SHARDS],
    keys: Chunks<K>,
    hasher: RandomState,
}

/// Keys as they were at a freeze.
pub(super) type FrozenFixed<K> = FrozenChunks<K>;

impl<K: Copy + Default> Default for FixedTable<K> {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| HashTable::new());
        Self { shards, keys: Chunks::default(), hasher: RandomState::default() }
    }
}

impl<K: Copy + Default + Eq + Hash> FixedTable<K> {
    /// Appends the numbers of some keys.
    pub(super) fn extend_ids(&mut self, keys: &[K], ids: &mut Vec<u32>) {
        ids.extend(keys.iter().map(|&key| self.id(key)));
    }

    #[inline]
    pub(super) fn id(&mut self, key: K) -> u32 {
        let hash = self.hasher.hash_one(key);
        match self.shards[shard_of(hash)].find(hash, |entry| entry.0 == key) {
            Some(entry) => entry.1,
            None => self.insert(hash, key),
        }
    }

    fn insert(&mut self, hash: u64, key: K) -> u32 {
        let id = self.push(key);
        let hasher = &self.hasher;
        self.shards[shard_of(hash)].insert_unique(hash, (key, id), |entry| hasher.hash_one(entry.0));
        id
    }

    /// A number for a key that can't be found again.
    pub(super) fn push(&mut self, key: K) -> u32 {
        let id = self.keys.len() as u32;
        self.keys.push(key);
        id
    }

    pub(super) const fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn freeze(&mut self) -> FrozenFixed<K> {
        self.keys.freeze()
    }

    pub(super) fn size_bytes(&self) -> usize {
        let tables: usize = self.shards.iter().map(HashTable::allocation_size).sum();
        tables + self.keys.size_bytes()
    }
}
