//! The columns that pass between the two phases of a windowed aggregation: planner, local and global phase agree here.
//!
//! Local emits `[keys…, __pane, accumulators…, __rows]`: one row per key and pane. Where windows are attached to the rows,
//! `__pane_start` follows `__pane`: their size isn't known.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use weir_proto::v1::WindowAggregateSpec;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::window::Kind;

use crate::error::{Code, Error, Result};

/// Name of the `Int64` column that holds a pane's end in event time, in milliseconds (exclusive).
pub const PANE_COLUMN: &str = "__pane";
/// Name of the `Int64` column that holds an attached window's start, in milliseconds.
pub const PANE_START_COLUMN: &str = "__pane_start";
/// Name of the `Int64` column that counts the rows folded into a partial result, so that late ones are counted exactly.
pub const ROWS_COLUMN: &str = "__rows";

/// The columns that hold one aggregate's accumulator. `argument` is `None` for `COUNT(*)`.
///
/// `COUNT`: `Int64`. `MIN`, `MAX`: the argument's type. `SUM`: `Int64` for integers, `Float64` for floats, and
/// `Decimal128(38, s)`. `AVG`: the sum, then an `Int64` count.
pub fn partial_columns(function: Function, name: &str, argument: Option<&DataType>) -> Result<Vec<Field>> {
    let sum_type = |data_type: &DataType| match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Ok(DataType::Int64),
        DataType::Float32 | DataType::Float64 => Ok(DataType::Float64),
        DataType::Decimal128(_, scale) => Ok(DataType::Decimal128(38, *scale)),
        other => Err(Error::new(Code::SqlType, format!("{function:?} of {other} isn't supported"))),
    };
    let argument = |what: Function| {
        argument.ok_or_else(|| Error::new(Code::MalformedMessage, format!("{what:?} without an argument")))
    };
    Ok(match function {
        Function::Unspecified => {
            return Err(Error::new(Code::MalformedMessage, "an aggregate without a function"));
        }
        Function::Count => vec![Field::new(format!("{name}#count"), DataType::Int64, false)],
        Function::Min | Function::Max => {
            vec![Field::new(format!("{name}#value"), argument(function)?.clone(), true)]
        }
        Function::Sum => vec![Field::new(format!("{name}#sum"), sum_type(argument(function)?)?, true)],
        Function::Avg => vec![
            Field::new(format!("{name}#sum"), sum_type(argument(function)?)?, true),
            Field::new(format!("{name}#count"), DataType::Int64, false),
        ],
    })
}

/// What an aggregate's result is, by Flink's typing. `argument` is `None` for `COUNT(*)`.
///
/// `COUNT`: `Int64`, never null. `MIN`, `MAX`: the argument's type. `SUM`: the argument's type, and `Decimal128(38, s)` of
/// decimals. `AVG`: the argument's type (an integer's average is cut off), and `Decimal128(38, max(s, 6))` of decimals.
pub fn aggregate_result_type(function: Function, argument: Option<&DataType>) -> Result<DataType> {
    let unsupported = |argument: &DataType| {
        Err(Error::new(Code::SqlType, format!("{} of {argument} isn't supported", function.as_str_name())))
    };
    match (function, argument) {
        (Function::Unspecified, _) => {
            Err(Error::new(Code::MalformedMessage, "an aggregate without a function"))
        }
        (Function::Count, _) => Ok(DataType::Int64),
        (_, None) => Err(Error::new(Code::SqlType, format!("{} needs an argument", function.as_str_name()))),
        (Function::Min | Function::Max, Some(argument)) => match argument {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Ok(argument.clone()),
            DataType::Float32 | DataType::Float64 | DataType::Decimal128(_, _) => Ok(argument.clone()),
            DataType::Utf8 | DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(_, _) => {
                Ok(argument.clone())
            }
            other => unsupported(other),
        },
        (Function::Sum | Function::Avg, Some(argument)) => match argument {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Ok(argument.clone()),
            DataType::Float32 | DataType::Float64 => Ok(argument.clone()),
            DataType::Decimal128(_, scale) if function == Function::Avg => {
                Ok(DataType::Decimal128(38, (*scale).max(6)))
            }
            DataType::Decimal128(_, scale) => Ok(DataType::Decimal128(38, *scale)),
            other => unsupported(other),
        },
    }
}

/// What the local phase emits for rows of `input`.
pub fn window_aggregate_layout(spec: &WindowAggregateSpec, input: &Schema) -> Result<SchemaRef> {
    let column = |index: u32| {
        input.fields().get(index as usize).cloned().ok_or_else(|| {
            Error::new(
                Code::MalformedMessage,
                format!("column {index} of {} doesn't exist", input.fields().len()),
            )
        })
    };
    let mut fields = Vec::new();
    for &key in &spec.key_columns {
        fields.push(column(key)?);
    }
    fields.push(Field::new(PANE_COLUMN, DataType::Int64, false).into());
    if matches!(spec.window.as_ref().and_then(|window| window.kind.as_ref()), Some(Kind::Attached(_))) {
        fields.push(Field::new(PANE_START_COLUMN, DataType::Int64, false).into());
    }
    for call in &spec.aggregates {
        let argument = call.arguments.first().map(|&index| column(index)).transpose()?;
        let argument = argument.as_ref().map(|field| field.data_type());
        fields.extend(partial_columns(call.function(), &call.name, argument)?.into_iter().map(Into::into));
    }
    fields.push(Field::new(ROWS_COLUMN, DataType::Int64, false).into());
    Ok(Schema::new(fields).into())
}
