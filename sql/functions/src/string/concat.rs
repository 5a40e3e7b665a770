//! Strings put together: joined, repeated, padded.

use std::fmt::Write;

use arrow::array::{ArrayRef, StringBuilder};
use datafusion_common::Result;

use crate::arguments::{Arguments, Text as TextColumn};
use crate::column::{check_size, texts};
use crate::function::{Definition, Nulls};
use crate::parameter::Kind::{Long, Text};
use crate::returns::string;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "concat",
        "CONCAT(string, ...)",
        "The strings joined; NULL when one is NULL.",
        &[Text],
        string,
        concat,
    )
    .rest(Text),
    Definition::new(
        "concat_ws",
        "CONCAT_WS(separator, string, ...)",
        "The strings joined with the separator between them; NULL strings are left out. NULL when the separator is NULL.",
        &[Text],
        string,
        concat_with_separator,
    )
    .rest(Text)
    .nulls(Nulls::Own),
    Definition::new(
        "repeat",
        "REPEAT(string, times)",
        "The string repeated; an empty string when times isn't positive.",
        &[Text, Long],
        string,
        repeat,
    ),
    Definition::new(
        "lpad",
        "LPAD(string, length, pad)",
        "The string brought to length characters: padded at its start, or cut at its end. NULL when length is negative or pad \
         empty.",
        &[Text, Long, Text],
        string,
        |arguments| pad(arguments, Side::Left),
    )
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "rpad",
        "RPAD(string, length, pad)",
        "The string brought to length characters: padded or cut at its end. NULL when length is negative or pad empty.",
        &[Text, Long, Text],
        string,
        |arguments| pad(arguments, Side::Right),
    )
    .nulls(Nulls::StrictOrMissing),
];

fn columns<'a>(arguments: &'a Arguments<'_>, from: usize) -> Result<Vec<TextColumn<'a>>> {
    (from..arguments.len()).map(|index| arguments.text(index)).collect()
}

fn concat(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let columns = columns(arguments, 0)?;
    let size = columns.iter().map(TextColumn::size).sum();
    texts(arguments, size, |row, out| {
        for column in &columns {
            out.write_str(column.value(row))?;
        }
        Ok(Some(()))
    })
}

fn concat_with_separator(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (separator, columns) = (arguments.text(0)?, columns(arguments, 1)?);
    let mut builder =
        StringBuilder::with_capacity(arguments.rows(), columns.iter().map(TextColumn::size).sum());
    for row in 0..arguments.rows() {
        let Some(separator) = separator.get(row) else {
            builder.append_null();
            continue;
        };
        let mut is_first = true;
        for text in columns.iter().filter_map(|column| column.get(row)) {
            if !std::mem::take(&mut is_first) {
                builder.write_str(separator)?;
            }
            builder.write_str(text)?;
        }
        builder.append_value("");
        check_size(arguments, builder.values_slice().len())?;
    }
    Ok(std::sync::Arc::new(builder.finish()))
}

fn repeat(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (text, times) = (arguments.text(0)?, arguments.longs(1)?);
    texts(arguments, text.size(), |row, out| {
        let text = text.value(row);
        let times = usize::try_from(times.value(row)).unwrap_or(0);
        if text.is_empty() {
            return Ok(Some(()));
        }
        check_size(arguments, out.values_slice().len().saturating_add(text.len().saturating_mul(times)))?;
        for _ in 0..times {
            out.write_str(text)?;
        }
        Ok(Some(()))
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
}

fn pad(arguments: &Arguments<'_>, side: Side) -> Result<ArrayRef> {
    let (text, length, padding) = (arguments.text(0)?, arguments.longs(1)?, arguments.text(2)?);
    texts(arguments, text.size(), |row, out| {
        let (text, padding) = (text.value(row), padding.value(row));
        let Ok(length) = usize::try_from(length.value(row)) else {
            return Ok(None);
        };
        if padding.is_empty() {
            return Ok(None);
        }
        let characters = text.chars().count();
        if characters >= length {
            let end = text.char_indices().nth(length).map_or(text.len(), |(byte, _)| byte);
            out.write_str(text.get(..end).unwrap_or(text))?;
            return Ok(Some(()));
        }
        let missing = length - characters;
        check_size(arguments, out.values_slice().len().saturating_add(missing))?;
        if side == Side::Right {
            out.write_str(text)?;
        }
        fill(out, padding, missing)?;
        if side == Side::Left {
            out.write_str(text)?;
        }
        Ok(Some(()))
    })
}

/// Writes `missing` characters of `padding`, over and over.
fn fill(out: &mut StringBuilder, padding: &str, missing: usize) -> std::fmt::Result {
    if padding.len() == 1 || padding.is_ascii() {
        for _ in 0..missing / padding.len() {
            out.write_str(padding)?;
        }
        return out.write_str(padding.get(..missing % padding.len()).unwrap_or(""));
    }
    padding.chars().cycle().take(missing).try_for_each(|character| out.write_char(character))
}
