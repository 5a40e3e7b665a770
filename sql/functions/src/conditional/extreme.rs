//! `GREATEST`, `LEAST` and `NULLIF`.

use arrow::array::{Array, ArrayRef, BooleanArray, Datum, Scalar};
use arrow::compute::kernels::cast::cast;
use arrow::compute::kernels::cmp::{eq, gt, lt};
use arrow::compute::kernels::zip::zip;
use arrow::compute::nullif;
use arrow::error::ArrowError;
use datafusion_common::{Result, plan_err};

use super::branches::datum;
use crate::arguments::{Arguments, Column};
use crate::function::{Call, Definition, Nulls};
use crate::parameter::Kind::{Any, Common};
use crate::parameter::common_type;
use crate::returns::first;
use crate::type_name::type_names;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "greatest",
        "GREATEST(value, ...)",
        "The greatest value; NULL when one is NULL.",
        &[Common],
        first,
        |arguments| extreme(arguments, gt),
    )
    .rest(Common),
    Definition::new(
        "least",
        "LEAST(value, ...)",
        "The least value; NULL when one is NULL.",
        &[Common],
        first,
        |arguments| extreme(arguments, lt),
    )
    .rest(Common),
    Definition::new(
        "nullif",
        "NULLIF(value, other)",
        "NULL when both are equal, else the value, in its own type.",
        &[Any, Any],
        nullif_type,
        null_if_equal,
    )
    .nulls(Nulls::Own),
];

type Comparison = fn(&dyn Datum, &dyn Datum) -> std::result::Result<BooleanArray, ArrowError>;

fn extreme(arguments: &Arguments<'_>, is_better: Comparison) -> Result<ArrayRef> {
    let mut best = arguments.array(0)?;
    for index in 1..arguments.len() {
        let other = datum(arguments, index)?;
        best = zip(&is_better(other.as_ref(), &best)?, other.as_ref(), &best)?;
    }
    match arguments.nulls() {
        None => Ok(best),
        Some(nulls) => Ok(nullif(&best, &BooleanArray::new(!nulls.inner(), None))?),
    }
}

fn nullif_type(call: &Call<'_>) -> Result<arrow::datatypes::DataType> {
    match common_type(&call.types) {
        Some(_) => first(call),
        None => plan_err!("NULLIF can't compare ({})", type_names(&call.types)),
    }
}

fn null_if_equal(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let value = arguments.array(0)?;
    let (left, right) = (arguments.column(0)?, arguments.column(1)?);
    let types = [left.values.data_type().clone(), right.values.data_type().clone()];
    let common = match common_type(&types) {
        Some(common) if !types.iter().any(|data_type| data_type.is_null()) => common,
        _ => return Ok(value),
    };
    let compared = |column: &Column| -> Result<Box<dyn Datum>> {
        let values = cast(&column.values, &common)?;
        Ok(if column.is_one_value() && !arguments.is_one_value() {
            Box::new(Scalar::new(values))
        } else {
            Box::new(values)
        })
    };
    Ok(nullif(&value, &eq(compared(left)?.as_ref(), compared(right)?.as_ref())?)?)
}
