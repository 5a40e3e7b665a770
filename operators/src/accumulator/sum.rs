//! `SUM`: integers wrap as Java's do; a decimal sum beyond 38 digits is null, as in Flink; no values sum to null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use weir_api::error::{Error, Result};

use super::{Accumulator, Ids, fold_primitive, mark_seen, one_column, seen_nulls};
use crate::column::primitive;
use crate::group::Which;

/// A type in which sums are kept.
pub(super) trait Summable: ArrowPrimitiveType {
    fn add(a: Self::Native, b: Self::Native) -> Self::Native;

    /// Sums as the type of the result.
    fn narrow(sums: Vec<Self::Native>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef>;
}

impl Summable for Int64Type {
    fn add(a: i64, b: i64) -> i64 {
        a.wrapping_add(b)
    }

    fn narrow(sums: Vec<i64>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef> {
        macro_rules! wrapped {
            ($type:ty) => {{
                type Native = <$type as ArrowPrimitiveType>::Native;
                Arc::new(PrimitiveArray::<$type>::new(sums.iter().map(|&sum| sum as Native).collect(), nulls))
            }};
        }
        Ok(match data_type {
            DataType::Int64 => Arc::new(PrimitiveArray::<Int64Type>::new(sums.into(), nulls)),
            DataType::Int32 => wrapped!(Int32Type),
            DataType::Int16 => wrapped!(Int16Type),
            DataType::Int8 => wrapped!(Int8Type),
            other => return Err(wrong_type("an integer", other)),
        })
    }
}

impl Summable for Float64Type {
    fn add(a: f64, b: f64) -> f64 {
        a + b
    }

    fn narrow(sums: Vec<f64>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef> {
        Ok(match data_type {
            DataType::Float64 => Arc::new(PrimitiveArray::<Float64Type>::new(sums.into(), nulls)),
            DataType::Float32 => {
                let sums = sums.iter().map(|&sum| sum as f32).collect();
                Arc::new(PrimitiveArray::<Float32Type>::new(sums, nulls))
            }
            other => return Err(wrong_type("a float", other)),
        })
    }
}

/// The sum that stays: beyond all decimals.
pub(super) const OVERFLOWN: i128 = i128::MAX;

/// Whether a decimal of `precision` digits can be `value`.
pub(super) fn fits_precision(value: i128, precision: u8) -> bool {
    value.unsigned_abs() < 10_u128.pow(u32::from(precision.min(38)))
}

impl Summable for Decimal128Type {
    fn add(a: i128, b: i128) -> i128 {
        // An overflown sum stays so: what is added later can't bring it back.
        if a == OVERFLOWN || b == OVERFLOWN {
            return OVERFLOWN;
        }
        a.checked_add(b).unwrap_or(OVERFLOWN)
    }

    fn narrow(sums: Vec<i128>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef> {
        let DataType::Decimal128(precision, _) = *data_type else {
            return Err(wrong_type("a decimal", data_type));
        };
        let fits: NullBuffer = sums.iter().map(|&sum| fits_precision(sum, precision)).collect();
        let nulls = NullBuffer::union(nulls.as_ref(), Some(&fits)).filter(|nulls| nulls.null_count() > 0);
        Ok(primitive::<Decimal128Type>(sums.into(), nulls, data_type))
    }
}

fn wrong_type(what: &str, data_type: &DataType) -> Error {
    Error::internal(format!("the sum is {what}, not {data_type}"))
}

/// The argument in the type of its sum.
pub(super) fn widened<'a, T: ArrowPrimitiveType>(
    argument: Option<&'a ArrayRef>,
    data_type: &DataType,
    holder: &'a mut Option<ArrayRef>,
) -> Result<&'a PrimitiveArray<T>> {
    let argument = argument.ok_or_else(|| Error::internal("a sum without an argument"))?;
    let argument = match (argument.data_type(), data_type) {
        // Precision is the type's, the representation is the same.
        (DataType::Decimal128(_, _), DataType::Decimal128(_, _)) => argument,
        (found, wanted) if found == wanted => argument,
        _ => holder.insert(cast(argument, data_type)?),
    };
    argument.as_primitive_opt::<T>().ok_or_else(|| Error::internal("a sum's argument changed its type"))
}

/// Sums per group.
pub(super) struct Sum<T: ArrowPrimitiveType> {
    data_type: DataType,
    sums: Vec<T::Native>,
    seen: Vec<bool>,
}

impl<T: ArrowPrimitiveType> Sum<T> {
    pub(super) const fn new(data_type: DataType) -> Self {
        Self { data_type, sums: Vec::new(), seen: Vec::new() }
    }
}

impl<T: Summable> Sum<T> {
    fn add(&mut self, values: &PrimitiveArray<T>, ids: Ids) {
        fold_primitive(values, ids, &mut self.sums, T::add);
        mark_seen(values.nulls(), ids, &mut self.seen);
    }
}

impl<T: Summable> Accumulator for Sum<T> {
    fn resize(&mut self, groups: usize) {
        let groups = groups.max(self.sums.len());
        self.sums.resize(groups, T::Native::default());
        self.seen.resize(groups, false);
    }

    fn update(&mut self, argument: Option<&ArrayRef>, ids: Ids) -> Result<()> {
        let mut holder = None;
        let values = widened::<T>(argument, &self.data_type, &mut holder)?;
        self.add(values, ids);
        Ok(())
    }

    fn merge(&mut self, partial: &[ArrayRef], ids: Ids) -> Result<()> {
        let sums = one_column(partial, &self.data_type)?.as_primitive::<T>();
        self.add(sums, ids);
        Ok(())
    }

    fn partial(&self, groups: Which) -> Result<Vec<ArrayRef>> {
        let nulls = seen_nulls(groups, &self.seen);
        Ok(vec![primitive::<T>(groups.of(&self.sums).into(), nulls, &self.data_type)])
    }

    fn result(&self, groups: Which, data_type: &DataType) -> Result<ArrayRef> {
        let nulls = seen_nulls(groups, &self.seen);
        T::narrow(groups.of(&self.sums), nulls, data_type)
    }

    fn clear(&mut self) {
        self.sums.clear();
        self.seen.clear();
    }

    fn size_bytes(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.seen.capacity()
    }
}
