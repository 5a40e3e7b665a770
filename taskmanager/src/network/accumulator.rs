//! Gathers the rows for one target until they are worth sending.
//!
//! Invariant: rows leave in the order in which they came. A batch that is large by itself isn't copied: it goes as it is. Small
//! ones are concatenated if the pool has room for the copy, else they go one by one.

use arrow::array::{AsArray, Int8Array};
use arrow::compute::{concat, concat_batches};
use weir_api::batch::{Batch, TARGET_ROWS};
use weir_api::error::Result;

use super::charge::Charger;
use super::measure::data_bytes;
use super::outgoing::Sizes;

/// When a gathered batch is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Rows.
    pub(crate) rows: usize,
    /// Bytes.
    pub(crate) bytes: usize,
}

impl Limits {
    /// A full batch fits into one frame, metadata included.
    pub(crate) const fn new(sizes: Sizes) -> Self {
        Self { rows: TARGET_ROWS, bytes: sizes.frame_bytes - sizes.frame_bytes / 32 }
    }
}

/// Rows gathered for one target.
#[derive(Debug, Default)]
pub(crate) struct Accumulator {
    parts: Vec<Batch>,
    rows: usize,
    bytes: usize,
}

impl Accumulator {
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(crate) const fn is_full(&self, limits: &Limits) -> bool {
        self.rows >= limits.rows || self.bytes >= limits.bytes
    }

    /// Whether what was gathered should go before this batch comes: together they would be more than one, or the batch is large
    /// enough by itself and copying it isn't worth it.
    pub(crate) fn goes_before(&self, batch: &Batch, limits: &Limits) -> bool {
        if self.parts.is_empty() {
            return false;
        }
        let (rows, bytes) = (batch.num_rows(), data_bytes(batch));
        let overflows = self.rows + rows > limits.rows || self.bytes + bytes > limits.bytes;
        let large = rows >= limits.rows / 2 || (rows >= limits.rows / 64 && bytes >= limits.bytes / 2);
        overflows || large
    }

    pub(crate) fn add(&mut self, batch: Batch) {
        self.rows += batch.num_rows();
        self.bytes += data_bytes(&batch);
        self.parts.push(batch);
    }

    /// What was gathered, as few batches as the pool allows.
    pub(crate) fn take(&mut self, charger: &Charger) -> Result<Vec<Batch>> {
        let parts = std::mem::take(&mut self.parts);
        let bytes = std::mem::take(&mut self.bytes);
        self.rows = 0;
        if parts.len() < 2 {
            return Ok(parts);
        }
        let Some(permit) = charger.permit(bytes) else {
            return Ok(parts);
        };
        Ok(vec![concatenate(&parts)?.with_permit(permit)])
    }
}

/// One batch of copies.
fn concatenate(parts: &[Batch]) -> Result<Batch> {
    let Some(first) = parts.first() else {
        return Err(weir_api::Error::internal("nothing to concatenate"));
    };
    let records = concat_batches(&first.schema(), parts.iter().map(Batch::records))?;
    if parts.iter().all(|part| part.kinds().is_none()) {
        return Ok(Batch::new(records));
    }
    let kinds: Vec<Int8Array> = parts
        .iter()
        .map(|part| part.kinds().cloned().unwrap_or_else(|| Int8Array::from_value(0, part.num_rows())))
        .collect();
    let kinds = concat(&kinds.iter().map(|kinds| kinds as _).collect::<Vec<_>>())?;
    Batch::with_kinds(records, kinds.as_primitive().clone())
}
