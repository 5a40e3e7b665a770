//! Lines into record batches. A malformed line is undone, whole, and says what is wrong and where.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use weir_api::error::Result;

use super::cursor::{Cursor, Problem};
use super::objects::Object;
use crate::formats::record::RecordDecoder;

/// Decodes JSON objects, a line each, into the columns of a schema.
pub struct Decoder {
    schema: SchemaRef,
    object: Object,
}

impl Decoder {
    /// A decoder of these columns, for batches of about `rows` rows; other fields of the lines are skipped.
    pub fn new(schema: SchemaRef, fail_on_missing_field: bool, rows: usize) -> Result<Self> {
        let object = Object::new(schema.fields(), fail_on_missing_field, rows)?;
        Ok(Self { schema, object })
    }

    /// Adds a line; a blank one adds nothing. `is_utf8` says that the caller has already checked the encoding.
    pub fn line(&mut self, line: &[u8], is_utf8: bool) -> Result<(), Problem> {
        let mut cursor = Cursor::new(line);
        if cursor.peek().is_none() {
            return Ok(());
        }
        if !is_utf8 && let Err(error) = std::str::from_utf8(line) {
            return Err(Problem { at: error.valid_up_to(), what: "bytes that aren't UTF-8".into() });
        }
        let rows = self.object.len();
        let parsed = self.object.parse(&mut cursor).and_then(|()| cursor.end());
        if parsed.is_err() {
            self.object.truncate(rows);
        }
        parsed
    }

    /// Rows since the last batch.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.object.len()
    }

    /// Takes the rows out.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.object.len()));
        let columns = self.object.finish_columns()?;
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

impl RecordDecoder for Decoder {
    fn record(&mut self, bytes: &[u8], is_utf8: bool) -> Result<(), Problem> {
        self.line(bytes, is_utf8)
    }

    fn rows(&self) -> usize {
        self.object.len()
    }

    fn truncate(&mut self, rows: usize) {
        self.object.truncate(rows);
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.object.finish_columns()
    }
}
