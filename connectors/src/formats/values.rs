//! Columns with their types resolved once per batch, so that writing a value is one match and no downcast.
//!
//! Decides which Arrow types can be written as text; [`check`] is what a sink asks when its table is planned.

use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, PrimitiveArray,
    StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Fields, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use weir_api::error::{Error, Result};

use super::json::scalars::write_base64;
use super::{float, text};
use crate::types::{digits, refuse_type};

/// A column, ready to be written value by value.
pub enum Values<'a> {
    /// BOOLEAN
    Boolean(&'a BooleanArray),
    /// TINYINT
    Int8(&'a PrimitiveArray<Int8Type>),
    /// SMALLINT
    Int16(&'a PrimitiveArray<Int16Type>),
    /// INT
    Int32(&'a PrimitiveArray<Int32Type>),
    /// BIGINT
    Int64(&'a PrimitiveArray<Int64Type>),
    /// FLOAT
    Float32(&'a PrimitiveArray<Float32Type>),
    /// DOUBLE
    Float64(&'a PrimitiveArray<Float64Type>),
    /// DECIMAL, with its scale
    Decimal(&'a Decimal128Array, i8),
    /// STRING
    Text(&'a StringArray),
    /// BYTES
    Binary(&'a BinaryArray),
    /// BINARY(n)
    FixedBinary(&'a FixedSizeBinaryArray),
    /// DATE
    Date(&'a PrimitiveArray<Date32Type>),
    /// TIME: 32-bit values of this unit
    Time32(&'a [i32], TimeUnit, Option<&'a NullBuffer>),
    /// TIME: 64-bit values of this unit
    Time64(&'a [i64], TimeUnit, Option<&'a NullBuffer>),
    /// TIMESTAMP or, with the flag, TIMESTAMP_LTZ
    Timestamp(&'a [i64], TimeUnit, bool, Option<&'a NullBuffer>),
    /// ARRAY
    List(&'a OffsetBuffer<i32>, Box<Values<'a>>, Option<&'a NullBuffer>),
    /// MAP: keys and values
    Map(&'a OffsetBuffer<i32>, Box<(Values<'a>, Values<'a>)>, Option<&'a NullBuffer>),
    /// ROW: names and fields
    Row(&'a Fields, Vec<Values<'a>>, Option<&'a NullBuffer>),
    /// A column of nulls alone
    Null,
}

impl<'a> Values<'a> {
    /// The values of `array`.
    pub fn new(array: &'a dyn Array) -> Result<Self> {
        let nulls = array.nulls();
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean(array.as_boolean()),
            DataType::Int8 => Self::Int8(array.as_primitive()),
            DataType::Int16 => Self::Int16(array.as_primitive()),
            DataType::Int32 => Self::Int32(array.as_primitive()),
            DataType::Int64 => Self::Int64(array.as_primitive()),
            DataType::Float32 => Self::Float32(array.as_primitive()),
            DataType::Float64 => Self::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => Self::Decimal(array.as_primitive(), *scale),
            DataType::Utf8 => Self::Text(array.as_string()),
            DataType::Binary => Self::Binary(array.as_binary()),
            DataType::FixedSizeBinary(_) => Self::FixedBinary(array.as_fixed_size_binary()),
            DataType::Date32 => Self::Date(array.as_primitive()),
            DataType::Time32(TimeUnit::Second) => {
                slice::<Time32SecondType>(array, |v| Self::Time32(v, TimeUnit::Second, nulls))
            }
            DataType::Time32(unit) => {
                slice::<Time32MillisecondType>(array, |v| Self::Time32(v, *unit, nulls))
            }
            DataType::Time64(TimeUnit::Nanosecond) => {
                slice::<Time64NanosecondType>(array, |v| Self::Time64(v, TimeUnit::Nanosecond, nulls))
            }
            DataType::Time64(unit) => {
                slice::<Time64MicrosecondType>(array, |v| Self::Time64(v, *unit, nulls))
            }
            DataType::Timestamp(unit, zone) => {
                let make = |v| Self::Timestamp(v, *unit, zone.is_some(), nulls);
                match unit {
                    TimeUnit::Second => slice::<TimestampSecondType>(array, make),
                    TimeUnit::Millisecond => slice::<TimestampMillisecondType>(array, make),
                    TimeUnit::Microsecond => slice::<TimestampMicrosecondType>(array, make),
                    TimeUnit::Nanosecond => slice::<TimestampNanosecondType>(array, make),
                }
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Self::List(list.offsets(), Box::new(Self::new(list.values().as_ref())?), nulls)
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let entries = (Self::new(map.keys().as_ref())?, Self::new(map.values().as_ref())?);
                Self::Map(map.offsets(), Box::new(entries), nulls)
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let columns =
                    columns.iter().map(|column| Self::new(column.as_ref())).collect::<Result<_>>()?;
                Self::Row(fields, columns, nulls)
            }
            other => {
                return Err(Error::internal(format!("a column of type {other} reached a writer of text")));
            }
        })
    }

    /// Whether this row's value is null.
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Null => true,
            Self::Boolean(array) => array.is_null(row),
            Self::Int8(array) => array.is_null(row),
            Self::Int16(array) => array.is_null(row),
            Self::Int32(array) => array.is_null(row),
            Self::Int64(array) => array.is_null(row),
            Self::Float32(array) => array.is_null(row),
            Self::Float64(array) => array.is_null(row),
            Self::Decimal(array, _) => array.is_null(row),
            Self::Text(array) => array.is_null(row),
            Self::Binary(array) => array.is_null(row),
            Self::FixedBinary(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Time32(.., nulls)
            | Self::Time64(.., nulls)
            | Self::Timestamp(.., nulls)
            | Self::List(.., nulls)
            | Self::Map(.., nulls)
            | Self::Row(.., nulls) => nulls.is_some_and(|nulls| nulls.is_null(row)),
        }
    }
}

fn slice<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    make: impl FnOnce(&'a [T::Native]) -> Values<'a>,
) -> Values<'a> {
    make(array.as_primitive::<T>().values())
}

/// The items of a list's or map's row.
#[must_use]
pub fn items(offsets: &OffsetBuffer<i32>, row: usize) -> std::ops::Range<usize> {
    let at = |index: usize| offsets.get(index).map_or(0, |offset| *offset as usize);
    at(row)..at(row + 1)
}

/// Appends items between the first and the last character of `marks`, with what stands between those between them.
pub fn write_items(
    out: &mut Vec<u8>,
    marks: &str,
    items: std::ops::Range<usize>,
    mut write: impl FnMut(&mut Vec<u8>, usize),
) {
    let (open, separator, close) = match marks.as_bytes() {
        [open, separator @ .., close] => (Some(open), separator, Some(close)),
        separator => (None, separator, None),
    };
    let first = items.start;
    out.extend(open);
    for item in items {
        if item > first {
            out.extend_from_slice(separator);
        }
        write(out, item);
    }
    out.extend(close);
}

/// Appends a decimal in plain form.
pub fn write_decimal(out: &mut Vec<u8>, value: i128, scale: i8) {
    if value < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs()).as_bytes();
    if scale <= 0 {
        out.extend_from_slice(digits);
        if value != 0 {
            out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        }
        return;
    }
    let scale = scale as usize;
    match digits.len().checked_sub(scale) {
        Some(whole) if whole > 0 => {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
        _ => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + scale - digits.len(), b'0');
            out.extend_from_slice(digits);
        }
    }
}

/// Appends a decimal as Java's `BigDecimal` writes it once its trailing zeros are stripped: `1E+2`, `0.5`, `2.7E-8`, `0`.
pub fn write_java_decimal(out: &mut Vec<u8>, mut value: i128, scale: i8) {
    let mut scale = i32::from(scale);
    if value == 0 {
        scale = 0;
    }
    while value != 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs()).as_bytes();
    let exponent = digits.len() as i32 - 1 - scale;
    match i8::try_from(scale) {
        Ok(scale) if scale >= 0 && exponent >= -6 => write_decimal(out, value, scale),
        _ => {
            if value < 0 {
                out.push(b'-');
            }
            let (first, rest) = digits.split_at(1.min(digits.len()));
            out.extend_from_slice(first);
            if !rest.is_empty() {
                out.push(b'.');
                out.extend_from_slice(rest);
            }
            out.extend_from_slice(if exponent < 0 { b"E" } else { b"E+" });
            out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
        }
    }
}

/// How [`write_plain`] writes what can be written in several ways.
#[derive(Clone, Copy, Debug)]
pub struct PlainStyle {
    /// Between a date and a time.
    pub date_time_separator: u8,
    /// Decimals as [`write_java_decimal`] writes them, else [`write_decimal`].
    pub java_decimals: bool,
}

/// Appends a scalar that isn't null as text without quotes: times with all digits of their unit (`Z` at the end of a
/// TIMESTAMP_LTZ), bytes as base64. Lists, maps and rows are the caller's business.
pub fn write_plain(out: &mut Vec<u8>, values: &Values<'_>, row: usize, style: PlainStyle) {
    fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
    match values {
        Values::Boolean(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
        Values::Int8(array) => integer(out, array.value(row)),
        Values::Int16(array) => integer(out, array.value(row)),
        Values::Int32(array) => integer(out, array.value(row)),
        Values::Int64(array) => integer(out, array.value(row)),
        Values::Float32(array) => float::write_float(out, array.value(row)),
        Values::Float64(array) => float::write_double(out, array.value(row)),
        Values::Decimal(array, scale) if style.java_decimals => {
            write_java_decimal(out, array.value(row), *scale)
        }
        Values::Decimal(array, scale) => write_decimal(out, array.value(row), *scale),
        Values::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
        Values::Binary(array) => write_base64(array.value(row), out),
        Values::FixedBinary(array) => write_base64(array.value(row), out),
        Values::Date(array) => text::write_date(out, i64::from(array.value(row))),
        Values::Time32(values, unit, _) => {
            let (_, seconds, nanos) = text::split(i64::from(values[row]), *unit);
            text::write_time(out, seconds, nanos, digits(*unit));
        }
        Values::Time64(values, unit, _) => {
            let (_, seconds, nanos) = text::split(values[row], *unit);
            text::write_time(out, seconds, nanos, digits(*unit));
        }
        Values::Timestamp(values, unit, zoned, _) => {
            text::write_timestamp(out, values[row], *unit, style.date_time_separator);
            if *zoned {
                out.push(b'Z');
            }
        }
        Values::List(..) | Values::Map(..) | Values::Row(..) | Values::Null => {}
    }
}

/// Refuses columns that have no text form; for `table` and `by` see [`refuse_type`].
pub fn check(table: &str, within: &str, fields: &Fields, by: &str) -> Result<()> {
    fields
        .iter()
        .try_for_each(|field| check_type(table, &format!("{within}{}", field.name()), field.data_type(), by))
}

fn check_type(table: &str, column: &str, data_type: &DataType, by: &str) -> Result<()> {
    match data_type {
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::Binary
        | DataType::FixedSizeBinary(_)
        | DataType::Date32
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..) => Ok(()),
        DataType::List(item) => check_type(table, &format!("{column}[]"), item.data_type(), by),
        DataType::Struct(fields) => check(table, &format!("{column}."), fields, by),
        DataType::Map(entries, _) => check_type(table, column, entries.data_type(), by),
        other => Err(refuse_type(table, column, other, by)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_plain() {
        let text = |value, scale| {
            let mut out = Vec::new();
            write_decimal(&mut out, value, scale);
            String::from_utf8(out).expect("ASCII")
        };
        assert_eq!(text(12345, 2), "123.45");
        assert_eq!(text(-5, 3), "-0.005");
        assert_eq!(text(123, 3), "0.123");
        assert_eq!(text(7, 0), "7");
        assert_eq!(text(7, -2), "700");
        let java = |value, scale| {
            let mut out = Vec::new();
            write_java_decimal(&mut out, value, scale);
            String::from_utf8(out).expect("ASCII")
        };
        assert_eq!(java(27, 9), "2.7E-8");
        assert_eq!(java(10_000, 2), "1E+2");
        assert_eq!(java(-1_250, 2), "-12.5");
        assert_eq!(java(1, 6), "0.000001");
        assert_eq!(java(0, 12), "0");
    }
}
