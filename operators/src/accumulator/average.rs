//! `AVG`: integers truncate toward zero as in Flink, decimals round half up to the result's scale, no values average to null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, i256};
use weir_api::error::Result;

use super::sum::{OVERFLOWN, Summable, fits_precision, widened};
use super::{Accumulator, Ids, count_rows, fold_primitive, malformed_partial};
use crate::column::primitive;
use crate::group::Which;

/// A type whose sums can be divided by counts.
pub(super) trait Averaged: Summable {
    /// Quotients as `data_type`, of sums kept as `sum_type`; counts are 0 only where `nulls` says null.
    fn divide(
        sums: &[Self::Native],
        counts: &[i64],
        nulls: Option<NullBuffer>,
        sum_type: &DataType,
        data_type: &DataType,
    ) -> Result<ArrayRef>;
}

impl Averaged for Int64Type {
    fn divide(
        sums: &[i64],
        counts: &[i64],
        nulls: Option<NullBuffer>,
        _sum_type: &DataType,
        data_type: &DataType,
    ) -> Result<ArrayRef> {
        if data_type.is_floating() {
            let sums: Vec<f64> = sums.iter().map(|&sum| sum as f64).collect();
            return Float64Type::divide(&sums, counts, nulls, &DataType::Float64, data_type);
        }
        let quotients = sums.iter().zip(counts).map(|(sum, &count)| sum.wrapping_div(count.max(1))).collect();
        Self::narrow(quotients, nulls, data_type)
    }
}

impl Averaged for Float64Type {
    fn divide(
        sums: &[f64],
        counts: &[i64],
        nulls: Option<NullBuffer>,
        _sum_type: &DataType,
        data_type: &DataType,
    ) -> Result<ArrayRef> {
        let quotients = sums.iter().zip(counts).map(|(sum, &count)| sum / count.max(1) as f64).collect();
        Self::narrow(quotients, nulls, data_type)
    }
}

impl Averaged for Decimal128Type {
    fn divide(
        sums: &[i128],
        counts: &[i64],
        nulls: Option<NullBuffer>,
        sum_type: &DataType,
        data_type: &DataType,
    ) -> Result<ArrayRef> {
        let scale = |data_type: &DataType| match data_type {
            DataType::Decimal128(_, scale) => *scale,
            _ => 0,
        };
        let precision = if let DataType::Decimal128(precision, _) = data_type { *precision } else { 38 };
        let digits = scale(data_type).saturating_sub(scale(sum_type)).clamp(0, 38);
        let factor = i256::from_i128(10_i128.pow(digits.unsigned_abs().into()));
        let quotients: Vec<i128> = sums
            .iter()
            .zip(counts)
            .map(|(&sum, &count)| {
                divided(sum, factor, count)
                    .filter(|&quotient| fits_precision(quotient, precision))
                    .unwrap_or(OVERFLOWN)
            })
            .collect();
        Self::narrow(quotients, nulls, data_type)
    }
}

/// `sum * factor / count`, rounded half away from zero.
fn divided(sum: i128, factor: i256, count: i64) -> Option<i128> {
    if sum == OVERFLOWN {
        return None;
    }
    let count = i256::from_i128(count.max(1).into());
    let scaled = i256::from_i128(sum).checked_mul(factor)?;
    let half = i256::from_i128(count.to_i128()? / 2);
    // Half of an odd count rounds down, which no remainder can equal: rounding stays exact.
    let rounded = if sum < 0 { scaled.checked_sub(half)? } else { scaled.checked_add(half)? };
    rounded.checked_div(count)?.to_i128()
}

/// Sums and counts per group.
pub(super) struct Average<T: ArrowPrimitiveType> {
    data_type: DataType,
    sums: Vec<T::Native>,
    counts: Vec<i64>,
}

impl<T: ArrowPrimitiveType> Average<T> {
    pub(super) const fn new(data_type: DataType) -> Self {
        Self { data_type, sums: Vec::new(), counts: Vec::new() }
    }

    /// Groups without values.
    fn nulls(&self, groups: Which) -> Option<NullBuffer> {
        let counts = groups.of(&self.counts);
        counts.contains(&0).then(|| counts.iter().map(|&count| count != 0).collect())
    }
}

impl<T: Averaged> Accumulator for Average<T> {
    fn resize(&mut self, groups: usize) {
        let groups = groups.max(self.sums.len());
        self.sums.resize(groups, T::Native::default());
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, argument: Option<&ArrayRef>, ids: Ids) -> Result<()> {
        let mut holder = None;
        let values: &PrimitiveArray<T> = widened(argument, &self.data_type, &mut holder)?;
        fold_primitive(values, ids, &mut self.sums, T::add);
        count_rows(values.nulls(), ids, &mut self.counts);
        Ok(())
    }

    fn merge(&mut self, partial: &[ArrayRef], ids: Ids) -> Result<()> {
        let wanted = [&self.data_type, &DataType::Int64];
        match partial {
            [sums, counts] if [sums.data_type(), counts.data_type()] == wanted => {
                fold_primitive(sums.as_primitive::<T>(), ids, &mut self.sums, T::add);
                fold_primitive(counts.as_primitive::<Int64Type>(), ids, &mut self.counts, i64::wrapping_add);
                Ok(())
            }
            other => Err(malformed_partial(other, &wanted)),
        }
    }

    fn partial(&self, groups: Which) -> Result<Vec<ArrayRef>> {
        let sums = groups.of(&self.sums);
        let sums = primitive::<T>(sums.into(), self.nulls(groups), &self.data_type);
        Ok(vec![sums, Arc::new(Int64Array::from(groups.of(&self.counts)))])
    }

    fn result(&self, groups: Which, data_type: &DataType) -> Result<ArrayRef> {
        let nulls = self.nulls(groups);
        T::divide(&groups.of(&self.sums), &groups.of(&self.counts), nulls, &self.data_type, data_type)
    }

    fn clear(&mut self) {
        self.sums.clear();
        self.counts.clear();
    }

    fn size_bytes(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.counts.capacity() * size_of::<i64>()
    }
}
