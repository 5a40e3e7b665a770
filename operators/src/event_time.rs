//! Event time in columns: timestamps of any unit as milliseconds, and back.
//!
//! Invariant: what [`millis`] returns lies within ±[`LIMIT`], so window arithmetic on it can't overflow. Doesn't know windows or
//! watermarks, nor time zones: a column's values are taken as they are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use weir_api::error::{Code, Error, Result};
use weir_api::schema::millis_per_unit;

/// The largest event time, and size of a window, in milliseconds: 18 million years.
pub(crate) const LIMIT: i64 = 1 << 59;

/// The values of a timestamp column in milliseconds, rounded down. A null is an error, as in Flink.
pub(crate) fn millis(column: &ArrayRef, name: &str) -> Result<ScalarBuffer<i64>> {
    if column.null_count() > 0 {
        return Err(Error::new(
            Code::Evaluation,
            format!(
                "the time attribute '{name}' is null in {} of {} rows; filter such rows or give the column a default",
                column.null_count(),
                column.len()
            ),
        ));
    }
    let values = scaled(column, name)?;
    check_range(&values, name)?;
    Ok(values)
}

/// The largest value of a timestamp column in milliseconds, rounded down; nulls don't count.
pub(crate) fn largest_millis(column: &ArrayRef, name: &str) -> Result<Option<i64>> {
    let unit = unit_of(column, name)?;
    let largest = match unit {
        TimeUnit::Second => arrow::compute::max(column.as_primitive::<TimestampSecondType>()),
        TimeUnit::Millisecond => arrow::compute::max(column.as_primitive::<TimestampMillisecondType>()),
        TimeUnit::Microsecond => arrow::compute::max(column.as_primitive::<TimestampMicrosecondType>()),
        TimeUnit::Nanosecond => arrow::compute::max(column.as_primitive::<TimestampNanosecondType>()),
    };
    let (numerator, denominator) = millis_per_unit(unit);
    largest
        .map(|value| value.checked_mul(numerator).map(|value| value.div_euclid(denominator)))
        .map(|value| value.ok_or_else(|| out_of_range(name)))
        .transpose()
}

/// Whole milliseconds as a timestamp column of type `data_type`.
pub(crate) fn timestamps(millis: Vec<i64>, data_type: &DataType) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, _) = data_type else {
        return Err(Error::internal(format!("a window column of type {data_type}, not a timestamp")));
    };
    let (numerator, denominator) = millis_per_unit(*unit);
    let values: Vec<i64> = if numerator == denominator {
        millis
    } else {
        millis
            .into_iter()
            .map(|value| value.div_euclid(numerator).checked_mul(denominator))
            .collect::<Option<_>>()
            .ok_or_else(|| out_of_range("window"))?
    };
    Ok(match unit {
        TimeUnit::Second => typed::<TimestampSecondType>(values, data_type),
        TimeUnit::Millisecond => typed::<TimestampMillisecondType>(values, data_type),
        TimeUnit::Microsecond => typed::<TimestampMicrosecondType>(values, data_type),
        TimeUnit::Nanosecond => typed::<TimestampNanosecondType>(values, data_type),
    })
}

/// `rows` times the same milliseconds, as a timestamp column of type `data_type`.
pub(crate) fn constant_timestamp(millis: i64, rows: usize, data_type: &DataType) -> Result<ArrayRef> {
    timestamps(vec![millis; rows], data_type)
}

/// An `Int64` column of milliseconds, as it passes between the phases of an aggregation, checked like event time.
pub(crate) fn pane_bounds(column: &ArrayRef, name: &str) -> Result<ScalarBuffer<i64>> {
    let values = column.as_any().downcast_ref::<Int64Array>().filter(|values| values.null_count() == 0);
    let values = values.map(|values| values.values().clone()).ok_or_else(|| {
        Error::new(
            Code::MalformedMessage,
            format!("the column {name} of partial results isn't BIGINT without nulls"),
        )
    })?;
    Ok(values)
}

fn typed<T: arrow::datatypes::ArrowTimestampType>(values: Vec<i64>, data_type: &DataType) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), None).with_data_type(data_type.clone()))
}

fn unit_of(column: &ArrayRef, name: &str) -> Result<TimeUnit> {
    match column.data_type() {
        DataType::Timestamp(unit, _) => Ok(*unit),
        other => Err(Error::new(
            Code::MalformedMessage,
            format!("the time attribute '{name}' is of type {other}, not a timestamp"),
        )),
    }
}

fn scaled(column: &ArrayRef, name: &str) -> Result<ScalarBuffer<i64>> {
    Ok(match unit_of(column, name)? {
        TimeUnit::Second => {
            let values = column.as_primitive::<TimestampSecondType>().values();
            // Saturated values are out of range, which the caller refuses.
            values.iter().map(|value| value.saturating_mul(1000)).collect()
        }
        TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().values().clone(),
        TimeUnit::Microsecond => {
            let values = column.as_primitive::<TimestampMicrosecondType>().values();
            values.iter().map(|value| value.div_euclid(1000)).collect()
        }
        TimeUnit::Nanosecond => {
            let values = column.as_primitive::<TimestampNanosecondType>().values();
            values.iter().map(|value| value.div_euclid(1_000_000)).collect()
        }
    })
}

fn check_range(values: &[i64], name: &str) -> Result<()> {
    let (least, largest) = least_and_largest(values);
    if least < -LIMIT || largest > LIMIT { Err(out_of_range(name)) } else { Ok(()) }
}

/// The smallest and the largest value; `(0, 0)` for no values.
pub(crate) fn least_and_largest(values: &[i64]) -> (i64, i64) {
    let Some(&first) = values.first() else { return (0, 0) };
    values.iter().fold((first, first), |(least, largest), &value| (least.min(value), largest.max(value)))
}

fn out_of_range(name: &str) -> Error {
    Error::new(
        Code::Evaluation,
        format!("a value of the time attribute '{name}' lies millions of years away; filter such rows"),
    )
}
