//! `COUNT`: of rows without an argument, of values that aren't null with one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use weir_api::error::Result;

use super::{Accumulator, Ids, count_rows, fold_primitive, one_column};
use crate::group::Which;

/// Counts per group.
#[derive(Default)]
pub(crate) struct Count {
    counts: Vec<i64>,
}

impl Accumulator for Count {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups.max(self.counts.len()), 0);
    }

    fn update(&mut self, argument: Option<&ArrayRef>, ids: Ids) -> Result<()> {
        let nulls = argument.and_then(|argument| argument.logical_nulls());
        count_rows(nulls.as_ref(), ids, &mut self.counts);
        Ok(())
    }

    fn merge(&mut self, partial: &[ArrayRef], ids: Ids) -> Result<()> {
        let counts = one_column(partial, &DataType::Int64)?.as_primitive::<Int64Type>();
        fold_primitive(counts, ids, &mut self.counts, i64::wrapping_add);
        Ok(())
    }

    fn partial(&self, groups: Which) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.result(groups, &DataType::Int64)?])
    }

    fn result(&self, groups: Which, _data_type: &DataType) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(groups.of(&self.counts))))
    }

    fn clear(&mut self) {
        self.counts.clear();
    }

    fn size_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}
