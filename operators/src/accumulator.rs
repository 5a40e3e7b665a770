//! Accumulators: the columnar state of one aggregate over all groups of a pane.
//!
//! Own ones rather than DataFusion's, as kept state must be merged, read without being consumed, and cleared. Invariant: an
//! accumulator has a value for every group below the count that [`Accumulator::resize`] was last told, and `merge` of
//! `partial`'s columns equals having updated with the same rows. They know numbers of groups, not keys.

mod approximate;
mod average;
mod collect;
mod count;
pub(crate) mod distinct;
mod extreme;
mod extreme_bytes;
mod list;
mod ordered;
mod pick;
pub(crate) mod running;
mod sum;
mod variance;

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int8Type, Int64Type};
use weir_api::error::{Code, Error, Result};
use weir_api::graph::aggregate_result_type;
use weir_proto::v1::Literal;
use weir_proto::v1::aggregate_call::Function;

use crate::column::{is_bytes, with_integer_type};
use crate::group::Which;
use approximate::ApproximateCount;
use average::Average;
use collect::Collect;
use count::Count;
use extreme::Extreme;
use extreme_bytes::ExtremeBytes;
use list::{List, Shape};
use pick::Pick;
use sum::Sum;
use variance::{Spread, Variance};

/// Which groups the rows of a batch belong to.
#[derive(Clone, Copy)]
pub(crate) enum Ids<'a> {
    /// All rows belong to group 0.
    One { rows: usize },
    /// A group for each row.
    Each(&'a [u32]),
}

impl Ids<'_> {
    /// The group of a row.
    #[inline]
    fn of(self, row: usize) -> usize {
        match self {
            Self::One { .. } => 0,
            Self::Each(ids) => ids[row] as usize,
        }
    }
}

/// See the module.
pub(crate) trait Accumulator: Send + Sync {
    /// Makes room for groups `0..groups`; never shrinks.
    fn resize(&mut self, groups: usize);

    /// Folds rows in; `argument` is `None` for `COUNT(*)`. Null arguments don't count.
    fn update(&mut self, argument: Option<&ArrayRef>, ids: Ids) -> Result<()>;

    /// Folds partial results in, which have the columns of `weir_api::graph::partial_columns`.
    fn merge(&mut self, partial: &[ArrayRef], ids: Ids) -> Result<()>;

    /// The partial results of some groups.
    fn partial(&self, groups: Which) -> Result<Vec<ArrayRef>>;

    /// The results of some groups, as `data_type`, for which [`check_result`] has passed.
    fn result(&self, groups: Which, data_type: &DataType) -> Result<ArrayRef>;

    /// Forgets all groups and keeps the memory.
    fn clear(&mut self);

    /// Bytes held.
    fn size_bytes(&self) -> usize;
}

/// What is the same in all rows of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) parameters: Vec<Literal>,
    /// Nulls are values.
    pub(crate) keeps_nulls: bool,
}

/// An accumulator without groups.
pub(crate) fn create(
    function: Function,
    argument: Option<&DataType>,
    options: &Options,
) -> Result<Box<dyn Accumulator>> {
    let typed = |argument: Option<&DataType>| {
        argument.cloned().ok_or_else(|| {
            Error::new(Code::MalformedMessage, format!("{} without an argument", function.as_str_name()))
        })
    };
    Ok(match function {
        Function::Count => Box::<Count>::default(),
        Function::Sum => match typed(argument)? {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Box::new(Sum::<Int64Type>::new(DataType::Int64))
            }
            DataType::Float32 | DataType::Float64 => Box::new(Sum::<Float64Type>::new(DataType::Float64)),
            DataType::Decimal128(_, scale) => {
                Box::new(Sum::<Decimal128Type>::new(DataType::Decimal128(38, scale)))
            }
            other => return Err(unsupported(function, &other)),
        },
        Function::Avg => match typed(argument)? {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Box::new(Average::<Int64Type>::new(DataType::Int64))
            }
            DataType::Float32 | DataType::Float64 => Box::new(Average::<Float64Type>::new(DataType::Float64)),
            DataType::Decimal128(_, scale) => {
                Box::new(Average::<Decimal128Type>::new(DataType::Decimal128(38, scale)))
            }
            other => return Err(unsupported(function, &other)),
        },
        Function::Max => create_extreme::<true>(function, typed(argument)?)?,
        Function::Min => create_extreme::<false>(function, typed(argument)?)?,
        Function::FirstValue => Box::new(Pick::<false>::new(typed(argument)?)),
        Function::LastValue => Box::new(Pick::<true>::new(typed(argument)?)),
        Function::VarPop => Box::new(Variance::new(Spread::VARIANCE)),
        Function::VarSamp => Box::new(Variance::new(Spread::SAMPLE_VARIANCE)),
        Function::StddevPop => Box::new(Variance::new(Spread::DEVIATION)),
        Function::StddevSamp => Box::new(Variance::new(Spread::SAMPLE_DEVIATION)),
        Function::Collect => Box::new(Collect::new(typed(argument)?)?),
        Function::ApproxCountDistinct => Box::new(ApproximateCount::default()),
        Function::Listagg
        | Function::ArrayAgg
        | Function::JsonObjectagg
        | Function::JsonArrayagg
        | Function::Percentile
        | Function::Percentiles => {
            Box::new(List::new(typed(argument)?, Shape::new(function, options)?, options))
        }
        Function::Unspecified => {
            return Err(Error::new(Code::MalformedMessage, "an aggregate without a function"));
        }
    })
}

fn create_extreme<const MAX: bool>(function: Function, data_type: DataType) -> Result<Box<dyn Accumulator>> {
    macro_rules! extreme {
        ($type:ty) => {
            Box::new(Extreme::<$type, MAX>::new(data_type))
        };
    }
    Ok(match &data_type {
        DataType::Boolean => extreme!(Int8Type),
        DataType::Float32 => extreme!(arrow::datatypes::Float32Type),
        DataType::Float64 => extreme!(Float64Type),
        DataType::Decimal128(_, _) => extreme!(Decimal128Type),
        bytes if is_bytes(bytes) => Box::new(ExtremeBytes::<MAX>::new(data_type)),
        other => with_integer_type!(other, extreme, return Err(unsupported(function, other))),
    })
}

fn unsupported(function: Function, data_type: &DataType) -> Error {
    Error::new(
        Code::Unsupported,
        format!("{} of {data_type} isn't supported; cast the argument", function.as_str_name()),
    )
}

/// Whether the aggregate's result can be given as `result`.
pub(crate) fn check_result(function: Function, argument: Option<&DataType>, result: &DataType) -> Result<()> {
    let fits = match (function, argument) {
        (Function::Count, _) => *result == DataType::Int64,
        (Function::Min | Function::Max, Some(argument)) => argument == result,
        (Function::Sum, Some(argument)) => match argument {
            DataType::Decimal128(_, scale) => {
                matches!(result, DataType::Decimal128(_, other) if other == scale)
            }
            DataType::Float32 | DataType::Float64 => result.is_floating(),
            _ => result.is_signed_integer(),
        },
        (Function::Avg, Some(argument)) => match argument {
            DataType::Decimal128(_, scale) => {
                matches!(result, DataType::Decimal128(_, other) if other >= scale)
            }
            DataType::Float32 | DataType::Float64 => result.is_floating(),
            _ => result.is_signed_integer() || result.is_floating(),
        },
        (Function::Min | Function::Max | Function::Sum | Function::Avg, None) => false,
        (function, argument) => aggregate_result_type(function, argument)? == *result,
    };
    if fits {
        return Ok(());
    }
    let argument = argument.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let message = format!("{} of {argument} can't be given as {result}", function.as_str_name());
    Err(Error::new(Code::MalformedMessage, message))
}

/// The only partial column, of the type that the accumulator keeps.
fn one_column<'a>(partial: &'a [ArrayRef], data_type: &DataType) -> Result<&'a ArrayRef> {
    match partial {
        [column] if column.data_type() == data_type => Ok(column),
        other => Err(malformed_partial(other, &[data_type])),
    }
}

fn malformed_partial(partial: &[ArrayRef], wanted: &[&DataType]) -> Error {
    let found: Vec<_> = partial.iter().map(|column| column.data_type()).collect();
    Error::new(Code::MalformedMessage, format!("a partial result of types {found:?} where {wanted:?} belong"))
}

/// Calls `fold` with the slot of each row's group and the row's value; nulls are skipped.
///
/// The loop over one group keeps its slot in a register.
#[inline]
fn fold_primitive<T: ArrowPrimitiveType, S: Copy>(
    values: &arrow::array::PrimitiveArray<T>,
    ids: Ids,
    slots: &mut [S],
    fold: impl Fn(S, T::Native) -> S,
) {
    use arrow::array::Array;
    let nulls = values.nulls().filter(|nulls| nulls.null_count() > 0);
    match (ids, nulls) {
        (Ids::One { .. }, None) => {
            if let Some(slot) = slots.first_mut() {
                *slot = values.values().iter().fold(*slot, |slot, &value| fold(slot, value));
            }
        }
        (Ids::One { .. }, Some(nulls)) => {
            if let Some(slot) = slots.first_mut() {
                *slot = nulls.valid_indices().fold(*slot, |slot, row| fold(slot, values.values()[row]));
            }
        }
        (Ids::Each(ids), None) => {
            for (&id, &value) in ids.iter().zip(values.values()) {
                let slot = &mut slots[id as usize];
                *slot = fold(*slot, value);
            }
        }
        (Ids::Each(ids), Some(nulls)) => {
            for row in nulls.valid_indices() {
                let slot = &mut slots[ids[row] as usize];
                *slot = fold(*slot, values.values()[row]);
            }
        }
    }
}

/// Counts the rows that aren't null.
fn count_rows(nulls: Option<&arrow::buffer::NullBuffer>, ids: Ids, counts: &mut [i64]) {
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    match (ids, nulls) {
        (Ids::One { rows }, nulls) => {
            if let Some(count) = counts.first_mut() {
                *count += (rows - nulls.map_or(0, arrow::buffer::NullBuffer::null_count)) as i64;
            }
        }
        (Ids::Each(ids), None) => ids.iter().for_each(|&id| counts[id as usize] += 1),
        (Ids::Each(ids), Some(nulls)) => nulls.valid_indices().for_each(|row| counts[ids[row] as usize] += 1),
    }
}

/// Marks the groups of rows that aren't null.
fn mark_seen(nulls: Option<&arrow::buffer::NullBuffer>, ids: Ids, seen: &mut [bool]) {
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    match (ids, nulls) {
        (Ids::One { rows }, nulls) => {
            if let Some(seen) = seen.first_mut() {
                *seen |= rows > nulls.map_or(0, arrow::buffer::NullBuffer::null_count);
            }
        }
        (Ids::Each(ids), None) => ids.iter().for_each(|&id| seen[id as usize] = true),
        (Ids::Each(ids), Some(nulls)) => nulls.valid_indices().for_each(|row| seen[ids[row] as usize] = true),
    }
}

/// The null buffer of groups that have seen a value; `None` if all have.
fn seen_nulls(groups: Which, seen: &[bool]) -> Option<arrow::buffer::NullBuffer> {
    let seen = groups.of(seen);
    (!seen.iter().all(|&seen| seen)).then(|| arrow::buffer::NullBuffer::from(seen))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_values;
