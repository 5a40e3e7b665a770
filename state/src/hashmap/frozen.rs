//! Tables as they were at a barrier, made into pieces away from the operator.
//!
//! Invariant: a piece holds rows of some buckets of keys, live ones that haven't expired as they were, others of a delta as
//! tombstones.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::SchemaRef;
use arrow::row::RowConverter;
use weir_api::batch::TARGET_ROWS;
use weir_api::error::Result;
use weir_api::key::hash_columns;
use weir_api::state::chunks::FrozenChunks;
use weir_api::state::dirty::Dirty;
use weir_api::state::pieces::{Buckets, ByGroup, KeyedRows, next_buckets, split_rows};
use weir_api::state::{Frozen, PIECE_BYTES, Scope, StateTable};

use super::bits::FrozenBits;
use super::column::FrozenColumn;
use super::index::FrozenKeys;

/// See the module.
#[derive(Debug)]
pub(crate) struct FrozenTable {
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
    pub(crate) key_columns: usize,
    pub(crate) partition_columns: usize,
    pub(crate) converter: Arc<RowConverter>,
    /// `None`: all rows.
    pub(crate) changed: Option<Dirty>,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) keys: FrozenKeys,
    pub(crate) columns: Vec<FrozenColumn>,
    pub(crate) written: Option<FrozenChunks<i64>>,
    pub(crate) live: FrozenBits,
    pub(crate) time_to_live_millis: Option<i64>,
    pub(crate) now: i64,
}

impl FrozenTable {
    const fn scope(&self) -> Scope {
        if self.changed.is_some() { Scope::Changes } else { Scope::Full }
    }

    fn is_there(&self, row: u32) -> bool {
        let expired = match (&self.written, self.time_to_live_millis) {
            (Some(written), Some(ttl)) => written.get(row as usize).saturating_add(ttl) <= self.now,
            _ => false,
        };
        self.live.get(row) && !expired
    }

    fn keys_of(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        if self.key_columns == 0 || rows.is_empty() {
            return Ok(Vec::new());
        }
        let parser = self.converter.parser();
        Ok(self.converter.convert_rows(rows.iter().map(|&row| parser.parse(self.keys.key(row))))?)
    }

    fn index(&self, key_groups: u32, max_parallelism: u32) -> Result<(ByGroup, Buckets)> {
        let rows: Vec<u32> = match &self.changed {
            Some(changed) => changed.iter().collect(),
            None => (0..self.rows as u32).filter(|&row| self.is_there(row)).collect(),
        };
        let buckets = Buckets::new(rows.len(), key_groups, max_parallelism);
        let mut of_rows = Vec::with_capacity(rows.len());
        let mut hashes = Vec::new();
        for rows in rows.chunks(TARGET_ROWS) {
            let keys = self.keys_of(rows)?;
            if self.partition_columns == 0 {
                of_rows.resize(of_rows.len() + rows.len(), Buckets::without_key());
                continue;
            }
            hash_columns(keys.get(..self.partition_columns).unwrap_or_default(), &mut hashes)?;
            of_rows.extend(hashes.iter().map(|&hash| buckets.of(hash)));
        }
        Ok((ByGroup::new(rows.into_iter(), &of_rows, buckets.count()), buckets))
    }

    fn piece(&self, cursor: &Cursor, buckets: Range<usize>) -> Result<StateTable> {
        let mut piece = KeyedRows::new(self.scope(), Arc::clone(&self.schema), self.key_columns as u32);
        for (rows, groups) in cursor.index.chunks(buckets, cursor.buckets) {
            let [(there, groups), gone] = split_rows(rows, groups, |row| self.is_there(row));
            let keys = self.keys_of(&there)?;
            let values = self.columns.iter().map(|column| column.read(&there)).collect::<Result<Vec<_>>>()?;
            let written = self
                .written
                .as_ref()
                .map(|times| Arc::new(Int64Array::from(times.gather(&there))) as ArrayRef);
            piece.add(groups, keys.into_iter().chain(values).chain(written).collect());
            piece.remove(gone.1, self.keys_of(&gone.0)?);
        }
        piece.into_table(&self.name)
    }
}

/// All tables of a backend.
pub(crate) struct FrozenTables {
    pub(crate) tables: VecDeque<FrozenTable>,
    pub(crate) key_groups: u32,
    pub(crate) max_parallelism: u32,
    pub(crate) cursor: Option<Cursor>,
}

/// How far the first table's rows have been told.
pub(crate) struct Cursor {
    index: ByGroup,
    buckets: Buckets,
    next: usize,
    piece_rows: usize,
}

impl Frozen for FrozenTables {
    fn next(&mut self) -> Result<Option<(Scope, StateTable)>> {
        let Some(table) = self.tables.front() else { return Ok(None) };
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => {
                let (index, buckets) = table.index(self.key_groups, self.max_parallelism)?;
                let row_bytes = (table.bytes / table.rows.max(1)).max(8);
                Cursor { index, buckets, next: 0, piece_rows: (PIECE_BYTES / row_bytes).max(TARGET_ROWS) }
            }
        };
        let count = cursor.buckets.count();
        let buckets = next_buckets(cursor.next, count, cursor.piece_rows, [&cursor.index].into_iter());
        cursor.next = buckets.end;
        let piece = table.piece(&cursor, buckets)?;
        let scope = table.scope();
        if cursor.next < count {
            self.cursor = Some(cursor);
        } else {
            self.tables.pop_front();
        }
        Ok(Some((scope, piece)))
    }
}
