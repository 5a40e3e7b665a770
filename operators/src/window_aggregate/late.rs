//! Rows that come after all their windows have fired, on their way to the side output.
//!
//! Decides what such a row is told with: which table it is of, how late it was, the row as JSON. Invariant: the rows of a batch
//! leave in its order, in one batch of [`side_output::late_rows`]. Costs nothing while nothing is late. Doesn't know what is
//! late: the operator does.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, RecordBatch, StringArray, StringBuilder, TimestampMillisecondArray, UInt32Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::temporal_conversions::timestamp_ms_to_datetime;
use weir_api::error::{Code, Error, Result};
use weir_api::side_output;
use weir_proto::v1::WindowAggregateSpec;

use super::split::Selection;

/// What late rows are told with; see the module.
#[derive(Debug)]
pub(super) struct LateRows {
    /// The table that the rows come from.
    source: String,
    /// The columns of the JSON: their positions in the input and what they are called.
    positions: Vec<usize>,
    schema: SchemaRef,
}

/// Late rows of one batch, as they are found pane by pane.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The row's position in the batch, and the end of its last window.
    rows: Vec<(u32, i64)>,
}

impl Found {
    /// Rows whose last window ended at `last_end`, of a batch of `all` rows.
    pub(super) fn add(&mut self, rows: &Selection, last_end: i64, all: usize) {
        match rows {
            Selection::All => self.rows.extend((0..all as u32).map(|row| (row, last_end))),
            Selection::Slice(range) => {
                self.rows.extend((range.start as u32..range.end as u32).map(|row| (row, last_end)));
            }
            Selection::Indices(indices) => {
                self.rows.extend(indices.values().iter().map(|&row| (row, last_end)));
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl LateRows {
    /// `None`: the spec has no side output. The input's columns must be writable as JSON.
    pub(super) fn new(spec: &WindowAggregateSpec, input: &Schema) -> Result<Option<Self>> {
        if spec.late_rows_of.is_empty() {
            return Ok(None);
        }
        let named: Vec<(usize, &str)> = match spec.late_columns.as_slice() {
            [] => input.fields().iter().map(|field| field.name().as_str()).enumerate().collect(),
            columns => columns.iter().map(|column| (column.column as usize, column.name.as_str())).collect(),
        };
        let fields = named.iter().map(|&(position, name)| {
            let field = input.fields().get(position).ok_or_else(|| {
                let columns = input.fields().len();
                Error::new(
                    Code::MalformedMessage,
                    format!("late rows hold column {position} of an input of {columns} columns"),
                )
            })?;
            Ok(Field::new(name, field.data_type().clone(), true))
        });
        let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?));
        let positions = named.into_iter().map(|(position, _)| position).collect();
        let late = Self { source: spec.late_rows_of.clone(), positions, schema };
        late.check_types()?;
        Ok(Some(late))
    }

    /// What can't be written as JSON is refused before the first late row.
    fn check_types(&self) -> Result<()> {
        let nulls = self.schema.fields().iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        self.json(nulls, 1).map(|_| ()).map_err(|error| {
            Error::new(
                Code::Unsupported,
                format!(
                    "rows of {} can't be written to a table of late rows, as a column has no form in JSON; leave \
                     'late-data.policy' at 'drop' or don't select that column",
                    self.source
                ),
            )
            .with_source(error)
        })
    }

    /// The rows found late in `records`, when event time had come to `watermark` and processing time to `now`.
    pub(super) fn batch(
        &self,
        mut found: Found,
        records: &RecordBatch,
        watermark: i64,
        now: i64,
    ) -> Result<RecordBatch> {
        found.rows.sort_unstable_by_key(|&(row, _)| row);
        let count = found.rows.len();
        let indices: UInt32Array = found.rows.iter().map(|&(row, _)| row).collect::<Vec<_>>().into();
        let columns = self.positions.iter().map(|&position| {
            let column = records
                .columns()
                .get(position)
                .ok_or_else(|| Error::internal(format!("late rows lack column {position} of their input")))?;
            Ok(take(column, &indices, None)?)
        });
        let rows = self.json(columns.collect::<Result<_>>()?, count)?;
        // After a restore a window may have fired for a row's key although this instance hasn't come so far yet.
        let passed = |last_end: i64| watermark.max(last_end.saturating_sub(1));
        let watermarks = found.rows.iter().map(|&(_, last_end)| passed(last_end));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&self.source, count))),
            new_null_array(&DataType::Utf8, count),
            new_null_array(&DataType::Binary, count),
            Arc::new(errors(&found.rows, passed)),
            Arc::new(TimestampMillisecondArray::from(vec![now; count]).with_timezone("UTC")),
            Arc::new(rows),
            Arc::new(TimestampMillisecondArray::from_iter_values(watermarks)),
        ];
        Ok(RecordBatch::try_new(side_output::late_rows(), columns)?)
    }

    /// Each row as a JSON object, nulls included.
    fn json(&self, columns: Vec<ArrayRef>, count: usize) -> Result<StringArray> {
        let records = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let builder = WriterBuilder::new().with_explicit_nulls(true);
        let mut writer = builder.build::<_, LineDelimited>(Vec::with_capacity(count * 64));
        writer.write(&records)?;
        let text = String::from_utf8(writer.into_inner())
            .map_err(|error| Error::internal("late rows as JSON aren't UTF-8").with_source(error))?;
        // Line breaks within strings are escaped.
        let mut rows = StringBuilder::with_capacity(count, text.len());
        text.lines().for_each(|line| rows.append_value(line));
        Ok(rows.finish())
    }
}

/// What is wrong with each row. Neighbours often are of one window: its text is made once.
fn errors(rows: &[(u32, i64)], passed: impl Fn(i64) -> i64) -> StringArray {
    let mut errors = StringBuilder::with_capacity(rows.len(), rows.len() * 80);
    let mut last = (None, String::new());
    for &(_, end) in rows {
        if last.0 != Some(end) {
            last = (Some(end), error(end, passed(end)));
        }
        errors.append_value(&last.1);
    }
    errors.finish()
}

/// How far event time had gone past the end of the row's last window.
fn error(last_end: i64, watermark: i64) -> String {
    let late = watermark.saturating_sub(last_end).max(0) as f64 / 1000.0;
    match timestamp_ms_to_datetime(last_end) {
        Some(end) => format!("{late} s later than the end of its last window, {end:?}"),
        None => format!("{late} s later than the end of its last window"),
    }
}
