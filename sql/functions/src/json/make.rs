//! JSON_STRING, JSON_OBJECT, JSON_ARRAY, JSON, and what the aggregates JSON_OBJECTAGG and JSON_ARRAYAGG are made of.

use std::fmt::Write;

use arrow::array::ArrayRef;
use datafusion_common::{Result, exec_err};

use super::find::is_json;
use super::write::{Writer, write_text};
use crate::arguments::Arguments;
use crate::column::texts;
use crate::function::{Definition, Nulls};
use crate::parameter::Kind::{Any, Text};
use crate::returns::string;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "json_string",
        "JSON_STRING(value)",
        "The value as JSON: rows and maps as objects, points in time as strings, BYTES as Base64.",
        &[Any],
        |call| Writer::check(&call.type_of(0)).and_then(|()| string(call)),
        |arguments| {
            let column = arguments.column(0)?;
            let is_one_value = column.is_one_value();
            let mut writer = Writer::new(&column.values)?;
            texts(arguments, arguments.rows() * 16, |row, out| {
                writer.write(if is_one_value { 0 } else { row }, out).map(Some)
            })
        },
    ),
    Definition::new(
        "json_object",
        "JSON_OBJECT([[KEY] key VALUE value, ...] [{NULL | ABSENT} ON NULL])",
        "A JSON object. Values may be of any type; a call of JSON_OBJECT, JSON_ARRAY or JSON is an object or array inside. Members \
         that are NULL are null (the default), or absent.",
        &[Text],
        string,
        json_object,
    )
    .rest(Text)
    .nulls(Nulls::Never),
    Definition::new(
        "json_array",
        "JSON_ARRAY([value, ...] [{NULL | ABSENT} ON NULL])",
        "A JSON array of values, as in JSON_OBJECT. Values that are NULL are absent (the default), or null.",
        &[Text],
        string,
        json_array,
    )
    .rest(Text)
    .nulls(Nulls::Never),
    Definition::new(
        "json",
        "JSON(string)",
        "JSON text as a value of JSON_OBJECT or JSON_ARRAY, where it isn't quoted. Text that isn't JSON is an error.",
        &[Text],
        string,
        |arguments| {
            let text = arguments.text(0)?;
            texts(arguments, text.size(), |row, out| {
                let text = text.value(row).trim();
                if !is_json(text) {
                    let shown: String = text.chars().take(80).collect();
                    return exec_err!("JSON got '{shown}', which isn't JSON; use JSON_STRING for plain text");
                }
                Ok(Some(out.write_str(text)?))
            })
        },
    ),
    Definition::new(
        "json_member",
        "JSON_OBJECTAGG([KEY] key VALUE value)",
        "One member of what JSON_OBJECTAGG collects; written by the parser.",
        &[Text, Text, Text],
        string,
        json_member,
    )
    .nulls(Nulls::Own),
];

/// Comes as how NULLs go through, then keys and values in turns.
fn json_object(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let keeps_nulls = arguments.one_text(0)? != Some("ABSENT");
    let columns = (1..arguments.len()).map(|index| arguments.text(index)).collect::<Result<Vec<_>>>()?;
    let mut members: Vec<(&str, &str)> = Vec::with_capacity(columns.len() / 2);
    every_row(arguments, |row, out| {
        members.clear();
        for pair in columns.chunks_exact(2) {
            let [key, value] = pair else { continue };
            let Some(key) = key.get(row) else {
                return exec_err!("JSON_OBJECT got a NULL key");
            };
            let value = match value.get(row) {
                Some(value) => value,
                None if keeps_nulls => "null",
                None => continue,
            };
            match members.iter_mut().find(|(known, _)| *known == key) {
                Some(known) => known.1 = value,
                None => members.push((key, value)),
            }
        }
        out.write_char('{')?;
        for (index, (key, value)) in members.iter().enumerate() {
            if index > 0 {
                out.write_char(',')?;
            }
            write_text(key, out)?;
            out.write_char(':')?;
            out.write_str(value)?;
        }
        Ok(out.write_char('}')?)
    })
}

/// Comes as how NULLs go through, then values.
fn json_array(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let keeps_nulls = arguments.one_text(0)? == Some("NULL");
    let columns = (1..arguments.len()).map(|index| arguments.text(index)).collect::<Result<Vec<_>>>()?;
    every_row(arguments, |row, out| {
        out.write_char('[')?;
        let mut is_first = true;
        for column in &columns {
            let value = match column.get(row) {
                Some(value) => value,
                None if keeps_nulls => "null",
                None => continue,
            };
            if !is_first {
                out.write_char(',')?;
            }
            is_first = false;
            out.write_str(value)?;
        }
        Ok(out.write_char(']')?)
    })
}

/// Comes as how NULLs go through, the key, and the value as JSON.
fn json_member(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let keeps_nulls = arguments.one_text(0)? != Some("ABSENT");
    let (keys, values) = (arguments.text(1)?, arguments.text(2)?);
    let mut out = arrow::array::StringBuilder::new();
    for row in 0..arguments.rows() {
        let value = match values.get(row) {
            Some(value) => value,
            None if keeps_nulls => "null",
            None => {
                out.append_null();
                continue;
            }
        };
        // A NULL key is refused by the aggregate, behind its FILTER.
        match keys.get(row) {
            Some(key) => write_text(key, &mut out)?,
            None => out.write_str("null")?,
        }
        out.write_char(':')?;
        out.append_value(value);
        crate::column::check_size(arguments, out.values_slice().len())?;
    }
    Ok(std::sync::Arc::new(out.finish()))
}

/// A text for every row, whatever its arguments.
fn every_row(
    arguments: &Arguments<'_>,
    mut write: impl FnMut(usize, &mut arrow::array::StringBuilder) -> Result<()>,
) -> Result<ArrayRef> {
    let mut out = arrow::array::StringBuilder::with_capacity(arguments.rows(), arguments.rows() * 32);
    for row in 0..arguments.rows() {
        write(row, &mut out)?;
        out.append_value("");
        crate::column::check_size(arguments, out.values_slice().len())?;
    }
    Ok(std::sync::Arc::new(out.finish()))
}
