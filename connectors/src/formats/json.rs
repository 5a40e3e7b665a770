//! JSON objects: a decoder straight into columns, an encoder, and their options under Flink's names.

pub mod columns;
pub mod cursor;
pub mod decoder;
pub mod encoder;
pub mod objects;
pub mod scalars;
pub mod storage;

#[cfg(test)]
mod tests;

use weir_api::error::Result;

use crate::options::Options;

/// How deep values may be nested.
pub const MAX_DEPTH: usize = 128;

/// The format's options, checked.
#[derive(Clone, Debug)]
pub struct JsonOptions {
    /// Whether a missing field is an error.
    pub fail_on_missing_field: bool,
    /// Whether malformed records are skipped.
    pub ignore_parse_errors: bool,
    /// Whether `T` stands between date and time.
    pub iso_timestamps: bool,
    /// Whether nulls are left out.
    pub ignore_null_fields: bool,
    /// Whether decimals keep all digits of their scale and never have an exponent.
    pub plain_decimals: bool,
}

impl JsonOptions {
    /// The options of a table, their keys behind `prefix`.
    pub fn of(options: &Options<'_>, prefix: &str) -> Result<Self> {
        let key = |name: &str| format!("{prefix}json.{name}");
        let boolean = |name: &str| options.boolean(&key(name));
        let (ignore_parse_errors, fail_on_missing_field) =
            (boolean("ignore-parse-errors")?, boolean("fail-on-missing-field")?);
        if ignore_parse_errors && fail_on_missing_field {
            let beside = format!("'false' beside '{}' = 'true'", key("ignore-parse-errors"));
            return Err(options.refuse(&key("fail-on-missing-field"), beside));
        }
        // A MAP never has a null key here, so that which of these is given makes no difference.
        options.one_of(&key("map-null-key.mode"), &[("FAIL", ()), ("DROP", ()), ("LITERAL", ())])?;
        Ok(Self {
            fail_on_missing_field,
            ignore_parse_errors,
            iso_timestamps: options
                .one_of(&key("timestamp-format.standard"), &[("SQL", false), ("ISO-8601", true)])?,
            ignore_null_fields: boolean("encode.ignore-null-fields")?,
            plain_decimals: boolean("encode.decimal-as-plain-number")?,
        })
    }
}
