//! Signs and remainders: functions whose result has an argument's type.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, PrimitiveArray, Scalar};
use arrow::compute::kernels::cast::cast;
use arrow::compute::kernels::numeric::rem;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type,
};
use datafusion_common::{Result, exec_err};

use crate::arguments::{Arguments, Column};
use crate::function::{Call, Definition};
use crate::parameter::Kind::Number;
use crate::parameter::common_type;
use crate::returns::first;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "abs",
        "ABS(numeric)",
        "The absolute value, in the number's type.",
        &[Number],
        first,
        abs,
    ),
    Definition::new("sign", "SIGN(numeric)", "-1, 0 or 1, in the number's type.", &[Number], first, sign),
    Definition::new(
        "mod",
        "MOD(numeric, divisor)",
        "The remainder of the division, with the sign of the number and the type of the divisor. Division by zero is an error.",
        &[Number, Number],
        mod_type,
        modulo,
    ),
];

fn map<T: ArrowPrimitiveType>(values: &ArrayRef, compute: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let values = values.as_primitive::<T>();
    let mapped: PrimitiveArray<T> = values.unary(compute);
    Arc::new(mapped.with_data_type(values.data_type().clone()))
}

fn abs(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let values = &arguments.column(0)?.values;
    // The smallest integer of a type stays as it is: so does Java's Math.abs.
    Ok(match values.data_type() {
        DataType::Int8 => map::<Int8Type>(values, i8::wrapping_abs),
        DataType::Int16 => map::<Int16Type>(values, i16::wrapping_abs),
        DataType::Int32 => map::<Int32Type>(values, i32::wrapping_abs),
        DataType::Int64 => map::<Int64Type>(values, i64::wrapping_abs),
        DataType::Float32 => map::<Float32Type>(values, f32::abs),
        DataType::Float64 => map::<Float64Type>(values, f64::abs),
        DataType::Decimal128(_, _) => map::<Decimal128Type>(values, i128::wrapping_abs),
        other => return arguments.mistyped(0, "a number", other),
    })
}

fn sign(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let values = &arguments.column(0)?.values;
    Ok(match values.data_type() {
        DataType::Int8 => map::<Int8Type>(values, i8::signum),
        DataType::Int16 => map::<Int16Type>(values, i16::signum),
        DataType::Int32 => map::<Int32Type>(values, i32::signum),
        DataType::Int64 => map::<Int64Type>(values, i64::signum),
        // Unlike Rust's, Java's signum of zero is zero.
        DataType::Float32 => {
            map::<Float32Type>(values, |value| if value == 0.0 { value } else { value.signum() })
        }
        DataType::Float64 => {
            map::<Float64Type>(values, |value| if value == 0.0 { value } else { value.signum() })
        }
        DataType::Decimal128(_, scale) => {
            let one = 10_i128.saturating_pow(u32::try_from(*scale).unwrap_or(0));
            map::<Decimal128Type>(values, |value| value.signum().saturating_mul(one))
        }
        other => return arguments.mistyped(0, "a number", other),
    })
}

fn mod_type(call: &Call<'_>) -> Result<DataType> {
    let types = [call.type_of(0), call.type_of(1)];
    if types.iter().all(DataType::is_integer) {
        return Ok(call.type_of(1));
    }
    if let [DataType::Decimal128(left, left_scale), DataType::Decimal128(right, right_scale)] = types {
        let scale = left_scale.max(right_scale);
        let digits = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
        let whole = digits(left, left_scale).min(digits(right, right_scale));
        let precision = (whole + i16::from(scale)).clamp(1, 38);
        return Ok(DataType::Decimal128(u8::try_from(precision).unwrap_or(38), scale));
    }
    Ok(common_type(&types).unwrap_or(DataType::Float64))
}

fn datum(column: &Column, data_type: &DataType) -> Result<Box<dyn Datum>> {
    let values = cast(&column.values, data_type)?;
    Ok(if column.is_one_value() { Box::new(Scalar::new(values)) } else { Box::new(values) })
}

fn modulo(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (left, right) = (arguments.column(0)?, arguments.column(1)?);
    let types = [left.values.data_type().clone(), right.values.data_type().clone()];
    let computed_in = |index: usize| match &types {
        [left, right] if left.is_integer() && right.is_integer() => DataType::Int64,
        [DataType::Decimal128(_, _), DataType::Decimal128(_, _)] => types[index].clone(),
        _ => arguments.return_type().clone(),
    };
    let (left, right) = (datum(left, &computed_in(0))?, datum(right, &computed_in(1))?);
    match rem(left.as_ref(), right.as_ref()) {
        Ok(column) => Ok(cast(&column, arguments.return_type())?),
        Err(arrow::error::ArrowError::DivideByZero) => {
            exec_err!("MOD got a divisor of zero; use NULLIF(divisor, 0) to get NULL instead")
        }
        Err(error) => Err(error.into()),
    }
}
