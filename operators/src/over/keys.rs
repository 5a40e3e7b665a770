//! Keys whose number stays: a dense number for every distinct key, and frozen copies of all keys without copying them.
//!
//! Like [`Groups`](crate::group::Groups), but for a table that lives as long as its job and is never cleared: the keys lie in
//! chunks that a barrier shares, and the hash table is many small ones, as one of millions of keys would stop the task for
//! seconds each time that it grows. Invariant: equal keys get equal numbers (−0.0 = 0.0, one NaN, null equals null), numbers are
//! `0..len`. Knows nothing of what is accumulated.

mod bytes;
mod fixed;
mod shards;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use weir_api::error::{Code, Error, Result};

use crate::column;
use crate::group::{Packing, canonical};
use bytes::{BytesTable, FrozenStrings};
use fixed::{FixedTable, FrozenFixed};

/// The most keys of one table; numbers are `u32`.
const MAX_KEYS: usize = u32::MAX as usize - 1;

/// See the module.
pub(super) struct Keys {
    types: Vec<DataType>,
    table: Table,
    /// The number of the key that is null, of a single column.
    null: Option<u32>,
    words: Vec<u64>,
    packed: Vec<u128>,
}

enum Table {
    /// No key: one number as soon as there is a row.
    Single { present: bool },
    /// One column of up to 64 bits.
    Word(FixedTable<u64>),
    /// Several columns of up to 128 bits together.
    Packed(Vec<Packing>, FixedTable<u128>),
    /// One column of strings or bytes.
    Bytes(BytesTable),
    /// Any columns, in Arrow's row format.
    Rows(RowConverter, BytesTable),
}

impl Keys {
    pub(super) fn new(types: &[DataType]) -> Result<Self> {
        let table = match types {
            [] => Table::Single { present: false },
            [one] if column::bits(one).is_some() => Table::Word(FixedTable::default()),
            [one] if column::is_bytes(one) => Table::Bytes(BytesTable::default()),
            several => match Packing::of(several) {
                Some(packings) => Table::Packed(packings, FixedTable::default()),
                None => Table::Rows(converter(several)?, BytesTable::default()),
            },
        };
        Ok(Self { types: types.to_vec(), table, null: None, words: Vec::new(), packed: Vec::new() })
    }

    /// Whether there is only one number, whatever the rows.
    pub(super) const fn is_single(&self) -> bool {
        matches!(self.table, Table::Single { .. })
    }

    /// How many keys.
    pub(super) fn len(&self) -> usize {
        match &self.table {
            Table::Single { present } => usize::from(*present),
            Table::Word(table) => table.len(),
            Table::Packed(_, table) => table.len(),
            Table::Bytes(table) | Table::Rows(_, table) => table.len(),
        }
    }

    /// Sets `ids` to the number of each row's key, adding keys that are new. Without key columns `ids` stays empty.
    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<u32>) -> Result<()> {
        if self.len() + rows > MAX_KEYS {
            return Err(Error::new(Code::StateLimit, format!("a state holds over {MAX_KEYS} keys")));
        }
        ids.clear();
        let null = &mut self.null;
        match (&mut self.table, columns) {
            (Table::Single { present }, _) => *present |= rows > 0,
            (Table::Word(table), [column]) => {
                self.words.clear();
                column::extend_words(column, &mut self.words)?;
                match column.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
                    None => table.extend_ids(&self.words, ids),
                    Some(nulls) => ids.extend(self.words.iter().zip(&nulls).map(|(&word, valid)| {
                        if valid { table.id(word) } else { *null.get_or_insert_with(|| table.push(0)) }
                    })),
                }
            }
            (Table::Packed(packings, table), columns) => {
                Packing::pack_columns(packings, columns, rows, &mut self.words, &mut self.packed)?;
                table.extend_ids(&self.packed, ids);
            }
            (Table::Bytes(table), [column]) => column::for_each_bytes(column, |value| {
                ids.push(match value {
                    Some(value) => table.id(value),
                    None => *null.get_or_insert_with(|| table.push(&[])),
                });
            })?,
            (Table::Rows(converter, table), columns) => {
                let columns: Vec<ArrayRef> = columns.iter().map(canonical).collect();
                let rows = converter.convert_columns(&columns)?;
                ids.extend(rows.iter().map(|row| table.id(row.data())));
            }
            (_, columns) => {
                return Err(Error::internal(format!("{} key columns where 1 belongs", columns.len())));
            }
        }
        Ok(())
    }

    /// The keys as they are now.
    pub(super) fn freeze(&mut self) -> Result<FrozenKeys> {
        let len = self.len();
        let table = match &mut self.table {
            Table::Single { .. } => FrozenTable::Single,
            Table::Word(table) => FrozenTable::Word(table.freeze()),
            Table::Packed(packings, table) => FrozenTable::Packed(packings.clone(), table.freeze()),
            Table::Bytes(table) => FrozenTable::Bytes(table.freeze()),
            // Rows are parsed by a converter of their own thread.
            Table::Rows(_, table) => FrozenTable::Rows(converter(&self.types)?, table.freeze()),
        };
        Ok(FrozenKeys { types: self.types.clone(), table, null: self.null, len })
    }

    /// Bytes held.
    pub(super) fn size_bytes(&self) -> usize {
        let scratch = self.words.capacity() * 8 + self.packed.capacity() * 16;
        scratch
            + match &self.table {
                Table::Single { .. } => 0,
                Table::Word(table) => table.size_bytes(),
                Table::Packed(_, table) => table.size_bytes(),
                Table::Bytes(table) => table.size_bytes(),
                Table::Rows(converter, table) => table.size_bytes() + converter.size(),
            }
    }
}

fn converter(types: &[DataType]) -> Result<RowConverter> {
    let fields: Vec<SortField> = types.iter().map(|data_type| SortField::new(data_type.clone())).collect();
    if !RowConverter::supports_fields(&fields) {
        let message = format!("rows can't be partitioned by columns of types {types:?}");
        return Err(Error::new(Code::Unsupported, message));
    }
    Ok(RowConverter::new(fields)?)
}

/// Keys as they were at a freeze.
pub(super) struct FrozenKeys {
    types: Vec<DataType>,
    table: FrozenTable,
    null: Option<u32>,
    len: usize,
}

enum FrozenTable {
    Single,
    Word(FrozenFixed<u64>),
    Packed(Vec<Packing>, FrozenFixed<u128>),
    Bytes(FrozenStrings),
    Rows(RowConverter, FrozenStrings),
}

impl FrozenKeys {
    /// How many keys there were.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// How many columns a key has.
    pub(super) const fn width(&self) -> usize {
        self.types.len()
    }

    /// The keys of some numbers, a column for each key type.
    pub(super) fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        match (&self.table, self.types.as_slice()) {
            (FrozenTable::Single, _) => Ok(Vec::new()),
            (FrozenTable::Word(keys), [data_type]) => {
                let null = self.null.filter(|null| ids.contains(null));
                let nulls = null.map(|null| ids.iter().map(|&id| id != null).collect::<NullBuffer>());
                Ok(vec![column::from_words(data_type, &keys.gather(ids), nulls)?])
            }
            (FrozenTable::Packed(packings, keys), _) => {
                let keys = keys.gather(ids);
                packings.iter().map(|packing| packing.unpack(&keys)).collect()
            }
            (FrozenTable::Bytes(keys), [data_type]) => {
                let rows = ids.iter().map(|&id| (self.null != Some(id)).then(|| keys.get(id)));
                Ok(vec![column::from_bytes(data_type, rows)?])
            }
            (FrozenTable::Rows(converter, keys), _) => {
                let parser = converter.parser();
                Ok(converter.convert_rows(ids.iter().map(|&id| parser.parse(keys.get(id))))?)
            }
            (_, types) => Err(Error::internal(format!("{} key columns where 1 belongs", types.len()))),
        }
    }
}
