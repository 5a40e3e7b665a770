//! Functions that compute in DOUBLE, whatever number they are given.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::Float64Type;
use datafusion_common::Result;

use crate::arguments::Arguments;
use crate::column::numbers;
use crate::function::{Definition, Nulls};
use crate::parameter::Kind::Double;
use crate::returns::double;

/// A function of one DOUBLE.
macro_rules! of_one {
    ($name:literal, $usage:literal, $description:literal, $compute:expr) => {
        Definition::new($name, $usage, $description, &[Double], double, |arguments| {
            unary(arguments, $compute)
        })
    };
}

/// A function of two DOUBLEs.
macro_rules! of_two {
    ($name:literal, $usage:literal, $description:literal, $compute:expr) => {
        Definition::new($name, $usage, $description, &[Double, Double], double, |arguments| {
            binary(arguments, $compute)
        })
    };
}

/// A number that is always the same.
macro_rules! constant {
    ($name:literal, $usage:literal, $description:literal, $value:expr) => {
        Definition::new($name, $usage, $description, &[], double, |arguments| {
            Ok(Arc::new(Float64Array::from_value($value, arguments.rows())))
        })
        .nulls(Nulls::Never)
    };
}

pub(super) static DEFINITIONS: &[Definition] = &[
    of_one!("sqrt", "SQRT(numeric)", "The square root.", f64::sqrt),
    of_one!("exp", "EXP(numeric)", "e to this power.", f64::exp),
    of_one!("ln", "LN(numeric)", "The natural logarithm.", f64::ln),
    of_one!("log10", "LOG10(numeric)", "The logarithm to base 10.", f64::log10),
    of_one!("log2", "LOG2(numeric)", "The logarithm to base 2.", f64::log2),
    Definition::new(
        "log",
        "LOG(numeric), LOG(base, numeric)",
        "The natural logarithm, or the logarithm to a base.",
        &[Double],
        double,
        |arguments| match arguments.len() {
            1 => unary(arguments, f64::ln),
            _ => binary(arguments, |base, value| value.ln() / base.ln()),
        },
    )
    .optional(&[Double]),
    of_two!("power", "POWER(base, exponent)", "The base to a power.", f64::powf),
    of_one!("sin", "SIN(numeric)", "The sine of an angle in radians.", f64::sin),
    of_one!("sinh", "SINH(numeric)", "The hyperbolic sine.", f64::sinh),
    of_one!("cos", "COS(numeric)", "The cosine of an angle in radians.", f64::cos),
    of_one!("cosh", "COSH(numeric)", "The hyperbolic cosine.", f64::cosh),
    of_one!("tan", "TAN(numeric)", "The tangent of an angle in radians.", f64::tan),
    of_one!("tanh", "TANH(numeric)", "The hyperbolic tangent.", f64::tanh),
    of_one!("cot", "COT(numeric)", "The cotangent of an angle in radians.", |angle| 1.0 / angle.tan()),
    of_one!("asin", "ASIN(numeric)", "The arc sine, in radians.", f64::asin),
    of_one!("acos", "ACOS(numeric)", "The arc cosine, in radians.", f64::acos),
    of_one!("atan", "ATAN(numeric)", "The arc tangent, in radians.", f64::atan),
    of_two!("atan2", "ATAN2(y, x)", "The angle of the point (x, y), in radians.", f64::atan2),
    of_one!("degrees", "DEGREES(numeric)", "An angle in radians as degrees.", f64::to_degrees),
    of_one!("radians", "RADIANS(numeric)", "An angle in degrees as radians.", f64::to_radians),
    constant!("pi", "PI()", "The number π.", std::f64::consts::PI),
    constant!("e", "E()", "The number e.", std::f64::consts::E),
];

fn unary(arguments: &Arguments<'_>, compute: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let column = arguments.column(0)?;
    match column.values.as_primitive_opt::<Float64Type>() {
        Some(values) => Ok(Arc::new(values.unary::<_, Float64Type>(compute))),
        None => arguments.mistyped(0, "DOUBLE", column.values.data_type()),
    }
}

fn binary(arguments: &Arguments<'_>, compute: impl Fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (left, right) = (arguments.doubles(0)?, arguments.doubles(1)?);
    numbers::<Float64Type>(arguments, |row| Ok(compute(left.value(row), right.value(row))))
}
