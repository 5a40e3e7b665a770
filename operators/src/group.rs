//! Groups: a dense number for every distinct key, in order of first appearance.
//!
//! Invariant: equal keys get equal numbers (−0.0 = 0.0, one NaN, null equals null), numbers are `0..len`, and [`Groups::keys`]
//! gives back the key of each number. Key types choose one of five tables, once; per batch the chosen one runs without a
//! branch on types. Knows nothing of what is aggregated.

mod bytes;
mod packed;
mod rows;
mod which;
mod word;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use weir_api::error::{Code, Error, Result};

use crate::column;
use bytes::BytesTable;
use packed::PackedTable;
pub(crate) use packed::Packing;
use rows::RowTable;
pub(crate) use rows::canonical;
pub(crate) use which::Which;
use word::WordTable;

/// The most groups of one table; numbers are `u32`.
const MAX_GROUPS: usize = u32::MAX as usize - 1;

/// What [`Groups::find`] says of a key that isn't there.
pub(crate) const ABSENT: u32 = u32::MAX;

/// See the module.
pub(crate) struct Groups {
    table: Table,
}

enum Table {
    /// No key: one group as soon as there is a row.
    Single { present: bool },
    /// One column of up to 64 bits.
    Word(WordTable),
    /// Several columns of up to 128 bits together.
    Packed(PackedTable),
    /// One column of strings or bytes.
    Bytes(BytesTable),
    /// Any columns.
    Rows(RowTable),
}

impl Groups {
    /// A table for keys of these types, with room for `capacity` groups.
    pub(crate) fn new(types: &[DataType], capacity: usize) -> Result<Self> {
        let table = match types {
            [] => Table::Single { present: false },
            [one] if column::bits(one).is_some() => Table::Word(WordTable::new(one.clone(), capacity)),
            [one] if column::is_bytes(one) => Table::Bytes(BytesTable::new(one.clone(), capacity)),
            several => match PackedTable::try_new(several, capacity) {
                Some(table) => Table::Packed(table),
                None => Table::Rows(RowTable::new(several, capacity)?),
            },
        };
        Ok(Self { table })
    }

    /// Whether there is only one group, whatever the rows.
    pub(crate) const fn is_single(&self) -> bool {
        matches!(self.table, Table::Single { .. })
    }

    /// Sets `ids` to the number of each row's key, adding keys that are new. Without key columns `ids` stays empty.
    pub(crate) fn intern(&mut self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<u32>) -> Result<()> {
        if self.len() + rows > MAX_GROUPS {
            return Err(Error::new(
                Code::StateLimit,
                format!("an aggregation holds over {MAX_GROUPS} groups"),
            ));
        }
        ids.clear();
        match (&mut self.table, columns) {
            (Table::Single { present }, _) => {
                *present |= rows > 0;
                Ok(())
            }
            (Table::Word(table), [column]) => table.intern(column, ids),
            (Table::Bytes(table), [column]) => table.intern(column, ids),
            (Table::Packed(table), columns) => table.intern(columns, rows, ids),
            (Table::Rows(table), columns) => table.intern(columns, ids),
            (_, columns) => Err(Error::internal(format!("{} key columns where 1 belongs", columns.len()))),
        }
    }

    /// Sets `ids` to the number of each row's key, [`ABSENT`] for keys that aren't there. Without key columns the only group has
    /// number 0.
    pub(crate) fn find(&self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<u32>) -> Result<()> {
        ids.clear();
        match (&self.table, columns) {
            (Table::Single { present }, _) => {
                ids.resize(rows, if *present { 0 } else { ABSENT });
                Ok(())
            }
            (Table::Word(table), [column]) => table.find(column, ids),
            (Table::Bytes(table), [column]) => table.find(column, ids),
            (Table::Packed(table), columns) => table.find(columns, rows, ids),
            (Table::Rows(table), columns) => table.find(columns, ids),
            (_, columns) => Err(Error::internal(format!("{} key columns where 1 belongs", columns.len()))),
        }
    }

    /// How many groups.
    pub(crate) fn len(&self) -> usize {
        match &self.table {
            Table::Single { present } => usize::from(*present),
            Table::Word(table) => table.len(),
            Table::Packed(table) => table.len(),
            Table::Bytes(table) => table.len(),
            Table::Rows(table) => table.len(),
        }
    }

    /// The keys of some groups, a column for each key type.
    pub(crate) fn keys(&self, groups: Which) -> Result<Vec<ArrayRef>> {
        match &self.table {
            Table::Single { .. } => Ok(Vec::new()),
            Table::Word(table) => Ok(vec![table.keys(groups)?]),
            Table::Packed(table) => table.keys(groups),
            Table::Bytes(table) => Ok(vec![table.keys(groups)?]),
            Table::Rows(table) => table.keys(groups),
        }
    }

    /// Forgets all groups and keeps the memory.
    pub(crate) fn clear(&mut self) {
        match &mut self.table {
            Table::Single { present } => *present = false,
            Table::Word(table) => table.clear(),
            Table::Packed(table) => table.clear(),
            Table::Bytes(table) => table.clear(),
            Table::Rows(table) => table.clear(),
        }
    }

    /// Bytes held.
    pub(crate) fn size_bytes(&self) -> usize {
        match &self.table {
            Table::Single { .. } => 0,
            Table::Word(table) => table.size_bytes(),
            Table::Packed(table) => table.size_bytes(),
            Table::Bytes(table) => table.size_bytes(),
            Table::Rows(table) => table.size_bytes(),
        }
    }
}

#[cfg(test)]
mod tests;
