//! Functions with regular expressions.
//!
//! Patterns are Java's as far as the `regex` crate has them: no look-around and no back-references, in exchange for time linear in
//! the text. A literal pattern that can't be compiled is refused when the query is planned; one that comes from a column makes
//! the row NULL (FALSE for `REGEXP`), as in Flink.

mod compiled;

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field, Int32Type};
use datafusion_common::{Result, plan_err};
use regex::Regex;

use crate::arguments::Arguments;
use crate::column::{booleans, optional_numbers, slices, texts};
use crate::function::{Call, Definition, Nulls};
use crate::parameter::Kind::{Long, Text};
use crate::returns::{boolean, int, string};
pub(crate) use compiled::Patterns;
use compiled::compile;

static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "regexp_extract",
        "REGEXP_EXTRACT(string, regex[, group])",
        "What a group of the regular expression matched where it first matches; group 0, the default, is the whole match. NULL \
         when nothing matches.",
        &[Text, Text],
        |call| checked_group(call).and_then(|()| string(call)),
        extract,
    )
    .optional(&[Long])
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "regexp_replace",
        "REGEXP_REPLACE(string, regex, replacement)",
        "The string with every match replaced; the replacement is taken literally.",
        &[Text, Text, Text],
        |call| checked(call).and_then(|()| string(call)),
        replace,
    )
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "regexp",
        "REGEXP(string, regex)",
        "Whether the regular expression matches somewhere in the string; FALSE for an empty regular expression.",
        &[Text, Text],
        |call| checked(call).and_then(|()| boolean(call)),
        |arguments| {
            let (text, mut patterns) = (arguments.text(0)?, Patterns::of(arguments, 1)?);
            booleans(arguments, |row| {
                let regex = patterns.at(row).filter(|regex| !regex.as_str().is_empty());
                Ok(regex.is_some_and(|regex| regex.is_match(text.value(row))))
            })
        },
    ),
    Definition::new(
        "regexp_count",
        "REGEXP_COUNT(string, regex)",
        "How often the regular expression matches.",
        &[Text, Text],
        |call| checked(call).and_then(|()| int(call)),
        |arguments| {
            let (text, mut patterns) = (arguments.text(0)?, Patterns::of(arguments, 1)?);
            optional_numbers::<Int32Type>(arguments, |row| {
                let count = patterns.at(row).map(|regex| regex.find_iter(text.value(row)).count());
                Ok(count.and_then(|count| i32::try_from(count).ok()))
            })
        },
    )
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "regexp_instr",
        "REGEXP_INSTR(string, regex)",
        "The position of the first match, from 1; 0 when nothing matches.",
        &[Text, Text],
        |call| checked(call).and_then(|()| int(call)),
        |arguments| {
            let (text, mut patterns) = (arguments.text(0)?, Patterns::of(arguments, 1)?);
            optional_numbers::<Int32Type>(arguments, |row| {
                Ok(patterns.at(row).map(|regex| first_position(regex, text.value(row))))
            })
        },
    )
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "regexp_substr",
        "REGEXP_SUBSTR(string, regex)",
        "The first match; NULL when nothing matches.",
        &[Text, Text],
        |call| checked(call).and_then(|()| string(call)),
        |arguments| {
            let (text, mut patterns) = (arguments.text(0)?, Patterns::of(arguments, 1)?);
            slices(arguments, text.size(), |row| {
                let found = patterns.at(row).and_then(|regex| regex.find(text.value(row)));
                Ok(found.map(|found| found.as_str()))
            })
        },
    )
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "regexp_extract_all",
        "REGEXP_EXTRACT_ALL(string, regex[, group])",
        "What a group, by default 1, of the regular expression matched in each of its matches, as an ARRAY.",
        &[Text, Text],
        |call| {
            checked_group(call)?;
            Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))))
        },
        extract_all,
    )
    .optional(&[Long])
    .nulls(Nulls::StrictOrMissing),
];

pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    DEFINITIONS.iter()
}

/// Refuses a literal pattern that doesn't compile.
fn checked(call: &Call<'_>) -> Result<()> {
    match call.literal_text(1).map(compile) {
        Some(Err(error)) => plan_err!(
            "the regular expression can't be used: {error}. Java's look-around, back-references and possessive quantifiers aren't \
             supported"
        ),
        _ => Ok(()),
    }
}

/// Refuses a literal group that the literal pattern doesn't have.
fn checked_group(call: &Call<'_>) -> Result<()> {
    checked(call)?;
    let (Some(pattern), Some(group)) = (call.literal_text(1), call.literal_long(2)) else {
        return Ok(());
    };
    let groups = compile(pattern).map_or(0, |regex| regex.captures_len() - 1);
    match usize::try_from(group) {
        Ok(number) if number <= groups => Ok(()),
        _ => {
            plan_err!("the regular expression '{pattern}' has no group {group}; it has groups 0 to {groups}")
        }
    }
}

fn extract(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (text, mut patterns) = (arguments.text(0)?, Patterns::of(arguments, 1)?);
    if arguments.len() < 3 {
        return slices(arguments, text.size(), |row| {
            let found = patterns.at(row).and_then(|regex| regex.find(text.value(row)));
            Ok(found.map(|found| found.as_str()))
        });
    }
    let groups = arguments.longs(2)?;
    slices(arguments, text.size() / 2, |row| {
        let Ok(group) = usize::try_from(groups.value(row)) else {
            return Ok(None);
        };
        Ok(patterns.group(row, text.value(row), group))
    })
}

fn replace(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (text, mut patterns, replacement) =
        (arguments.text(0)?, Patterns::of(arguments, 1)?, arguments.text(2)?);
    texts(arguments, text.size(), |row, out| {
        let Some(regex) = patterns.at(row) else {
            return Ok(None);
        };
        let text = text.value(row);
        let mut copied = 0;
        for found in regex.find_iter(text) {
            out.write_str(text.get(copied..found.start()).unwrap_or(""))?;
            out.write_str(replacement.value(row))?;
            copied = found.end();
        }
        out.write_str(text.get(copied..).unwrap_or(""))?;
        Ok(Some(()))
    })
}

fn first_position(regex: &Regex, text: &str) -> i32 {
    let before = regex.find(text).and_then(|found| text.get(..found.start()));
    before.map_or(0, |before| {
        i32::try_from(before.chars().count()).map_or(i32::MAX, |count| count.saturating_add(1))
    })
}

fn extract_all(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (text, mut patterns) = (arguments.text(0)?, Patterns::of(arguments, 1)?);
    let groups = if arguments.len() > 2 { Some(arguments.longs(2)?) } else { None };
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..arguments.rows() {
        let regex = if arguments.is_null(row) { None } else { patterns.at(row) };
        let group = groups.as_ref().map_or(Ok(1), |groups| usize::try_from(groups.value(row)));
        let (Some(regex), Ok(group)) = (regex, group) else {
            builder.append(false);
            continue;
        };
        if group >= regex.captures_len() {
            builder.append(false);
            continue;
        }
        for captures in regex.captures_iter(text.value(row)) {
            builder.values().append_option(captures.get(group).map(|found| found.as_str()));
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}
