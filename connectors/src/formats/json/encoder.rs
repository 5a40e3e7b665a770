//! Rows into objects of JSON, in the forms that Flink's format writes.
//!
//! Timestamps are texts with all digits of their unit (`Z` at the end where they have a time zone), decimals numbers,
//! bytes base64, maps objects; NaN and the infinities stand in quotes. Columns are resolved once per batch.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use weir_api::error::{Code, Error, Result};

use super::JsonOptions;
use super::scalars::write_base64;
use crate::formats::record::{RecordEncoder, Records};
use crate::formats::values::{self, Values, items, write_decimal, write_items, write_java_decimal};
use crate::formats::{float, text};
use crate::types::digits;

/// Refuses columns that can't be written, when the table is planned.
pub fn check(table: &str, fields: &Fields) -> Result<()> {
    values::check(table, "", fields, "format 'json'")?;
    fields.iter().try_for_each(|field| check_maps(table, field))
}

fn check_maps(table: &str, field: &Field) -> Result<()> {
    match field.data_type() {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 && pair[0].data_type() == &DataType::Utf8 => {
                check_maps(table, &pair[1])
            }
            _ => Err(Error::new(
                Code::TableOptions,
                format!(
                    "table {table}: column `{}` is a MAP whose keys aren't STRING, as format 'json' needs them",
                    field.name()
                ),
            )),
        },
        DataType::List(item) => check_maps(table, item),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_maps(table, field)),
        _ => Ok(()),
    }
}

/// Writes rows as objects, a record each.
pub struct Encoder {
    fields: Fields,
    options: JsonOptions,
}

impl Encoder {
    /// An encoder of rows of `schema`.
    #[must_use]
    pub fn new(schema: SchemaRef, options: JsonOptions) -> Self {
        Self { fields: schema.fields().clone(), options }
    }
}

impl RecordEncoder for Encoder {
    fn encode(&mut self, columns: &[ArrayRef], rows: usize, out: &mut Records) -> Result<()> {
        let columns =
            columns.iter().map(|column| Values::new(column.as_ref())).collect::<Result<Vec<_>>>()?;
        for row in 0..rows {
            write_members(out.bytes_mut(), &self.fields, &columns, row, &self.options);
            out.end();
        }
        Ok(())
    }
}

fn write_members(
    out: &mut Vec<u8>,
    fields: &Fields,
    columns: &[Values<'_>],
    row: usize,
    options: &JsonOptions,
) {
    out.push(b'{');
    let mut first = true;
    for (field, column) in fields.iter().zip(columns) {
        if options.ignore_null_fields && column.is_null(row) {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        write_text(out, field.name().as_bytes());
        out.push(b':');
        write_value(out, column, row, options);
    }
    out.push(b'}');
}

fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn write_value(out: &mut Vec<u8>, values: &Values<'_>, row: usize, options: &JsonOptions) {
    if values.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match values {
        Values::Null => {}
        Values::Boolean(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
        Values::Int8(array) => integer(out, array.value(row)),
        Values::Int16(array) => integer(out, array.value(row)),
        Values::Int32(array) => integer(out, array.value(row)),
        Values::Int64(array) => integer(out, array.value(row)),
        Values::Float32(array) => {
            let value = array.value(row);
            quoted_unless(value.is_finite(), out, |out| float::write_float(out, value));
        }
        Values::Float64(array) => {
            let value = array.value(row);
            quoted_unless(value.is_finite(), out, |out| float::write_double(out, value));
        }
        Values::Decimal(array, scale) if options.plain_decimals => {
            write_decimal(out, array.value(row), *scale)
        }
        Values::Decimal(array, scale) => write_java_decimal(out, array.value(row), *scale),
        Values::Text(array) => write_text(out, array.value(row).as_bytes()),
        Values::Binary(array) => quoted(out, |out| write_base64(array.value(row), out)),
        Values::FixedBinary(array) => quoted(out, |out| write_base64(array.value(row), out)),
        Values::Date(array) => quoted(out, |out| text::write_date(out, i64::from(array.value(row)))),
        Values::Time32(values, unit, _) => {
            let (_, seconds, nanos) = text::split(i64::from(values[row]), *unit);
            quoted(out, |out| text::write_time(out, seconds, nanos, digits(*unit)));
        }
        Values::Time64(values, unit, _) => {
            let (_, seconds, nanos) = text::split(values[row], *unit);
            quoted(out, |out| text::write_time(out, seconds, nanos, digits(*unit)));
        }
        Values::Timestamp(values, unit, zoned, _) => quoted(out, |out| {
            text::write_timestamp(out, values[row], *unit, if options.iso_timestamps { b'T' } else { b' ' });
            if *zoned {
                out.push(b'Z');
            }
        }),
        Values::List(offsets, values, _) => write_items(out, "[,]", items(offsets, row), |out, item| {
            write_value(out, values, item, options);
        }),
        Values::Map(offsets, entries, _) => write_items(out, "{,}", items(offsets, row), |out, item| {
            write_value(out, &entries.0, item, options);
            out.push(b':');
            write_value(out, &entries.1, item, options);
        }),
        Values::Row(fields, columns, _) => write_members(out, fields, columns, row, options),
    }
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    quoted_unless(false, out, write);
}

fn quoted_unless(plain: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if plain {
        write(out);
    } else {
        out.push(b'"');
        write(out);
        out.push(b'"');
    }
}

/// Appends a text in quotes, escaping what must be.
fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    // One pass without branches tells for most texts that there is nothing to escape.
    if !text.iter().fold(false, |found, byte| found | (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\')) {
        out.extend_from_slice(text);
        out.push(b'"');
        return;
    }
    let mut plain = 0;
    for (position, byte) in text.iter().enumerate() {
        if *byte >= 0x20 && !matches!(byte, b'"' | b'\\') {
            continue;
        }
        out.extend_from_slice(&text[plain..position]);
        plain = position + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    out.extend_from_slice(&text[plain..]);
    out.push(b'"');
}
