//! The columns that pass between the two phases of a windowed aggregation: planner, local and global phase agree here.
//!
//! Local emits `[keys…, __pane, accumulators…, __rows]`: one row per key and pane.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use weir_proto::v1::WindowAggregateSpec;
use weir_proto::v1::aggregate_call::Function;

use crate::error::{Code, Error, Result};

/// Name of the `Int64` column that holds a pane's end in event time, in milliseconds (exclusive).
pub const PANE_COLUMN: &str = "__pane";
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
    for call in &spec.aggregates {
        let argument = call.arguments.first().map(|&index| column(index)).transpose()?;
        let argument = argument.as_ref().map(|field| field.data_type());
        fields.extend(partial_columns(call.function(), &call.name, argument)?.into_iter().map(Into::into));
    }
    fields.push(Field::new(ROWS_COLUMN, DataType::Int64, false).into());
    Ok(Schema::new(fields).into())
}
