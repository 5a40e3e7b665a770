//! The accumulators' table as it was at a barrier, made into pieces sorted by key group away from the operator.
//!
//! All that is as large as the state is an index of key numbers by bucket. Invariant: each key that the scope asks for comes once.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::datatypes::SchemaRef;
use weir_api::batch::TARGET_ROWS;
use weir_api::error::Result;
use weir_api::key::{hash_columns, key_group};
use weir_api::state::chunks::FrozenChunks;
use weir_api::state::dirty::Dirty;
use weir_api::state::pieces::{Buckets, ByGroup, KeyedRows, next_buckets, split_rows};
use weir_api::state::{Frozen, PIECE_BYTES, Scope, StateTable};

use super::keys::FrozenKeys;
use crate::accumulator::running::FrozenStates;

/// See the module.
pub(super) struct FrozenTable {
    pub(super) name: String,
    pub(super) schema: SchemaRef,
    pub(super) scope: Scope,
    /// The keys that have changed, if only they are told of.
    pub(super) changed: Option<Dirty>,
    pub(super) keys: FrozenKeys,
    pub(super) calls: Vec<Box<dyn FrozenStates>>,
    pub(super) written: Option<FrozenChunks<i64>>,
    /// What was written then or before is forgotten.
    pub(super) forgotten: i64,
    /// How many key groups the operator owns.
    pub(super) key_groups: u32,
    pub(super) max_parallelism: u32,
    pub(super) cursor: Option<Cursor>,
}

/// How far rows have been told.
pub(super) struct Cursor {
    index: ByGroup,
    buckets: Buckets,
    next: usize,
    piece_rows: usize,
    done: bool,
}

/// The hash of each row's key; 0 without key columns.
pub(super) fn hashes_of(keys: &[ArrayRef], rows: usize, hashes: &mut Vec<u64>) -> Result<()> {
    if keys.is_empty() {
        hashes.clear();
        hashes.resize(rows, 0);
        return Ok(());
    }
    hash_columns(keys, hashes)
}

/// The bucket of each hash; what has no key is of key group 0.
pub(super) fn buckets_of(keyed: bool, hashes: &[u64], buckets: Buckets, out: &mut Vec<u32>) {
    out.extend(hashes.iter().map(|&hash| if keyed { buckets.of(hash) } else { Buckets::without_key() }));
}

/// The key group of each hash, likewise.
pub(super) fn groups_of(keyed: bool, hashes: &[u64], max_parallelism: u32) -> Vec<u32> {
    let group = |&hash| if keyed { key_group(hash, max_parallelism) } else { 0 };
    hashes.iter().map(group).collect()
}

/// How many rows of this many bytes make a piece.
pub(super) fn rows_of_piece(row_bytes: usize) -> usize {
    (PIECE_BYTES / row_bytes.max(1)).max(1)
}

impl FrozenTable {
    fn is_forgotten(&self, id: u32) -> bool {
        self.written.as_ref().is_some_and(|written| written.get(id as usize) <= self.forgotten)
    }

    fn cursor(&self) -> Result<Cursor> {
        let ids: Vec<u32> = match &self.changed {
            Some(changed) => changed.iter().collect(),
            None => (0..self.keys.len() as u32).filter(|&id| !self.is_forgotten(id)).collect(),
        };
        let buckets = Buckets::new(ids.len(), self.key_groups, self.max_parallelism);
        let mut of_rows = Vec::with_capacity(ids.len());
        let mut hashes = Vec::new();
        for ids in ids.chunks(TARGET_ROWS) {
            let keys = self.keys.columns(ids)?;
            hashes_of(&keys, ids.len(), &mut hashes)?;
            buckets_of(!keys.is_empty(), &hashes, buckets, &mut of_rows);
        }
        let sample: Vec<u32> = ids.iter().copied().take(TARGET_ROWS).collect();
        let (keys, values) = self.columns(&sample)?;
        let bytes: usize = keys.iter().chain(&values).map(|column| column.get_array_memory_size()).sum();
        let piece_rows = rows_of_piece(bytes / sample.len().max(1));
        let index = ByGroup::new(ids.into_iter(), &of_rows, buckets.count());
        Ok(Cursor { index, buckets, next: 0, piece_rows, done: false })
    }

    /// The keys and the values of some rows.
    fn columns(&self, ids: &[u32]) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let mut values: Vec<ArrayRef> = Vec::new();
        if let Some(written) = &self.written {
            values.push(Arc::new(Int64Array::from(written.gather(ids))));
        }
        for call in &self.calls {
            values.extend(call.partial(ids)?);
        }
        Ok((self.keys.columns(ids)?, values))
    }
}

impl Frozen for FrozenTable {
    fn next(&mut self) -> Result<Option<(Scope, StateTable)>> {
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => self.cursor()?,
        };
        if cursor.done {
            self.cursor = Some(cursor);
            return Ok(None);
        }
        let count = cursor.buckets.count();
        let taken = next_buckets(cursor.next, count, cursor.piece_rows, std::iter::once(&cursor.index));
        let key_columns = self.keys.width() as u32;
        let mut rows = KeyedRows::new(self.scope, Arc::clone(&self.schema), key_columns);
        for (ids, groups) in cursor.index.chunks(taken.clone(), cursor.buckets) {
            if self.written.is_none() {
                let (keys, values) = self.columns(ids)?;
                rows.add(groups, keys.into_iter().chain(values).collect());
                continue;
            }
            let [there, forgotten] = split_rows(ids, groups, |id| !self.is_forgotten(id));
            let (keys, values) = self.columns(&there.0)?;
            rows.add(there.1, keys.into_iter().chain(values).collect());
            rows.remove(forgotten.1, self.keys.columns(&forgotten.0)?);
        }
        cursor.next = taken.end;
        cursor.done = cursor.next >= count;
        self.cursor = Some(cursor);
        Ok(Some((self.scope, rows.into_table(&self.name)?)))
    }
}

/// States one after the other.
pub(super) struct Several(pub(super) VecDeque<Box<dyn Frozen>>);

impl Frozen for Several {
    fn next(&mut self) -> Result<Option<(Scope, StateTable)>> {
        while let Some(first) = self.0.front_mut() {
            if let Some(piece) = first.next()? {
                return Ok(Some(piece));
            }
            self.0.pop_front();
        }
        Ok(None)
    }
}
