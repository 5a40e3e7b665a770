//! A batch of records: columns, optional row kinds, and the permit for the memory that they hold.
//!
//! Invariant: the row-kind column, if any, is as long as the records. A batch without one is append-only. Knows nothing of
//! networks: a [`Permit`] is opaque here and returns its credit when its last clone is dropped.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, AsArray, GenericListArray, Int8Array, OffsetSizeTrait, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};

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
        self.records.columns().iter().map(|column| bytes_of(column)).sum::<usize>()
            + self.kinds.as_ref().map_or(0, Array::len)
    }
}

/// Bytes of an array's own rows. Arrow counts a sliced list's child as a whole, so nested arrays are walked.
fn bytes_of(array: &dyn Array) -> usize {
    let nulls = array.nulls().map_or(0, |nulls| nulls.len().div_ceil(8));
    match array.data_type() {
        DataType::Struct(_) => {
            nulls + array.as_struct().columns().iter().map(|column| bytes_of(column)).sum::<usize>()
        }
        DataType::List(_) => nulls + list_bytes(array.as_list::<i32>()),
        DataType::LargeList(_) => nulls + list_bytes(array.as_list::<i64>()),
        DataType::Map(_, _) => {
            let map = array.as_map();
            let (start, end) = (map.value_offsets()[0] as usize, map.value_offsets()[map.len()] as usize);
            nulls + (map.len() + 1) * size_of::<i32>() + bytes_of(&map.entries().slice(start, end - start))
        }
        _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
    }
}

fn list_bytes<O: OffsetSizeTrait>(list: &GenericListArray<O>) -> usize {
    let (start, end) = (list.value_offsets()[0].as_usize(), list.value_offsets()[list.len()].as_usize());
    (list.len() + 1) * size_of::<O>() + bytes_of(&list.values().slice(start, end - start))
}

impl From<RecordBatch> for Batch {
    fn from(records: RecordBatch) -> Self {
        Self::new(records)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use arrow::array::{ArrayRef, Int64Array, ListArray, StructArray};
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    fn lists(rows: usize) -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(
            (0..rows).map(|_| Some(vec![Some(1); 100])),
        ))
    }

    #[test]
    fn a_slice_is_charged_for_its_own_rows_alone() {
        let fields = vec![Field::new("l", lists(1).data_type().clone(), true)].into();
        let nested: ArrayRef = Arc::new(StructArray::new(fields, vec![lists(1000)], None));
        for column in [lists(1000), nested, Arc::new(Int64Array::from(vec![7; 1000])) as ArrayRef] {
            let batch = Batch::new(RecordBatch::try_from_iter([("c", column)]).expect("one column"));
            let (whole, tenth) = (batch.slice_bytes(), batch.slice(300, 100).slice_bytes());
            assert!(tenth * 9 < whole && whole < tenth * 11, "{whole} bytes, {tenth} in a tenth of the rows");
        }
    }

    #[test]
    fn a_permit_returns_with_the_last_batch_that_shares_its_memory() {
        struct Count(Arc<AtomicU32>);
        impl Drop for Count {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let returned = Arc::new(AtomicU32::new(0));
        let records = RecordBatch::try_from_iter([("c", lists(4))]).expect("one column");
        let batch = Batch::new(records.clone()).with_permit(Permit::new(Count(Arc::clone(&returned))));
        let (slice, derived) = (batch.slice(0, 1), batch.derive(records.slice(1, 2)));
        drop(batch);
        drop(slice);
        assert_eq!(returned.load(Ordering::Relaxed), 0);
        drop(derived);
        assert_eq!(returned.load(Ordering::Relaxed), 1);
    }
}
