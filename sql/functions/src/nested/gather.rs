//! Arrays made of elements of other arrays: which elements, and how many belong to each row; one kernel copies them all.
//!
//! Invariant: an element is named by its place in [`Pool::values`], where the elements of all arguments stand one after the
//! other, so that functions on arrays decide about places and never look at values' types.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::kernels::cast::cast;
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion_common::{Result, exec_err, plan_err};

use crate::arguments::Arguments;
use crate::type_name::type_name;

/// The elements of one argument per row.
struct Part {
    /// `None` for an argument that is one element of each row.
    lists: Option<ListArray>,
    /// Where its elements start in the pool.
    start: usize,
    /// An argument that is the same in every row stands in the pool once.
    is_one_value: bool,
}

/// The elements of some arguments, in one column.
pub(super) struct Pool {
    pub values: ArrayRef,
    parts: Vec<Part>,
}

/// Reads an argument's type as an array's.
pub(super) fn element_type(data_type: &DataType, function: &str) -> Result<DataType> {
    match data_type {
        DataType::List(element) => Ok(element.data_type().clone()),
        DataType::Null => Ok(DataType::Null),
        other => plan_err!("{function} takes an ARRAY, not {}", type_name(other)),
    }
}

/// An array or map as an array of its elements or entries.
fn as_lists(values: &ArrayRef, element: &DataType) -> Result<ListArray> {
    if let Some(lists) = values.as_list_opt::<i32>() {
        return Ok(lists.clone());
    }
    if let Some(maps) = values.as_map_opt() {
        let field = Arc::new(Field::new_list_field(maps.entries().data_type().clone(), false));
        let entries = Arc::new(maps.entries().clone());
        return Ok(ListArray::try_new(field, maps.offsets().clone(), entries, maps.nulls().cloned())?);
    }
    if values.data_type().is_null() {
        let field = Arc::new(Field::new_list_field(element.clone(), true));
        return Ok(ListArray::new_null(field, values.len()));
    }
    exec_err!("an array was planned, not {}; plan the job again", type_name(values.data_type()))
}

/// An array of such elements.
pub(super) fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

impl Pool {
    /// The elements of these arguments as `element`s. Each is an array or a map, but for `single`, which is an element.
    pub fn of(
        arguments: &Arguments<'_>,
        indices: Range<usize>,
        element: &DataType,
        single: Option<usize>,
    ) -> Result<Self> {
        let mut parts = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        let mut start = 0;
        for index in indices {
            let column = arguments.column(index)?;
            let lists = if single == Some(index) { None } else { Some(as_lists(&column.values, element)?) };
            let values = lists.as_ref().map_or(&column.values, |lists| lists.values());
            let values = if values.data_type() == element { values.clone() } else { cast(values, element)? };
            start += values.len();
            parts.push(Part { lists, start: start - values.len(), is_one_value: column.is_one_value() });
            columns.push(values);
        }
        if u32::try_from(start).is_err() {
            return exec_err!("{} got more than 4 billion elements in one batch", arguments.usage());
        }
        let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
        let values = match columns.as_slice() {
            [only] => only.slice(0, only.len()),
            several => concat(several)?,
        };
        Ok(Self { values, parts })
    }

    /// The entries of some maps.
    pub fn of_maps(maps: &MapArray) -> Result<Self> {
        let values: ArrayRef = Arc::new(maps.entries().clone());
        let maps: ArrayRef = Arc::new(maps.clone());
        let lists = as_lists(&maps, values.data_type())?;
        Ok(Self { values, parts: vec![Part { lists: Some(lists), start: 0, is_one_value: false }] })
    }

    /// The places of an argument's elements of a row.
    #[inline]
    pub fn range(&self, part: usize, row: usize) -> Range<u32> {
        let Some(part) = self.parts.get(part) else { return 0..0 };
        let row = if part.is_one_value { 0 } else { row };
        let place = |offset: usize| u32::try_from(part.start + offset).unwrap_or(u32::MAX);
        let Some(lists) = &part.lists else { return place(row)..place(row + 1) };
        let at = |row: usize| {
            lists.value_offsets().get(row).map_or(0, |offset| usize::try_from(*offset).unwrap_or(0))
        };
        place(at(row))..place(at(row + 1))
    }

    /// Whether an argument's array of a row is NULL.
    pub fn is_null(&self, part: usize, row: usize) -> bool {
        self.parts.get(part).is_none_or(|part| {
            part.lists.as_ref().is_some_and(|lists| lists.is_null(if part.is_one_value { 0 } else { row }))
        })
    }

    /// All elements, comparable.
    pub fn comparable(&self) -> Result<Rows> {
        comparable(&self.values)
    }
}

/// Values in a form whose bytes are equal where values are, and ordered as they are.
pub(super) fn comparable(values: &ArrayRef) -> Result<Rows> {
    let field = SortField::new(values.data_type().clone());
    if !RowConverter::supports_fields(std::slice::from_ref(&field)) {
        return exec_err!("values of type {} can't be compared", type_name(values.data_type()));
    }
    Ok(RowConverter::new(vec![field])?.convert_columns(std::slice::from_ref(values))?)
}

/// Arrays of elements of a pool, row by row.
pub(super) struct Gathered {
    places: Vec<u32>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Gathered {
    pub fn with_capacity(rows: usize) -> Self {
        Self { places: Vec::new(), lengths: Vec::with_capacity(rows), valid: Vec::with_capacity(rows) }
    }

    /// The next row is NULL.
    pub fn null(&mut self) {
        self.lengths.push(0);
        self.valid.push(false);
    }

    /// The next row has what `add` pushes.
    pub fn row(&mut self, add: impl FnOnce(&mut Vec<u32>)) {
        let before = self.places.len();
        add(&mut self.places);
        self.lengths.push(self.places.len() - before);
        self.valid.push(true);
    }

    pub fn finish(self, pool: &Pool, return_type: &DataType) -> Result<ArrayRef> {
        if i32::try_from(self.places.len()).is_err() {
            return exec_err!("arrays of one batch have more than 2 billion elements together");
        }
        let values = take(&pool.values, &UInt32Array::from(self.places), None)?;
        let nulls = NullBuffer::from(self.valid);
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        match return_type {
            DataType::List(field) => Ok(Arc::new(ListArray::try_new(
                field.clone(),
                offsets,
                cast(&values, field.data_type())?,
                nulls,
            )?)),
            DataType::Map(field, is_sorted) => {
                let entries = cast(&values, field.data_type())?;
                let entries = entries.as_struct().clone();
                Ok(Arc::new(MapArray::try_new(field.clone(), offsets, entries, nulls, *is_sorted)?))
            }
            other => exec_err!("an array was planned as {}; plan the job again", type_name(other)),
        }
    }
}
