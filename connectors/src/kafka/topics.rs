//! Which topics a table names: a list with `;`, or a pattern.

use regex::Regex;
use weir_api::error::{Code, Error, Result};

use crate::options::Options;

/// Topics by name or by pattern.
#[derive(Clone, Debug)]
pub enum Topics {
    /// Exactly these.
    Named(Vec<String>),
    /// All whose whole name matches.
    Matching(Regex),
}

impl Topics {
    /// The topics of a table.
    pub fn of(options: &Options<'_>) -> Result<Self> {
        match (options.text("topic"), options.text("topic-pattern")) {
            (Some(list), None) => {
                let mut names: Vec<String> = Vec::new();
                for name in list.split(';').map(str::trim) {
                    let is_legal = (1..=249).contains(&name.len())
                        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
                    if !is_legal {
                        return Err(options.refuse("topic", "a topic, or several with ';' between"));
                    }
                    if !names.iter().any(|known| known == name) {
                        names.push(name.to_owned());
                    }
                }
                Ok(Self::Named(names))
            }
            (None, Some(pattern)) => {
                Regex::new(&format!("^(?:{pattern})$")).map(Self::Matching).map_err(|error| {
                    options
                        .refuse("topic-pattern", "a regular expression (without look-around)")
                        .with_source(error)
                })
            }
            (Some(_), Some(_)) => Err(options.refuse("topic-pattern", "nothing beside 'topic'")),
            (None, None) => Err(Error::new(
                Code::TableOptions,
                format!(
                    "table {}: connector 'kafka' needs the option 'topic', or 'topic-pattern' to read",
                    options.table().name
                ),
            )),
        }
    }

    /// The one topic, where there is just one.
    pub fn single(&self) -> Option<&str> {
        match self {
            Self::Named(names) => match names.as_slice() {
                [name] => Some(name),
                _ => None,
            },
            Self::Matching(_) => None,
        }
    }
}
