//! `FIRST_VALUE` and `LAST_VALUE`: the value that came first or last, of those that aren't null.
//!
//! The order is that of arrival: in one task that of its rows, and where partial results are merged that in which they are. So
//! of a hopping window the first value is that of its earliest slice. Values are kept in the chunks in which they came; when
//! most rows of the chunks are forgotten, the live ones are written anew.

use arrow::array::{Array, ArrayRef, UInt32Array, new_empty_array, new_null_array};
use arrow::compute::{interleave, take};
use arrow::datatypes::DataType;
use weir_api::error::{Error, Result};

use super::{Accumulator, Ids, one_column};
use crate::group::Which;

/// Chunks beyond this many are merged.
const MOST_CHUNKS: usize = 64;
/// Rows below this many aren't garbage worth collecting.
const LEAST_GARBAGE: usize = 8192;
/// The slot of a group without a value: the first chunk is one null.
const NONE: (u32, u32) = (0, 0);

/// The first value per group, or the last one.
pub(super) struct Pick<const LAST: bool> {
    data_type: DataType,
    /// The first is one null; the others are of live values and garbage.
    chunks: Vec<ArrayRef>,
    /// Chunk and row of each group's value.
    slots: Vec<(u32, u32)>,
    rows: usize,
}

impl<const LAST: bool> Pick<LAST> {
    pub(super) fn new(data_type: DataType) -> Self {
        let null = new_null_array(&data_type, 1);
        Self { data_type, chunks: vec![null], slots: Vec::new(), rows: 0 }
    }

    fn fold(&mut self, column: &ArrayRef, ids: Ids) -> Result<()> {
        let chunk = self.chunks.len() as u32;
        let nulls = column.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let mut picked: Vec<u32> = Vec::new();
        for row in 0..column.len() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            let slot = &mut self.slots[ids.of(row)];
            if LAST && slot.0 == chunk {
                picked[slot.1 as usize] = row as u32;
            } else if LAST || *slot == NONE {
                *slot = (chunk, picked.len() as u32);
                picked.push(row as u32);
            }
        }
        if picked.is_empty() {
            return Ok(());
        }
        self.rows += picked.len();
        self.chunks.push(take(column, &UInt32Array::from(picked), None)?);
        if self.chunks.len() > MOST_CHUNKS || self.rows > LEAST_GARBAGE + 2 * self.slots.len() {
            self.compact()?;
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<()> {
        let live: Vec<usize> = (0..self.slots.len()).filter(|&group| self.slots[group] != NONE).collect();
        let places: Vec<(usize, usize)> = live.iter().map(|&group| place(self.slots[group])).collect();
        let values = self.read(&places)?;
        for (row, &group) in live.iter().enumerate() {
            self.slots[group] = (1, row as u32);
        }
        self.rows = values.len();
        self.chunks.truncate(1);
        self.chunks.push(values);
        Ok(())
    }

    fn read(&self, places: &[(usize, usize)]) -> Result<ArrayRef> {
        if places.is_empty() {
            return Ok(new_empty_array(&self.data_type));
        }
        let chunks: Vec<&dyn Array> = self.chunks.iter().map(AsRef::as_ref).collect();
        Ok(interleave(&chunks, places)?)
    }
}

const fn place(slot: (u32, u32)) -> (usize, usize) {
    (slot.0 as usize, slot.1 as usize)
}

impl<const LAST: bool> Accumulator for Pick<LAST> {
    fn resize(&mut self, groups: usize) {
        self.slots.resize(groups.max(self.slots.len()), NONE);
    }

    fn update(&mut self, argument: Option<&ArrayRef>, ids: Ids) -> Result<()> {
        let argument =
            argument.ok_or_else(|| Error::internal("a first or last value without an argument"))?;
        self.fold(argument, ids)
    }

    fn merge(&mut self, partial: &[ArrayRef], ids: Ids) -> Result<()> {
        self.fold(one_column(partial, &self.data_type)?, ids)
    }

    fn partial(&self, groups: Which) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.result(groups, &self.data_type)?])
    }

    fn result(&self, groups: Which, _data_type: &DataType) -> Result<ArrayRef> {
        let places: Vec<(usize, usize)> = groups.iter().map(|group| place(self.slots[group])).collect();
        self.read(&places)
    }

    fn clear(&mut self) {
        self.chunks.truncate(1);
        self.slots.clear();
        self.rows = 0;
    }

    fn size_bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.get_array_memory_size()).sum();
        chunks + self.slots.capacity() * size_of::<(u32, u32)>()
    }
}
