//! How many bytes records take, and copies of slices that would keep too much alive.
//!
//! Two measures: what a batch takes in a frame ([`wire_bytes`], slices counted by their own share, nested columns too) and what
//! the buffers behind it keep allocated ([`retained_bytes`]). Both cost nanoseconds per column and nothing per row.

use arrow::array::{Array, ArrayData, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{DataType, Schema};
use weir_api::batch::Batch;
use weir_api::error::{Code, Error, Result};

use super::wire::batch::{ALIGNMENT, PREFIX_BYTES};

/// Bytes of an IPC message's metadata besides its nodes and buffers, rounded up.
const METADATA_BYTES: usize = 320;
/// Bytes of metadata for each node or buffer.
const ENTRY_BYTES: usize = 16;

/// What the batch's values take, without metadata and padding.
pub(crate) fn data_bytes(batch: &Batch) -> usize {
    let mut size = Size::default();
    batch.records().columns().iter().for_each(|column| size.add(column.as_ref()));
    size.bytes + batch.kinds().map_or(0, Array::len)
}

/// An upper bound, close by, of the frame body that holds the batch.
pub(crate) fn wire_bytes(batch: &Batch) -> usize {
    let mut size = Size::default();
    batch.records().columns().iter().for_each(|column| size.add(column.as_ref()));
    let entries = (size.nodes + size.buffers) * ENTRY_BYTES + size.buffers * (ALIGNMENT - 1);
    PREFIX_BYTES + METADATA_BYTES + entries + size.bytes + batch.kinds().map_or(0, Array::len)
}

#[derive(Default)]
struct Size {
    nodes: usize,
    buffers: usize,
    bytes: usize,
}

impl Size {
    fn buffer(&mut self, bytes: usize) {
        self.buffers += 1;
        self.bytes += bytes;
    }

    fn add(&mut self, array: &dyn Array) {
        let len = array.len();
        self.nodes += 1;
        self.buffer(if array.null_count() > 0 { len.div_ceil(8) } else { 0 });
        match array.data_type() {
            DataType::Null => {}
            DataType::Boolean => self.buffer(len.div_ceil(8) + 1),
            DataType::Utf8 => self.offsets(array.as_string::<i32>().value_offsets()),
            DataType::Binary => self.offsets(array.as_binary::<i32>().value_offsets()),
            DataType::LargeUtf8 => self.offsets(array.as_string::<i64>().value_offsets()),
            DataType::LargeBinary => self.offsets(array.as_binary::<i64>().value_offsets()),
            DataType::FixedSizeBinary(width) => self.buffer(len * usize::try_from(*width).unwrap_or(0)),
            DataType::Utf8View => self.views(len, array.as_string_view().data_buffers()),
            DataType::BinaryView => self.views(len, array.as_binary_view().data_buffers()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                self.child(list.value_offsets(), list.values().as_ref());
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                self.child(list.value_offsets(), list.values().as_ref());
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                self.child(map.value_offsets(), map.entries());
            }
            DataType::FixedSizeList(_, _) => self.add(array.as_fixed_size_list().values().as_ref()),
            DataType::Struct(_) => {
                array.as_struct().columns().iter().for_each(|column| self.add(column.as_ref()));
            }
            other => match other.primitive_width() {
                Some(width) => self.buffer(len * width),
                None => self.buffer(array.get_array_memory_size()),
            },
        }
    }

    fn offsets<O: Copy + TryInto<usize>>(&mut self, offsets: &[O]) {
        self.buffer(size_of_val(offsets));
        let (first, last) = ends(offsets);
        self.buffer(last - first);
    }

    fn views(&mut self, len: usize, data: &[arrow::buffer::Buffer]) {
        self.buffer(len * 16);
        data.iter().for_each(|buffer| self.buffer(buffer.len()));
    }

    fn child<O: Copy + TryInto<usize>>(&mut self, offsets: &[O], values: &dyn Array) {
        self.buffer(size_of_val(offsets));
        let (first, last) = ends(offsets);
        self.add(values.slice(first, last - first).as_ref());
    }
}

/// The first and the last offset.
fn ends<O: Copy + TryInto<usize>>(offsets: &[O]) -> (usize, usize) {
    let to_usize = |offset: Option<&O>| offset.and_then(|&offset| offset.try_into().ok()).unwrap_or(0);
    let (first, last) = (to_usize(offsets.first()), to_usize(offsets.last()));
    (first, last.max(first))
}

/// Refuses columns that can't be cut by rows and sent.
pub(crate) fn check_schema(schema: &Schema) -> Result<()> {
    for field in schema.fields() {
        let top_level_view = matches!(field.data_type(), DataType::Utf8View | DataType::BinaryView);
        if !top_level_view && !is_supported(field.data_type()) {
            return Err(Error::new(
                Code::Unsupported,
                format!(
                    "column `{}` of type {} can't cross the network: cast it before the exchange",
                    field.name(),
                    field.data_type()
                ),
            ));
        }
    }
    Ok(())
}

fn is_supported(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => is_supported(field.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_supported(field.data_type())),
        DataType::Dictionary(_, _)
        | DataType::RunEndEncoded(_, _)
        | DataType::Union(_, _)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::Utf8View
        | DataType::BinaryView => false,
        _ => true,
    }
}

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
