//! Messages into batches: the wanted columns of key and value, decoded, and of what stands beside them.
//!
//! Invariant: between messages, key, value and metadata columns have the same number of rows; a message whose key or value is
//! malformed leaves nothing behind.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, RecordBatchOptions};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Error, Result};

use super::layout::{Layout, Part};
use super::metadata::Column as MetadataColumn;
use super::native::Message;
use super::split::Position;
use crate::formats::record::{MAX_RECORD_BYTES, Problem, RecordDecoder};
use crate::on_error::Malformed;

/// Where a wanted column comes from, by its place there.
#[derive(Clone, Copy)]
enum From {
    Key(usize),
    Value(usize),
    Metadata(usize),
}

/// Decodes the messages of one reader.
pub struct Decoder {
    schema: SchemaRef,
    columns: Vec<From>,
    value: Box<dyn RecordDecoder>,
    /// Only where one of its columns is wanted.
    key: Option<KeyDecoder>,
    metadata: Vec<MetadataColumn>,
    malformed: Malformed,
}

struct KeyDecoder {
    records: Box<dyn RecordDecoder>,
    /// For each row its key's row; none for a message without a key.
    rows: Vec<Option<i32>>,
    missing: usize,
    /// A wanted column that can't be null.
    required: Option<String>,
}

impl Decoder {
    /// A decoder of the columns `schema`, some of those of the table.
    pub fn new(layout: &Layout, schema: SchemaRef, malformed: Malformed) -> Result<Self> {
        let (mut of_key, mut of_value) = (Vec::new(), Vec::new());
        let mut metadata = Vec::new();
        let mut columns = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let place = layout.schema.index_of(field.name())?;
            if let Some((_, key)) = layout.metadata.iter().find(|(column, _)| *column == place) {
                columns.push(From::Metadata(metadata.len()));
                metadata.push(MetadataColumn::new(*key));
            } else if layout.value.columns.contains(&place) {
                columns.push(From::Value(of_value.len()));
                of_value.push(field.clone());
            } else if let Some((key, at)) = layout
                .key
                .as_ref()
                .and_then(|key| Some((key, key.columns.iter().position(|column| *column == place)?)))
            {
                columns.push(From::Key(of_key.len()));
                of_key.push(Arc::new(field.as_ref().clone().with_name(key.fields[at].name())));
            } else {
                return Err(Error::internal(format!("column {} is neither key nor value", field.name())));
            }
        }
        let decoder = |part: &Part, wanted: Vec<_>| {
            let wanted = Arc::new(Schema::new(wanted));
            part.format.decoder(&layout.table, &part.fields, wanted, TARGET_ROWS)
        };
        let key = match &layout.key {
            Some(part) if !of_key.is_empty() => Some(KeyDecoder {
                required: of_key.iter().find(|field| !field.is_nullable()).map(|field| field.name().clone()),
                records: decoder(part, of_key)?,
                rows: Vec::new(),
                missing: 0,
            }),
            _ => None,
        };
        let value = decoder(&layout.value, of_value)?;
        Ok(Self { schema, columns, value, key, metadata, malformed })
    }

    /// Adds a message's row; a tombstone and a blank record add none, and a malformed one goes its own way.
    pub fn add(&mut self, topic: &str, message: &Message<'_>) -> Result<()> {
        let Some(value) = message.value() else { return Ok(()) };
        let position = || Position { topic, partition: message.partition(), offset: message.offset() };
        if value.len() > MAX_RECORD_BYTES {
            let what = format!("a value of {} bytes, where {MAX_RECORD_BYTES} are the most", value.len());
            return self.malformed.record(position(), None, &Problem { at: 0, what: what.into() });
        }
        let before = self.value.rows();
        if let Err(problem) = self.value.record(value, false) {
            return self.malformed.record(position(), Some(value), &problem);
        }
        if self.value.rows() == before {
            return Ok(());
        }
        if let Some(key) = &mut self.key
            && let Err(mut problem) = key.add(message.key())
        {
            self.value.truncate(before);
            problem.what = format!("the key: {}", problem.what).into();
            return self.malformed.record(position(), message.key(), &problem);
        }
        self.metadata.iter_mut().try_for_each(|column| column.add(message))
    }

    /// Rows since the last batch.
    pub fn rows(&self) -> usize {
        self.value.rows()
    }

    /// Takes the rows out; all are of messages of one topic.
    pub fn finish(&mut self, topic: &str) -> Result<RecordBatch> {
        let rows = self.value.rows();
        let value = self.value.finish()?;
        let key = self.key.as_mut().map(KeyDecoder::finish).transpose()?.unwrap_or_default();
        let metadata: Vec<ArrayRef> = self.metadata.iter_mut().map(|column| column.finish(topic)).collect();
        let columns = self
            .columns
            .iter()
            .map(|from| match from {
                From::Key(place) => key.get(*place),
                From::Value(place) => value.get(*place),
                From::Metadata(place) => metadata.get(*place),
            })
            .map(|column| column.cloned().ok_or_else(|| Error::internal("a decoder left a column out")))
            .collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// What couldn't be decoded.
    pub fn malformed(&mut self) -> &mut Malformed {
        &mut self.malformed
    }
}

impl KeyDecoder {
    fn add(&mut self, key: Option<&[u8]>) -> Result<(), Problem> {
        let row = self.records.rows();
        if let Some(key) = key {
            if key.len() > MAX_RECORD_BYTES {
                let what = format!("{} bytes, where {MAX_RECORD_BYTES} are the most", key.len());
                return Err(Problem { at: 0, what: what.into() });
            }
            self.records.record(key, false)?;
        }
        if self.records.rows() > row {
            self.rows.push(i32::try_from(row).ok());
            return Ok(());
        }
        if let Some(column) = &self.required {
            return Err(Problem { at: 0, what: format!("none, for column `{column}` NOT NULL").into() });
        }
        self.missing += 1;
        self.rows.push(None);
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        let columns = self.records.finish()?;
        let rows = std::mem::take(&mut self.rows);
        if std::mem::take(&mut self.missing) == 0 {
            return Ok(columns);
        }
        let rows = Int32Array::from(rows);
        Ok(columns.iter().map(|column| take(column, &rows, None)).collect::<Result<_, _>>()?)
    }
}
