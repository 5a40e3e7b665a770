//! Arrays searched for an element: all their elements are compared at once, then folded by array.
//!
//! NULL elements count as equal to each other: `ARRAY_CONTAINS(array, NULL)` asks whether one is there.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, OffsetBuffer};
use arrow::compute::kernels::cast::cast;
use arrow::compute::kernels::cmp::{distinct, not_distinct};
use arrow::compute::{filter, take};
use arrow::datatypes::{DataType, Int32Type};
use datafusion_common::{Result, exec_err, plan_err};

use crate::arguments::Arguments;
use crate::column::numbers;
use crate::function::{Call, Definition, Nulls};
use crate::parameter::Kind::Any;
use crate::parameter::common_type;
use crate::type_name::type_names;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "array_contains",
        "ARRAY_CONTAINS(array, element)",
        "Whether the element is in the array; a NULL element is looked for like any other.",
        &[Any, Any],
        |call| checked(call).map(|()| DataType::Boolean),
        contains,
    )
    .nulls(Nulls::Own),
    Definition::new(
        "array_position",
        "ARRAY_POSITION(array, element)",
        "The position of the first such element, from 1, as INT; 0 when there is none.",
        &[Any, Any],
        |call| checked(call).map(|()| DataType::Int32),
        position,
    ),
    Definition::new(
        "array_remove",
        "ARRAY_REMOVE(array, element)",
        "The array without such elements.",
        &[Any, Any],
        |call| checked(call).map(|()| call.type_of(0)),
        remove,
    )
    .nulls(Nulls::Own),
];

fn checked(call: &Call<'_>) -> Result<()> {
    match call.type_of(0) {
        DataType::List(element) if common_type(&[element.data_type().clone(), call.type_of(1)]).is_some() => {
            Ok(())
        }
        _ => plan_err!("an ARRAY can't be searched for that: ({})", type_names(&call.types)),
    }
}

/// The arrays, and for each of their elements in turn what is looked for in its array.
struct Search {
    lists: ListArray,
    elements: ArrayRef,
    needles: ArrayRef,
}

impl Search {
    fn of(arguments: &Arguments<'_>) -> Result<Self> {
        let lists = arguments.array(0)?;
        let Some(lists) = lists.as_list_opt::<i32>() else {
            return arguments.mistyped(0, "an ARRAY", lists.data_type());
        };
        let offsets = lists.value_offsets();
        let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
            return exec_err!("an array column has no offsets");
        };
        let (start, length) =
            (usize::try_from(*first).unwrap_or(0), usize::try_from(last - first).unwrap_or(0));
        let elements = lists.values().slice(start, length);
        let needle = arguments.column(1)?;
        let needles = cast(&needle.values, elements.data_type())?;
        let row_of = |row: usize| if needle.is_one_value() { 0 } else { u32::try_from(row).unwrap_or(0) };
        let rows: UInt32Array = (0..lists.len())
            .flat_map(|row| {
                std::iter::repeat_n(row_of(row), usize::try_from(lists.value_length(row)).unwrap_or(0))
            })
            .collect();
        Ok(Self { lists: lists.clone(), needles: take(&needles, &rows, None)?, elements })
    }

    /// From the start of the elements looked at.
    fn range(&self, row: usize) -> std::ops::Range<usize> {
        let offsets = self.lists.value_offsets();
        let first = offsets.first().copied().unwrap_or(0);
        let at =
            |row: usize| offsets.get(row).map_or(0, |offset| usize::try_from(offset - first).unwrap_or(0));
        at(row)..at(row + 1)
    }

    fn matches(&self) -> Result<BooleanArray> {
        Ok(not_distinct(&self.elements, &self.needles)?)
    }
}

fn contains(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let search = Search::of(arguments)?;
    let matches = search.matches()?;
    let is_in = |row: usize| search.range(row).any(|index| matches.value(index));
    let values = BooleanBuffer::collect_bool(arguments.rows(), is_in);
    Ok(Arc::new(BooleanArray::new(values, search.lists.nulls().cloned())))
}

fn position(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let search = Search::of(arguments)?;
    let matches = search.matches()?;
    numbers::<Int32Type>(arguments, |row| {
        let found = search.range(row).position(|index| matches.value(index));
        Ok(found.map_or(0, |index| i32::try_from(index).map_or(i32::MAX, |index| index.saturating_add(1))))
    })
}

fn remove(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let search = Search::of(arguments)?;
    let kept = distinct(&search.elements, &search.needles)?;
    let lengths =
        (0..search.lists.len()).map(|row| search.range(row).filter(|index| kept.value(*index)).count());
    let offsets = OffsetBuffer::from_lengths(lengths);
    let elements = filter(&search.elements, &kept)?;
    match search.lists.data_type() {
        DataType::List(field) => {
            Ok(Arc::new(ListArray::try_new(field.clone(), offsets, elements, search.lists.nulls().cloned())?))
        }
        other => arguments.mistyped(0, "an ARRAY", other),
    }
}
