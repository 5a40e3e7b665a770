//! Rows into records of comma-separated values.
//!
//! A field stands in quotes where it has to. Where quotes are disabled, a character that would be misread is escaped, or, if
//! there is no escape character either, refused: a record is never written that reads as another one.

use arrow::array::ArrayRef;
use arrow::datatypes::{Fields, SchemaRef};
use weir_api::error::{Code, Error, Result};

use super::CsvOptions;
use crate::formats::record::{RecordEncoder, Records};
use crate::formats::values::{PlainStyle, Values, items, write_plain};

/// See the module.
pub struct Encoder {
    table: String,
    fields: Fields,
    options: CsvOptions,
    style: PlainStyle,
    field: Vec<u8>,
}

impl Encoder {
    /// An encoder of rows of `schema`.
    #[must_use]
    pub fn new(table: &str, schema: &SchemaRef, options: CsvOptions) -> Self {
        let style = PlainStyle { date_time_separator: b' ', java_decimals: options.java_decimals };
        Self { table: table.to_owned(), fields: schema.fields().clone(), options, style, field: Vec::new() }
    }

    fn row(&mut self, columns: &[Values<'_>], row: usize, out: &mut Vec<u8>) -> Result<()> {
        let mut field = std::mem::take(&mut self.field);
        for (index, column) in columns.iter().enumerate() {
            field.clear();
            self.value(column, row, &mut field);
            if index > 0 {
                out.push(self.options.dialect.delimiter);
            }
            self.write(index, &field, columns.len() == 1 && !column.is_null(row), out)?;
        }
        self.field = field;
        Ok(())
    }

    fn value(&self, values: &Values<'_>, row: usize, field: &mut Vec<u8>) {
        if values.is_null(row) {
            field.extend_from_slice(self.options.null_literal.as_deref().unwrap_or_default().as_bytes());
            return;
        }
        match values {
            Values::List(offsets, elements, _) => {
                for (position, element) in items(offsets, row).enumerate() {
                    if position > 0 {
                        field.extend_from_slice(self.options.array_delimiter.as_bytes());
                    }
                    self.value(elements, element, field);
                }
            }
            scalar => write_plain(field, scalar, row, self.style),
        }
    }

    /// Appends a field's text. `is_alone`: an empty one would read as no record at all.
    fn write(&self, index: usize, field: &[u8], is_alone: bool, out: &mut Vec<u8>) -> Result<()> {
        let dialect = self.options.dialect;
        let has_meaning = |byte: u8| {
            byte == dialect.delimiter
                || matches!(byte, b'\n' | b'\r')
                || Some(byte) == dialect.quote
                || Some(byte) == dialect.escape
        };
        let is_comment = index == 0 && field.first() == Some(&b'#');
        // One pass without branches tells for most fields that there is nothing to do.
        let is_special = field.iter().fold(is_comment, |found, byte| found | has_meaning(*byte));
        match dialect.quote {
            _ if !(is_special || is_alone && field.is_empty()) => out.extend_from_slice(field),
            Some(quote) => {
                out.push(quote);
                for byte in field {
                    if *byte == quote {
                        out.push(quote);
                    } else if Some(*byte) == dialect.escape {
                        out.push(*byte);
                    }
                    out.push(*byte);
                }
                out.push(quote);
            }
            None => {
                for byte in field {
                    match dialect.escape {
                        Some(escape) if has_meaning(*byte) && !matches!(byte, b'\n' | b'\r') => {
                            out.push(escape)
                        }
                        _ if has_meaning(*byte) => return Err(self.refused(index)),
                        _ => {}
                    }
                    out.push(*byte);
                }
            }
        }
        Ok(())
    }

    fn refused(&self, index: usize) -> Error {
        let name = self.fields.get(index).map_or("", |field| field.name().as_str());
        Error::new(
            Code::Evaluation,
            format!(
                "table {}: a value of column `{name}` holds a delimiter or a line's end, which can't be written without quotes; leave out csv.disable-quote-character, or set csv.escape-character",
                self.table
            ),
        )
    }
}

impl RecordEncoder for Encoder {
    fn encode(&mut self, columns: &[ArrayRef], rows: usize, out: &mut Records) -> Result<()> {
        let columns =
            columns.iter().map(|column| Values::new(column.as_ref())).collect::<Result<Vec<_>>>()?;
        for row in 0..rows {
            self.row(&columns, row, out.bytes_mut())?;
            out.end();
        }
        Ok(())
    }
}
