//! From encoded keys to numbers: a hash table over an arena.
//!
//! Invariant: a key has one number, from `insert` until `remove`; numbers are given by the caller.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use weir_api::state::chunks::{Chunks, FrozenChunks};

use super::arena::{Arena, FrozenArena, NOWHERE};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Half a hash and the number.
    table: HashTable<(u32, u32)>,
    slots: Chunks<u64>,
    keys: Arena,
    hasher: RandomState,
}

/// The table takes its buckets from the low bits and its tags from the high ones.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Index {
    /// Makes room for numbers `0..numbers`.
    pub(crate) fn resize(&mut self, numbers: usize) {
        let before = self.slots.len();
        self.slots.resize(numbers);
        (before..numbers).for_each(|number| *self.slots.slot(number) = NOWHERE);
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u32 {
        (self.hasher.hash_one(key) >> 32) as u32
    }

    pub(crate) fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        let same = |&(other, number): &(u32, u32)| other == hash && self.key(number) == key;
        self.table.find(spread(hash), same).map(|entry| entry.1)
    }

    /// Gives a key a number that is free.
    pub(crate) fn insert(&mut self, hash: u32, key: &[u8], number: u32) {
        *self.slots.slot(number as usize) = self.keys.append(number, key);
        self.table.insert_unique(spread(hash), (hash, number), |entry| spread(entry.0));
    }

    /// Forgets a number's key.
    pub(crate) fn remove(&mut self, number: u32) {
        let hash = self.hash(self.key(number));
        if let Ok(entry) = self.table.find_entry(spread(hash), |entry| entry.1 == number) {
            entry.remove();
        }
        let slot = self.slots.slot(number as usize);
        self.keys.release(std::mem::replace(slot, NOWHERE));
    }

    /// Whether the number has a key.
    pub(crate) fn has(&self, number: u32) -> bool {
        self.slots.get(number as usize) != NOWHERE
    }

    pub(crate) fn key(&self, number: u32) -> &[u8] {
        self.keys.get(self.slots.get(number as usize))
    }

    /// Gives memory back, some at a time.
    pub(crate) fn tidy(&mut self) {
        self.slots.settle();
        self.keys.tidy(
            &mut self.slots,
            |slots, number| slots.get(number as usize),
            |slots, number, next| *slots.slot(number as usize) = next,
        );
    }

    pub(crate) fn freeze(&mut self) -> FrozenKeys {
        FrozenKeys { slots: self.slots.freeze(), keys: self.keys.freeze() }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.table.allocation_size() + self.slots.size_bytes() + self.keys.size_bytes()
    }
}

/// Keys as they were at a freeze.
#[derive(Debug)]
pub(crate) struct FrozenKeys {
    slots: FrozenChunks<u64>,
    keys: FrozenArena,
}

impl FrozenKeys {
    pub(crate) fn key(&self, number: u32) -> &[u8] {
        self.keys.get(self.slots.get(number as usize))
    }
}
