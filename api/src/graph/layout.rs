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
/// `Decimal128(38, s)`. `AVG`: the sum, then an `Int64` count. `FIRST_VALUE`, `LAST_VALUE`: the argument's type. Variances and
/// deviations: an `Int64` count, then mean and sum of squared differences from it as `Float64`. `COLLECT`: the result.
/// `APPROX_COUNT_DISTINCT`: a sketch, `Binary`. What keeps all values: a list of the argument's type.
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
        Function::Min | Function::Max | Function::FirstValue | Function::LastValue => {
            vec![Field::new(format!("{name}#value"), argument(function)?.clone(), true)]
        }
        Function::VarPop | Function::VarSamp | Function::StddevPop | Function::StddevSamp => vec![
            Field::new(format!("{name}#count"), DataType::Int64, false),
            Field::new(format!("{name}#mean"), DataType::Float64, false),
            Field::new(format!("{name}#squares"), DataType::Float64, false),
        ],
        Function::Collect => {
            vec![Field::new(format!("{name}#counts"), multiset_of(argument(function)?.clone()), true)]
        }
        Function::Listagg
        | Function::ArrayAgg
        | Function::JsonObjectagg
        | Function::JsonArrayagg
        | Function::Percentile
        | Function::Percentiles => {
            let list = DataType::new_list(argument(function)?.clone(), true);
            vec![Field::new(format!("{name}#values"), list, true)]
        }
        Function::ApproxCountDistinct => {
            vec![Field::new(format!("{name}#sketch"), DataType::Binary, false)]
        }
        Function::Sum => vec![Field::new(format!("{name}#sum"), sum_type(argument(function)?)?, true)],
        Function::Avg => vec![
            Field::new(format!("{name}#sum"), sum_type(argument(function)?)?, true),
            Field::new(format!("{name}#count"), DataType::Int64, false),
        ],
    })
}

/// A multiset as Arrow has it: a map of values to counts.
#[must_use]
pub fn multiset_of(element: DataType) -> DataType {
    let fields = vec![Field::new("key", element, false), Field::new("value", DataType::Int32, false)];
    DataType::Map(Field::new("entries", DataType::Struct(fields.into()), false).into(), false)
}

/// Whether an aggregate's result is never null: that of no rows is 0, `{}` or `[]`.
#[must_use]
pub const fn is_never_null(function: Function) -> bool {
    matches!(
        function,
        Function::Count | Function::ApproxCountDistinct | Function::JsonObjectagg | Function::JsonArrayagg
    )
}

/// What an aggregate's result is, by Flink's typing. `argument` is `None` for `COUNT(*)`.
///
/// `COUNT`: `Int64`, never null. `MIN`, `MAX`, `FIRST_VALUE`, `LAST_VALUE`: the argument's type. `SUM`: the argument's type, and
/// `Decimal128(38, s)` of decimals. `AVG`, variances and deviations: the argument's type (of integers what is behind the point is
/// cut off), and `Decimal128(38, max(s, 6))` of decimals.
pub fn aggregate_result_type(function: Function, argument: Option<&DataType>) -> Result<DataType> {
    let argument = match (function, argument) {
        (Function::Unspecified, _) => {
            return Err(Error::new(Code::MalformedMessage, "an aggregate without a function"));
        }
        (Function::Count, _) => return Ok(DataType::Int64),
        (_, Some(argument)) => argument,
        (_, None) => {
            return Err(Error::new(Code::SqlType, format!("{} needs an argument", function.as_str_name())));
        }
    };
    let unsupported = || {
        Err(Error::new(Code::SqlType, format!("{} of {argument} isn't supported", function.as_str_name())))
    };
    let is_number = matches!(
        argument,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
    );
    match function {
        Function::Min | Function::Max => match argument {
            DataType::Decimal128(_, _) | DataType::Utf8 => Ok(argument.clone()),
            DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(_, _) => Ok(argument.clone()),
            _ if is_number => Ok(argument.clone()),
            _ => unsupported(),
        },
        Function::Sum => match argument {
            DataType::Decimal128(_, scale) => Ok(DataType::Decimal128(38, *scale)),
            _ if is_number => Ok(argument.clone()),
            _ => unsupported(),
        },
        Function::Avg | Function::VarPop | Function::VarSamp | Function::StddevPop | Function::StddevSamp => {
            match argument {
                DataType::Decimal128(_, scale) => Ok(DataType::Decimal128(38, (*scale).max(6))),
                _ if is_number => Ok(argument.clone()),
                _ => unsupported(),
            }
        }
        Function::Listagg | Function::JsonObjectagg | Function::JsonArrayagg => match argument {
            DataType::Utf8 => Ok(DataType::Utf8),
            _ => unsupported(),
        },
        Function::Percentile => match argument {
            DataType::Float64 => Ok(DataType::Float64),
            _ => unsupported(),
        },
        Function::Percentiles => match argument {
            DataType::Float64 => Ok(DataType::new_list(DataType::Float64, true)),
            _ => unsupported(),
        },
        Function::Collect => match argument {
            DataType::Map(_, _) | DataType::Null => unsupported(),
            _ => Ok(multiset_of(argument.clone())),
        },
        Function::ApproxCountDistinct => match argument {
            _ if argument.is_nested() => unsupported(),
            _ => Ok(DataType::Int64),
        },
        Function::ArrayAgg => Ok(DataType::new_list(argument.clone(), true)),
        Function::FirstValue | Function::LastValue => Ok(argument.clone()),
        Function::Count | Function::Unspecified => unsupported(),
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
