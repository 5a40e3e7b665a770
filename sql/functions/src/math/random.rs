//! Random numbers: another one for every row, in every evaluation.
//!
//! Flink's forms with a seed aren't here: their sequence belongs to an operator's instance, which an expression doesn't have.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::Int32Type;
use datafusion_common::{Result, exec_err};
use rand::RngExt;

use crate::arguments::Arguments;
use crate::column::numbers;
use crate::function::{Definition, Nulls};
use crate::parameter::Kind::Long;
use crate::returns::{double, int};

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "rand",
        "RAND()",
        "A random DOUBLE from 0 up to, not including, 1.",
        &[],
        double,
        |arguments| {
            let mut random = rand::rng();
            Ok(Arc::new(Float64Array::from_iter_values(
                (0..arguments.rows()).map(|_| random.random::<f64>()),
            )))
        },
    )
    .nulls(Nulls::Never)
    .volatile(),
    Definition::new(
        "rand_integer",
        "RAND_INTEGER(bound)",
        "A random INT from 0 up to, not including, the bound.",
        &[Long],
        int,
        rand_integer,
    )
    .volatile(),
];

fn rand_integer(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let bounds = arguments.longs(0)?;
    let mut random = rand::rng();
    numbers::<Int32Type>(arguments, |row| match i32::try_from(bounds.value(row)) {
        Ok(bound) if bound > 0 => Ok(random.random_range(0..bound)),
        _ => exec_err!("RAND_INTEGER needs a positive INT as its bound, not {}", bounds.value(row)),
    })
}
