//! A batch of records: columns, optional row kinds, and the permit for the memory that they hold.
//!
//! Invariant: the row-kind column, if any, is as long as the records. A batch without one is append-only. Knows nothing of
//! networks: a [`Permit`] is opaque here and returns its credit when its last clone is dropped.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, Int8Array, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};

/// How many rows a batch aims at.
pub const TARGET_ROWS: usize = 8192;

/// What a row does to the result that it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum RowKind {
    /// `+I`
    Insert = 0,
    /// `-U`
    UpdateBefore = 1,
    /// `+U`
    UpdateAfter = 2,
    /// `-D`
    Delete = 3,
}

impl RowKind {
    /// Flink's two-letter form.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::Insert => "+I",
            Self::UpdateBefore => "-U",
            Self::UpdateAfter => "+U",
            Self::Delete => "-D",
        }
    }

    /// The kind with this number.
    #[must_use]
    pub const fn from_i8(value: i8) -> Option<Self> {
        match value {
            0 => Some(Self::Insert),
            1 => Some(Self::UpdateBefore),
            2 => Some(Self::UpdateAfter),
            3 => Some(Self::Delete),
            _ => None,
        }
    }
}

/// The right to hold network memory; given back when the last clone is dropped.
#[derive(Clone)]
pub struct Permit {
    _held: Arc<dyn Any + Send + Sync>,
}

impl Permit {
    /// Holds `held` until the last clone of the permit is dropped; `held`'s `Drop` gives the credit back.
    pub fn new<T: Any + Send + Sync>(held: T) -> Self {
        Self { _held: Arc::new(held) }
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Permit")
    }
}

/// Records that flow together.
#[derive(Clone, Debug)]
pub struct Batch {
    records: RecordBatch,
    kinds: Option<Int8Array>,
    permits: Vec<Permit>,
}

impl Batch {
    /// An append-only batch.
    #[must_use]
    pub fn new(records: RecordBatch) -> Self {
        Self { records, kinds: None, permits: Vec::new() }
    }

    /// A batch of changes: `kinds` holds a [`RowKind`] number for each row, without nulls.
    pub fn with_kinds(records: RecordBatch, kinds: Int8Array) -> Result<Self> {
        if kinds.len() != records.num_rows() || kinds.null_count() != 0 {
            return Err(Error::internal(format!(
                "{} row kinds ({} null) for {} rows",
                kinds.len(),
                kinds.null_count(),
                records.num_rows()
            )));
        }
        Ok(Self { records, kinds: Some(kinds), permits: Vec::new() })
    }

    /// Other records made from this batch, which may share its buffers: they keep its permit.
    ///
    /// An operator whose output may share memory with its input must build it with this, or the memory is no longer
    /// charged to anyone. The row kinds aren't carried over: row counts may differ.
    #[must_use]
    pub fn derive(&self, records: RecordBatch) -> Self {
        Self { records, kinds: None, permits: self.permits.clone() }
    }

    /// The same batch, also holding `permit`.
    #[must_use]
    pub fn with_permit(mut self, permit: Permit) -> Self {
        self.permits.push(permit);
        self
    }

    /// The permits held, for a batch made of several.
    #[must_use]
    pub fn permits(&self) -> &[Permit] {
        &self.permits
    }

    /// Splits off the permits: the records go on uncharged. For the edge of a process, where bytes have been copied out.
    #[must_use]
    pub fn into_parts(self) -> (RecordBatch, Option<Int8Array>, Vec<Permit>) {
        (self.records, self.kinds, self.permits)
    }

    /// The columns.
    #[must_use]
    pub fn records(&self) -> &RecordBatch {
        &self.records
    }

    /// The row kinds; none for an append-only batch.
    #[must_use]
    pub fn kinds(&self) -> Option<&Int8Array> {
        self.kinds.as_ref()
    }

    /// The records' schema.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.records.schema()
    }

    /// How many rows.
    #[must_use]
    pub fn num_rows(&self) -> usize {
        self.records.num_rows()
    }

    /// Rows `offset..offset + length`, without copying; keeps the permits.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self {
            records: self.records.slice(offset, length),
            kinds: self.kinds.as_ref().map(|kinds| kinds.slice(offset, length)),
            permits: self.permits.clone(),
        }
    }

    /// Bytes that the rows themselves take, slices counted by their own share of the buffers.
    #[must_use]
    pub fn slice_bytes(&self) -> usize {
        self.records
            .columns()
            .iter()
            .map(|column| {
                column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
            })
            .sum::<usize>()
            + self.kinds.as_ref().map_or(0, Array::len)
    }
}

impl From<RecordBatch> for Batch {
    fn from(records: RecordBatch) -> Self {
        Self::new(records)
    }
}
