//! Where strings are in strings, and how often. Positions count characters from 1; 0 means nowhere.

use arrow::array::ArrayRef;
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion_common::Result;
use memchr::memmem::Finder;

use crate::arguments::{Arguments, Text as TextColumn};
use crate::column::{booleans, numbers};
use crate::function::{Definition, Nulls};
use crate::parameter::Kind::{Long, Text, TextOrBytes};
use crate::returns::{bigint, boolean, int};

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "locate",
        "LOCATE(search, string[, from])",
        "The position of the first occurrence of search in the string, at or after position from; 0 when there is none.",
        &[Text, Text],
        int,
        |arguments| positions(arguments, 0, 1),
    )
    .optional(&[Long]),
    Definition::new(
        "position",
        "POSITION(search IN string)",
        "The position of the first occurrence of search in the string; 0 when there is none.",
        &[Text, Text],
        int,
        |arguments| positions(arguments, 0, 1),
    ),
    Definition::new(
        "instr",
        "INSTR(string, search)",
        "The position of the first occurrence of search in the string; 0 when there is none.",
        &[Text, Text],
        int,
        |arguments| positions(arguments, 1, 0),
    ),
    Definition::new(
        "startswith",
        "STARTSWITH(string, start)",
        "Whether the string begins with start; every string begins with an empty one.",
        &[TextOrBytes, TextOrBytes],
        boolean,
        |arguments| {
            let (text, start) = (arguments.bytes(0)?, arguments.bytes(1)?);
            booleans(arguments, |row| Ok(text.value(row).starts_with(start.value(row))))
        },
    ),
    Definition::new(
        "endswith",
        "ENDSWITH(string, end)",
        "Whether the string finishes with end; every string finishes with an empty one.",
        &[TextOrBytes, TextOrBytes],
        boolean,
        |arguments| {
            let (text, end) = (arguments.bytes(0)?, arguments.bytes(1)?);
            booleans(arguments, |row| Ok(text.value(row).ends_with(end.value(row))))
        },
    ),
    Definition::new(
        "count_char",
        "COUNT_CHAR(string, character)",
        "How often the character (the first, when there are more) occurs in the string; 0 for a NULL string. Flink has no such \
         function; the Nexmark benchmark brings it along as one of its own.",
        &[Text, Text],
        bigint,
        count_char,
    )
    .nulls(Nulls::Own),
];

/// The character's position where `byte` is, from 1.
fn position_of(text: &str, byte: usize) -> i32 {
    let before = text.get(..byte).unwrap_or(text);
    let characters = if before.is_ascii() { before.len() } else { before.chars().count() };
    i32::try_from(characters).map_or(i32::MAX, |characters| characters.saturating_add(1))
}

fn positions(arguments: &Arguments<'_>, search: usize, text: usize) -> Result<ArrayRef> {
    let text = arguments.text(text)?;
    let from = if arguments.len() > 2 { Some(arguments.longs(2)?) } else { None };
    let find = |finder: &Finder<'_>, row: usize| {
        if finder.needle().is_empty() {
            return 1;
        }
        let text = text.value(row);
        let skipped = from
            .as_ref()
            .and_then(|from| usize::try_from(from.value(row)).ok())
            .unwrap_or(1)
            .saturating_sub(1);
        let start = match skipped {
            0 => 0,
            _ => text.char_indices().nth(skipped).map_or(text.len(), |(byte, _)| byte),
        };
        let found = text.as_bytes().get(start..).and_then(|rest| finder.find(rest));
        found.map_or(0, |byte| position_of(text, start + byte))
    };
    if let Some(search) = arguments.one_text(search)? {
        let finder = Finder::new(search);
        return numbers::<Int32Type>(arguments, |row| Ok(find(&finder, row)));
    }
    let searches = arguments.text(search)?;
    numbers::<Int32Type>(arguments, |row| Ok(find(&Finder::new(searches.value(row)), row)))
}

fn count_char(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (text, character) = (arguments.text(0)?, arguments.text(1)?);
    if !arguments.column(1)?.is_one_value() || arguments.nulls().is_some() {
        return counts_with_nulls(arguments, &text, &character);
    }
    let Some(character) = character.get(0) else {
        return counts_with_nulls(arguments, &text, &character);
    };
    let character = first(character);
    numbers::<Int64Type>(arguments, |row| Ok(text.get(row).map_or(0, |text| count(text, character))))
}

fn counts_with_nulls(
    arguments: &Arguments<'_>,
    text: &TextColumn<'_>,
    character: &TextColumn<'_>,
) -> Result<ArrayRef> {
    let counts = (0..arguments.rows()).map(|row| {
        character.get(row).map(|character| text.get(row).map_or(0, |text| count(text, first(character))))
    });
    Ok(std::sync::Arc::new(arrow::array::Int64Array::from_iter(counts)))
}

fn first(text: &str) -> &str {
    text.char_indices().nth(1).map_or(text, |(byte, _)| text.get(..byte).unwrap_or(text))
}

fn count(text: &str, character: &str) -> i64 {
    let count = match *character.as_bytes() {
        [] => 0,
        [byte] => memchr::memchr_iter(byte, text.as_bytes()).count(),
        _ => memchr::memmem::find_iter(text.as_bytes(), character).count(),
    };
    i64::try_from(count).unwrap_or(i64::MAX)
}
