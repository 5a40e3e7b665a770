//! Numbers rounded: `ROUND`, `TRUNCATE`, and `CEIL` and `FLOOR`, which also round points in time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion_common::Result;

use super::decimal::{Rounding, round, round_column, rounded_type};
use super::decimal_digits::{Cut, cut};
use crate::arguments::{Arguments, Longs};
use crate::column::numbers;
use crate::function::{Call, Definition, Nulls};
use crate::parameter::Kind::{Long, Number, NumberOrPoint, Text};
use crate::time::{Direction, round_points, rounded_point_type};

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "ceil",
        "CEIL(numeric), CEIL(timepoint TO unit)",
        "The smallest whole number that isn't less, in the number's type (DECIMAL loses its scale); or the point in time rounded \
         up to a whole unit.",
        &[NumberOrPoint],
        whole_type,
        |arguments| whole(arguments, Rounding::Ceil),
    )
    .optional(&[Text])
    .aliases(&["ceiling"])
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "floor",
        "FLOOR(numeric), FLOOR(timepoint TO unit)",
        "The largest whole number that isn't greater, in the number's type (DECIMAL loses its scale); or the point in time rounded \
         down to a whole unit.",
        &[NumberOrPoint],
        whole_type,
        |arguments| whole(arguments, Rounding::Floor),
    )
    .optional(&[Text])
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "round",
        "ROUND(numeric[, places])",
        "The number rounded to that many digits after the point, by default none; halves go away from zero. Negative places round \
         before the point.",
        &[Number],
        cut_type,
        |arguments| cut_to_places(arguments, Cut::Round),
    )
    .optional(&[Long])
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "truncate",
        "TRUNCATE(numeric[, places])",
        "The number cut off after that many digits after the point, by default none. Negative places cut before the point.",
        &[Number],
        cut_type,
        |arguments| cut_to_places(arguments, Cut::Truncate),
    )
    .optional(&[Long])
    .nulls(Nulls::StrictOrMissing),
];

fn whole_type(call: &Call<'_>) -> Result<DataType> {
    match call.type_of(0) {
        DataType::Decimal128(precision, scale) if scale > 0 => Ok(DataType::Decimal128(precision, 0)),
        number if number.is_numeric() => Ok(number),
        point => rounded_point_type(&point, call),
    }
}

fn whole(arguments: &Arguments<'_>, rounding: Rounding) -> Result<ArrayRef> {
    let values = &arguments.column(0)?.values;
    let up = rounding == Rounding::Ceil;
    Ok(match values.data_type() {
        number if number.is_integer() => values.clone(),
        DataType::Float32 => float::<Float32Type>(values, if up { f32::ceil } else { f32::floor }),
        DataType::Float64 => float::<Float64Type>(values, if up { f64::ceil } else { f64::floor }),
        DataType::Decimal128(_, _) => round_column(arguments, values.as_primitive(), |_| 0, rounding)?,
        _ => return round_points(arguments, if up { Direction::Up } else { Direction::Down }),
    })
}

fn float<T: ArrowPrimitiveType>(values: &ArrayRef, compute: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    Arc::new(values.as_primitive::<T>().unary::<_, T>(compute))
}

fn cut_type(call: &Call<'_>) -> Result<DataType> {
    let DataType::Decimal128(precision, scale) = call.type_of(0) else {
        return Ok(call.type_of(0));
    };
    let places = if call.types.len() == 1 { Some(0) } else { call.literal_long(1) };
    Ok(rounded_type(precision, scale, places))
}

fn cut_to_places(arguments: &Arguments<'_>, how: Cut) -> Result<ArrayRef> {
    let places = if arguments.len() > 1 { Some(arguments.longs(1)?) } else { None };
    let places = |row: usize| places.as_ref().map_or(0, |places: &Longs| places.value(row));
    let rounding = match how {
        Cut::Round => Rounding::HalfUp,
        Cut::Truncate => Rounding::Down,
    };
    let column = arguments.column(0)?;
    let at = |row: usize| if column.is_one_value() { 0 } else { row };
    let values = &column.values;
    match values.data_type() {
        DataType::Int8 => integers::<Int8Type>(arguments, values, at, places, rounding),
        DataType::Int16 => integers::<Int16Type>(arguments, values, at, places, rounding),
        DataType::Int32 => integers::<Int32Type>(arguments, values, at, places, rounding),
        DataType::Int64 => integers::<Int64Type>(arguments, values, at, places, rounding),
        DataType::Float32 => {
            let values = values.as_primitive::<Float32Type>();
            #[expect(clippy::cast_possible_truncation, reason = "back to the type it came from")]
            numbers::<Float32Type>(arguments, |row| {
                Ok(cut(f64::from(values.value(at(row))), places(row), how) as f32)
            })
        }
        DataType::Float64 => {
            let values = values.as_primitive::<Float64Type>();
            numbers::<Float64Type>(arguments, |row| Ok(cut(values.value(at(row)), places(row), how)))
        }
        DataType::Decimal128(_, _) => round_column(arguments, values.as_primitive(), places, rounding),
        other => arguments.mistyped(0, "a number", other),
    }
}

/// NULL where rounding up leaves the type.
fn integers<T>(
    arguments: &Arguments<'_>,
    values: &ArrayRef,
    at: impl Fn(usize) -> usize,
    places: impl Fn(usize) -> i64,
    rounding: Rounding,
) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64> + TryFrom<i128>,
{
    let values: &PrimitiveArray<T> = values.as_primitive();
    crate::column::optional_numbers::<T>(arguments, |row| {
        let value: i64 = values.value(at(row)).into();
        let rounded = round(i128::from(value), 0, places(row), 0, rounding);
        Ok(rounded.and_then(|rounded| T::Native::try_from(rounded).ok()))
    })
}
