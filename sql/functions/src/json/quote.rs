//! JSON_QUOTE and JSON_UNQUOTE.

use std::fmt::Write;

use crate::column::texts;
use crate::function::Definition;
use crate::parameter::Kind::Text;
use crate::returns::string;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "json_quote",
        "JSON_QUOTE(string)",
        "The string as a JSON string: in double quotes, with what isn't plain ASCII, and \", \\ and /, escaped.",
        &[Text],
        string,
        |arguments| {
            let text = arguments.text(0)?;
            texts(arguments, text.size() + 2 * arguments.rows(), |row, out| {
                out.write_char('"')?;
                for character in text.value(row).chars() {
                    match character {
                        '"' | '\\' | '/' => write!(out, "\\{character}")?,
                        '\u{8}' => out.write_str("\\b")?,
                        '\u{c}' => out.write_str("\\f")?,
                        '\n' => out.write_str("\\n")?,
                        '\r' => out.write_str("\\r")?,
                        '\t' => out.write_str("\\t")?,
                        ' '..='~' => out.write_char(character)?,
                        other => {
                            let mut units = [0; 2];
                            for unit in other.encode_utf16(&mut units) {
                                write!(out, "\\u{unit:04x}")?;
                            }
                        }
                    }
                }
                Ok(Some(out.write_char('"')?))
            })
        },
    ),
    Definition::new(
        "json_unquote",
        "JSON_UNQUOTE(string)",
        "The text that a JSON string in double quotes stands for; any other string as it is.",
        &[Text],
        string,
        |arguments| {
            let text = arguments.text(0)?;
            texts(arguments, text.size(), |row, out| {
                let text = text.value(row);
                match serde_json::from_str::<String>(text) {
                    Ok(inside) if text.starts_with('"') => out.write_str(&inside)?,
                    _ => out.write_str(text)?,
                }
                Ok(Some(()))
            })
        },
    ),
];
