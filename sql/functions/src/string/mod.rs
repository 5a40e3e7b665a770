//! Functions on strings.

mod characters;
mod code;
mod concat;
mod printf;
mod replace;
mod search;
mod slice;
mod split;
mod url;

use crate::entry::Entry;
use crate::function::Definition;
use datafusion_functions::{string, unicode};

/// Where DataFusion's function has Flink's meaning, it is DataFusion's.
pub(crate) fn reused() -> Vec<Entry> {
    vec![
        Entry::reused(string::lower(), "LOWER(string)", "The string in lower case."),
        Entry::reused(string::upper(), "UPPER(string)", "The string in upper case."),
        Entry::reused(
            string::btrim(),
            "TRIM([BOTH | LEADING | TRAILING] [characters FROM] string), BTRIM(string[, characters])",
            "The string without the given characters, by default spaces, at its ends.",
        ),
        Entry::reused(
            string::ltrim(),
            "LTRIM(string[, characters])",
            "The string without the given characters, by default spaces, at its start.",
        ),
        Entry::reused(
            string::rtrim(),
            "RTRIM(string[, characters])",
            "The string without the given characters, by default spaces, at its end.",
        ),
        Entry::reused(
            string::ascii(),
            "ASCII(string)",
            "The number of the string's first character; 0 for an empty string.",
        ),
        Entry::reused(
            unicode::character_length(),
            "CHAR_LENGTH(string), CHARACTER_LENGTH(string)",
            "The number of characters, as INT.",
        ),
        Entry::reused(unicode::reverse(), "REVERSE(string)", "The string backwards."),
        Entry::reused(
            unicode::initcap(),
            "INITCAP(string)",
            "The string with the first letter of each word in upper case and the others in lower case.",
        ),
        Entry::reused(
            unicode::translate(),
            "TRANSLATE(string, from, to)",
            "The string with each character of from replaced by the one at its place in to, or dropped.",
        ),
        Entry::reused(
            string::uuid(),
            "UUID()",
            "A random UUID (version 4) as text; another one for every row.",
        ),
    ]
}

pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    [
        characters::DEFINITIONS,
        code::DEFINITIONS,
        concat::DEFINITIONS,
        printf::DEFINITIONS,
        replace::DEFINITIONS,
        search::DEFINITIONS,
        slice::DEFINITIONS,
        split::DEFINITIONS,
        url::DEFINITIONS,
    ]
    .into_iter()
    .flatten()
}
