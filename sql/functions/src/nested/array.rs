//! Arrays made from arrays: joined, cut, sorted, and as sets.
//!
//! NULL elements are elements: they are equal to each other and sort before all others.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use arrow::row::Rows;
use datafusion_common::{Result, plan_err};

use super::gather::{Gathered, Pool, element_type, list_of};
use crate::arguments::Arguments;
use crate::column::texts;
use crate::function::{Call, Definition, Nulls};
use crate::parameter::Kind::{Any, Boolean, Common, Long, Text};
use crate::parameter::common_type;
use crate::returns::string;
use crate::type_name::type_names;
use std::fmt::Write;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "array_append",
        "ARRAY_APPEND(array, element)",
        "The array with the element behind its own; NULL when the array is.",
        &[Any, Any],
        |call| with_element(call, 0, 1),
        |arguments| with_elements(arguments, 0),
    )
    .nulls(Nulls::Own),
    Definition::new(
        "array_prepend",
        "ARRAY_PREPEND(array, element)",
        "The array with the element before its own; NULL when the array is.",
        &[Any, Any],
        |call| with_element(call, 0, 1),
        |arguments| with_elements(arguments, 1),
    )
    .nulls(Nulls::Own),
    Definition::new(
        "array_concat",
        "ARRAY_CONCAT(array, ...)",
        "The arrays' elements in one array.",
        &[Common],
        same_array,
        |arguments| {
            let parts = arguments.len();
            gather(arguments, 0..parts, |pool, row, places| {
                (0..parts).for_each(|part| places.extend(pool.range(part, row)));
            })
        },
    )
    .rest(Common),
    Definition::new(
        "array_union",
        "ARRAY_UNION(array, other)",
        "The elements of both arrays, each once, in the order in which they first come.",
        &[Common, Common],
        same_array,
        |arguments| as_sets(arguments, SetOperation::Union),
    ),
    Definition::new(
        "array_intersect",
        "ARRAY_INTERSECT(array, other)",
        "The elements of the first array that are in the other one, too, each once.",
        &[Common, Common],
        same_array,
        |arguments| as_sets(arguments, SetOperation::Intersect),
    ),
    Definition::new(
        "array_except",
        "ARRAY_EXCEPT(array, other)",
        "The elements of the first array that aren't in the other one, each once.",
        &[Common, Common],
        same_array,
        |arguments| as_sets(arguments, SetOperation::Except),
    ),
    Definition::new(
        "array_distinct",
        "ARRAY_DISTINCT(array)",
        "The array with each element once, where it first comes.",
        &[Any],
        same_array,
        |arguments| as_sets(arguments, SetOperation::Union),
    ),
    Definition::new(
        "array_reverse",
        "ARRAY_REVERSE(array)",
        "The array backwards.",
        &[Any],
        same_array,
        |arguments| {
            gather(arguments, 0..1, |pool, row, places| places.extend(pool.range(0, row).rev()))
        },
    ),
    Definition::new(
        "array_slice",
        "ARRAY_SLICE(array, start[, end])",
        "The elements from position start to position end (by default the last), both included, counted from 1, or from the \
         end where negative; empty where there are none.",
        &[Any, Long],
        same_array,
        slice,
    )
    .optional(&[Long]),
    Definition::new(
        "array_sort",
        "ARRAY_SORT(array[, ascending[, nulls first]])",
        "The elements in order, by default ascending. NULLs come first when ascending, last when descending, or as the third \
         argument says.",
        &[Any],
        same_array,
        sort,
    )
    .optional(&[Boolean, Boolean]),
    Definition::new(
        "array_max",
        "ARRAY_MAX(array)",
        "The largest element that isn't NULL; NULL when there is none.",
        &[Any],
        |call| element_type(&call.type_of(0), "ARRAY_MAX"),
        |arguments| extreme(arguments, Ordering::Greater),
    )
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "array_min",
        "ARRAY_MIN(array)",
        "The smallest element that isn't NULL; NULL when there is none.",
        &[Any],
        |call| element_type(&call.type_of(0), "ARRAY_MIN"),
        |arguments| extreme(arguments, Ordering::Less),
    )
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "array_join",
        "ARRAY_JOIN(array, separator[, replacement])",
        "The strings of an array in one, with the separator between them. NULL elements are left out, or replaced.",
        &[Any, Text],
        |call| match element_type(&call.type_of(0), "ARRAY_JOIN")? {
            element if element.is_string() || element.is_null() => string(call),
            _ => plan_err!("ARRAY_JOIN takes an ARRAY<STRING>, not ({})", type_names(&call.types)),
        },
        join,
    )
    .optional(&[Text]),
];

fn same_array(call: &Call<'_>) -> Result<DataType> {
    element_type(&call.type_of(0), "the function").map(list_of)
}

fn with_element(call: &Call<'_>, array: usize, element: usize) -> Result<DataType> {
    let own = element_type(&call.type_of(array), "the function")?;
    match common_type(&[own, call.type_of(element)]) {
        Some(common) => Ok(list_of(common)),
        None => {
            plan_err!("an element of another type can't be added to an array: ({})", type_names(&call.types))
        }
    }
}

fn planned_element(arguments: &Arguments<'_>) -> Result<DataType> {
    element_type(arguments.return_type(), arguments.usage())
}

/// Strict functions: what each row has.
fn gather(
    arguments: &Arguments<'_>,
    parts: Range<usize>,
    mut add: impl FnMut(&Pool, usize, &mut Vec<u32>),
) -> Result<ArrayRef> {
    let pool = Pool::of(arguments, parts, &planned_element(arguments)?, None)?;
    let mut gathered = Gathered::with_capacity(arguments.rows());
    for row in 0..arguments.rows() {
        if arguments.is_null(row) {
            gathered.null();
        } else {
            gathered.row(|places| add(&pool, row, places));
        }
    }
    gathered.finish(&pool, arguments.return_type())
}

/// The array with its new element, which comes first or last.
fn with_elements(arguments: &Arguments<'_>, first: usize) -> Result<ArrayRef> {
    let pool = Pool::of(arguments, 0..2, &planned_element(arguments)?, Some(1))?;
    let mut gathered = Gathered::with_capacity(arguments.rows());
    for row in 0..arguments.rows() {
        if pool.is_null(0, row) {
            gathered.null();
        } else {
            gathered.row(|places| {
                places.extend(pool.range(first, row));
                places.extend(pool.range(1 - first, row));
            });
        }
    }
    gathered.finish(&pool, arguments.return_type())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SetOperation {
    Union,
    Intersect,
    Except,
}

fn as_sets(arguments: &Arguments<'_>, operation: SetOperation) -> Result<ArrayRef> {
    let parts = arguments.len();
    let pool = Pool::of(arguments, 0..parts, &planned_element(arguments)?, None)?;
    let elements = pool.comparable()?;
    let mut gathered = Gathered::with_capacity(arguments.rows());
    let mut others: HashSet<&[u8]> = HashSet::new();
    let mut taken: HashSet<&[u8]> = HashSet::new();
    for row in 0..arguments.rows() {
        if arguments.is_null(row) {
            gathered.null();
            continue;
        }
        taken.clear();
        others.clear();
        if operation != SetOperation::Union {
            others.extend(pool.range(1, row).map(|place| bytes(&elements, place)));
        }
        let read = if operation == SetOperation::Union { parts } else { 1 };
        gathered.row(|places| {
            for place in (0..read).flat_map(|part| pool.range(part, row)) {
                let element = bytes(&elements, place);
                let fits = match operation {
                    SetOperation::Union => true,
                    SetOperation::Intersect => others.contains(element),
                    SetOperation::Except => !others.contains(element),
                };
                if fits && taken.insert(element) {
                    places.push(place);
                }
            }
        });
    }
    gathered.finish(&pool, arguments.return_type())
}

fn bytes(elements: &Rows, place: u32) -> &[u8] {
    elements.row(place as usize).data()
}

fn slice(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let start = arguments.longs(1)?;
    let end = if arguments.len() > 2 { Some(arguments.longs(2)?) } else { None };
    gather(arguments, 0..1, |pool, row, places| {
        let range = pool.range(0, row);
        let length = i64::from(range.end) - i64::from(range.start);
        // From the start, counted from 0.
        let position =
            |offset: i64| if offset < 0 { offset.saturating_add(length) } else { (offset - 1).max(0) };
        let first = position(start.value(row));
        let last = end.as_ref().map_or(length - 1, |end| position(end.value(row)));
        let reaches = first < length && last >= 0;
        let (first, last) = (first.max(0), last.min(length - 1));
        if reaches && first <= last {
            let place = |offset: i64| range.start + u32::try_from(offset).unwrap_or(0);
            places.extend(place(first)..=place(last));
        }
    })
}

fn sort(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let flag = |index: usize| -> Result<Option<ArrayRef>> {
        if index < arguments.len() { arguments.array(index).map(Some) } else { Ok(None) }
    };
    let (ascending, nulls_first) = (flag(1)?, flag(2)?);
    let is = |flag: &Option<ArrayRef>, row: usize, default: bool| {
        flag.as_ref().and_then(|flag| flag.as_boolean_opt()).map_or(default, |flag| flag.value(row))
    };
    let mut elements = None;
    let pool = Pool::of(arguments, 0..1, &planned_element(arguments)?, None)?;
    let nulls = pool.values.logical_nulls();
    let is_null = |place: u32| nulls.as_ref().is_some_and(|nulls| nulls.is_null(place as usize));
    let mut gathered = Gathered::with_capacity(arguments.rows());
    for row in 0..arguments.rows() {
        if arguments.is_null(row) {
            gathered.null();
            continue;
        }
        let rows = match &mut elements {
            Some(rows) => rows,
            none => none.insert(pool.comparable()?),
        };
        let ascending = is(&ascending, row, true);
        let nulls_first = is(&nulls_first, row, ascending);
        gathered.row(|places| {
            let before = places.len();
            places.extend(pool.range(0, row));
            let sorted = places.get_mut(before..).unwrap_or(&mut []);
            sorted.sort_by(|left, right| match (is_null(*left), is_null(*right)) {
                (true, true) => Ordering::Equal,
                (true, false) if nulls_first => Ordering::Less,
                (false, true) if !nulls_first => Ordering::Less,
                (true, false) | (false, true) => Ordering::Greater,
                (false, false) => {
                    let order = bytes(rows, *left).cmp(bytes(rows, *right));
                    if ascending { order } else { order.reverse() }
                }
            });
        });
    }
    gathered.finish(&pool, arguments.return_type())
}

fn extreme(arguments: &Arguments<'_>, better: Ordering) -> Result<ArrayRef> {
    let pool = Pool::of(arguments, 0..1, arguments.return_type(), None)?;
    let elements = pool.comparable()?;
    let nulls = pool.values.logical_nulls();
    let is_valid = |place: &u32| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*place as usize));
    let best: UInt32Array = (0..arguments.rows())
        .map(|row| {
            let places = if arguments.is_null(row) { 0..0 } else { pool.range(0, row) };
            places.filter(is_valid).reduce(|best, place| {
                if bytes(&elements, place).cmp(bytes(&elements, best)) == better { place } else { best }
            })
        })
        .collect();
    Ok(take(&pool.values, &best, None)?)
}

fn join(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let pool = Pool::of(arguments, 0..1, &DataType::Utf8, None)?;
    let separator = arguments.text(1)?;
    let replacement = if arguments.len() > 2 { Some(arguments.text(2)?) } else { None };
    let Some(elements) = pool.values.as_string_opt::<i32>() else {
        return arguments.mistyped(0, "ARRAY<STRING>", pool.values.data_type());
    };
    texts(arguments, elements.value_data().len(), |row, out| {
        let mut is_first = true;
        for place in pool.range(0, row) {
            let text = if elements.is_valid(place as usize) {
                elements.value(place as usize)
            } else {
                match &replacement {
                    Some(replacement) => replacement.value(row),
                    None => continue,
                }
            };
            if !is_first {
                out.write_str(separator.value(row))?;
            }
            is_first = false;
            out.write_str(text)?;
        }
        Ok(Some(()))
    })
}
