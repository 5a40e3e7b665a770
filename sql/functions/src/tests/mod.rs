//! Every function over tables of cases: each as single values, as columns with NULLs, and as a column beside single values.

mod cast;
mod conditional;
mod hash;
mod json;
mod lookup;
mod math;
mod nested;
mod regexp;
mod string;
mod time;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::type_coercion::functions::fields_with_udf;
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

use crate::registry;

/// What can stand in a table of cases.
pub(super) trait Value {
    fn value(self) -> ScalarValue;
}

macro_rules! values {
    ($($native:ty => $variant:ident),*) => {$(
        impl Value for $native {
            fn value(self) -> ScalarValue {
                ScalarValue::$variant(Some(self))
            }
        }
        impl Value for Option<$native> {
            fn value(self) -> ScalarValue {
                ScalarValue::$variant(self)
            }
        }
    )*};
}

values!(bool => Boolean, i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64, f32 => Float32, f64 => Float64);

impl Value for &str {
    fn value(self) -> ScalarValue {
        ScalarValue::Utf8(Some(self.to_owned()))
    }
}

impl Value for Option<&str> {
    fn value(self) -> ScalarValue {
        ScalarValue::Utf8(self.map(str::to_owned))
    }
}

impl Value for ScalarValue {
    fn value(self) -> ScalarValue {
        self
    }
}

/// An untyped NULL.
pub(super) const NULL: ScalarValue = ScalarValue::Null;
/// A NULL STRING.
pub(super) const NO_TEXT: Option<&str> = None;

/// The arguments and the result.
pub(super) type Case = (Vec<ScalarValue>, ScalarValue);

/// `cases!("locate"; "b", "abc" => 2; "x", "abc" => 0)`
macro_rules! cases {
    ($function:literal; $($($argument:expr),* => $result:expr);+ $(;)?) => {
        $crate::tests::check(
            $function,
            None,
            &[$((vec![$($crate::tests::Value::value($argument)),*], $crate::tests::Value::value($result))),+],
        )
    };
    ($function:literal in $zone:expr; $($($argument:expr),* => $result:expr);+ $(;)?) => {
        $crate::tests::check(
            $function,
            Some($zone),
            &[$((vec![$($crate::tests::Value::value($argument)),*], $crate::tests::Value::value($result))),+],
        )
    };
}
pub(super) use cases;

pub(super) fn function(name: &str) -> Arc<ScalarUDF> {
    registry().find(name).unwrap_or_else(|| panic!("there is no {name}")).clone()
}

/// Coerces, types and evaluates a call as a query would.
pub(super) fn call(
    name: &str,
    zone: Option<&str>,
    args: &[ColumnarValue],
    rows: usize,
) -> Result<ColumnarValue> {
    let function = function(name);
    let given: Vec<FieldRef> =
        args.iter().map(|arg| Arc::new(Field::new("a", arg.data_type(), true))).collect();
    let coerced = if given.is_empty() { given } else { fields_with_udf(&given, function.as_ref())? };
    let args: Vec<ColumnarValue> = args
        .iter()
        .zip(&coerced)
        .map(|(arg, field)| arg.cast_to(field.data_type(), None))
        .collect::<Result<_>>()?;
    let literals: Vec<Option<&ScalarValue>> = args
        .iter()
        .map(|arg| match arg {
            ColumnarValue::Scalar(value) => Some(value),
            ColumnarValue::Array(_) => None,
        })
        .collect();
    let return_field = function
        .return_field_from_args(ReturnFieldArgs { arg_fields: &coerced, scalar_arguments: &literals })?;
    let mut config = ConfigOptions::new();
    config.execution.time_zone = zone.map(str::to_owned);
    function.invoke_with_args(ScalarFunctionArgs {
        args,
        arg_fields: coerced,
        number_rows: rows,
        return_field,
        config_options: Arc::new(config),
    })
}

/// Calls with single values.
pub(super) fn call_values(name: &str, args: Vec<ScalarValue>) -> Result<ScalarValue> {
    let args: Vec<ColumnarValue> = args.into_iter().map(ColumnarValue::Scalar).collect();
    match call(name, None, &args, 1)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0),
    }
}

pub(super) fn check(name: &str, zone: Option<&str>, cases: &[Case]) {
    for (args, expected) in cases {
        check_alone(name, zone, args, expected);
    }
    check_columns(name, zone, cases);
}

fn as_array(result: ColumnarValue, rows: usize) -> ArrayRef {
    let array = result.into_array(rows).unwrap();
    assert_eq!(array.len(), rows);
    array
}

/// As single values, and with one argument at a time as a column of three rows.
fn check_alone(name: &str, zone: Option<&str>, args: &[ScalarValue], expected: &ScalarValue) {
    let single: Vec<ColumnarValue> = args.iter().cloned().map(ColumnarValue::Scalar).collect();
    for column in 0..=args.len() {
        let mut mixed = single.clone();
        if let Some(argument) = mixed.get_mut(column) {
            *argument = ColumnarValue::Array(args[column].to_array_of_size(3).unwrap());
        }
        let rows = if column < args.len() { 3 } else { 1 };
        let result = match call(name, zone, &mixed, rows) {
            Ok(result) => as_array(result, rows),
            // What must be a literal, isn't.
            Err(error) if column < args.len() && error.to_string().contains("must be written out") => {
                continue;
            }
            Err(error) => panic!("{name}({args:?}): {error}"),
        };
        let last = ScalarValue::try_from_array(&result, rows - 1).unwrap();
        if result.data_type() != &expected.data_type() && column < args.len() {
            // The type depends on a literal (ROUND of a DECIMAL): then only the value counts.
            assert_eq!(
                last.cast_to(&expected.data_type()).unwrap(),
                *expected,
                "{name}({args:?}), column {column}"
            );
        } else {
            assert_eq!(last, *expected, "{name}({args:?}), column {column}");
        }
    }
}

/// All cases with the same types at once, as columns.
fn check_columns(name: &str, zone: Option<&str>, cases: &[Case]) {
    let types = |args: &[ScalarValue]| args.iter().map(ScalarValue::data_type).collect::<Vec<DataType>>();
    for (model, expected) in cases {
        let alike: Vec<&Case> = cases
            .iter()
            .filter(|(args, result)| {
                types(args) == types(model) && result.data_type() == expected.data_type()
            })
            .collect();
        if model.is_empty() || alike.len() < 2 {
            continue;
        }
        let columns: Vec<ColumnarValue> = (0..model.len())
            .map(|index| {
                let values = alike.iter().map(|(args, _)| args[index].clone());
                ColumnarValue::Array(ScalarValue::iter_to_array(values).unwrap())
            })
            .collect();
        let result = match call(name, zone, &columns, alike.len()) {
            Ok(result) => as_array(result, alike.len()),
            Err(error) if error.to_string().contains("must be written out") => continue,
            Err(error) => panic!("{name} over columns: {error}"),
        };
        for (row, (args, expected)) in alike.iter().enumerate() {
            let value = ScalarValue::try_from_array(&result, row).unwrap();
            let value = value.cast_to(&expected.data_type()).unwrap();
            assert_eq!(value, *expected, "{name}({args:?}) in row {row} of columns");
        }
    }
}

/// A TIMESTAMP(3) from its text.
pub(super) fn timestamp(text: &str) -> ScalarValue {
    ScalarValue::TimestampMillisecond(Some(millis(text)), None)
}

/// A TIMESTAMP_LTZ(3) from its text in UTC.
pub(super) fn timestamp_ltz(text: &str) -> ScalarValue {
    ScalarValue::TimestampMillisecond(Some(millis(text)), Some("UTC".into()))
}

pub(super) fn date(text: &str) -> ScalarValue {
    ScalarValue::Date32(Some(i32::try_from(millis(&format!("{text} 00:00:00")) / 86_400_000).unwrap()))
}

fn millis(text: &str) -> i64 {
    chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .expect(text)
        .and_utc()
        .timestamp_millis()
}

pub(super) fn decimal(value: i128, precision: u8, scale: i8) -> ScalarValue {
    ScalarValue::Decimal128(Some(value), precision, scale)
}
