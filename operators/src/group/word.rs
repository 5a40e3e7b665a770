//! Groups of one column of up to 64 bits: integers, dates, timestamps, floats, booleans.

use std::hash::BuildHasher;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use weir_api::error::Result;

use super::{ABSENT, Which};
use crate::column;

/// A table of 64-bit keys. The order of groups doesn't depend on the hasher's seed.
pub(super) struct WordTable {
    data_type: DataType,
    /// Keys with their numbers; the key stands here too, so that a hit touches one cache line.
    table: HashTable<(u64, u32)>,
    keys: Vec<u64>,
    null: Option<u32>,
    hasher: RandomState,
    words: Vec<u64>,
}

impl WordTable {
    pub(super) fn new(data_type: DataType, capacity: usize) -> Self {
        Self {
            data_type,
            table: HashTable::with_capacity(capacity),
            keys: Vec::with_capacity(capacity),
            null: None,
            hasher: RandomState::default(),
            words: Vec::new(),
        }
    }

    pub(super) fn intern(&mut self, column: &ArrayRef, ids: &mut Vec<u32>) -> Result<()> {
        let mut words = std::mem::take(&mut self.words);
        words.clear();
        column::extend_words(column, &mut words)?;
        match column.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
            None => ids.extend(words.iter().map(|&word| self.id(word))),
            Some(nulls) => {
                ids.extend(words.iter().zip(&nulls).map(
                    |(&word, valid)| {
                        if valid { self.id(word) } else { self.null_id() }
                    },
                ));
            }
        }
        self.words = words;
        Ok(())
    }

    /// The number of each row's key, [`ABSENT`] where it isn't there.
    pub(super) fn find(&self, column: &ArrayRef, ids: &mut Vec<u32>) -> Result<()> {
        let mut words = Vec::with_capacity(column.len());
        column::extend_words(column, &mut words)?;
        let find = |word: u64| {
            let found = self.table.find(self.hasher.hash_one(word), |entry| entry.0 == word);
            found.map_or(ABSENT, |entry| entry.1)
        };
        match column.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
            None => ids.extend(words.into_iter().map(find)),
            Some(nulls) => {
                let null = self.null.unwrap_or(ABSENT);
                ids.extend(
                    words.into_iter().zip(&nulls).map(|(word, valid)| if valid { find(word) } else { null }),
                );
            }
        }
        Ok(())
    }

    #[inline]
    fn id(&mut self, word: u64) -> u32 {
        let hash = self.hasher.hash_one(word);
        match self.table.find(hash, |entry| entry.0 == word) {
            Some(entry) => entry.1,
            None => self.insert(hash, word),
        }
    }

    #[cold]
    fn insert(&mut self, hash: u64, word: u64) -> u32 {
        let id = self.keys.len() as u32;
        self.keys.push(word);
        let hasher = &self.hasher;
        self.table.insert_unique(hash, (word, id), |entry| hasher.hash_one(entry.0));
        id
    }

    fn null_id(&mut self) -> u32 {
        let next = self.keys.len() as u32;
        *self.null.get_or_insert_with(|| {
            self.keys.push(0);
            next
        })
    }

    pub(super) fn keys(&self, groups: Which) -> Result<ArrayRef> {
        let null = self.null.map(|id| id as usize).filter(|null| groups.iter().any(|group| group == *null));
        let nulls = null.map(|null| groups.iter().map(|group| group != null).collect::<NullBuffer>());
        column::from_words(&self.data_type, &groups.of(&self.keys), nulls)
    }

    pub(super) const fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.keys.clear();
        self.null = None;
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.table.allocation_size() + (self.keys.capacity() + self.words.capacity()) * size_of::<u64>()
    }
}
