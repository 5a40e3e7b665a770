//! Comma-separated values: fields by position straight into columns, an encoder, and their options under Flink's names.

pub mod decoder;
pub mod encoder;
pub mod fields;
pub mod quotes;

#[cfg(test)]
mod tests;

use weir_api::error::Result;

use crate::options::Options;

/// The format's options, checked.
#[derive(Clone, Debug)]
pub struct CsvOptions {
    /// How fields are told apart.
    pub dialect: Dialect,
    /// Whether records that start with `#` don't count.
    pub allow_comments: bool,
    /// Whether malformed records are skipped.
    pub ignore_parse_errors: bool,
    /// Stands between the elements of an ARRAY.
    pub array_delimiter: String,
    /// The text of null.
    pub null_literal: Option<String>,
    /// Whether decimals are written as Java's numbers without trailing zeros, which may have an exponent.
    pub java_decimals: bool,
}

/// The characters that have a meaning, all of them ASCII.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Between fields.
    pub delimiter: u8,
    /// Around a field, where it is needed; within one, it is written twice.
    pub quote: Option<u8>,
    /// Takes the meaning from the character behind it.
    pub escape: Option<u8>,
}

impl CsvOptions {
    /// The options of a table, their keys behind `prefix`.
    pub fn of(options: &Options<'_>, prefix: &str) -> Result<Self> {
        let key = |name: &str| format!("{prefix}csv.{name}");
        let quote = key("quote-character");
        let quote = if options.boolean(&key("disable-quote-character"))? {
            if options.is_given(&quote) {
                return Err(options.refuse(&quote, "nothing beside a disabled quote character"));
            }
            None
        } else {
            character(options, &quote)?
        };
        let dialect = Dialect {
            delimiter: character(options, &key("field-delimiter"))?.unwrap_or(b','),
            quote,
            escape: character(options, &key("escape-character"))?,
        };
        for (name, other) in [("quote-character", dialect.quote), ("escape-character", dialect.escape)] {
            if other == Some(dialect.delimiter) {
                return Err(options.refuse(&key(name), "another character than csv.field-delimiter"));
            }
        }
        if dialect.escape.is_some() && dialect.escape == dialect.quote {
            return Err(
                options.refuse(&key("escape-character"), "another character than csv.quote-character")
            );
        }
        let array_delimiter = options.required(&key("array-element-delimiter"))?;
        if array_delimiter.is_empty() {
            return Err(options.refuse(&key("array-element-delimiter"), "at least one character"));
        }
        Ok(Self {
            dialect,
            allow_comments: options.boolean(&key("allow-comments"))?,
            ignore_parse_errors: options.boolean(&key("ignore-parse-errors"))?,
            array_delimiter: array_delimiter.to_owned(),
            null_literal: options.text(&key("null-literal")).map(str::to_owned),
            java_decimals: options.boolean(&key("write-bigdecimal-in-scientific-notation"))?,
        })
    }
}

/// One character; `\t` stands for a tab, as in Flink.
fn character(options: &Options<'_>, key: &str) -> Result<Option<u8>> {
    let Some(text) = options.text(key) else { return Ok(None) };
    let byte = match text {
        "\\t" => b'\t',
        "\\\\" => b'\\',
        text => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => *byte,
            _ => return Err(options.refuse(key, "one ASCII character that doesn't end a line")),
        },
    };
    Ok(Some(byte))
}
