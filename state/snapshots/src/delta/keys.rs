//! The keys of layers, to be compared.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::row::{RowConverter, Rows, SortField};
use weir_api::error::Result;
use xxhash_rust::xxh3::xxh3_64;

use crate::table::Contents;

/// Of each source, by row.
pub(super) enum Keys {
    /// No column: there is one key.
    Single,
    /// One column of 64 bits without nulls.
    Words(Vec<ScalarBuffer<u64>>),
    /// Any columns.
    Rows(Vec<Rows>),
}

/// Rows with keys, by source and number.
pub(super) trait Equal {
    fn hash(&self, source: usize, row: usize) -> u64;

    fn equal(&self, one: (usize, usize), other: (usize, usize)) -> bool;
}

impl Equal for () {
    fn hash(&self, _source: usize, _row: usize) -> u64 {
        0
    }

    fn equal(&self, _one: (usize, usize), _other: (usize, usize)) -> bool {
        true
    }
}

impl Equal for Vec<ScalarBuffer<u64>> {
    fn hash(&self, source: usize, row: usize) -> u64 {
        xxh3_64(&self[source][row].to_le_bytes())
    }

    fn equal(&self, one: (usize, usize), other: (usize, usize)) -> bool {
        self[one.0][one.1] == self[other.0][other.1]
    }
}

impl Equal for Vec<Rows> {
    fn hash(&self, source: usize, row: usize) -> u64 {
        xxh3_64(self[source].row(row).data())
    }

    fn equal(&self, one: (usize, usize), other: (usize, usize)) -> bool {
        self[one.0].row(one.1) == self[other.0].row(other.1)
    }
}

impl Keys {
    pub(super) fn of(sources: &[(Contents, RecordBatch)], key_columns: usize) -> Result<Self> {
        let columns: Vec<&[ArrayRef]> = sources
            .iter()
            .map(|(contents, batch)| {
                let start = contents.leading_columns();
                batch.columns().get(start..start + key_columns).unwrap_or_default()
            })
            .collect();
        let Some(first) = columns.first().filter(|columns| !columns.is_empty()) else {
            return Ok(Self::Single);
        };
        if let Some(words) = columns.iter().map(|columns| words(columns)).collect() {
            return Ok(Self::Words(words));
        }
        let fields = first.iter().map(|column| SortField::new(column.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let rows = columns.iter().map(|columns| Ok(converter.convert_columns(columns)?));
        Ok(Self::Rows(rows.collect::<Result<_>>()?))
    }
}

/// The values of a key of one column, where they tell keys apart.
fn words(columns: &[ArrayRef]) -> Option<ScalarBuffer<u64>> {
    let [column] = columns else { return None };
    if column.data_type().primitive_width() != Some(8) || column.null_count() > 0 {
        return None;
    }
    let data = column.to_data();
    let buffer = data.buffers().first()?.clone();
    Some(ScalarBuffer::new(buffer, data.offset(), data.len()))
}
