//! Functions on arrays and maps whose DataFusion counterparts differ in types or edge cases.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int32Type};
use datafusion_common::{Result, exec_err, plan_err};

use crate::arguments::Arguments;
use crate::column::numbers;
use crate::function::{Call, Definition, Nulls};
use crate::parameter::Kind::Any;
use crate::type_name::type_name;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "cardinality",
        "CARDINALITY(array), CARDINALITY(map)",
        "How many elements or entries there are, as INT.",
        &[Any],
        |call| match call.type_of(0) {
            DataType::List(_) | DataType::Map(_, _) | DataType::Null => Ok(DataType::Int32),
            other => plan_err!("CARDINALITY takes an ARRAY or a MAP, not {}", type_name(&other)),
        },
        cardinality,
    ),
    Definition::new(
        "element",
        "ELEMENT(array)",
        "The only element of an array; NULL for an empty one, an error for a longer one.",
        &[Any],
        |call: &Call<'_>| match call.type_of(0) {
            DataType::List(element) => Ok(element.data_type().clone()),
            other => plan_err!("ELEMENT takes an ARRAY, not {}", type_name(&other)),
        },
        element,
    )
    .nulls(Nulls::StrictOrMissing),
];

fn cardinality(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let column = arguments.column(0)?;
    let length = |row: usize| match column.values.data_type() {
        DataType::Map(_, _) => column.values.as_map().value_length(row),
        _ => column.values.as_list::<i32>().value_length(row),
    };
    if !matches!(column.values.data_type(), DataType::List(_) | DataType::Map(_, _)) {
        return arguments.mistyped(0, "an ARRAY or a MAP", column.values.data_type());
    }
    numbers::<Int32Type>(arguments, |row| Ok(length(row)))
}

fn element(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let column = arguments.column(0)?;
    let Some(lists) = column.values.as_list_opt::<i32>() else {
        return arguments.mistyped(0, "an ARRAY", column.values.data_type());
    };
    let mut indices = Vec::with_capacity(arguments.rows());
    for row in 0..arguments.rows() {
        indices.push(match lists.value_length(row) {
            _ if arguments.is_null(row) || lists.is_null(row) => None,
            0 => None,
            1 => lists.value_offsets().get(row).copied(),
            more => return exec_err!("ELEMENT got an array of {more} elements; it takes arrays of one"),
        });
    }
    Ok(take(lists.values(), &arrow::array::Int32Array::from(indices), None)?)
}
