//! Which record format a table names, and with which options.
//!
//! Decides which options belong to which format: one of another format is refused. Knows no connector.

use arrow::datatypes::{Fields, SchemaRef};
use weir_api::error::Result;

use super::csv::quotes::QuoteScanner;
use super::csv::{self, CsvOptions};
use super::json::{self, JsonOptions};
use super::raw::{self, RawOptions};
use super::record::{RecordDecoder, RecordEncoder};
use super::values;
use crate::options::Options;

/// The record formats by their names.
pub const NAMES: &[&str] = &["json", "csv", "raw"];

/// A format whose records stand for themselves: a line of a file, the key or value of a message.
#[derive(Clone, Debug)]
pub enum RecordFormat {
    /// `json`: an object each.
    Json(JsonOptions),
    /// `csv`: fields by position.
    Csv(CsvOptions),
    /// `raw`: the one column's value as it is.
    Raw(RawOptions),
}

impl RecordFormat {
    /// The format that the option `key` names (`format`, `key.format`, `value.format`), with its options under the same prefix.
    pub fn of(options: &Options<'_>, key: &str) -> Result<Self> {
        Self::named(options, key, &[])
    }

    /// As [`Self::of`], for a connector that knows other formats `beside`, which a refusal names too.
    pub fn named(options: &Options<'_>, key: &str, beside: &[&str]) -> Result<Self> {
        let given = options.required(key)?.trim();
        let Some(name) = NAMES.iter().find(|name| name.eq_ignore_ascii_case(given)) else {
            let all: Vec<_> = NAMES.iter().chain(beside).map(|name| format!("'{name}'")).collect();
            return Err(options.refuse(key, all.join(" or ")));
        };
        let prefix = key.strip_suffix("format").unwrap_or_default();
        refuse_others(options, prefix, name)?;
        Ok(match *name {
            "csv" => Self::Csv(CsvOptions::of(options, prefix)?),
            "raw" => Self::Raw(RawOptions::of(options, prefix)?),
            _ => Self::Json(JsonOptions::of(options, prefix)?),
        })
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Csv(_) => "csv",
            Self::Raw(_) => "raw",
        }
    }

    /// Whether its own option says that malformed records are skipped.
    #[must_use]
    pub const fn ignores_parse_errors(&self) -> bool {
        match self {
            Self::Json(options) => options.ignore_parse_errors,
            Self::Csv(options) => options.ignore_parse_errors,
            Self::Raw(_) => false,
        }
    }

    /// Refuses fields that can't be read, when the table is planned. `record`: see [`Self::decoder`].
    pub fn check_read(&self, table: &str, record: &Fields) -> Result<()> {
        match self {
            Self::Json(_) => values::check(table, "", record, "format 'json'"),
            Self::Csv(_) => csv::decoder::check(table, record),
            Self::Raw(_) => raw::check(table, record),
        }
    }

    /// Refuses fields that can't be written, when the table is planned.
    pub fn check_written(&self, table: &str, record: &Fields) -> Result<()> {
        match self {
            Self::Json(_) => json::encoder::check(table, record),
            Self::Csv(_) => csv::decoder::check(table, record),
            Self::Raw(_) => raw::check(table, record),
        }
    }

    /// Refuses fields whose records can't stand in a file, a line each.
    pub fn check_lines(&self, table: &str, record: &Fields) -> Result<()> {
        match self {
            Self::Raw(options) => raw::check_lines(table, record, *options),
            Self::Json(_) | Self::Csv(_) => Ok(()),
        }
    }

    /// A decoder of the `wanted` columns out of records that hold the fields `record`, in this order, as the table declares
    /// them; for batches of about `rows` rows.
    pub fn decoder(
        &self,
        table: &str,
        record: &Fields,
        wanted: SchemaRef,
        rows: usize,
    ) -> Result<Box<dyn RecordDecoder>> {
        Ok(match self {
            Self::Json(options) => {
                Box::new(json::decoder::Decoder::new(wanted, options.fail_on_missing_field, rows)?)
            }
            Self::Csv(options) => {
                Box::new(csv::decoder::Decoder::new(table, record, &wanted, options.clone(), rows)?)
            }
            Self::Raw(options) => Box::new(raw::Decoder::new(&wanted, *options, rows)?),
        })
    }

    /// An encoder of rows of `schema`, all of whose columns are written.
    pub fn encoder(&self, table: &str, schema: SchemaRef) -> Result<Box<dyn RecordEncoder>> {
        Ok(match self {
            Self::Json(options) => Box::new(json::encoder::Encoder::new(schema, options.clone())),
            Self::Csv(options) => Box::new(csv::encoder::Encoder::new(table, &schema, options.clone())),
            Self::Raw(options) => Box::new(raw::Encoder::new(*options)),
        })
    }

    /// What tells which lines of a file belong to one record; `None` where each is one.
    #[must_use]
    pub fn quotes(&self) -> Option<QuoteScanner> {
        match self {
            Self::Csv(options) => QuoteScanner::new(options.dialect, options.allow_comments),
            Self::Json(_) | Self::Raw(_) => None,
        }
    }
}

/// Refuses options of formats other than `name`.
pub fn refuse_others(options: &Options<'_>, prefix: &str, name: &str) -> Result<()> {
    for (key, rest) in options.given().filter_map(|key| Some((key, key.strip_prefix(prefix)?))) {
        let format = rest.split_once('.').map_or("", |(format, _)| format);
        if (NAMES.contains(&format) || format == "parquet") && format != name {
            return Err(options.refuse(key, format_args!("nothing beside '{prefix}format' = '{name}'")));
        }
    }
    Ok(())
}
