//! Configuration files: nested YAML mappings to flat keys, with the line of each.

use serde_yaml::Value;

use crate::error::{Code, Error, Result};

/// The largest configuration file that is read.
const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting of keys.
const MAX_DEPTH: usize = 16;

/// One flat key.
pub(super) struct Entry {
    pub key: String,
    pub value: String,
    /// The line that the key's last part stands on, counted from 1, where it can be told.
    pub line: Option<usize>,
}

/// Reads the file into flat keys, in the order of the file.
pub(super) fn flatten(text: &str) -> Result<Vec<Entry>> {
    if text.len() > MAX_BYTES {
        return Err(invalid(format!(
            "the configuration holds {} bytes, over the limit of {MAX_BYTES}",
            text.len()
        )));
    }
    let root: Value = serde_yaml::from_str(text).map_err(|error| {
        let place = error
            .location()
            .map_or_else(String::new, |at| format!("line {}, column {}: ", at.line(), at.column()));
        invalid(format!("{place}this isn't YAML: {error}"))
    })?;
    let mut entries = Vec::new();
    match root {
        Value::Null => {}
        Value::Mapping(_) => walk(&root, String::new(), 0, text, &mut entries)?,
        _ => return Err(invalid("line 1: a configuration is a mapping of keys to values".to_owned())),
    }
    Ok(entries)
}

fn walk(value: &Value, prefix: String, depth: usize, text: &str, entries: &mut Vec<Entry>) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(invalid(format!("the key '{prefix}' is nested more than {MAX_DEPTH} deep")));
    }
    let scalar = match value {
        Value::Mapping(mapping) => {
            for (key, inner) in mapping {
                let part = key
                    .as_str()
                    .map(str::to_owned)
                    .or_else(|| key.as_i64().map(|number| number.to_string()))
                    .ok_or_else(|| invalid(format!("a key under '{prefix}' is neither text nor a number")))?;
                let key = if prefix.is_empty() { part } else { format!("{prefix}.{part}") };
                walk(inner, key, depth + 1, text, entries)?;
            }
            return Ok(());
        }
        Value::Null => String::new(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Sequence(items) => {
            items.iter().map(|item| item.as_str().unwrap_or_default()).collect::<Vec<_>>().join(";")
        }
        Value::Tagged(_) => return Err(invalid(format!("the value of '{prefix}' carries a YAML tag"))),
    };
    let line = line_of(text, &prefix);
    entries.push(Entry { key: prefix, value: scalar, line });
    Ok(())
}

/// The first line whose key is `key` as a whole or a tail of its parts. serde_yaml keeps no positions of parsed values.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let written = |line: &str| -> Option<String> {
        let (name, _) = line.trim_start().split_once(':')?;
        Some(name.trim().trim_matches(['"', '\'']).to_owned())
    };
    let matches = |name: &str| key == name || key.strip_suffix(name).is_some_and(|head| head.ends_with('.'));
    text.lines()
        .position(|line| written(line).is_some_and(|name| !name.is_empty() && matches(&name)))
        .map(|at| at + 1)
}

fn invalid(message: String) -> Error {
    Error::new(Code::Yaml, message)
}
