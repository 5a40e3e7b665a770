//! `MIN` and `MAX` of fixed-width types: numbers, decimals, dates, times, timestamps, booleans.
//!
//! Floats are in total order: NaN is larger than every number.

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use weir_api::error::{Error, Result};

use super::{Accumulator, Ids, fold_primitive, mark_seen, one_column, seen_nulls};
use crate::column::primitive;
use crate::group::Which;

/// The largest (`MAX`) or smallest value per group. Booleans are kept as 0 and 1.
pub(super) struct Extreme<T: ArrowPrimitiveType, const MAX: bool> {
    data_type: DataType,
    values: Vec<T::Native>,
    seen: Vec<bool>,
}

impl<T: ArrowPrimitiveType, const MAX: bool> Extreme<T, MAX> {
    /// What every value replaces.
    const WORST: T::Native = if MAX { T::Native::MIN_TOTAL_ORDER } else { T::Native::MAX_TOTAL_ORDER };

    pub(super) const fn new(data_type: DataType) -> Self {
        Self { data_type, values: Vec::new(), seen: Vec::new() }
    }

    fn fold(&mut self, column: &ArrayRef, ids: Ids) -> Result<()> {
        let converted;
        let column = if self.data_type == DataType::Boolean {
            converted = cast(column, &T::DATA_TYPE)?;
            &converted
        } else {
            column
        };
        let values: &PrimitiveArray<T> = column.as_primitive_opt().ok_or_else(|| {
            Error::internal(format!("an extreme of {} over {}", self.data_type, column.data_type()))
        })?;
        fold_primitive(values, ids, &mut self.values, |best, value| {
            let better = if MAX { value.is_gt(best) } else { value.is_lt(best) };
            if better { value } else { best }
        });
        mark_seen(values.nulls(), ids, &mut self.seen);
        Ok(())
    }
}

impl<T: ArrowPrimitiveType, const MAX: bool> Accumulator for Extreme<T, MAX> {
    fn resize(&mut self, groups: usize) {
        let groups = groups.max(self.values.len());
        self.values.resize(groups, Self::WORST);
        self.seen.resize(groups, false);
    }

    fn update(&mut self, argument: Option<&ArrayRef>, ids: Ids) -> Result<()> {
        let argument = argument.ok_or_else(|| Error::internal("an extreme without an argument"))?;
        self.fold(argument, ids)
    }

    fn merge(&mut self, partial: &[ArrayRef], ids: Ids) -> Result<()> {
        self.fold(one_column(partial, &self.data_type)?, ids)
    }

    fn partial(&self, groups: Which) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.result(groups, &self.data_type)?])
    }

    fn result(&self, groups: Which, data_type: &DataType) -> Result<ArrayRef> {
        let nulls = seen_nulls(groups, &self.seen);
        let values = groups.of(&self.values).into();
        if *data_type == DataType::Boolean {
            return Ok(cast(&primitive::<T>(values, nulls, &T::DATA_TYPE), data_type)?);
        }
        Ok(primitive::<T>(values, nulls, data_type))
    }

    fn clear(&mut self) {
        self.values.clear();
        self.seen.clear();
    }

    fn size_bytes(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.seen.capacity()
    }
}
