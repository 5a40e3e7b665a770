//! Groups of several columns that take up to 128 bits together, each with a bit for null.

use std::hash::BuildHasher;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use weir_api::error::Result;

use super::{ABSENT, Which};
use crate::column;

/// A table of 128-bit keys.
pub(super) struct PackedTable {
    columns: Vec<Packing>,
    table: HashTable<(u128, u32)>,
    keys: Vec<u128>,
    hasher: RandomState,
    words: Vec<u64>,
    packed: Vec<u128>,
}

/// Where a column lies in a packed key: its bits at `shift`, its null bit above them.
#[derive(Clone)]
pub(crate) struct Packing {
    data_type: DataType,
    shift: u32,
    bits: u32,
}

impl PackedTable {
    /// `None` if the columns don't fit.
    pub(super) fn try_new(types: &[DataType], capacity: usize) -> Option<Self> {
        Some(Self {
            columns: Packing::of(types)?,
            table: HashTable::with_capacity(capacity),
            keys: Vec::with_capacity(capacity),
            hasher: RandomState::default(),
            words: Vec::new(),
            packed: Vec::new(),
        })
    }

    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<u32>) -> Result<()> {
        let (mut packed, mut words) = (std::mem::take(&mut self.packed), std::mem::take(&mut self.words));
        Packing::pack_columns(&self.columns, columns, rows, &mut words, &mut packed)?;
        ids.extend(packed.iter().map(|&key| self.id(key)));
        (self.packed, self.words) = (packed, words);
        Ok(())
    }

    /// The number of each row's key, [`ABSENT`] where it isn't there.
    pub(super) fn find(&self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<u32>) -> Result<()> {
        let mut packed = Vec::new();
        Packing::pack_columns(&self.columns, columns, rows, &mut Vec::with_capacity(rows), &mut packed)?;
        ids.extend(packed.into_iter().map(|key| {
            let found = self.table.find(self.hasher.hash_one(key), |entry| entry.0 == key);
            found.map_or(ABSENT, |entry| entry.1)
        }));
        Ok(())
    }

    #[inline]
    fn id(&mut self, key: u128) -> u32 {
        let hash = self.hasher.hash_one(key);
        if let Some(entry) = self.table.find(hash, |entry| entry.0 == key) {
            return entry.1;
        }
        let id = self.keys.len() as u32;
        self.keys.push(key);
        let hasher = &self.hasher;
        self.table.insert_unique(hash, (key, id), |entry| hasher.hash_one(entry.0));
        id
    }

    pub(super) fn keys(&self, groups: Which) -> Result<Vec<ArrayRef>> {
        let keys = groups.of(&self.keys);
        self.columns.iter().map(|packing| packing.unpack(&keys)).collect()
    }

    pub(super) const fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.keys.clear();
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.table.allocation_size()
            + (self.keys.capacity() + self.packed.capacity()) * size_of::<u128>()
            + self.words.capacity() * size_of::<u64>()
    }
}

impl Packing {
    /// How columns of these types are packed; `None` if they don't fit.
    pub(crate) fn of(types: &[DataType]) -> Option<Vec<Self>> {
        let mut shift = 0;
        let mut columns = Vec::with_capacity(types.len());
        for data_type in types {
            let bits = column::bits(data_type)?;
            columns.push(Self { data_type: data_type.clone(), shift, bits });
            shift += bits + 1;
        }
        (shift <= u128::BITS).then_some(columns)
    }

    /// Sets `packed` to the packed keys of some rows; `words` is scratch.
    pub(crate) fn pack_columns(
        packings: &[Self],
        columns: &[ArrayRef],
        rows: usize,
        words: &mut Vec<u64>,
        packed: &mut Vec<u128>,
    ) -> Result<()> {
        packed.clear();
        packed.resize(rows, 0);
        for (packing, column) in packings.iter().zip(columns) {
            words.clear();
            column::extend_words(column, words)?;
            packing.pack(column.logical_nulls().filter(|nulls| nulls.null_count() > 0), words, packed);
        }
        Ok(())
    }

    fn pack(&self, nulls: Option<NullBuffer>, words: &[u64], packed: &mut [u128]) {
        let Some(nulls) = nulls else {
            for (key, &word) in packed.iter_mut().zip(words) {
                *key |= u128::from(word) << self.shift;
            }
            return;
        };
        let null = 1_u128 << (self.shift + self.bits);
        for ((key, &word), valid) in packed.iter_mut().zip(words).zip(&nulls) {
            *key |= if valid { u128::from(word) << self.shift } else { null };
        }
    }

    pub(crate) fn unpack(&self, keys: &[u128]) -> Result<ArrayRef> {
        let mask = u64::MAX >> (u64::BITS - self.bits);
        let words: Vec<u64> = keys.iter().map(|key| (key >> self.shift) as u64 & mask).collect();
        let null = self.shift + self.bits;
        let any_null = keys.iter().any(|key| key >> null & 1 == 1);
        let nulls = any_null.then(|| keys.iter().map(|key| key >> null & 1 == 0).collect::<NullBuffer>());
        column::from_words(&self.data_type, &words, nulls)
    }
}
