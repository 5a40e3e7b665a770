//! Functions on JSON texts. Malformed JSON, and a path that leads nowhere, give NULL: Flink's `NULL ON EMPTY NULL ON ERROR`. The
//! other behaviours, and `RETURNING`, aren't known.

mod find;
mod path;

use std::fmt::Write;

use arrow::array::{ArrayRef, StringBuilder};
use datafusion_common::Result;

use crate::arguments::{Arguments, Text as TextColumn};
use crate::cast::write_double;
use crate::column::{booleans, texts};
use crate::function::{Call, Definition, Nulls};
use crate::parameter::Kind::Text;
use crate::returns::{boolean, string};
use find::{Found, find};
use path::Step;

static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "json_value",
        "JSON_VALUE(json, path)",
        "The string, number or boolean that a path like '$.a[0].b' leads to, as STRING; NULL when there is none.",
        &[Text, Text],
        |call| checked(call).and_then(|()| string(call)),
        json_value,
    )
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "json_query",
        "JSON_QUERY(json, path)",
        "The object or array that a path leads to, as JSON; NULL when there is none.",
        &[Text, Text],
        |call| checked(call).and_then(|()| string(call)),
        json_query,
    )
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "json_exists",
        "JSON_EXISTS(json, path)",
        "Whether a path leads to a value other than null.",
        &[Text, Text],
        |call| checked(call).and_then(|()| boolean(call)),
        |arguments| {
            let (json, mut paths) = (arguments.text(0)?, Paths::of(arguments)?);
            booleans(arguments, |row| {
                let found = find(json.value(row), paths.at(row)?, false);
                Ok(found.is_some_and(|found| found != Found::Null))
            })
        },
    ),
];

pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    DEFINITIONS.iter()
}

/// Refuses a literal path that can't be read.
fn checked(call: &Call<'_>) -> Result<()> {
    call.literal_text(1).map_or(Ok(()), |path| path::parse(path).map(|_| ()))
}

/// The paths of a call, read again only where they change.
struct Paths<'a> {
    texts: TextColumn<'a>,
    current: Option<(&'a str, Vec<Step>)>,
}

impl<'a> Paths<'a> {
    fn of(arguments: &'a Arguments<'_>) -> Result<Self> {
        Ok(Self { texts: arguments.text(1)?, current: None })
    }

    fn at(&mut self, row: usize) -> Result<&[Step]> {
        let text = self.texts.value(row);
        let steps = match self.current.take() {
            Some((source, steps)) if source == text => steps,
            _ => path::parse(text)?,
        };
        Ok(&self.current.insert((text, steps)).1)
    }
}

fn json_value(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (json, mut paths) = (arguments.text(0)?, Paths::of(arguments)?);
    texts(arguments, arguments.rows() * 8, |row, out| {
        let Some(found) = find(json.value(row), paths.at(row)?, false) else {
            return Ok(None);
        };
        Ok(write_scalar(&found, out)?)
    })
}

fn write_scalar(found: &Found, out: &mut StringBuilder) -> std::result::Result<Option<()>, std::fmt::Error> {
    match found {
        Found::Null | Found::Nested(_) => return Ok(None),
        Found::Boolean(value) => write!(out, "{value}")?,
        Found::Integer(value) => write!(out, "{value}")?,
        Found::Unsigned(value) => write!(out, "{value}")?,
        Found::Number(value) => write_double(*value, out)?,
        Found::Text(value) => out.write_str(value)?,
    }
    Ok(Some(()))
}

fn json_query(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (json, mut paths) = (arguments.text(0)?, Paths::of(arguments)?);
    texts(arguments, arguments.rows() * 16, |row, out| match find(json.value(row), paths.at(row)?, true) {
        Some(Found::Nested(Some(value))) => {
            write!(out, "{value}")?;
            Ok(Some(()))
        }
        _ => Ok(None),
    })
}
