//! Columns over runs of events: each kernel sees a run at a time, so that what is constant in it is computed once.
//!
//! Rows of other kinds are null in a kind's columns; the fields of a null ROW are null too, wherever they may be.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, Int32Array, Int64Array, TimestampMillisecondArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use weir_api::error::Result;

use super::events::{Kind, Run};
use super::texts::Texts;

/// The events that a batch is made of.
pub struct Events<'a> {
    /// Their runs.
    pub runs: &'a [Run],
    /// How many.
    pub len: usize,
}

impl<'a> Events<'a> {
    /// The events of these runs.
    #[must_use]
    pub fn new(runs: &'a [Run]) -> Self {
        Self { runs, len: runs.iter().map(|run| run.len).sum() }
    }

    /// Each event's kind, as a number.
    #[must_use]
    pub fn types(&self) -> ArrayRef {
        let mut values = Vec::with_capacity(self.len);
        for run in self.runs {
            values.resize(values.len() + run.len, run.kind as i32);
        }
        Arc::new(Int32Array::new(ScalarBuffer::from(values), None))
    }

    /// Which rows are of this kind; none where all are.
    #[must_use]
    pub fn nulls(&self, kind: Kind) -> Option<NullBuffer> {
        if self.runs.iter().all(|run| run.kind == kind) {
            return None;
        }
        let mut valid = BooleanBufferBuilder::new(self.len);
        for run in self.runs {
            valid.append_n(run.len, run.kind == kind);
        }
        Some(NullBuffer::new(valid.finish()))
    }

    fn values<V: Fn(u64) -> i64>(&self, kind: Kind, of_run: impl Fn(Run) -> V) -> ScalarBuffer<i64> {
        let mut values = Vec::with_capacity(self.len);
        for run in self.runs {
            if run.kind == kind {
                values.extend(run.numbers().map(of_run(*run)));
            } else {
                values.resize(values.len() + run.len, 0);
            }
        }
        ScalarBuffer::from(values)
    }

    /// A BIGINT column: `of_run` gives the function from an event's number to its value.
    pub fn longs<V: Fn(u64) -> i64>(
        &self,
        kind: Kind,
        nulls: Option<NullBuffer>,
        of_run: impl Fn(Run) -> V,
    ) -> ArrayRef {
        Arc::new(Int64Array::new(self.values(kind, of_run), nulls))
    }

    /// A TIMESTAMP(3) column.
    pub fn times<V: Fn(u64) -> i64>(
        &self,
        kind: Kind,
        nulls: Option<NullBuffer>,
        of_run: impl Fn(Run) -> V,
    ) -> ArrayRef {
        Arc::new(TimestampMillisecondArray::new(self.values(kind, of_run), nulls))
    }

    /// A STRING column: `add` adds an event's text to its row.
    pub fn texts(
        &self,
        kind: Kind,
        nulls: Option<NullBuffer>,
        average: usize,
        mut add: impl FnMut(&mut Texts, u64),
    ) -> Result<ArrayRef> {
        let rows = self.runs.iter().filter(|run| run.kind == kind).map(|run| run.len).sum::<usize>();
        let mut texts = Texts::with_capacity(self.len, average * rows / self.len.max(1) + 1);
        for run in self.runs {
            if run.kind == kind {
                for n in run.numbers() {
                    add(&mut texts, n);
                    texts.end();
                }
            } else {
                texts.empty(run.len);
            }
        }
        texts.finish(nulls)
    }
}
