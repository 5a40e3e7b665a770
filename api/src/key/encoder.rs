//! Writes the encoding of rows; the format is described in [`crate::key`].

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, GenericByteArray, GenericByteViewArray,
    GenericListArray, OffsetSizeTrait, PrimitiveArray, StructArray,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, BinaryType, BinaryViewType, ByteArrayType, ByteViewType, DataType, Date32Type,
    Date64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    LargeBinaryType, LargeUtf8Type, StringViewType, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type, Utf8Type,
};

use crate::error::{Code, Error, Result};

const NULL: u8 = 0;
const VALUE: u8 = 1;
const CANONICAL_NAN: u64 = 0x7ff8_0000_0000_0000;

/// The encodings of a batch's keys, in one allocation.
#[derive(Clone, Debug, Default)]
pub struct EncodedKeys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl EncodedKeys {
    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The encoding of row `row`, which must exist.
    #[must_use]
    pub fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }
}

/// Encodes the key of every row.
pub fn encode_columns(columns: &[ArrayRef]) -> Result<EncodedKeys> {
    let rows = columns.first().map_or(0, |column| column.len());
    let mut keys =
        EncodedKeys { bytes: Vec::with_capacity(rows * 16 * columns.len()), ends: Vec::with_capacity(rows) };
    let encoders = encoders(columns)?;
    for row in 0..rows {
        encoders.iter().for_each(|encoder| encoder.write(row, &mut keys.bytes));
        keys.ends.push(keys.bytes.len());
    }
    Ok(keys)
}

/// Calls `visit` with the encoding of every row, in order.
pub(super) fn for_each_row(columns: &[ArrayRef], mut visit: impl FnMut(&[u8])) -> Result<()> {
    let rows = columns.first().map_or(0, |column| column.len());
    let encoders = encoders(columns)?;
    let mut scratch = Vec::with_capacity(64);
    for row in 0..rows {
        scratch.clear();
        encoders.iter().for_each(|encoder| encoder.write(row, &mut scratch));
        visit(&scratch);
    }
    Ok(())
}

fn encoders(columns: &[ArrayRef]) -> Result<Vec<Encoder>> {
    columns.iter().map(Encoder::new).collect()
}

/// One column, its type resolved once per batch.
struct Encoder {
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    /// The column holds nulls only.
    Nothing,
    Int64(ScalarBuffer<i64>),
    Int32(ScalarBuffer<i32>),
    /// Already widened or canonical: rarer types are converted once per batch.
    Widened(Vec<u64>),
    Decimal(ScalarBuffer<i128>),
    Utf8(GenericByteArray<Utf8Type>),
    LargeUtf8(GenericByteArray<LargeUtf8Type>),
    Utf8View(GenericByteViewArray<StringViewType>),
    Binary(GenericByteArray<BinaryType>),
    LargeBinary(GenericByteArray<LargeBinaryType>),
    BinaryView(GenericByteViewArray<BinaryViewType>),
    FixedSizeBinary(FixedSizeBinaryArray),
    Struct(Vec<Encoder>),
    List(Box<Encoder>, Vec<(usize, usize)>),
}

impl Encoder {
    fn new(column: &ArrayRef) -> Result<Self> {
        Ok(Self { nulls: column.nulls().cloned(), values: Values::new(column)? })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.push(NULL);
            return;
        }
        if matches!(self.values, Values::Nothing) {
            out.push(NULL);
            return;
        }
        out.push(VALUE);
        match &self.values {
            Values::Nothing => {}
            Values::Int64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Int32(values) => out.extend_from_slice(&i64::from(values[row]).to_le_bytes()),
            Values::Widened(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Decimal(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Utf8(values) => write_bytes(bytes_of(values, row), out),
            Values::LargeUtf8(values) => write_bytes(bytes_of(values, row), out),
            Values::Utf8View(values) => write_bytes(view_of(values, row), out),
            Values::Binary(values) => write_bytes(bytes_of(values, row), out),
            Values::LargeBinary(values) => write_bytes(bytes_of(values, row), out),
            Values::BinaryView(values) => write_bytes(view_of(values, row), out),
            Values::FixedSizeBinary(values) => write_bytes(values.value(row), out),
            Values::Struct(fields) => fields.iter().for_each(|field| field.write(row, out)),
            Values::List(elements, ranges) => {
                let (start, end) = ranges[row];
                out.extend_from_slice(&((end - start) as u32).to_le_bytes());
                (start..end).for_each(|element| elements.write(element, out));
            }
        }
    }
}

impl Values {
    fn new(column: &ArrayRef) -> Result<Self> {
        Ok(match column.data_type() {
            DataType::Null => Self::Nothing,
            DataType::Int64 => int64::<Int64Type>(column),
            DataType::Timestamp(TimeUnit::Second, _) => int64::<TimestampSecondType>(column),
            DataType::Timestamp(TimeUnit::Millisecond, _) => int64::<TimestampMillisecondType>(column),
            DataType::Timestamp(TimeUnit::Microsecond, _) => int64::<TimestampMicrosecondType>(column),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => int64::<TimestampNanosecondType>(column),
            DataType::Time64(TimeUnit::Microsecond) => int64::<Time64MicrosecondType>(column),
            DataType::Time64(_) => int64::<Time64NanosecondType>(column),
            DataType::Date64 => int64::<Date64Type>(column),
            DataType::Int32 => int32::<Int32Type>(column),
            DataType::Date32 => int32::<Date32Type>(column),
            DataType::Time32(TimeUnit::Second) => int32::<Time32SecondType>(column),
            DataType::Time32(_) => int32::<Time32MillisecondType>(column),
            DataType::Int16 => widened::<Int16Type>(column, |value| i64::from(value) as u64),
            DataType::Int8 => widened::<Int8Type>(column, |value| i64::from(value) as u64),
            DataType::UInt8 => widened::<UInt8Type>(column, u64::from),
            DataType::UInt16 => widened::<UInt16Type>(column, u64::from),
            DataType::UInt32 => widened::<UInt32Type>(column, u64::from),
            DataType::UInt64 => widened::<UInt64Type>(column, |value| value),
            DataType::Float64 => widened::<Float64Type>(column, canonical_float),
            DataType::Float32 => widened::<Float32Type>(column, |value| canonical_float(f64::from(value))),
            DataType::Boolean => {
                let values: &BooleanArray = column.as_boolean();
                Self::Widened((0..values.len()).map(|row| u64::from(values.value(row))).collect())
            }
            DataType::Decimal128(_, _) => {
                Self::Decimal(column.as_primitive::<Decimal128Type>().values().clone())
            }
            DataType::Utf8 => Self::Utf8(column.as_bytes::<Utf8Type>().clone()),
            DataType::LargeUtf8 => Self::LargeUtf8(column.as_bytes::<LargeUtf8Type>().clone()),
            DataType::Utf8View => Self::Utf8View(column.as_string_view().clone()),
            DataType::Binary => Self::Binary(column.as_bytes::<BinaryType>().clone()),
            DataType::LargeBinary => Self::LargeBinary(column.as_bytes::<LargeBinaryType>().clone()),
            DataType::BinaryView => Self::BinaryView(column.as_binary_view().clone()),
            DataType::FixedSizeBinary(_) => Self::FixedSizeBinary(column.as_fixed_size_binary().clone()),
            DataType::Struct(_) => {
                let values: &StructArray = column.as_struct();
                Self::Struct(values.columns().iter().map(Encoder::new).collect::<Result<_>>()?)
            }
            DataType::List(_) => list(column.as_list::<i32>())?,
            DataType::LargeList(_) => list(column.as_list::<i64>())?,
            other => {
                return Err(Error::new(
                    Code::SqlType,
                    format!("a column of type {other} can't be a key; cast it to a type with equality"),
                ));
            }
        })
    }
}

fn int64<T: ArrowPrimitiveType<Native = i64>>(column: &ArrayRef) -> Values {
    Values::Int64(column.as_primitive::<T>().values().clone())
}

fn int32<T: ArrowPrimitiveType<Native = i32>>(column: &ArrayRef) -> Values {
    Values::Int32(column.as_primitive::<T>().values().clone())
}

fn widened<T: ArrowPrimitiveType>(column: &ArrayRef, widen: impl Fn(T::Native) -> u64) -> Values {
    let values: &PrimitiveArray<T> = column.as_primitive();
    Values::Widened(values.values().iter().map(|&value| widen(value)).collect())
}

fn canonical_float(value: f64) -> u64 {
    if value.is_nan() {
        CANONICAL_NAN
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}

fn list<O: OffsetSizeTrait>(values: &GenericListArray<O>) -> Result<Values> {
    let offsets = values.value_offsets();
    let ranges = offsets.windows(2).map(|pair| (pair[0].as_usize(), pair[1].as_usize())).collect();
    Ok(Values::List(Box::new(Encoder::new(values.values())?), ranges))
}

fn bytes_of<T: ByteArrayType>(values: &GenericByteArray<T>, row: usize) -> &[u8] {
    values.value(row).as_ref()
}

fn view_of<T: ByteViewType + ?Sized>(values: &GenericByteViewArray<T>, row: usize) -> &[u8] {
    values.value(row).as_ref()
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}
