//! `raw`: a record is the value of the one column, as it is.

use arrow::array::{Array, ArrayRef, BooleanArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, SchemaRef,
};
use weir_api::error::{Code, Error, Result};

use super::json::storage::{Fixed, Varied};
use super::record::{Parsed, Problem, RecordDecoder, RecordEncoder, Records};
use super::values::Values;
use crate::options::Options;
use crate::types::{refuse_type, sql_name};

/// How a text's characters are encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charset {
    /// As they are here.
    Utf8,
    /// Bytes below 128.
    Ascii,
    /// A byte each.
    Latin1,
    /// Two bytes each, or four.
    Utf16 {
        /// The lower byte first.
        little: bool,
    },
}

/// The format's options, checked.
#[derive(Clone, Copy, Debug)]
pub struct RawOptions {
    /// Of texts.
    pub charset: Charset,
    /// Of numbers: the lower byte first.
    pub little_endian: bool,
}

impl RawOptions {
    /// The options of a table, their keys behind `prefix`.
    pub fn of(options: &Options<'_>, prefix: &str) -> Result<Self> {
        let charsets = [
            ("UTF-8", Charset::Utf8),
            ("US-ASCII", Charset::Ascii),
            ("ISO-8859-1", Charset::Latin1),
            ("UTF-16", Charset::Utf16 { little: false }),
            ("UTF-16BE", Charset::Utf16 { little: false }),
            ("UTF-16LE", Charset::Utf16 { little: true }),
        ];
        Ok(Self {
            charset: options.one_of(&format!("{prefix}raw.charset"), &charsets)?,
            little_endian: options.one_of(
                &format!("{prefix}raw.endianness"),
                &[("big-endian", false), ("little-endian", true)],
            )?,
        })
    }
}

/// Refuses what isn't one column of a type with a raw form.
pub fn check(table: &str, fields: &Fields) -> Result<()> {
    let [field] = fields.as_ref() else {
        let what = format!("table {table}: format 'raw' takes one column, and {} are declared", fields.len());
        return Err(Error::new(Code::TableOptions, what));
    };
    match field.data_type() {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::Binary
        | DataType::FixedSizeBinary(_) => Ok(()),
        other => Err(refuse_type(table, field.name(), other, "format 'raw'")),
    }
}

/// Refuses what can't stand in a file as a line each.
pub fn check_lines(table: &str, fields: &Fields, options: RawOptions) -> Result<()> {
    let by = "format 'raw' in files, a line each,";
    for field in fields {
        match field.data_type() {
            DataType::Utf8 if !matches!(options.charset, Charset::Utf16 { .. }) => {}
            DataType::Binary => {}
            other => return Err(refuse_type(table, field.name(), other, by)),
        }
    }
    Ok(())
}

enum Store {
    /// Only the number of records is wanted.
    Nothing,
    Int8(Fixed<i8>),
    Int16(Fixed<i16>),
    Int32(Fixed<i32>),
    Int64(Fixed<i64>),
    Float32(Fixed<f32>),
    Float64(Fixed<f64>),
    Boolean(Vec<bool>),
    Text(Varied),
    Binary(Varied),
    FixedBinary(Varied, usize),
}

/// See the module.
pub struct Decoder {
    options: RawOptions,
    data_type: DataType,
    store: Store,
    rows: usize,
}

impl Decoder {
    /// A decoder of the `wanted` column, if any.
    pub fn new(wanted: &SchemaRef, options: RawOptions, rows: usize) -> Result<Self> {
        let data_type = wanted.fields().first().map_or(DataType::Null, |field| field.data_type().clone());
        let store = match &data_type {
            DataType::Null => Store::Nothing,
            DataType::Boolean => Store::Boolean(Vec::new()),
            DataType::Int8 => Store::Int8(Fixed::new(rows)),
            DataType::Int16 => Store::Int16(Fixed::new(rows)),
            DataType::Int32 => Store::Int32(Fixed::new(rows)),
            DataType::Int64 => Store::Int64(Fixed::new(rows)),
            DataType::Float32 => Store::Float32(Fixed::new(rows)),
            DataType::Float64 => Store::Float64(Fixed::new(rows)),
            DataType::Utf8 => Store::Text(Varied::new(rows)),
            DataType::Binary => Store::Binary(Varied::new(rows)),
            DataType::FixedSizeBinary(length) => {
                Store::FixedBinary(Varied::new(rows), usize::try_from(*length).unwrap_or(0))
            }
            other => {
                return Err(Error::internal(format!("a column of type {other} reached the raw decoder")));
            }
        };
        Ok(Self { options, data_type, store, rows: 0 })
    }

    fn wrong_length(&self, bytes: &[u8]) -> Problem {
        let what = format!("{} bytes for {}", bytes.len(), sql_name(&self.data_type));
        Problem { at: 0, what: what.into() }
    }
}

macro_rules! number {
    ($column:expr, $type:ty, $bytes:expr, $little:expr) => {
        $bytes.try_into().ok().map(|bytes| {
            $column.push(if $little { <$type>::from_le_bytes(bytes) } else { <$type>::from_be_bytes(bytes) });
        })
    };
}

impl RecordDecoder for Decoder {
    fn record(&mut self, bytes: &[u8], is_utf8: bool) -> Parsed<()> {
        let little = self.options.little_endian;
        let added = match &mut self.store {
            Store::Nothing => Some(()),
            Store::Boolean(values) => match bytes {
                [byte] => {
                    values.push(*byte != 0);
                    Some(())
                }
                _ => None,
            },
            Store::Int8(column) => number!(column, i8, bytes, little),
            Store::Int16(column) => number!(column, i16, bytes, little),
            Store::Int32(column) => number!(column, i32, bytes, little),
            Store::Int64(column) => number!(column, i64, bytes, little),
            Store::Float32(column) => number!(column, f32, bytes, little),
            Store::Float64(column) => number!(column, f64, bytes, little),
            Store::Text(column) => {
                decode(bytes, self.options.charset, is_utf8, &mut column.bytes)?;
                column.end();
                Some(())
            }
            Store::Binary(column) => {
                column.bytes.extend_from_slice(bytes);
                column.end();
                Some(())
            }
            Store::FixedBinary(column, length) => (bytes.len() == *length).then(|| {
                column.bytes.extend_from_slice(bytes);
                column.end();
            }),
        };
        added.ok_or_else(|| self.wrong_length(bytes))?;
        self.rows += 1;
        Ok(())
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn truncate(&mut self, rows: usize) {
        match &mut self.store {
            Store::Nothing => {}
            Store::Boolean(values) => values.truncate(rows),
            Store::Int8(column) => column.truncate(rows),
            Store::Int16(column) => column.truncate(rows),
            Store::Int32(column) => column.truncate(rows),
            Store::Int64(column) => column.truncate(rows),
            Store::Float32(column) => column.truncate(rows),
            Store::Float64(column) => column.truncate(rows),
            Store::Text(column) | Store::Binary(column) | Store::FixedBinary(column, _) => {
                column.truncate(rows)
            }
        }
        self.rows = self.rows.min(rows);
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        use std::sync::Arc;
        self.rows = 0;
        let array: ArrayRef = match &mut self.store {
            Store::Nothing => return Ok(Vec::new()),
            Store::Boolean(values) => Arc::new(BooleanArray::from(std::mem::take(values))),
            Store::Int8(column) => Arc::new(column.finish::<Int8Type>()),
            Store::Int16(column) => Arc::new(column.finish::<Int16Type>()),
            Store::Int32(column) => Arc::new(column.finish::<Int32Type>()),
            Store::Int64(column) => Arc::new(column.finish::<Int64Type>()),
            Store::Float32(column) => Arc::new(column.finish::<Float32Type>()),
            Store::Float64(column) => Arc::new(column.finish::<Float64Type>()),
            Store::Text(column) => column.texts()?,
            Store::Binary(column) => column.binaries()?,
            Store::FixedBinary(column, length) => column.fixed_binaries(*length)?,
        };
        Ok(vec![array])
    }
}

/// Appends a text as UTF-8. After an error nothing has been added.
fn decode(bytes: &[u8], charset: Charset, is_utf8: bool, out: &mut Vec<u8>) -> Parsed<()> {
    let before = out.len();
    match charset {
        Charset::Utf8 => {
            if !is_utf8 && let Err(error) = std::str::from_utf8(bytes) {
                return Err(Problem { at: error.valid_up_to(), what: "bytes that aren't UTF-8".into() });
            }
            out.extend_from_slice(bytes);
        }
        Charset::Ascii => {
            if let Some(at) = bytes.iter().position(|byte| !byte.is_ascii()) {
                return Err(Problem { at, what: "a byte that isn't ASCII".into() });
            }
            out.extend_from_slice(bytes);
        }
        Charset::Latin1 => {
            for byte in bytes {
                out.extend_from_slice(char::from(*byte).encode_utf8(&mut [0; 2]).as_bytes());
            }
        }
        Charset::Utf16 { little } => {
            let (units, rest) = bytes.as_chunks::<2>();
            let units = units
                .iter()
                .map(|unit| if little { u16::from_le_bytes(*unit) } else { u16::from_be_bytes(*unit) });
            for (position, character) in char::decode_utf16(units).enumerate() {
                let Ok(character) = character else {
                    out.truncate(before);
                    return Err(Problem { at: position * 2, what: "half of a surrogate pair".into() });
                };
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            if !rest.is_empty() {
                out.truncate(before);
                return Err(Problem { at: bytes.len() - 1, what: "half of a character of UTF-16".into() });
            }
        }
    }
    Ok(())
}

/// Writes each row's one value as a record.
pub struct Encoder {
    options: RawOptions,
}

impl Encoder {
    /// An encoder of one column.
    #[must_use]
    pub const fn new(options: RawOptions) -> Self {
        Self { options }
    }

    fn numbers<T: ArrowPrimitiveType, const N: usize>(
        array: &PrimitiveArray<T>,
        row: usize,
        out: &mut Vec<u8>,
        bytes: impl Fn(T::Native) -> [u8; N],
    ) {
        out.extend_from_slice(&bytes(array.value(row)));
    }

    fn value(&self, values: &Values<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let little = self.options.little_endian;
        macro_rules! number {
            ($array:expr) => {
                Self::numbers($array, row, out, |value| {
                    if little { value.to_le_bytes() } else { value.to_be_bytes() }
                })
            };
        }
        match values {
            Values::Boolean(array) => out.push(u8::from(array.value(row))),
            Values::Int8(array) => number!(array),
            Values::Int16(array) => number!(array),
            Values::Int32(array) => number!(array),
            Values::Int64(array) => number!(array),
            Values::Float32(array) => number!(array),
            Values::Float64(array) => number!(array),
            Values::Binary(array) => out.extend_from_slice(array.value(row)),
            Values::FixedBinary(array) => out.extend_from_slice(array.value(row)),
            Values::Text(array) => return encode(array.value(row), self.options.charset, out),
            _ => return Err(Error::internal("a column without a raw form reached the encoder")),
        }
        Ok(())
    }
}

fn encode(text: &str, charset: Charset, out: &mut Vec<u8>) -> Result<()> {
    let refused = |character: char| {
        Error::new(
            Code::Evaluation,
            format!("`{character}` can't be written in the charset of 'raw.charset'"),
        )
    };
    match charset {
        Charset::Utf8 => out.extend_from_slice(text.as_bytes()),
        Charset::Ascii | Charset::Latin1 => {
            let limit = if charset == Charset::Ascii { 0x80 } else { 0x100 };
            for character in text.chars() {
                match u8::try_from(u32::from(character)) {
                    Ok(byte) if u32::from(byte) < limit => out.push(byte),
                    _ => return Err(refused(character)),
                }
            }
        }
        Charset::Utf16 { little } => {
            for unit in text.encode_utf16() {
                out.extend_from_slice(&if little { unit.to_le_bytes() } else { unit.to_be_bytes() });
            }
        }
    }
    Ok(())
}

impl RecordEncoder for Encoder {
    fn encode(&mut self, columns: &[ArrayRef], rows: usize, out: &mut Records) -> Result<()> {
        let Some(column) = columns.first() else {
            return Err(Error::internal("no column reached the raw encoder"));
        };
        let values = Values::new(column.as_ref())?;
        for row in 0..rows {
            if column.is_null(row) {
                out.end_null();
                continue;
            }
            let start = out.bytes().len();
            self.value(&values, row, out.bytes_mut())?;
            let written = out.bytes().get(start..).unwrap_or_default();
            if out.terminator().is_some_and(|terminator| memchr::memchr(terminator, written).is_some()) {
                return Err(Error::new(
                    Code::Evaluation,
                    "a value with a line's end can't be written as one line of a file with 'format' = 'raw'",
                ));
            }
            out.end();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, Float64Array, Int32Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    const PLAIN: RawOptions = RawOptions { charset: Charset::Utf8, little_endian: false };

    fn there_and_back(column: ArrayRef, options: RawOptions) -> Vec<Vec<u8>> {
        let schema = Arc::new(Schema::new(vec![Field::new("v", column.data_type().clone(), true)]));
        let mut records = Records::default();
        Encoder::new(options).encode(std::slice::from_ref(&column), column.len(), &mut records).unwrap();
        let mut decoder = Decoder::new(&schema, options, 4).unwrap();
        let raw: Vec<_> = (0..records.len()).map(|row| records.get(row).unwrap().to_vec()).collect();
        raw.iter().for_each(|record| decoder.record(record, false).unwrap());
        assert_eq!(decoder.finish().unwrap(), [column]);
        raw
    }

    #[test]
    fn values_there_and_back() {
        let little = RawOptions { little_endian: true, ..PLAIN };
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, -2]));
        assert_eq!(there_and_back(numbers.clone(), PLAIN)[0], [0, 0, 0, 1]);
        assert_eq!(there_and_back(numbers, little)[0], [1, 0, 0, 0]);
        there_and_back(Arc::new(Float64Array::from(vec![0.5, f64::INFINITY])), PLAIN);
        there_and_back(Arc::new(BooleanArray::from(vec![true, false])), PLAIN);
        there_and_back(Arc::new(BinaryArray::from(vec![b"\x00\xFF".as_slice(), b""])), PLAIN);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["", "é", "\u{ff}"]));
        for charset in [
            Charset::Utf8,
            Charset::Latin1,
            Charset::Utf16 { little: true },
            Charset::Utf16 { little: false },
        ] {
            there_and_back(texts.clone(), RawOptions { charset, ..PLAIN });
        }
        let utf16 = RawOptions { charset: Charset::Utf16 { little: false }, ..PLAIN };
        assert_eq!(
            there_and_back(Arc::new(StringArray::from(vec!["😀"])), utf16)[0],
            [0xD8, 0x3D, 0xDE, 0x00]
        );
    }

    #[test]
    fn what_does_not_fit_leaves_nothing() {
        let decoder = |data_type, charset| {
            let schema = Arc::new(Schema::new(vec![Field::new("v", data_type, true)]));
            Decoder::new(&schema, RawOptions { charset, ..PLAIN }, 4).unwrap()
        };
        for (data_type, charset, bytes, at) in [
            (DataType::Int64, Charset::Utf8, b"123".as_slice(), 0),
            (DataType::Boolean, Charset::Utf8, b"", 0),
            (DataType::Utf8, Charset::Utf8, b"a\xFF", 1),
            (DataType::Utf8, Charset::Ascii, b"ab\xC3", 2),
            (DataType::Utf8, Charset::Utf16 { little: false }, b"\0a\xD8\0", 2),
            (DataType::Utf8, Charset::Utf16 { little: true }, b"a\0b", 2),
        ] {
            let mut decoder = decoder(data_type, charset);
            assert_eq!(decoder.record(bytes, false).expect_err("refused").at, at);
            assert_eq!((decoder.rows(), decoder.finish().unwrap()[0].len()), (0, 0));
        }
        let lines: ArrayRef = Arc::new(StringArray::from(vec!["a\nb"]));
        assert!(Encoder::new(PLAIN).encode(std::slice::from_ref(&lines), 1, &mut Records::default()).is_ok());
        assert!(Encoder::new(PLAIN).encode(&[lines], 1, &mut Records::lines()).is_err());
        let ascii = RawOptions { charset: Charset::Ascii, ..PLAIN };
        let column: ArrayRef = Arc::new(StringArray::from(vec!["é"]));
        assert!(Encoder::new(ascii).encode(&[column], 1, &mut Records::default()).is_err());
    }
}
