//! Parts of strings, and strings with parts replaced. Positions count characters from 1; `SPLIT_INDEX` counts from 0.

use std::fmt::Write;

use arrow::array::ArrayRef;
use datafusion_common::Result;
use memchr::memmem::Finder;

use crate::arguments::Arguments;
use crate::column::{slices, texts};
use crate::function::{Definition, Nulls};
use crate::parameter::Kind::{Long, Text, TextOrLong};
use crate::returns::string;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "substring",
        "SUBSTRING(string FROM start [FOR length]), SUBSTR(string, start[, length])",
        "The part of the string from position start, length characters long or to the end. A negative start counts from the \
         end; a start outside of the string gives an empty string; a negative length gives NULL.",
        &[Text, Long],
        string,
        substring,
    )
    .optional(&[Long])
    .aliases(&["substr"])
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "left",
        "LEFT(string, length)",
        "The first length characters; an empty string when length is negative.",
        &[Text, Long],
        string,
        |arguments| {
            let (text, length) = (arguments.text(0)?, arguments.longs(1)?);
            slices(arguments, text.size(), |row| Ok(Some(take(text.value(row), 0, length.value(row)))))
        },
    ),
    Definition::new(
        "right",
        "RIGHT(string, length)",
        "The last length characters; an empty string when length is negative.",
        &[Text, Long],
        string,
        |arguments| {
            let (text, length) = (arguments.text(0)?, arguments.longs(1)?);
            slices(arguments, text.size(), |row| {
                let text = text.value(row);
                let start = characters(text).saturating_sub(length.value(row)).max(0);
                Ok(Some(if length.value(row) <= 0 { "" } else { take(text, start, i64::MAX) }))
            })
        },
    ),
    Definition::new(
        "split_index",
        "SPLIT_INDEX(string, separator, index)",
        "The part at index, from 0, of the string split at every separator; NULL when there is none. The separator may be the \
         number of a character.",
        &[Text, TextOrLong, Long],
        string,
        split_index,
    )
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "overlay",
        "OVERLAY(string PLACING replacement FROM start [FOR length])",
        "The string with length characters, by default as many as the replacement has, replaced from position start.",
        &[Text, Text, Long],
        string,
        overlay,
    )
    .optional(&[Long]),
];

/// How many characters.
fn characters(text: &str) -> i64 {
    let count = if text.is_ascii() { text.len() } else { text.chars().count() };
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Where the character number `index`, from 0, begins; the end of the text when it has fewer.
fn byte_of(text: &str, index: i64) -> usize {
    let Ok(index) = usize::try_from(index) else {
        return 0;
    };
    if text.is_ascii() {
        return index.min(text.len());
    }
    text.char_indices().nth(index).map_or(text.len(), |(byte, _)| byte)
}

/// `length` characters from the character number `start`, from 0.
fn take(text: &str, start: i64, length: i64) -> &str {
    let rest = text.get(byte_of(text, start)..).unwrap_or("");
    rest.get(..byte_of(rest, length)).unwrap_or("")
}

fn substring(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (text, start) = (arguments.text(0)?, arguments.longs(1)?);
    let length = if arguments.len() > 2 { Some(arguments.longs(2)?) } else { None };
    slices(arguments, text.size(), |row| {
        let (text, start) = (text.value(row), start.value(row));
        let length = length.as_ref().map_or(i64::MAX, |length| length.value(row));
        if length < 0 {
            return Ok(None);
        }
        let from =
            if start >= 0 { start.saturating_sub(1).max(0) } else { characters(text).saturating_add(start) };
        Ok(Some(if from < 0 { "" } else { take(text, from, length) }))
    })
}

fn overlay(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (text, replacement, start) = (arguments.text(0)?, arguments.text(1)?, arguments.longs(2)?);
    let length = if arguments.len() > 3 { Some(arguments.longs(3)?) } else { None };
    texts(arguments, text.size(), |row, out| {
        let (text, replacement, start) = (text.value(row), replacement.value(row), start.value(row));
        let length = length.as_ref().map_or_else(|| characters(replacement), |length| length.value(row));
        if start <= 0 || start > characters(text) {
            out.write_str(text)?;
            return Ok(Some(()));
        }
        out.write_str(take(text, 0, start - 1))?;
        out.write_str(replacement)?;
        // A length that isn't positive replaces all that follows, as in Flink.
        if length > 0 {
            out.write_str(take(text, (start - 1).saturating_add(length), i64::MAX))?;
        }
        Ok(Some(()))
    })
}

/// How a string is split.
enum Separator<'a> {
    /// At one byte, which is a character of its own.
    Byte(u8),
    Text(Box<Finder<'a>>),
    /// An empty separator splits at white space.
    WhiteSpace,
}

impl<'a> Separator<'a> {
    fn of(separator: &'a str) -> Self {
        match *separator.as_bytes() {
            [] => Self::WhiteSpace,
            [byte] => Self::Byte(byte),
            _ => Self::Text(Box::new(Finder::new(separator))),
        }
    }

    fn part<'t>(&self, text: &'t str, index: usize) -> Option<&'t str> {
        if text.is_empty() {
            return None;
        }
        match self {
            Self::Byte(byte) => nth_part(text, index, 1, memchr::memchr_iter(*byte, text.as_bytes())),
            Self::Text(finder) => {
                nth_part(text, index, finder.needle().len(), finder.find_iter(text.as_bytes()))
            }
            Self::WhiteSpace => text.split(char::is_whitespace).nth(index),
        }
    }
}

fn nth_part(text: &str, index: usize, width: usize, mut cuts: impl Iterator<Item = usize>) -> Option<&str> {
    let start = match index.checked_sub(1) {
        None => 0,
        Some(before) => cuts.nth(before)? + width,
    };
    text.get(start..cuts.next().unwrap_or(text.len()))
}

fn split_index(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (text, index) = (arguments.text(0)?, arguments.longs(2)?);
    let part = |separator: &Separator<'_>, row: usize| {
        usize::try_from(index.value(row)).ok().and_then(|index| separator.part(text.value(row), index))
    };
    if let Ok(numbers) = arguments.longs(1) {
        return slices(arguments, text.size() / 2, |row| {
            let mut encoded = [0; 4];
            let separator =
                u8::try_from(numbers.value(row)).ok().filter(|number| *number > 0).map(char::from);
            Ok(separator.and_then(|separator| part(&Separator::of(separator.encode_utf8(&mut encoded)), row)))
        });
    }
    if let Some(separator) = arguments.one_text(1)? {
        let separator = Separator::of(separator);
        return slices(arguments, text.size() / 2, |row| Ok(part(&separator, row)));
    }
    let separators = arguments.text(1)?;
    slices(arguments, text.size() / 2, |row| Ok(part(&Separator::of(separators.value(row)), row)))
}
