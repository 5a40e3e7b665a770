//! Records of comma-separated values into columns: fields are matched by position to the declared ones.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Fields as ArrowFields, SchemaRef};
use weir_api::error::{Code, Error, Result};

use super::CsvOptions;
use super::fields::Fields;
use crate::formats::json::columns::Column;
use crate::formats::record::{Parsed, Problem, RecordDecoder};
use crate::types::refuse_type;

/// Refuses columns that a field can't hold.
pub fn check(table: &str, fields: &ArrowFields) -> Result<()> {
    for field in fields {
        let item = match field.data_type() {
            DataType::List(item) => item.data_type(),
            other => other,
        };
        if item.is_nested() || matches!(item, DataType::Null) {
            return Err(refuse_type(table, field.name(), field.data_type(), "format 'csv'"));
        }
    }
    Ok(())
}

struct Slot {
    column: Column,
    /// The values, or the elements of the arrays, are texts.
    holds_text: bool,
    is_list: bool,
}

/// Decodes records into the columns of a schema.
pub struct Decoder {
    options: CsvOptions,
    fields: Fields,
    /// For each field of a record, the column that wants it.
    wanted: Vec<Option<usize>>,
    slots: Vec<Slot>,
    rows: usize,
}

impl Decoder {
    /// A decoder of the `wanted` columns out of records with the fields `record`.
    pub fn new(
        table: &str,
        record: &ArrowFields,
        wanted: &SchemaRef,
        options: CsvOptions,
        rows: usize,
    ) -> Result<Self> {
        for field in wanted.fields() {
            if !record.iter().any(|of_record| of_record.name() == field.name()) {
                let what = format!("table {table}: a record has no field `{}`", field.name());
                return Err(Error::new(Code::Internal, what));
            }
        }
        let of = |name: &str| wanted.fields().iter().position(|field| field.name() == name);
        let slots = wanted
            .fields()
            .iter()
            .map(|field| {
                let (value, is_list) = match field.data_type() {
                    DataType::List(item) => (item.data_type(), true),
                    other => (other, false),
                };
                let column = Column::new(field.data_type(), field.is_nullable(), false, rows)?;
                Ok(Slot { column, holds_text: matches!(value, DataType::Utf8), is_list })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            fields: Fields::new(options.dialect),
            options,
            wanted: record.iter().map(|field| of(field.name())).collect(),
            slots,
            rows: 0,
        })
    }

    fn parse(&mut self, record: &[u8]) -> Parsed<()> {
        let Self { options, fields, wanted, slots, .. } = self;
        let found = fields.cut(record, |index, text, at| {
            match wanted.get(index).copied().flatten().and_then(|slot| slots.get_mut(slot)) {
                Some(slot) => slot.add(options, text, at),
                None => Ok(()),
            }
        })?;
        if found == wanted.len() {
            return Ok(());
        }
        let what = format!("{found} fields where the table declares {} columns", wanted.len());
        Err(Problem { at: 0, what: what.into() })
    }
}

impl Slot {
    fn add(&mut self, options: &CsvOptions, text: &[u8], at: usize) -> Parsed<()> {
        let holds_text = self.holds_text;
        let is_null = |text: &[u8], empty_is_null: bool| match &options.null_literal {
            Some(literal) => text == literal.as_bytes(),
            None => empty_is_null && text.is_empty(),
        };
        if is_null(text, self.is_list || !holds_text) {
            return self.column.add_null(at);
        }
        let plain = |text| if holds_text { text } else { <[u8]>::trim_ascii(text) };
        if !self.is_list {
            return self.column.add_text(plain(text), at);
        }
        let elements = split(text, options.array_delimiter.as_bytes());
        self.column.add_texts(elements.map(|text| (!is_null(text, !holds_text)).then(|| plain(text))), at)
    }
}

/// The elements of an array.
fn split<'a>(text: &'a [u8], delimiter: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = (!text.is_empty()).then_some(text);
    std::iter::from_fn(move || {
        let all = rest?;
        match memchr::memmem::find(all, delimiter) {
            Some(end) => {
                rest = all.get(end + delimiter.len()..);
                all.get(..end)
            }
            None => rest.take(),
        }
    })
}

impl RecordDecoder for Decoder {
    fn record(&mut self, bytes: &[u8], is_utf8: bool) -> Parsed<()> {
        let record = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let is_comment = self.options.allow_comments && record.first() == Some(&b'#');
        if is_comment || (record.is_empty() && self.wanted.len() > 1) {
            return Ok(());
        }
        if !is_utf8 && let Err(error) = std::str::from_utf8(record) {
            return Err(Problem { at: error.valid_up_to(), what: "bytes that aren't UTF-8".into() });
        }
        let parsed = self.parse(record);
        match parsed {
            Ok(()) => self.rows += 1,
            Err(_) => self.truncate(self.rows),
        }
        parsed
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn truncate(&mut self, rows: usize) {
        for slot in &mut self.slots {
            slot.column.truncate(rows);
        }
        self.rows = self.rows.min(rows);
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.rows = 0;
        self.slots.iter_mut().map(|slot| slot.column.finish()).collect()
    }
}
