//! The windows' state as it was at a barrier, made into tables away from the operator.
//!
//! Works on tables that are shared with the operator, a few buckets of keys at a time: an index of row numbers by bucket is all
//! that is as large as the state. Invariant: a key comes once in a layer, with the value that all tables of its pane hold of it.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, SchemaRef, UInt32Type};
use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Error, Result};
use weir_api::key::hash_columns;
use weir_api::state::pieces::{Buckets, ByGroup, KeyedRows, next_buckets};
use weir_api::state::{Frozen, PIECE_BYTES, Scope, StateTable};

use super::pane::{PaneTable, Partials, Scratch};
use super::plan::Call;
use super::restored::key_groups;
use super::stack::Sealed;
use crate::group::{ABSENT, Groups, Which};
use crate::window::Pane;

/// What the tables of a plan's state look like.
pub(super) struct Shape {
    pub(super) key_types: Vec<DataType>,
    pub(super) calls: Vec<Call>,
    pub(super) states: Vec<State>,
}

/// One of the states that are kept by key.
pub(super) struct State {
    pub(super) name: String,
    pub(super) schema: SchemaRef,
    pub(super) key_columns: u32,
    /// The aggregate whose distinct values these are; `None`: partial results.
    pub(super) distinct: Option<usize>,
}

/// One pane's tables, older ones first.
pub(super) struct FrozenPane {
    pub(super) pane: Pane,
    pub(super) tables: Vec<Sealed>,
    pub(super) rows: Rows,
}

/// Which rows of a pane are told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rows {
    All,
    /// Those of the last table.
    Changed,
    /// All are gone.
    Removed,
}

/// See the module.
pub(super) struct FrozenWindows {
    pub(super) shape: Arc<Shape>,
    pub(super) scope: Scope,
    pub(super) max_parallelism: u32,
    /// How many key groups the operator owns.
    pub(super) key_groups: u32,
    pub(super) panes: Vec<FrozenPane>,
    /// Tables that are there already.
    pub(super) ready: VecDeque<(Scope, StateTable)>,
    /// The state that comes next.
    pub(super) next_state: usize,
    pub(super) cursor: Option<Cursor>,
}

/// How far a state's rows have been told.
pub(super) struct Cursor {
    /// For each pane, those of its tables whose rows are told, with their rows by bucket.
    indexes: Vec<Vec<(usize, ByGroup)>>,
    buckets: Buckets,
    next: usize,
    piece_rows: usize,
}

impl Frozen for FrozenWindows {
    fn next(&mut self) -> Result<Option<(Scope, StateTable)>> {
        if let Some(ready) = self.ready.pop_front() {
            return Ok(Some(ready));
        }
        let shape = Arc::clone(&self.shape);
        let Some(state) = shape.states.get(self.next_state) else { return Ok(None) };
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => self.cursor(state)?,
        };
        let count = cursor.buckets.count();
        let indexes = cursor.indexes.iter().flatten().map(|(_, index)| index);
        let buckets = next_buckets(cursor.next, count, cursor.piece_rows, indexes);
        let mut rows = KeyedRows::new(self.scope, Arc::clone(&state.schema), state.key_columns);
        for (pane, indexes) in self.panes.iter().zip(&cursor.indexes) {
            let selected: Vec<(usize, &[u32])> =
                indexes.iter().map(|(table, index)| (*table, index.rows(buckets.clone()))).collect();
            if selected.iter().all(|(_, rows)| rows.is_empty()) {
                continue;
            }
            match state.distinct {
                None => self.add_partials(pane, &selected, &mut rows)?,
                Some(call) => self.add_distinct(call, pane, &selected, &mut rows)?,
            }
        }
        cursor.next = buckets.end;
        if cursor.next == count {
            self.next_state += 1;
        } else {
            self.cursor = Some(cursor);
        }
        Ok(Some((self.scope, rows.into_table(&state.name)?)))
    }
}

impl FrozenWindows {
    fn cursor(&self, state: &State) -> Result<Cursor> {
        let tables = || self.panes.iter().flat_map(|pane| pane.tables.iter());
        let total: usize = tables().map(|sealed| rows_of(&sealed.table, state)).sum();
        let bytes: usize = tables().map(|sealed| sealed.table.size_bytes()).sum();
        let buckets = Buckets::new(total, self.key_groups, self.max_parallelism);
        let indexes = self.panes.iter().map(|pane| {
            let first = if pane.rows == Rows::Changed { pane.tables.len().saturating_sub(1) } else { 0 };
            let tables = pane.tables.iter().enumerate().skip(first);
            tables.map(|(number, sealed)| Ok((number, index(sealed, state, buckets)?))).collect()
        });
        Ok(Cursor {
            indexes: indexes.collect::<Result<_>>()?,
            buckets,
            next: 0,
            piece_rows: (PIECE_BYTES / (bytes / total.max(1)).max(8)).max(TARGET_ROWS),
        })
    }

    fn add_partials(
        &self,
        pane: &FrozenPane,
        selected: &[(usize, &[u32])],
        out: &mut KeyedRows,
    ) -> Result<()> {
        let partials = match (pane.rows, selected) {
            (Rows::All, [(table, rows)]) => pane.tables[*table].table.partials(Which::Each(rows))?,
            (Rows::All, _) => {
                let mut merged = self.new_table()?;
                for (table, rows) in selected {
                    let partials = pane.tables[*table].table.partials(Which::Each(rows))?;
                    merged.merge(&partials, &mut Scratch::default())?;
                }
                merged.partials((0..merged.len()).into())?
            }
            (Rows::Changed, _) => self.changed(pane, selected)?,
            (Rows::Removed, _) => {
                let mut keys = self.new_table()?;
                for (table, rows) in selected {
                    keys.intern(
                        &pane.tables[*table].table.keys(Which::Each(rows))?,
                        rows.len(),
                        &mut Vec::new(),
                    )?;
                }
                let count = keys.len();
                let keys = keys.keys((0..count).into())?;
                let groups = key_groups(&keys, count, self.max_parallelism)?;
                out.remove(groups, keys.into_iter().chain(pane_columns(pane.pane, count)).collect());
                return Ok(());
            }
        };
        let groups = key_groups(&partials.keys, partials.count, self.max_parallelism)?;
        let values = partials.calls.into_iter().flatten();
        let keys = partials.keys.into_iter();
        out.add(groups, keys.chain(pane_columns(pane.pane, partials.count)).chain(values).collect());
        Ok(())
    }

    /// The groups of the last table, with what the tables below hold of them.
    fn changed(&self, pane: &FrozenPane, selected: &[(usize, &[u32])]) -> Result<Partials> {
        let mut merged = self.new_table()?;
        let (Some((last, below)), [(_, rows)]) = (pane.tables.split_last(), selected) else {
            return Err(Error::internal("changes of a pane that has none"));
        };
        let changed = last.table.partials(Which::Each(rows))?;
        let (mut ids, mut found) = (Vec::new(), Vec::new());
        merged.intern(&changed.keys, changed.count, &mut ids)?;
        for sealed in below {
            sealed.table.find(&changed.keys, changed.count, &mut found)?;
            let known = found
                .iter()
                .zip(&ids)
                .filter(|(group, _)| **group != ABSENT && **group as usize >= sealed.from);
            let (groups, ids): (Vec<u32>, Vec<u32>) = known.unzip();
            if !groups.is_empty() {
                merged.merge_at(&sealed.table.partials(Which::Each(&groups))?, &ids)?;
            }
        }
        merged.merge_at(&changed, &ids)?;
        merged.partials((0..merged.len()).into())
    }

    fn add_distinct(
        &self,
        call: usize,
        pane: &FrozenPane,
        selected: &[(usize, &[u32])],
        out: &mut KeyedRows,
    ) -> Result<()> {
        let mut parts = Vec::with_capacity(selected.len());
        for (table, rows) in selected {
            let table = &pane.tables[*table].table;
            let Some(distinct) = table.distinct(call) else { continue };
            let (groups, values) = distinct.pairs(Which::Each(rows))?;
            let mut keys = table.keys(Which::Each(groups.as_primitive::<UInt32Type>().values()))?;
            keys.push(values);
            parts.push((keys, rows.len()));
        }
        let (mut keys, count) = match <[_; 1]>::try_from(parts) {
            Ok([part]) => part,
            Err(parts) => self.union(call, parts)?,
        };
        let value = keys.pop().ok_or_else(|| Error::internal("distinct values are gone"))?;
        let groups = key_groups(&keys, count, self.max_parallelism)?;
        let columns = keys.into_iter().chain(pane_columns(pane.pane, count)).chain([value]).collect();
        match pane.rows {
            Rows::Removed => out.remove(groups, columns),
            Rows::All | Rows::Changed => out.add(groups, columns),
        }
        Ok(())
    }

    /// Pairs of several tables, each once.
    fn union(&self, call: usize, parts: Vec<(Vec<ArrayRef>, usize)>) -> Result<(Vec<ArrayRef>, usize)> {
        let value = self.shape.calls.get(call).and_then(|call| call.argument_type.clone());
        let types: Vec<DataType> = self.shape.key_types.iter().cloned().chain(value).collect();
        let mut pairs = Groups::new(&types, 0)?;
        for (columns, rows) in parts {
            pairs.intern(&columns, rows, &mut Vec::new())?;
        }
        Ok((pairs.keys((0..pairs.len()).into())?, pairs.len()))
    }

    fn new_table(&self) -> Result<PaneTable> {
        PaneTable::new(&self.shape.key_types, &self.shape.calls, 0)
    }
}

/// How many rows of a state a table has.
fn rows_of(table: &PaneTable, state: &State) -> usize {
    match state.distinct {
        None => table.len(),
        Some(call) => table.distinct(call).map_or(0, |distinct| distinct.len()),
    }
}

/// The rows of a state in a table, by bucket.
fn index(sealed: &Sealed, state: &State, buckets: Buckets) -> Result<ByGroup> {
    let table = &sealed.table;
    let mut of_groups = Vec::with_capacity(table.len());
    let mut hashes = Vec::new();
    for start in (0..table.len()).step_by(TARGET_ROWS) {
        let groups = start..(start + TARGET_ROWS).min(table.len());
        let count = groups.len();
        let keys = table.keys(groups.into())?;
        if keys.is_empty() {
            of_groups.resize(of_groups.len() + count, Buckets::without_key());
            continue;
        }
        hash_columns(&keys, &mut hashes)?;
        of_groups.extend(hashes.iter().map(|&hash| buckets.of(hash)));
    }
    let Some(call) = state.distinct else {
        let counted = of_groups.get(sealed.from..).unwrap_or_default();
        return Ok(ByGroup::new((sealed.from as u32).., counted, buckets.count()));
    };
    let distinct =
        table.distinct(call).ok_or_else(|| Error::internal("an aggregate isn't DISTINCT any more"))?;
    let mut of_pairs = Vec::with_capacity(distinct.len());
    for start in (0..distinct.len()).step_by(TARGET_ROWS) {
        let (groups, _) = distinct.pairs((start..(start + TARGET_ROWS).min(distinct.len())).into())?;
        let groups = groups.as_primitive::<UInt32Type>().values();
        of_pairs.extend(groups.iter().map(|&group| of_groups[group as usize]));
    }
    Ok(ByGroup::new(0_u32.., &of_pairs, buckets.count()))
}

fn pane_columns(pane: Pane, rows: usize) -> [ArrayRef; 2] {
    [Arc::new(Int64Array::from_value(pane.end, rows)), Arc::new(Int64Array::from_value(pane.start, rows))]
}
