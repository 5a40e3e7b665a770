//! JSON_VALUE, JSON_QUERY, JSON_EXISTS and IS JSON, with what they do when a path leads nowhere or the text isn't JSON.
//!
//! As in Flink a JSON null is nothing; a lax path (the default) that leads nowhere, or to a value of the other kind, is empty; a
//! strict one is an error, as is a text that isn't JSON, and a value that doesn't read as the type asked for.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBufferBuilder, BooleanBuilder, Float64Builder, Int32Builder,
    Int64Builder, StringBuilder,
};
use arrow::compute::kernels::cast::cast;
use arrow::datatypes::DataType;
use datafusion_common::{Result, exec_err, plan_err};
use serde_json::Value;

use super::find::{Found, NotJson, find, is_json};
use super::path::{self, Path};
use crate::arguments::{Arguments, Text as TextColumn};
use crate::cast::write_double;
use crate::column::{check_size, texts};
use crate::function::{Call, Definition, Nulls};
use crate::parameter::Kind::{Any, Text};
use crate::returns::{boolean, string};

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "json_value",
        "JSON_VALUE(json, path [RETURNING type] [{NULL | ERROR | DEFAULT value} ON EMPTY] [{NULL | ERROR | DEFAULT value} ON ERROR])",
        "The string, number or boolean that a path like '$.a[0].b' leads to, as STRING, BOOLEAN, INT, BIGINT or DOUBLE; by \
         default NULL when there is none, and when the text isn't JSON.",
        &[Text, Text],
        |call| checked(call).and_then(|()| returning(call)),
        json_value,
    )
    .optional(&[Text, Text, Any, Text, Any])
    .nulls(Nulls::Own),
    Definition::new(
        "json_query",
        "JSON_QUERY(json, path [{WITHOUT | WITH [CONDITIONAL | UNCONDITIONAL]} [ARRAY] WRAPPER] [{NULL | EMPTY ARRAY | EMPTY \
         OBJECT | ERROR} ON EMPTY] [{NULL | EMPTY ARRAY | EMPTY OBJECT | ERROR} ON ERROR])",
        "The object or array that a path leads to, as JSON; with a wrapper what it leads to in an array, a conditional one only \
         if it isn't one. By default NULL when there is none, and when the text isn't JSON.",
        &[Text, Text],
        |call| checked(call).and_then(|()| string(call)),
        json_query,
    )
    .optional(&[Text, Text, Text])
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "json_exists",
        "JSON_EXISTS(json, path [{TRUE | FALSE | UNKNOWN | ERROR} ON ERROR])",
        "Whether a path leads to a value other than null; by default FALSE when the text isn't JSON.",
        &[Text, Text],
        |call| checked(call).and_then(|()| boolean(call)),
        json_exists,
    )
    .optional(&[Text])
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "is_json",
        "string IS [NOT] JSON [VALUE | SCALAR | ARRAY | OBJECT]",
        "Whether the string is JSON, of this kind; FALSE for NULL.",
        &[Text],
        boolean,
        is_json_of,
    )
    .optional(&[Text])
    .nulls(Nulls::Never),
];

/// Refuses a literal path that can't be read.
fn checked(call: &Call<'_>) -> Result<()> {
    call.literal_text(1).map_or(Ok(()), |path| path::parse(path).map(|_| ()))
}

/// The type after RETURNING.
fn returning(call: &Call<'_>) -> Result<DataType> {
    match call.literal_text(2) {
        None | Some("STRING") => Ok(DataType::Utf8),
        Some("BOOLEAN") => Ok(DataType::Boolean),
        Some("INT") => Ok(DataType::Int32),
        Some("BIGINT") => Ok(DataType::Int64),
        Some("DOUBLE") => Ok(DataType::Float64),
        Some(other) => plan_err!("JSON_VALUE can return STRING, BOOLEAN, INT, BIGINT or DOUBLE, not {other}"),
    }
}

/// The paths of a call, read again only where they change.
struct Paths<'a> {
    texts: TextColumn<'a>,
    current: Option<(&'a str, Path)>,
}

impl<'a> Paths<'a> {
    fn of(arguments: &'a Arguments<'_>) -> Result<Self> {
        Ok(Self { texts: arguments.text(1)?, current: None })
    }

    fn at(&mut self, row: usize) -> Result<&Path> {
        let text = self.texts.value(row);
        let path = match self.current.take() {
            Some((source, path)) if source == text => path,
            _ => path::parse(text)?,
        };
        Ok(&self.current.insert((text, path)).1)
    }
}

/// What a call does where there is no value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    Null,
    Error,
    /// The value of the argument at this index.
    Default(usize),
    Constant(&'static str),
}

impl Otherwise {
    fn of(arguments: &Arguments<'_>, index: usize) -> Result<Self> {
        if index >= arguments.len() {
            return Ok(Self::Null);
        }
        Ok(match arguments.one_text(index)? {
            Some("ERROR") => Self::Error,
            Some("DEFAULT") => Self::Default(index + 1),
            Some("EMPTY ARRAY") => Self::Constant("[]"),
            Some("EMPTY OBJECT") => Self::Constant("{}"),
            _ => Self::Null,
        })
    }
}

/// Why there is no value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Empty,
    Error,
}

impl Missing {
    fn refuse<T>(self, arguments: &Arguments<'_>, json: &str, path: &str) -> Result<T> {
        let shown: String = json.chars().take(80).collect();
        let function = arguments.usage().split('(').next().unwrap_or("JSON");
        match self {
            Self::Empty => {
                exec_err!("{function} finds nothing at '{path}' in '{shown}', and ON EMPTY says ERROR")
            }
            Self::Error => exec_err!("{function} can't read '{path}' in '{shown}', and ON ERROR says ERROR"),
        }
    }
}

/// A column of JSON_VALUE's results.
enum Values {
    Text(StringBuilder),
    Boolean(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Double(Float64Builder),
}

impl Values {
    fn of(data_type: &DataType, rows: usize) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Int32 => Self::Int(Int32Builder::with_capacity(rows)),
            DataType::Int64 => Self::Long(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Self::Double(Float64Builder::with_capacity(rows)),
            _ => Self::Text(StringBuilder::with_capacity(rows, rows * 8)),
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Text(out) => out.append_null(),
            Self::Boolean(out) => out.append_null(),
            Self::Int(out) => out.append_null(),
            Self::Long(out) => out.append_null(),
            Self::Double(out) => out.append_null(),
        }
    }

    /// Appends a scalar; `None` when it doesn't read as the type.
    fn append(&mut self, found: &Found<'_>) -> Result<Option<()>> {
        match self {
            Self::Text(out) => {
                match found {
                    Found::Null | Found::Nested(_) => return Ok(None),
                    Found::Boolean(value) => out.write_str(if *value { "true" } else { "false" })?,
                    Found::Integer(value) => write!(out, "{value}")?,
                    Found::Unsigned(value) => write!(out, "{value}")?,
                    Found::Number(value) => write_double(*value, out)?,
                    Found::Text(value) => {
                        out.append_value(value);
                        return Ok(Some(()));
                    }
                }
                out.append_value("");
                Ok(Some(()))
            }
            Self::Boolean(out) => Ok(match found {
                Found::Boolean(value) => Some(*value),
                Found::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
                Found::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
                _ => None,
            }
            .map(|value| out.append_value(value))),
            Self::Int(out) => {
                let value = whole(found).and_then(|value| i32::try_from(value).ok());
                Ok(value.map(|value| out.append_value(value)))
            }
            Self::Long(out) => Ok(whole(found).map(|value| out.append_value(value))),
            Self::Double(out) => Ok(number(found).map(|value| out.append_value(value))),
        }
    }

    /// Appends a row of a column of this type.
    fn append_from(&mut self, column: &ArrayRef, row: usize) -> Result<()> {
        use arrow::array::AsArray;
        use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
        if column.is_null(row) {
            self.append_null();
            return Ok(());
        }
        match self {
            Self::Text(out) => out.append_value(column.as_string::<i32>().value(row)),
            Self::Boolean(out) => out.append_value(column.as_boolean().value(row)),
            Self::Int(out) => out.append_value(column.as_primitive::<Int32Type>().value(row)),
            Self::Long(out) => out.append_value(column.as_primitive::<Int64Type>().value(row)),
            Self::Double(out) => out.append_value(column.as_primitive::<Float64Type>().value(row)),
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(out) => out.values_slice().len(),
            _ => 0,
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut out) => Arc::new(out.finish()),
            Self::Boolean(mut out) => Arc::new(out.finish()),
            Self::Int(mut out) => Arc::new(out.finish()),
            Self::Long(mut out) => Arc::new(out.finish()),
            Self::Double(mut out) => Arc::new(out.finish()),
        }
    }
}

fn whole(found: &Found<'_>) -> Option<i64> {
    match found {
        Found::Integer(value) => Some(*value),
        Found::Number(value) if value.fract() == 0.0 && value.abs() < 9e18 => Some(*value as i64),
        Found::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn number(found: &Found<'_>) -> Option<f64> {
    match found {
        Found::Integer(value) => Some(*value as f64),
        Found::Unsigned(value) => Some(*value as f64),
        Found::Number(value) => Some(*value),
        Found::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn json_value(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (json, mut paths) = (arguments.text(0)?, Paths::of(arguments)?);
    let (on_empty, on_error) = (Otherwise::of(arguments, 3)?, Otherwise::of(arguments, 5)?);
    let default = |otherwise: Otherwise| -> Result<Option<ArrayRef>> {
        let Otherwise::Default(index) = otherwise else { return Ok(None) };
        Ok(Some(cast(&arguments.array(index)?, arguments.return_type())?))
    };
    let (empty_values, error_values) = (default(on_empty)?, default(on_error)?);
    let path_texts = arguments.text(1)?;
    let mut out = Values::of(arguments.return_type(), arguments.rows());
    for row in 0..arguments.rows() {
        let (Some(text), Some(path_text)) = (json.get(row), path_texts.get(row)) else {
            out.append_null();
            continue;
        };
        let path = paths.at(row)?;
        let missing = match find(text, path, false) {
            Err(NotJson) => Missing::Error,
            Ok(None) if path.is_strict => Missing::Error,
            Ok(Some(Found::Nested(_))) if path.is_strict => Missing::Error,
            Ok(None | Some(Found::Null | Found::Nested(_))) => Missing::Empty,
            Ok(Some(found)) => match out.append(&found)? {
                Some(()) => {
                    check_size(arguments, out.bytes())?;
                    continue;
                }
                None => Missing::Error,
            },
        };
        let (otherwise, values) = match missing {
            Missing::Empty => (on_empty, &empty_values),
            Missing::Error => (on_error, &error_values),
        };
        match (otherwise, values) {
            (Otherwise::Error, _) => return missing.refuse(arguments, text, path_text),
            (Otherwise::Default(_), Some(values)) => out.append_from(values, row)?,
            _ => out.append_null(),
        }
        check_size(arguments, out.bytes())?;
    }
    Ok(out.finish())
}

fn json_query(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (json, mut paths) = (arguments.text(0)?, Paths::of(arguments)?);
    let wrapper = if arguments.len() > 2 { arguments.one_text(2)?.unwrap_or("WITHOUT") } else { "WITHOUT" };
    let (on_empty, on_error) = (Otherwise::of(arguments, 3)?, Otherwise::of(arguments, 4)?);
    let path_texts = arguments.text(1)?;
    texts(arguments, arguments.rows() * 16, |row, out| {
        let path = paths.at(row)?;
        let missing = match find(json.value(row), path, true) {
            Err(NotJson) => Missing::Error,
            Ok(None) if path.is_strict => Missing::Error,
            Ok(None | Some(Found::Null)) => Missing::Empty,
            Ok(Some(found)) => {
                let is_array = matches!(found, Found::Nested(Some(Value::Array(_))));
                let is_wrapped = wrapper == "UNCONDITIONAL" || (wrapper == "CONDITIONAL" && !is_array);
                match (is_wrapped, matches!(found, Found::Nested(_))) {
                    (false, false) if path.is_strict => Missing::Error,
                    (false, false) => Missing::Empty,
                    (is_wrapped, _) => {
                        let (open, close) = if is_wrapped { ("[", "]") } else { ("", "") };
                        write!(out, "{open}{}{close}", value_of(found))?;
                        return Ok(Some(()));
                    }
                }
            }
        };
        match if missing == Missing::Empty { on_empty } else { on_error } {
            Otherwise::Error => missing.refuse(arguments, json.value(row), path_texts.value(row)),
            Otherwise::Constant(text) => Ok(Some(out.write_str(text)?)),
            _ => Ok(None),
        }
    })
}

fn value_of(found: Found<'_>) -> Value {
    match found {
        Found::Null | Found::Nested(None) => Value::Null,
        Found::Boolean(value) => Value::from(value),
        Found::Integer(value) => Value::from(value),
        Found::Unsigned(value) => Value::from(value),
        Found::Number(value) => Value::from(value),
        Found::Text(value) => Value::from(value.into_owned()),
        Found::Nested(Some(value)) => value,
    }
}

fn json_exists(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (json, mut paths) = (arguments.text(0)?, Paths::of(arguments)?);
    let on_error = if arguments.len() > 2 { arguments.one_text(2)?.unwrap_or("FALSE") } else { "FALSE" };
    let path_texts = arguments.text(1)?;
    let mut out = BooleanBuilder::with_capacity(arguments.rows());
    for row in 0..arguments.rows() {
        if arguments.is_null(row) {
            out.append_null();
            continue;
        }
        let path = paths.at(row)?;
        match find(json.value(row), path, false) {
            Ok(None) if !path.is_strict => out.append_value(false),
            Ok(Some(found)) => out.append_value(found != Found::Null),
            Ok(None) | Err(NotJson) => match on_error {
                "TRUE" => out.append_value(true),
                "UNKNOWN" => out.append_null(),
                "ERROR" => return Missing::Error.refuse(arguments, json.value(row), path_texts.value(row)),
                _ => out.append_value(false),
            },
        }
    }
    Ok(Arc::new(out.finish()))
}

fn is_json_of(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let text = arguments.text(0)?;
    let kind = if arguments.len() > 1 { arguments.one_text(1)?.unwrap_or("VALUE") } else { "VALUE" };
    let mut out = BooleanBufferBuilder::new(arguments.rows());
    for row in 0..arguments.rows() {
        out.append(text.get(row).is_some_and(|text| {
            let first = text.trim_start().chars().next();
            let fits = match kind {
                "SCALAR" => !matches!(first, Some('{' | '[')),
                "ARRAY" => first == Some('['),
                "OBJECT" => first == Some('{'),
                _ => true,
            };
            fits && is_json(text)
        }));
    }
    Ok(Arc::new(BooleanArray::new(out.finish(), None)))
}
