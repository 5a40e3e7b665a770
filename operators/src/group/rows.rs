//! Groups of any columns, in Arrow's row format: the general table.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, SortField};
use weir_api::error::{Code, Error, Result};

use super::bytes::Arena;
use super::{ABSENT, Which};
use crate::column::{canonical32, canonical64};

/// A table of encoded rows.
pub(super) struct RowTable {
    converter: RowConverter,
    arena: Arena,
}

impl RowTable {
    pub(super) fn new(types: &[DataType], capacity: usize) -> Result<Self> {
        let fields: Vec<SortField> =
            types.iter().map(|data_type| SortField::new(data_type.clone())).collect();
        if !RowConverter::supports_fields(&fields) {
            return Err(Error::new(
                Code::Unsupported,
                format!("rows can't be grouped by columns of types {types:?}"),
            ));
        }
        Ok(Self { converter: RowConverter::new(fields)?, arena: Arena::new(capacity) })
    }

    pub(super) fn intern(&mut self, columns: &[ArrayRef], ids: &mut Vec<u32>) -> Result<()> {
        let columns: Vec<ArrayRef> = columns.iter().map(canonical).collect();
        let rows = self.converter.convert_columns(&columns)?;
        ids.extend(rows.iter().map(|row| self.arena.id(row.data())));
        Ok(())
    }

    /// The number of each row's key, [`ABSENT`] where it isn't there.
    pub(super) fn find(&self, columns: &[ArrayRef], ids: &mut Vec<u32>) -> Result<()> {
        let columns: Vec<ArrayRef> = columns.iter().map(canonical).collect();
        let rows = self.converter.convert_columns(&columns)?;
        ids.extend(rows.iter().map(|row| self.arena.find(row.data()).unwrap_or(ABSENT)));
        Ok(())
    }

    pub(super) fn keys(&self, groups: Which) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        Ok(self.converter.convert_rows(groups.iter().map(|id| parser.parse(self.arena.get(id))))?)
    }

    pub(super) const fn len(&self) -> usize {
        self.arena.len()
    }

    pub(super) fn clear(&mut self) {
        self.arena.clear();
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.arena.size_bytes() + self.converter.size()
    }
}

/// The row format tells −0.0 from 0.0 and one NaN from another; keys don't.
pub(crate) fn canonical(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => Arc::new(
            column
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|value| f32::from_bits(canonical32(value))),
        ),
        DataType::Float64 => Arc::new(
            column
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|value| f64::from_bits(canonical64(value))),
        ),
        _ => Arc::clone(column),
    }
}
