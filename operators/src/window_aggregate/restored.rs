//! How far the windows of each key group had fired before a restore.
//!
//! Instances are rescaled from a snapshot in which they had come to different watermarks. Until the new instance has passed the
//! largest of them, this knows for which keys a window has fired already: it isn't fired again for them, and their rows are late
//! as they were before. Afterwards it costs nothing.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use weir_api::error::Result;
use weir_api::graph::KeyGroupRange;
use weir_api::key::{hash_columns, key_group};

use super::plan::{Input, Plan};
use super::split::Selection;

/// See the module.
#[derive(Default)]
pub(super) struct Restored {
    /// Key groups with what they had fired; `i64::MIN` where nothing is known.
    fired: BTreeMap<u32, i64>,
    largest: Option<i64>,
}

/// The key groups of rows with these keys; without key columns all rows are of group 0.
pub(super) fn key_groups(keys: &[ArrayRef], rows: usize, max_parallelism: u32) -> Result<Vec<u32>> {
    if keys.is_empty() {
        return Ok(vec![0; rows]);
    }
    let mut hashes = Vec::with_capacity(rows);
    hash_columns(keys, &mut hashes)?;
    Ok(hashes.into_iter().map(|hash| key_group(hash, max_parallelism)).collect())
}

impl Restored {
    /// A key group's bookkeeping from a snapshot.
    pub(super) fn add(&mut self, key_group: u32, fired: i64) {
        let entry = self.fired.entry(key_group).or_insert(fired);
        *entry = fired.max(*entry);
        self.largest = self.largest.max(Some(fired));
    }

    /// What all key groups of the range had fired.
    pub(super) fn least(&self, range: KeyGroupRange) -> i64 {
        let all_known = self.fired.len() == range.len() as usize;
        self.fired.values().min().copied().filter(|_| all_known).unwrap_or(i64::MIN)
    }

    /// Forgets what is of no concern once all windows up to `fired` have fired.
    pub(super) fn settle(&mut self, fired: i64) {
        if self.largest.is_some_and(|largest| largest <= fired) {
            self.largest = None;
            self.fired.clear();
        }
    }

    /// Whether a window with this end may have fired for some keys.
    pub(super) fn concerns(&self, end: i64) -> bool {
        self.largest.is_some_and(|largest| end.saturating_sub(1) <= largest)
    }

    /// What the key group had fired.
    pub(super) fn fired(&self, key_group: u32) -> i64 {
        self.fired.get(&key_group).copied().unwrap_or(i64::MIN)
    }

    /// For which keys the window with this end hasn't fired.
    pub(super) fn unfired(
        &self,
        keys: &[ArrayRef],
        rows: usize,
        end: i64,
        max_parallelism: u32,
    ) -> Result<BooleanArray> {
        let groups = key_groups(keys, rows, max_parallelism)?;
        let unfired: Vec<bool> =
            groups.into_iter().map(|group| self.fired(group) < end.saturating_sub(1)).collect();
        Ok(unfired.into())
    }

    /// The selected rows whose last window, with this end, hasn't fired, and those for which it has.
    pub(super) fn split(
        &self,
        plan: &Plan,
        records: &RecordBatch,
        rows: &Selection,
        last_end: i64,
        max_parallelism: u32,
    ) -> Result<(Selection, Selection)> {
        let count = rows.count(records.num_rows());
        let positions: Vec<usize> = match &plan.input {
            Input::Rows(input) => input.keys.clone(),
            Input::Partials(_) => (0..plan.key_types.len()).collect(),
        };
        let keys = positions.iter().map(|&key| rows.of(records.column(key))).collect::<Result<Vec<_>>>()?;
        let unfired = self.unfired(&keys, count, last_end, max_parallelism)?;
        let pick = |wanted: bool| -> Result<Selection> {
            let picked: Vec<u32> =
                (0..count as u32).filter(|&row| unfired.value(row as usize) == wanted).collect();
            rows.select(&picked.into())
        };
        Ok((pick(true)?, pick(false)?))
    }
}

impl Selection {
    /// Some of the selected rows, by their positions among them.
    fn select(&self, rows: &UInt32Array) -> Result<Self> {
        Ok(Self::Indices(match self {
            Self::All => rows.clone(),
            Self::Slice(range) => {
                let start = range.start as u32;
                rows.values().iter().map(|row| row + start).collect::<Vec<_>>().into()
            }
            Self::Indices(indices) => {
                rows.values().iter().map(|&row| indices.value(row as usize)).collect::<Vec<_>>().into()
            }
        }))
    }
}
