//! Appends `window_start`, `window_end` and `window_time`; a row is repeated for each window that holds it.
//!
//! The repetitions of a batch share its columns: window number k of every row makes one output batch, so nothing but the three
//! new columns is written. Passes late rows on; knows no state.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use weir_api::batch::Batch;
use weir_api::error::{Code, Error, Result};
use weir_api::operator::{Operator, Progress};
use weir_api::output::Output;
use weir_proto::v1::WindowTableFunctionSpec;

use super::{Aligned, Windows};
use crate::calc::{batch_of, derive};
use crate::event_time::{millis, timestamps};

/// See the module.
pub(crate) struct WindowTableFunction {
    name: String,
    windows: Aligned,
    time_column: usize,
    time_name: String,
    output: SchemaRef,
    pending: Option<Pending>,
}

/// A batch that isn't repeated for all its windows yet.
struct Pending {
    batch: Batch,
    times: ScalarBuffer<i64>,
    /// The next repetition: 0 is each row's last window.
    next: i64,
}

impl WindowTableFunction {
    pub(crate) fn new(
        name: &str,
        spec: &WindowTableFunctionSpec,
        input: &SchemaRef,
        output: SchemaRef,
    ) -> Result<Self> {
        let malformed = |what: &str| Error::new(Code::MalformedMessage, format!("operator '{name}' {what}"));
        let Windows::Aligned(windows) = Windows::new(spec.window.as_ref())? else {
            return Err(malformed("appends windows that aren't computed from the time"));
        };
        let time_column = spec.time_column as usize;
        let time = input.fields().get(time_column).ok_or_else(|| malformed("has no such time column"))?;
        let appended = output.fields().get(input.fields().len()..).unwrap_or_default();
        if appended.len() != 3
            || appended.iter().any(|field| !weir_api::schema::is_timestamp(field.data_type()))
        {
            return Err(malformed("must emit its input and three timestamps"));
        }
        Ok(Self {
            name: name.to_owned(),
            windows,
            time_column,
            time_name: time.name().clone(),
            output,
            pending: None,
        })
    }

    /// The rows that have a window number `back` from their last, with that window.
    fn repetition(&self, pending: &Pending, back: i64) -> Result<Batch> {
        let records = pending.batch.records();
        let Aligned { size, slide, step, .. } = self.windows;
        let (starts, ends): (Vec<i64>, Vec<i64>) =
            pending.times.iter().map(|&time| self.windows.window_before_last(time, back)).unzip();
        let field = |from_last: usize| self.output.field(self.output.fields().len() - from_last).data_type();
        let times = ends.iter().map(|end| end - 1).collect();
        // Rows differ in how many windows they have where a hop's size isn't a multiple of its slide, and where windows cumulate.
        let uneven = step < slide || (back + 1) * slide > size;
        let mask: Option<BooleanArray> = uneven.then(|| {
            let held: Vec<bool> = pending.times.iter().zip(&ends).map(|(time, end)| time < end).collect();
            held.into()
        });
        let mut columns = records.columns().to_vec();
        columns.push(timestamps(starts, field(3))?);
        columns.push(timestamps(ends, field(2))?);
        columns.push(timestamps(times, field(1))?);
        let repeated = batch_of(Arc::clone(&self.output), columns, records.num_rows())?;
        let repeated: RecordBatch = match &mask {
            Some(mask) => filter_record_batch(&repeated, mask)?,
            None => repeated,
        };
        derive(&pending.batch, repeated, mask.as_ref())
    }
}

impl Operator for WindowTableFunction {
    fn output_schema(&self) -> Option<SchemaRef> {
        Some(Arc::clone(&self.output))
    }

    fn process(&mut self, _input: u32, batch: Batch, out: &mut Output) -> Result<Progress> {
        let times = millis(batch.records().column(self.time_column), &self.time_name)
            .map_err(|error| error.context(format_args!("operator '{}'", self.name)))?;
        self.pending = Some(Pending { batch, times, next: 0 });
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        let Some(mut pending) = self.pending.take() else { return Ok(Progress::Done) };
        while pending.next * self.windows.step < self.windows.size {
            if !out.has_room() {
                self.pending = Some(pending);
                return Ok(Progress::NeedRoom);
            }
            out.push(self.repetition(&pending, pending.next)?);
            pending.next += 1;
        }
        Ok(Progress::Done)
    }
}

#[cfg(test)]
mod tests;
