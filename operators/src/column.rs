//! Columns as plain words and bytes, and back: what group tables and accumulators store.
//!
//! Invariant: `from_words(t, words_of(column))` is the column again, up to −0.0 and NaN, which have one form each. Null rows
//! have any word. Knows no groups.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, GenericByteArray,
    PrimitiveArray, StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, BinaryType, BinaryViewType, ByteArrayType, DataType, Float32Type, Float64Type,
    LargeBinaryType, LargeUtf8Type, StringViewType, Utf8Type,
};
use weir_api::error::{Code, Error, Result};

/// Calls a macro with the Arrow type of a fixed-width type whose native value is an integer of at most 64 bits.
macro_rules! with_integer_type {
    ($data_type:expr, $action:ident, $otherwise:expr) => {
        match $data_type {
            arrow::datatypes::DataType::Int8 => $action!(arrow::datatypes::Int8Type),
            arrow::datatypes::DataType::Int16 => $action!(arrow::datatypes::Int16Type),
            arrow::datatypes::DataType::Int32 => $action!(arrow::datatypes::Int32Type),
            arrow::datatypes::DataType::Int64 => $action!(arrow::datatypes::Int64Type),
            arrow::datatypes::DataType::UInt8 => $action!(arrow::datatypes::UInt8Type),
            arrow::datatypes::DataType::UInt16 => $action!(arrow::datatypes::UInt16Type),
            arrow::datatypes::DataType::UInt32 => $action!(arrow::datatypes::UInt32Type),
            arrow::datatypes::DataType::UInt64 => $action!(arrow::datatypes::UInt64Type),
            arrow::datatypes::DataType::Date32 => $action!(arrow::datatypes::Date32Type),
            arrow::datatypes::DataType::Date64 => $action!(arrow::datatypes::Date64Type),
            arrow::datatypes::DataType::Time32(arrow::datatypes::TimeUnit::Second) => {
                $action!(arrow::datatypes::Time32SecondType)
            }
            arrow::datatypes::DataType::Time32(arrow::datatypes::TimeUnit::Millisecond) => {
                $action!(arrow::datatypes::Time32MillisecondType)
            }
            arrow::datatypes::DataType::Time64(arrow::datatypes::TimeUnit::Microsecond) => {
                $action!(arrow::datatypes::Time64MicrosecondType)
            }
            arrow::datatypes::DataType::Time64(arrow::datatypes::TimeUnit::Nanosecond) => {
                $action!(arrow::datatypes::Time64NanosecondType)
            }
            arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Second, _) => {
                $action!(arrow::datatypes::TimestampSecondType)
            }
            arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, _) => {
                $action!(arrow::datatypes::TimestampMillisecondType)
            }
            arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => {
                $action!(arrow::datatypes::TimestampMicrosecondType)
            }
            arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, _) => {
                $action!(arrow::datatypes::TimestampNanosecondType)
            }
            arrow::datatypes::DataType::Duration(arrow::datatypes::TimeUnit::Second) => {
                $action!(arrow::datatypes::DurationSecondType)
            }
            arrow::datatypes::DataType::Duration(arrow::datatypes::TimeUnit::Millisecond) => {
                $action!(arrow::datatypes::DurationMillisecondType)
            }
            arrow::datatypes::DataType::Duration(arrow::datatypes::TimeUnit::Microsecond) => {
                $action!(arrow::datatypes::DurationMicrosecondType)
            }
            arrow::datatypes::DataType::Duration(arrow::datatypes::TimeUnit::Nanosecond) => {
                $action!(arrow::datatypes::DurationNanosecondType)
            }
            arrow::datatypes::DataType::Interval(arrow::datatypes::IntervalUnit::YearMonth) => {
                $action!(arrow::datatypes::IntervalYearMonthType)
            }
            _ => $otherwise,
        }
    };
}
pub(crate) use with_integer_type;

/// How many bits a value of this type takes in a word; `None` if it doesn't fit one.
pub(crate) fn bits(data_type: &DataType) -> Option<u32> {
    macro_rules! width {
        ($type:ty) => {
            Some(<<$type as ArrowPrimitiveType>::Native as ArrowNativeType>::get_byte_width() as u32 * 8)
        };
    }
    match data_type {
        DataType::Boolean => Some(1),
        DataType::Float32 => Some(32),
        DataType::Float64 => Some(64),
        other => with_integer_type!(other, width, None),
    }
}

/// The bits of a value; −0.0 as 0.0, one NaN.
pub(crate) fn canonical64(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
}

/// The bits of a value; −0.0 as 0.0, one NaN.
pub(crate) fn canonical32(value: f32) -> u32 {
    if value.is_nan() { f32::NAN.to_bits() } else { (value + 0.0).to_bits() }
}

/// Appends each row's value as a word, without sign extension.
pub(crate) fn extend_words(column: &ArrayRef, words: &mut Vec<u64>) -> Result<()> {
    macro_rules! extend {
        ($type:ty) => {{
            let shift = 64 - 8 * size_of::<<$type as ArrowPrimitiveType>::Native>();
            let values = column.as_primitive::<$type>().values();
            // Cuts the sign extension off.
            words.extend(values.iter().map(|&value| ((value as i64 as u64) << shift) >> shift));
        }};
    }
    match column.data_type() {
        DataType::Boolean => {
            words.extend(column.as_boolean().values().iter().map(u64::from));
        }
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().values();
            words.extend(values.iter().map(|&value| u64::from(canonical32(value))));
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().values();
            words.extend(values.iter().map(|&value| canonical64(value)));
        }
        other => with_integer_type!(other, extend, return Err(not_fixed(other))),
    }
    Ok(())
}

/// A column from [`extend_words`]'s words.
pub(crate) fn from_words(data_type: &DataType, words: &[u64], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    macro_rules! build {
        ($type:ty) => {{
            type Native = <$type as ArrowPrimitiveType>::Native;
            let values: ScalarBuffer<Native> = words.iter().map(|&word| word as Native).collect();
            primitive::<$type>(values, nulls, data_type)
        }};
    }
    Ok(match data_type {
        DataType::Boolean => {
            Arc::new(BooleanArray::new(words.iter().map(|&word| word != 0).collect::<BooleanBuffer>(), nulls))
        }
        DataType::Float32 => {
            let values: ScalarBuffer<f32> = words.iter().map(|&word| f32::from_bits(word as u32)).collect();
            primitive::<Float32Type>(values, nulls, data_type)
        }
        DataType::Float64 => {
            let values: ScalarBuffer<f64> = words.iter().map(|&word| f64::from_bits(word)).collect();
            primitive::<Float64Type>(values, nulls, data_type)
        }
        other => with_integer_type!(other, build, return Err(not_fixed(other))),
    })
}

/// An array of type `data_type`, whose parameters (zone, precision) the Arrow type doesn't know.
pub(crate) fn primitive<T: ArrowPrimitiveType>(
    values: ScalarBuffer<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values, nulls).with_data_type(data_type.clone()))
}

fn not_fixed(data_type: &DataType) -> Error {
    Error::internal(format!("{data_type} isn't stored as words"))
}

/// Whether [`for_each_bytes`] reads this type.
pub(crate) const fn is_bytes(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
    )
}

/// Calls `visit` with each row's bytes, `None` for nulls.
pub(crate) fn for_each_bytes(column: &ArrayRef, mut visit: impl FnMut(Option<&[u8]>)) -> Result<()> {
    match column.data_type() {
        DataType::Utf8 => plain_bytes(column.as_bytes::<Utf8Type>(), visit),
        DataType::LargeUtf8 => plain_bytes(column.as_bytes::<LargeUtf8Type>(), visit),
        DataType::Binary => plain_bytes(column.as_bytes::<BinaryType>(), visit),
        DataType::LargeBinary => plain_bytes(column.as_bytes::<LargeBinaryType>(), visit),
        DataType::Utf8View => {
            column.as_byte_view::<StringViewType>().iter().for_each(|value| visit(value.map(str::as_bytes)));
        }
        DataType::BinaryView => column.as_byte_view::<BinaryViewType>().iter().for_each(visit),
        other => return Err(Error::internal(format!("{other} isn't read as bytes"))),
    }
    Ok(())
}

fn plain_bytes<T: ByteArrayType>(column: &GenericByteArray<T>, mut visit: impl FnMut(Option<&[u8]>)) {
    let bytes = column.value_data();
    let rows = column.value_offsets().windows(2).map(|pair| &bytes[pair[0].as_usize()..pair[1].as_usize()]);
    match column.nulls() {
        None => rows.for_each(|row| visit(Some(row))),
        Some(nulls) => rows.zip(nulls).for_each(|(row, valid)| visit(valid.then_some(row))),
    }
}

/// A string or binary column from its rows.
pub(crate) fn from_bytes<'a>(
    data_type: &DataType,
    rows: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
) -> Result<ArrayRef> {
    let mut bytes = Vec::new();
    let mut offsets = Vec::with_capacity(rows.len() + 1);
    let mut valid = Vec::with_capacity(rows.len());
    offsets.push(0_i32);
    for row in rows {
        bytes.extend_from_slice(row.unwrap_or_default());
        valid.push(row.is_some());
        offsets.push(i32::try_from(bytes.len()).map_err(|_| {
            Error::new(Code::RecordTooLarge, "the strings of one batch of results take over 2 GiB")
        })?);
    }
    let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
    let offsets = OffsetBuffer::new(offsets.into());
    let bytes = Buffer::from_vec(bytes);
    let array: ArrayRef = match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
        }
        _ => Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?),
    };
    if array.data_type() == data_type { Ok(array) } else { Ok(arrow::compute::cast(&array, data_type)?) }
}
