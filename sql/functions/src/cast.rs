//! `flink_cast_to_string`: what `CAST(… AS STRING)` gives where Flink's text differs from Arrow's.
//!
//! Booleans are in capitals, timestamps show as many digits of the second as their type has, floating-point numbers look as in
//! Java. The planner puts it in the place of casts of such types to strings.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute::kernels::cast::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, TimeUnit};
use datafusion_common::Result;

use crate::arguments::Arguments;
use crate::column::texts;
use crate::function::{Definition, Nulls};
use crate::parameter::Kind::Any;
use crate::returns::string;
use crate::time::{Points, write_date, write_time, write_timestamp};
use crate::type_name::type_name;

static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "flink_cast_to_string",
        "CAST(value AS STRING)",
        "The value as text: TRUE, 2024-05-01 08:00:00.000, 1.0E10.",
        &[Any],
        string,
        cast_to_string,
    ),
    Definition::new(
        "typeof",
        "TYPEOF(value)",
        "The name of the value's type, with NOT NULL where it can't be NULL.",
        &[Any],
        string,
        |arguments| {
            let column = arguments.column(0)?;
            let suffix = if column.may_be_null { "" } else { " NOT NULL" };
            let name = format!("{}{suffix}", type_name(column.values.data_type()));
            Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(name, arguments.rows()))))
        },
    )
    .nulls(Nulls::Never),
];

pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    DEFINITIONS.iter()
}

fn cast_to_string(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let column = arguments.column(0)?;
    match column.values.data_type() {
        DataType::Boolean => {
            let values = column.values.as_boolean();
            written(arguments, |row, out| {
                Ok(out.write_str(if values.value(row) { "TRUE" } else { "FALSE" })?)
            })
        }
        DataType::Float32 => {
            let values = column.values.as_primitive::<Float32Type>();
            java_floats(
                arguments,
                |row| f64::from(values.value(row)),
                |row, out| write!(out, "{:e}", values.value(row).abs()),
            )
        }
        DataType::Float64 => {
            let values = column.values.as_primitive::<Float64Type>();
            java_floats(
                arguments,
                |row| values.value(row),
                |row, out| write!(out, "{:e}", values.value(row).abs()),
            )
        }
        DataType::Timestamp(unit, _) => {
            let (points, digits) = (Points::of(arguments, 0)?, digits(*unit));
            through_scratch(arguments, |row, out| {
                write_timestamp(points.local_seconds(row), points.nanos(row), digits, out)
            })
        }
        DataType::Date32 => {
            let points = Points::of(arguments, 0)?;
            through_scratch(arguments, |row, out| {
                write_date(points.local_seconds(row).div_euclid(86_400), out)
            })
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            let points = Points::of(arguments, 0)?;
            through_scratch(arguments, |row, out| {
                let nanos = points.nanos(row);
                write_time(points.local_seconds(row), nanos, if nanos == 0 { 0 } else { 3 }, out)
            })
        }
        DataType::Binary => {
            let values = arguments.bytes(0)?;
            written(arguments, |row, out| Ok(out.write_str(&String::from_utf8_lossy(values.value(row)))?))
        }
        _ => Ok(cast(&column.values, &DataType::Utf8)?),
    }
}

const fn digits(unit: TimeUnit) -> usize {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

fn written(
    arguments: &Arguments<'_>,
    mut write: impl FnMut(usize, &mut StringBuilder) -> Result<()>,
) -> Result<ArrayRef> {
    texts(arguments, arguments.rows() * 16, |row, out| write(row, out).map(Some))
}

fn through_scratch(
    arguments: &Arguments<'_>,
    write: impl Fn(usize, &mut String) -> std::fmt::Result,
) -> Result<ArrayRef> {
    let mut scratch = String::with_capacity(32);
    written(arguments, |row, out| {
        scratch.clear();
        write(row, &mut scratch)?;
        Ok(out.write_str(&scratch)?)
    })
}

/// `scientific` writes a value's shortest digits in Rust's scientific form, without its sign.
fn java_floats(
    arguments: &Arguments<'_>,
    value: impl Fn(usize) -> f64,
    scientific: impl Fn(usize, &mut String) -> std::fmt::Result,
) -> Result<ArrayRef> {
    let mut scratch = String::with_capacity(32);
    written(arguments, |row, out| {
        scratch.clear();
        scientific(row, &mut scratch)?;
        Ok(write_java_float(value(row), &scratch, out)?)
    })
}

/// A DOUBLE as Java writes it.
pub(crate) fn write_double(value: f64, out: &mut StringBuilder) -> std::fmt::Result {
    write_java_float(value, &format!("{:e}", value.abs()), out)
}

/// As Java's `Double.toString`: plain from a thousandth up to ten millions, else with an exponent; always with a point.
fn write_java_float(value: f64, scientific: &str, out: &mut StringBuilder) -> std::fmt::Result {
    if value.is_nan() {
        return out.write_str("NaN");
    }
    if value.is_sign_negative() {
        out.write_char('-')?;
    }
    if value.is_infinite() {
        return out.write_str("Infinity");
    }
    if value == 0.0 {
        return out.write_str("0.0");
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !(-3..7).contains(&exponent) {
        let rest = if rest.is_empty() { "0" } else { rest };
        return write!(out, "{first}.{rest}E{exponent}");
    }
    let Ok(before_point) = usize::try_from(exponent) else {
        out.write_str("0.")?;
        (1..-exponent).try_for_each(|_| out.write_char('0'))?;
        out.write_str(first)?;
        return out.write_str(rest);
    };
    // The digits that stand before the point, and those after it, of which there is at least one.
    let (whole, fraction) = rest.split_at_checked(before_point).unwrap_or((rest, ""));
    out.write_str(first)?;
    out.write_str(whole)?;
    (whole.len()..before_point).try_for_each(|_| out.write_char('0'))?;
    out.write_char('.')?;
    out.write_str(if fraction.is_empty() { "0" } else { fraction })
}
