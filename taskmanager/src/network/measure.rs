//! How many bytes records take, and copies of slices that would keep too much alive.
//!
//! Two measures: what the rows themselves take ([`Batch::slice_bytes`], the cost on a wire), and what the buffers behind them
//! keep allocated ([`retained_bytes`], the cost of holding them).

use arrow::array::{Array, ArrayData, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::DataType;
use weir_api::batch::Batch;
use weir_api::error::Result;

/// Bytes of all allocations that the batch keeps alive, each counted once.
pub(crate) fn retained_bytes(batch: &Batch) -> usize {
    let mut seen = Vec::with_capacity(batch.records().num_columns() * 3);
    let mut bytes = 0;
    for column in batch.records().columns() {
        count(&column.to_data(), &mut seen, &mut bytes);
    }
    bytes + batch.kinds().map_or(0, Array::len)
}

fn count(data: &ArrayData, seen: &mut Vec<usize>, bytes: &mut usize) {
    let nulls = data.nulls().map(|nulls| nulls.buffer());
    for buffer in data.buffers().iter().chain(nulls) {
        let address = buffer.data_ptr().as_ptr() as usize;
        if !seen.contains(&address) {
            seen.push(address);
            *bytes += buffer.capacity();
        }
    }
    data.child_data().iter().for_each(|child| count(child, seen, bytes));
}

/// The same rows in buffers of their own. The copy carries no permits.
pub(crate) fn compact(batch: &Batch) -> Result<Batch> {
    let rows = batch.num_rows();
    let indices = UInt32Array::from_iter_values(0..u32::try_from(rows).unwrap_or(u32::MAX));
    let records = own_views(take_record_batch(batch.records(), &indices)?)?;
    match batch.kinds() {
        Some(kinds) => Batch::with_kinds(records, take(kinds, &indices, None)?.as_primitive().clone()),
        None => Ok(Batch::new(records)),
    }
}

/// String and binary views point into shared buffers: gives each view column buffers that hold its own rows only.
pub(crate) fn own_views(records: RecordBatch) -> Result<RecordBatch> {
    let is_view = |data_type: &DataType| matches!(data_type, DataType::Utf8View | DataType::BinaryView);
    if !records.schema_ref().fields().iter().any(|field| is_view(field.data_type())) {
        return Ok(records);
    }
    let columns = records
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Utf8View => std::sync::Arc::new(column.as_string_view().gc()) as _,
            DataType::BinaryView => std::sync::Arc::new(column.as_binary_view().gc()) as _,
            _ => std::sync::Arc::clone(column),
        })
        .collect();
    Ok(RecordBatch::try_new(records.schema(), columns)?)
}
