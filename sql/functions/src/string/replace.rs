//! `REPLACE`. DataFusion's leaves a string as it is where Java's, given nothing to search for, writes between all characters.

use std::fmt::Write;

use arrow::array::{ArrayRef, StringBuilder};
use datafusion_common::Result;
use memchr::memmem::Finder;

use crate::arguments::Arguments;
use crate::column::texts;
use crate::function::Definition;
use crate::parameter::Kind::Text;
use crate::returns::string;

pub(super) static DEFINITIONS: &[Definition] = &[Definition::new(
    "replace",
    "REPLACE(string, search, replacement)",
    "The string with every occurrence of search replaced; occurrences don't overlap.",
    &[Text, Text, Text],
    string,
    replace,
)];

fn replace(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (text, replacement) = (arguments.text(0)?, arguments.text(2)?);
    if let Some(search) = arguments.one_text(1)? {
        let finder = Finder::new(search);
        return texts(arguments, text.size(), |row, out| {
            write_replaced(&finder, text.value(row), replacement.value(row), out)
        });
    }
    let searches = arguments.text(1)?;
    texts(arguments, text.size(), |row, out| {
        write_replaced(&Finder::new(searches.value(row)), text.value(row), replacement.value(row), out)
    })
}

fn write_replaced(
    finder: &Finder<'_>,
    text: &str,
    replacement: &str,
    out: &mut StringBuilder,
) -> Result<Option<()>> {
    if finder.needle().is_empty() {
        out.write_str(replacement)?;
        for character in text.chars() {
            out.write_char(character)?;
            out.write_str(replacement)?;
        }
        return Ok(Some(()));
    }
    let mut copied = 0;
    for found in finder.find_iter(text.as_bytes()) {
        out.write_str(text.get(copied..found).unwrap_or(""))?;
        out.write_str(replacement)?;
        copied = found + finder.needle().len();
    }
    out.write_str(text.get(copied..).unwrap_or(""))?;
    Ok(Some(()))
}
