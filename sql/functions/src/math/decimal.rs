//! DECIMAL rounded at a decimal place, with the result types that Flink gives.

use arrow::array::{ArrayRef, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type};
use datafusion_common::Result;
use std::sync::Arc;

use crate::arguments::Arguments;
use crate::column::optional_numbers;

/// Which way a DECIMAL is rounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rounding {
    /// Half and more away from zero.
    HalfUp,
    Down,
    Floor,
    Ceil,
}

/// The type of a DECIMAL rounded to `places`; unknown places keep the type.
pub(super) fn rounded_type(precision: u8, scale: i8, places: Option<i64>) -> DataType {
    let Some(places) = places.filter(|places| *places < i64::from(scale)) else {
        return DataType::Decimal128(precision, scale);
    };
    let places = i8::try_from(places.max(0)).unwrap_or(0);
    let digits = 1 + i16::from(precision) - i16::from(scale) + i16::from(places);
    DataType::Decimal128(u8::try_from(digits.clamp(1, 38)).unwrap_or(38), places)
}

fn power_of_ten(exponent: i64) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

/// A number of `scale` digits after the point, rounded to `places`, as one of `result_scale` digits. `None` when it doesn't fit.
pub(super) fn round(
    value: i128,
    scale: i8,
    places: i64,
    result_scale: i8,
    rounding: Rounding,
) -> Option<i128> {
    let scale = i64::from(scale);
    let places = places.min(scale);
    let Some(unit) = power_of_ten(scale - places) else {
        // All digits are cut off.
        return Some(0);
    };
    let (quotient, rest) = (value.div_euclid(unit), value.rem_euclid(unit));
    let up = match rounding {
        Rounding::Floor => false,
        Rounding::Ceil => rest > 0,
        Rounding::Down => rest > 0 && value < 0,
        // From below, a negative number's half stays with the lower neighbour: away from zero.
        Rounding::HalfUp if value < 0 => rest > unit / 2,
        Rounding::HalfUp => rest > 0 && rest >= unit - unit / 2,
    };
    let rounded = quotient.checked_add(i128::from(up))?;
    let shift = i64::from(result_scale) - places;
    if shift >= 0 { rounded.checked_mul(power_of_ten(shift)?) } else { Some(rounded / power_of_ten(-shift)?) }
}

/// Rounds a DECIMAL column into the planned type; NULL where the result doesn't fit.
pub(super) fn round_column(
    arguments: &Arguments<'_>,
    values: &Decimal128Array,
    places: impl Fn(usize) -> i64,
    rounding: Rounding,
) -> Result<ArrayRef> {
    let &DataType::Decimal128(precision, result_scale) = arguments.return_type() else {
        return arguments.mistyped(0, "DECIMAL", arguments.return_type());
    };
    let limit = power_of_ten(i64::from(precision)).unwrap_or(i128::MAX);
    let last = values.len().saturating_sub(1);
    let column = optional_numbers::<Decimal128Type>(arguments, |row| {
        let rounded = round(values.value(row.min(last)), values.scale(), places(row), result_scale, rounding);
        Ok(rounded.filter(|rounded| rounded.abs() < limit))
    })?;
    let column = arrow::array::AsArray::as_primitive::<Decimal128Type>(&column).clone();
    Ok(Arc::new(column.with_precision_and_scale(precision, result_scale)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_away_from_zero_and_the_rest_to_their_neighbour() {
        for (value, places, expected) in [
            (1_25, 1, 1_3),
            (-1_25, 1, -1_3),
            (1_24, 1, 1_2),
            (-1_24, 1, -1_2),
            (1_26, 1, 1_3),
            (-1_26, 1, -1_3),
        ] {
            assert_eq!(round(value, 2, places, 1, Rounding::HalfUp), Some(expected), "{value}");
        }
        assert_eq!(round(15, 0, -1, 0, Rounding::HalfUp), Some(20));
        assert_eq!(round(14_99, 2, -1, 0, Rounding::HalfUp), Some(10));
        assert_eq!(round(-1_99, 2, 0, 0, Rounding::Down), Some(-1));
        assert_eq!(round(-1_01, 2, 0, 0, Rounding::Floor), Some(-2));
        assert_eq!(round(-1_99, 2, 0, 0, Rounding::Ceil), Some(-1));
        assert_eq!(round(1_01, 2, 0, 0, Rounding::Ceil), Some(2));
        assert_eq!(round(5, 2, 9, 2, Rounding::HalfUp), Some(5));
        assert_eq!(round(5, 2, -60, 0, Rounding::HalfUp), Some(0));
    }

    #[test]
    fn types_follow_the_places() {
        assert_eq!(rounded_type(10, 4, Some(2)), DataType::Decimal128(9, 2));
        assert_eq!(rounded_type(10, 4, Some(0)), DataType::Decimal128(7, 0));
        assert_eq!(rounded_type(10, 4, Some(-2)), DataType::Decimal128(7, 0));
        assert_eq!(rounded_type(10, 4, Some(4)), DataType::Decimal128(10, 4));
        assert_eq!(rounded_type(10, 4, None), DataType::Decimal128(10, 4));
        assert_eq!(rounded_type(38, 0, Some(-1)), DataType::Decimal128(38, 0));
    }
}
