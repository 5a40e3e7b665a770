//! A row for each element of an array or map, with the columns of the row that it comes from.
//!
//! Elements are emitted in slices of the collection's own memory where they lie side by side; only the row's columns are
//! repeated, by one permuted copy per batch. Invariant: no batch has more than [`TARGET_ROWS`] rows, nor repeats more than
//! [`REPEATED_BYTES`] of one input batch's text and nested values, except by a single row; so neither a row of a million elements
//! nor a wide one fills memory. Knows nothing of time or state.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int8Array, Int32Array, RecordBatch, StructArray, UInt32Array, make_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use weir_api::batch::{Batch, TARGET_ROWS};
use weir_api::error::{Code, Error, Result};
use weir_api::operator::{Operator, Progress};
use weir_api::output::Output;
use weir_proto::v1::UnnestSpec;

use crate::calc::batch_of;

/// The most bytes of variable length that a batch repeats.
const REPEATED_BYTES: usize = 4 << 20;
/// The most batches that one call emits.
const STEPS: usize = 16;

/// See the module.
pub(crate) struct Unnest {
    name: String,
    collection: usize,
    kept: Vec<usize>,
    elements: Vec<usize>,
    with_ordinality: bool,
    outer: bool,
    output: SchemaRef,
    pending: Option<Pending>,
}

/// A batch whose elements aren't all emitted yet.
struct Pending {
    kept: Batch,
    kinds: Option<Int8Array>,
    collection: Collection,
    /// How many bytes repeating each row costs; empty where that can't matter.
    widths: Vec<usize>,
    row: usize,
    /// The next element of the row.
    element: usize,
}

/// The lists of a batch.
struct Collection {
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
    /// The columns of all elements.
    columns: Vec<ArrayRef>,
}

/// Some rows of the output.
#[derive(Default)]
struct Chunk {
    /// For each, the input's row.
    rows: Vec<u32>,
    /// For each, the element; `None` for a row without any.
    elements: Vec<Option<u32>>,
    /// For each, the element's number in its row.
    numbers: Vec<Option<i32>>,
}

impl Unnest {
    pub(crate) fn new(name: &str, spec: &UnnestSpec, input: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let malformed =
            |what: String| Error::new(Code::MalformedMessage, format!("operator '{name}' {what}"));
        let positions = |positions: &[u32]| positions.iter().map(|&position| position as usize).collect();
        let this = Self {
            name: name.to_owned(),
            collection: spec.collection as usize,
            kept: positions(&spec.kept),
            elements: positions(&spec.elements),
            with_ordinality: spec.with_ordinality,
            outer: spec.outer,
            output,
            pending: None,
        };
        let field = |column: usize| {
            input.fields().get(column).ok_or_else(|| malformed(format!("has no column {column}")))
        };
        let collection = field(this.collection)?;
        let of_element = element_types(collection.data_type()).ok_or_else(|| {
            malformed(format!("unnests '{}', which is of type {}", collection.name(), collection.data_type()))
        })?;
        let mut types = Vec::with_capacity(this.output.fields().len());
        for &column in &this.kept {
            types.push(field(column)?.data_type().clone());
        }
        for &element in &this.elements {
            let data_type = of_element.get(element);
            types.push(
                data_type
                    .cloned()
                    .ok_or_else(|| malformed(format!("has no column {element} of an element")))?,
            );
        }
        types.extend(this.with_ordinality.then_some(DataType::Int32));
        let emitted: Vec<&DataType> = this.output.fields().iter().map(|field| field.data_type()).collect();
        if emitted != types.iter().collect::<Vec<_>>() || types.is_empty() {
            return Err(malformed(format!("emits {emitted:?}, not {types:?}")));
        }
        Ok(this)
    }

    /// The next rows, and how far they go.
    fn chunk(&self, pending: &mut Pending) -> Chunk {
        let mut chunk = Chunk::default();
        let mut bytes = 0_usize;
        let offsets = &pending.collection.offsets;
        while pending.row < pending.kept.num_rows() {
            let row = pending.row;
            let is_null = pending.collection.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            let start = offsets[row] as usize;
            let count = if is_null { 0 } else { offsets[row + 1] as usize - start };
            let alone = count == 0 && self.outer;
            let left = if alone { 1 } else { count - pending.element };
            let width = pending.widths.get(row).copied().unwrap_or(0);
            let room = TARGET_ROWS - chunk.rows.len();
            let affordable = REPEATED_BYTES.saturating_sub(bytes).checked_div(width).unwrap_or(room);
            // A batch has a row at least, however wide.
            let taken =
                left.min(room).min(if chunk.rows.is_empty() { affordable.max(1) } else { affordable });
            bytes = bytes.saturating_add(taken.saturating_mul(width));
            chunk.rows.resize(chunk.rows.len() + taken, row as u32);
            if alone {
                chunk.elements.extend((0..taken).map(|_| None));
                chunk.numbers.extend((0..taken).map(|_| None));
            } else {
                let elements = pending.element..pending.element + taken;
                chunk.elements.extend(elements.clone().map(|element| Some((start + element) as u32)));
                if self.with_ordinality {
                    chunk.numbers.extend(elements.map(|element| Some(element as i32 + 1)));
                }
            }
            if taken < left {
                pending.element += taken;
                return chunk;
            }
            pending.row += 1;
            pending.element = 0;
        }
        chunk
    }

    fn emit(&self, pending: &Pending, chunk: Chunk) -> Result<Batch> {
        let rows = chunk.rows.len();
        let indices = UInt32Array::from(chunk.rows);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.output.fields().len());
        for column in pending.kept.records().columns() {
            columns.push(take(column, &indices, None)?);
        }
        columns.extend(elements_of(&pending.collection, &self.elements, &chunk.elements)?);
        if self.with_ordinality {
            columns.push(Arc::new(Int32Array::from(chunk.numbers)));
        }
        let records = batch_of(Arc::clone(&self.output), columns, rows)?;
        let Some(kinds) = &pending.kinds else { return Ok(pending.kept.derive(records)) };
        let kinds = take(kinds, &indices, None)?;
        let kinds = kinds.as_any().downcast_ref().cloned();
        let derived =
            Batch::with_kinds(records, kinds.ok_or_else(|| Error::internal("row kinds changed type"))?)?;
        Ok(pending.kept.permits().iter().cloned().fold(derived, Batch::with_permit))
    }
}

impl Operator for Unnest {
    fn output_schema(&self) -> Option<SchemaRef> {
        Some(Arc::clone(&self.output))
    }

    fn process(&mut self, _input: u32, batch: Batch, out: &mut Output) -> Result<Progress> {
        let named = |error: Error| error.context(format_args!("operator '{}'", self.name));
        let records = batch.records();
        let collection = Collection::of(records.column(self.collection)).map_err(named)?;
        let kept = records.project(&self.kept)?;
        let widths = widths(&kept);
        let kinds = batch.kinds().cloned();
        let kept = batch.derive(kept);
        self.pending = Some(Pending { kept, kinds, collection, widths, row: 0, element: 0 });
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        let Some(mut pending) = self.pending.take() else { return Ok(Progress::Done) };
        for _ in 0..STEPS {
            if pending.row >= pending.kept.num_rows() {
                return Ok(Progress::Done);
            }
            if !out.has_room() {
                self.pending = Some(pending);
                return Ok(Progress::NeedRoom);
            }
            let chunk = self.chunk(&mut pending);
            if !chunk.rows.is_empty() {
                out.push(self.emit(&pending, chunk)?);
            }
        }
        self.pending = Some(pending);
        Ok(Progress::Yield)
    }
}

impl Collection {
    fn of(array: &ArrayRef) -> Result<Self> {
        let (offsets, values) = if let Some(list) = array.as_list_opt::<i32>() {
            (list.offsets().clone(), Arc::clone(list.values()))
        } else if let Some(map) = array.as_map_opt() {
            (map.offsets().clone(), Arc::new(map.entries().clone()) as ArrayRef)
        } else {
            return Err(Error::internal(format!("a collection of type {}", array.data_type())));
        };
        let columns = match values.as_struct_opt() {
            Some(elements) => flattened(elements)?,
            None => vec![values],
        };
        Ok(Self { offsets, nulls: array.nulls().cloned(), columns })
    }
}

/// The columns of an element; `None` for what isn't a collection.
fn element_types(collection: &DataType) -> Option<Vec<DataType>> {
    let (DataType::List(element) | DataType::Map(element, _)) = collection else { return None };
    Some(match element.data_type() {
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type().clone()).collect(),
        other => vec![other.clone()],
    })
}

/// The columns of rows, NULL where the row is.
fn flattened(rows: &StructArray) -> Result<Vec<ArrayRef>> {
    let Some(of_rows) = rows.nulls() else { return Ok(rows.columns().to_vec()) };
    rows.columns()
        .iter()
        .map(|column| {
            let nulls = NullBuffer::union(Some(of_rows), column.nulls());
            Ok(make_array(column.to_data().into_builder().nulls(nulls).build()?))
        })
        .collect()
}

/// The element columns `wanted` of some elements: slices where the elements lie side by side.
fn elements_of(collection: &Collection, wanted: &[usize], elements: &[Option<u32>]) -> Result<Vec<ArrayRef>> {
    let first = elements.first().copied().flatten();
    let side_by_side = first.is_some_and(|first| {
        elements.iter().zip(first..).all(|(element, expected)| *element == Some(expected))
    });
    let columns = wanted.iter().filter_map(|&column| collection.columns.get(column));
    if let (Some(first), true) = (first, side_by_side) {
        return Ok(columns.map(|column| column.slice(first as usize, elements.len())).collect());
    }
    let indices: UInt32Array = elements.iter().copied().collect();
    columns.map(|column| Ok(take(column, &indices, None)?)).collect()
}

/// The bytes of variable length of each row; nothing if there are none.
fn widths(kept: &RecordBatch) -> Vec<usize> {
    let mut widths = Vec::new();
    for column in kept.columns().iter().filter(|column| column.data_type().primitive_width().is_none()) {
        if *column.data_type() == DataType::Boolean || *column.data_type() == DataType::Null {
            continue;
        }
        widths.resize(kept.num_rows(), 0);
        let offsets = match column.data_type() {
            DataType::Utf8 => Some(column.as_string::<i32>().offsets()),
            DataType::Binary => Some(column.as_binary::<i32>().offsets()),
            _ => None,
        };
        match offsets {
            Some(offsets) => {
                for (width, offsets) in widths.iter_mut().zip(offsets.windows(2)) {
                    *width += (offsets[1] - offsets[0]) as usize;
                }
            }
            None => {
                let column = RecordBatch::try_from_iter([("column", Arc::clone(column))]).map(Batch::new);
                let Ok(column) = column else { continue };
                for (row, width) in widths.iter_mut().enumerate() {
                    *width += column.slice(row, 1).slice_bytes();
                }
            }
        }
    }
    widths
}

#[cfg(test)]
mod tests;
