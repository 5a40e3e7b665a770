//! Results as tables, JSON or YAML.

use std::io::Write;

use serde_json::Value;
use weir_api::error::{Code, Error, Result};

use crate::args::Format;

/// Prints `value` in the asked format; `table` makes the form for people.
pub fn print(format: Format, value: &Value, table: impl FnOnce(&Value) -> String) -> Result<()> {
    let text = match format {
        Format::Table => table(value),
        Format::Json => serde_json::to_string_pretty(value)
            .map_err(|error| Error::internal("a result isn't JSON").with_source(error))?,
        Format::Yaml => serde_yaml::to_string(value)
            .map_err(|error| Error::internal("a result isn't YAML").with_source(error))?,
    };
    line(text.trim_end())
}

/// Prints a line; a reader that has gone away (`| head`) isn't an error.
pub fn line(text: &str) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(Code::Io, "standard output can't be written").with_source(error))
        }
        _ => Ok(()),
    }
}

/// A borderless table.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    // The last column is padded as well.
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A JSON value as a cell: text without quotes, null as a dash.
pub fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// As much of a name as fits beside other columns; `-o json` has all of it.
pub fn shortened(name: &str, longest: usize) -> String {
    match name.char_indices().nth(longest) {
        Some((cut, _)) => format!("{}…", name.get(..cut).unwrap_or_default()),
        None => name.to_owned(),
    }
}

/// A duration in milliseconds, to one useful precision.
pub fn duration(millis: i64) -> String {
    let millis = u64::try_from(millis).unwrap_or(0);
    let rounded = if millis < 10_000 { millis / 100 * 100 } else { millis / 1000 * 1000 };
    humantime::format_duration(std::time::Duration::from_millis(rounded)).to_string()
}

/// A moment in milliseconds since 1970, in UTC.
pub fn moment(millis: i64) -> String {
    match u64::try_from(millis) {
        Ok(millis) => {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(millis);
            humantime::format_rfc3339_seconds(time).to_string()
        }
        Err(_) => "-".to_owned(),
    }
}
