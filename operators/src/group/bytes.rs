//! Groups of byte strings in an arena: keys of one string or binary column, and encoded rows.

use std::hash::BuildHasher;
use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use weir_api::error::Result;

use super::{ABSENT, Which};
use crate::column;

/// Byte strings, numbered; laid out one after the other.
pub(super) struct Arena {
    /// Hashes with their numbers: a resize doesn't read the bytes again, and few unequal ones are compared.
    table: HashTable<(u64, u32)>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    hasher: RandomState,
}

impl Arena {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            table: HashTable::with_capacity(capacity),
            bytes: Vec::new(),
            ends: Vec::with_capacity(capacity),
            hasher: RandomState::default(),
        }
    }

    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.find_hashed(self.hasher.hash_one(key), key)
    }

    #[inline]
    fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let found = self.table.find(hash, |&(other, id)| other == hash && self.get(id as usize) == key);
        found.map(|entry| entry.1)
    }

    #[inline]
    pub(super) fn id(&mut self, key: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(key);
        match self.find_hashed(hash, key) {
            Some(id) => id,
            None => {
                let id = self.push(key);
                self.table.insert_unique(hash, (hash, id), |entry| entry.0);
                id
            }
        }
    }

    /// A number for bytes that can't be found again.
    fn push(&mut self, key: &[u8]) -> u32 {
        let id = self.ends.len() as u32;
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
        id
    }

    pub(super) fn get(&self, id: usize) -> &[u8] {
        &self.bytes[range(&self.ends, id)]
    }

    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.bytes.clear();
        self.ends.clear();
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.table.allocation_size() + self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

fn range(ends: &[usize], id: usize) -> Range<usize> {
    let start = if id == 0 { 0 } else { ends[id - 1] };
    start..ends[id]
}

/// A table of strings or bytes.
pub(super) struct BytesTable {
    data_type: DataType,
    arena: Arena,
    null: Option<u32>,
}

impl BytesTable {
    pub(super) fn new(data_type: DataType, capacity: usize) -> Self {
        Self { data_type, arena: Arena::new(capacity), null: None }
    }

    pub(super) fn intern(&mut self, column: &ArrayRef, ids: &mut Vec<u32>) -> Result<()> {
        let (arena, null) = (&mut self.arena, &mut self.null);
        column::for_each_bytes(column, |value| {
            ids.push(match value {
                Some(value) => arena.id(value),
                None => *null.get_or_insert_with(|| arena.push(&[])),
            });
        })
    }

    /// The number of each row's key, [`ABSENT`] where it isn't there.
    pub(super) fn find(&self, column: &ArrayRef, ids: &mut Vec<u32>) -> Result<()> {
        column::for_each_bytes(column, |value| {
            let found = match value {
                Some(value) => self.arena.find(value),
                None => self.null,
            };
            ids.push(found.unwrap_or(ABSENT));
        })
    }

    pub(super) fn keys(&self, groups: Which) -> Result<ArrayRef> {
        let null = self.null.map(|id| id as usize);
        column::from_bytes(
            &self.data_type,
            groups.iter().map(|id| (null != Some(id)).then(|| self.arena.get(id))),
        )
    }

    pub(super) const fn len(&self) -> usize {
        self.arena.len()
    }

    pub(super) fn clear(&mut self) {
        self.arena.clear();
        self.null = None;
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.arena.size_bytes()
    }
}
