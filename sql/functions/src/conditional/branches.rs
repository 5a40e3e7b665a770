//! `COALESCE`, `IFNULL` and `IF`: what they compute, and the `CASE` that says the same.

use arrow::array::{Array, ArrayRef, AsArray, Datum, Scalar};
use arrow::compute::is_not_null;
use arrow::compute::kernels::zip::zip;
use datafusion_common::Result;
use datafusion_expr::{Expr, when};

use super::lazy::Rewrite;
use crate::arguments::Arguments;
use crate::function::{Call, Definition, Nulls};
use crate::parameter::Kind::{Boolean, Common};

pub(super) static DEFINITIONS: &[(Definition, Rewrite)] = &[
    (
        Definition::new(
            "coalesce",
            "COALESCE(value, ...)",
            "The first value that isn't NULL; NULL when all are.",
            &[Common],
            crate::returns::first,
            coalesce,
        )
        .rest(Common)
        .nulls(Nulls::AsAll),
        coalesce_as_case,
    ),
    (
        Definition::new(
            "ifnull",
            "IFNULL(value, replacement)",
            "The value, or the replacement when it is NULL.",
            &[Common, Common],
            crate::returns::first,
            coalesce,
        )
        .nulls(Nulls::AsAll),
        coalesce_as_case,
    ),
    (
        Definition::new(
            "if",
            "IF(condition, value, otherwise)",
            "The first value when the condition is TRUE, the second one when it is FALSE or NULL.",
            &[Boolean, Common, Common],
            |call: &Call<'_>| Ok(call.type_of(1)),
            choose,
        )
        .nulls(Nulls::AsFrom(1)),
        if_as_case,
    ),
];

pub(super) fn datum(arguments: &Arguments<'_>, index: usize) -> Result<Box<dyn Datum>> {
    let column = arguments.column(index)?;
    let values = column.values.clone();
    Ok(if column.is_one_value() && !arguments.is_one_value() {
        Box::new(Scalar::new(values))
    } else {
        Box::new(values)
    })
}

fn coalesce(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let mut chosen = arguments.array(0)?;
    for index in 1..arguments.len() {
        if chosen.logical_null_count() == 0 {
            break;
        }
        chosen = zip(&is_not_null(&chosen)?, &chosen, datum(arguments, index)?.as_ref())?;
    }
    Ok(chosen)
}

fn choose(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let condition = arguments.array(0)?;
    let (value, otherwise) = (datum(arguments, 1)?, datum(arguments, 2)?);
    Ok(zip(condition.as_boolean(), value.as_ref(), otherwise.as_ref())?)
}

fn coalesce_as_case(mut arguments: Vec<Expr>) -> Result<Expr> {
    let Some(last) = arguments.pop() else {
        return datafusion_common::plan_err!("COALESCE needs a value");
    };
    let mut values = arguments.into_iter();
    let Some(first) = values.next() else {
        return Ok(last);
    };
    let mut case = when(first.clone().is_not_null(), first);
    for value in values {
        case = case.when(value.clone().is_not_null(), value);
    }
    case.otherwise(last)
}

fn if_as_case(arguments: Vec<Expr>) -> Result<Expr> {
    match <[Expr; 3]>::try_from(arguments) {
        Ok([condition, value, otherwise]) => when(condition, value).otherwise(otherwise),
        Err(arguments) => datafusion_common::plan_err!("IF takes three arguments, not {}", arguments.len()),
    }
}
