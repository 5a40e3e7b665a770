//! Rows into objects of JSON, in the forms that Flink's format writes.
//!
//! Timestamps are texts with all digits of their unit (`Z` at the end where they have a time zone), decimals numbers,
//! bytes base64, maps objects; NaN and the infinities stand in quotes. Columns are resolved once per batch.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use weir_api::error::{Code, Error, Result};

use super::JsonOptions;
use crate::formats::record::{RecordEncoder, Records};
use crate::formats::values::{self, PlainStyle, Values, items, write_items, write_plain};

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

fn write_value(out: &mut Vec<u8>, values: &Values<'_>, row: usize, options: &JsonOptions) {
    if values.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    let style = PlainStyle {
        date_time_separator: if options.iso_timestamps { b'T' } else { b' ' },
        java_decimals: !options.plain_decimals,
    };
    match values {
        Values::Null => {}
        Values::Text(array) => write_text(out, array.value(row).as_bytes()),
        Values::Boolean(_)
        | Values::Int8(_)
        | Values::Int16(_)
        | Values::Int32(_)
        | Values::Int64(_)
        | Values::Decimal(..) => write_plain(out, values, row, style),
        Values::Float32(array) if array.value(row).is_finite() => write_plain(out, values, row, style),
        Values::Float64(array) if array.value(row).is_finite() => write_plain(out, values, row, style),
        Values::Float32(_)
        | Values::Float64(_)
        | Values::Binary(_)
        | Values::FixedBinary(_)
        | Values::Date(_)
        | Values::Time32(..)
        | Values::Time64(..)
        | Values::Timestamp(..) => {
            out.push(b'"');
            write_plain(out, values, row, style);
            out.push(b'"');
        }
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
