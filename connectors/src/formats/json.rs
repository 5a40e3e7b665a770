//! JSON lines: a decoder straight into columns, an encoder, and their options under Flink's names.

pub mod columns;
pub mod cursor;
pub mod decoder;
pub mod encoder;
pub mod objects;
pub mod scalars;
mod storage;

#[cfg(test)]
mod tests;

use weir_api::connector::OptionDescription;
use weir_api::error::Result;

use crate::options::Options;

/// A line, whose end is missing still after so many bytes, is a malformed record.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// How deep values may be nested.
pub const MAX_DEPTH: usize = 128;

/// The options of the format, for the connector's list.
pub const OPTIONS: [OptionDescription; 5] = [
    OptionDescription {
        key: "json.fail-on-missing-field",
        required: false,
        default: Some("false"),
        description: "Whether a field that a line lacks makes it malformed; else it is null.",
    },
    OptionDescription {
        key: "json.ignore-parse-errors",
        required: false,
        default: Some("false"),
        description: "Skip malformed lines, as 'on-error' = 'skip' does.",
    },
    OptionDescription {
        key: "json.timestamp-format.standard",
        required: false,
        default: Some("SQL"),
        description: "How timestamps are written: SQL ('2015-07-15 00:00:00.123') or ISO-8601 ('2015-07-15T00:00:00.123'). Both are read.",
    },
    OptionDescription {
        key: "json.encode.ignore-null-fields",
        required: false,
        default: Some("false"),
        description: "Leave null fields out instead of writing null.",
    },
    OptionDescription {
        key: "json.encode.decimal-as-plain-number",
        required: false,
        default: Some("true"),
        description: "Decimals are always written as plain numbers; 'true' is accepted for compatibility.",
    },
];

/// The format's options, checked.
#[derive(Clone, Copy, Debug)]
pub struct JsonOptions {
    /// Whether a missing field is an error.
    pub fail_on_missing_field: bool,
    /// Whether malformed lines are skipped.
    pub ignore_parse_errors: bool,
    /// Whether `T` stands between date and time.
    pub iso_timestamps: bool,
    /// Whether nulls are left out.
    pub ignore_null_fields: bool,
}

impl JsonOptions {
    /// The options of a table.
    pub fn of(options: &Options<'_>) -> Result<Self> {
        if !options.boolean("json.encode.decimal-as-plain-number")? {
            return Err(options.refuse("json.encode.decimal-as-plain-number", "'true'"));
        }
        let ignore_parse_errors = options.boolean("json.ignore-parse-errors")?;
        let fail_on_missing_field = options.boolean("json.fail-on-missing-field")?;
        if ignore_parse_errors && fail_on_missing_field {
            return Err(options
                .refuse("json.fail-on-missing-field", "'false' beside 'json.ignore-parse-errors' = 'true'"));
        }
        Ok(Self {
            fail_on_missing_field,
            ignore_parse_errors,
            iso_timestamps: options
                .one_of("json.timestamp-format.standard", &[("SQL", false), ("ISO-8601", true)])?,
            ignore_null_fields: options.boolean("json.encode.ignore-null-fields")?,
        })
    }
}
