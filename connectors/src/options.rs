//! WITH options as typed values.
//!
//! Decides what the text of an option may be and words the refusal: table, option, value, what is allowed. A default is
//! written once, in the connector's [`OptionDescription`]s. Knows no connector.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use weir_api::connector::OptionDescription;
use weir_api::error::{Code, Error, Result};
use weir_proto::v1::TableSpec;

/// The options of one table, read with the descriptions of its connector.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    table: &'a TableSpec,
    descriptions: &'static [OptionDescription],
}

impl<'a> Options<'a> {
    /// The options of `table`.
    #[must_use]
    pub fn new(table: &'a TableSpec, descriptions: &'static [OptionDescription]) -> Self {
        Self { table, descriptions }
    }

    /// The option's text, or its default's.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.table.options.get(key).map(String::as_str).or_else(|| {
            self.descriptions.iter().find(|option| option.key == key).and_then(|option| option.default)
        })
    }

    /// Whether the statement itself gives the option.
    #[must_use]
    pub fn is_given(&self, key: &str) -> bool {
        self.table.options.contains_key(key)
    }

    /// The option's text; an error where there is none.
    pub fn required(&self, key: &str) -> Result<&'a str> {
        self.text(key).ok_or_else(|| {
            Error::new(
                Code::TableOptions,
                format!(
                    "table {}: connector '{}' needs the option '{key}'",
                    self.table.name, self.table.connector
                ),
            )
        })
    }

    /// The error for a value that isn't allowed.
    #[must_use]
    pub fn refuse(&self, key: &str, allowed: impl Display) -> Error {
        let value = self.text(key).unwrap_or_default();
        Error::new(
            Code::TableOptions,
            format!("table {}: option '{key}' is '{value}', where {allowed} belongs", self.table.name),
        )
    }

    /// `true` or `false`.
    pub fn boolean(&self, key: &str) -> Result<bool> {
        match self.required(key)?.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.refuse(key, "'true' or 'false'")),
        }
    }

    /// A number within `range`.
    pub fn number<T>(&self, key: &str, range: RangeInclusive<T>) -> Result<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        self.required(key)?.trim().parse().ok().filter(|value| range.contains(value)).ok_or_else(|| {
            self.refuse(key, format_args!("a number from {} to {}", range.start(), range.end()))
        })
    }

    /// A number of any range, if the option is given or has a default.
    pub fn optional_number<T: FromStr>(&self, key: &str) -> Result<Option<T>> {
        match self.text(key) {
            None => Ok(None),
            Some(text) => {
                text.trim().parse().map(Some).map_err(|_| self.refuse(key, "a number of the column's type"))
            }
        }
    }

    /// A size in bytes: `200b`, `64 kb`, `128MB`; a bare number is bytes.
    pub fn bytes(&self, key: &str) -> Result<u64> {
        parse_bytes(self.required(key)?)
            .ok_or_else(|| self.refuse(key, "a size like '200b', '64kb' or '128MB'"))
    }

    /// A duration: `500 ms`, `10 s`, `5 min`, `1 h`, `2 d`; a bare number is milliseconds.
    pub fn duration(&self, key: &str) -> Result<Duration> {
        parse_duration(self.required(key)?)
            .ok_or_else(|| self.refuse(key, "a duration like '500 ms', '10 s' or '5 min'"))
    }

    /// One of a few words, in any case.
    pub fn one_of<T: Clone>(&self, key: &str, words: &[(&str, T)]) -> Result<T> {
        let text = self.required(key)?.trim();
        words
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text))
            .map(|(_, value)| value.clone())
            .ok_or_else(|| {
                let allowed: Vec<_> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
                self.refuse(key, allowed.join(" or "))
            })
    }

    /// The keys that the statement itself gives, in alphabetical order.
    pub fn given(&self) -> impl Iterator<Item = &'a str> {
        let mut keys: Vec<_> = self.table.options.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys.into_iter()
    }

    /// The table that they are of.
    #[must_use]
    pub fn table(&self) -> &'a TableSpec {
        self.table
    }
}

/// Splits `128 MB` into the number and the unit in lower case.
fn number_and_unit(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim().to_lowercase()))
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit.as_str() {
        "" | "b" | "bytes" => 1,
        "k" | "kb" | "kibibytes" => 1 << 10,
        "m" | "mb" | "mebibytes" => 1 << 20,
        "g" | "gb" | "gibibytes" => 1 << 30,
        "t" | "tb" | "tebibytes" => 1_u64 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let nanos: u64 = match unit.as_str() {
        "ns" | "nano" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "micro" | "microsecond" | "microseconds" => 1_000,
        "" | "ms" | "milli" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return None,
    };
    number.checked_mul(nanos).map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIPTIONS: &[OptionDescription] =
        &[OptionDescription { key: "rate", required: false, default: Some("7"), description: "a rate" }];

    fn table(value: Option<&str>) -> TableSpec {
        let options = value.map(|value| ("rate".to_owned(), value.to_owned())).into_iter().collect();
        TableSpec { name: "c.d.t".into(), connector: "x".into(), options, ..TableSpec::default() }
    }

    #[test]
    fn sizes_and_durations() {
        assert_eq!(parse_bytes("200b"), Some(200));
        assert_eq!(parse_bytes("128MB"), Some(128 << 20));
        assert_eq!(parse_bytes("64 kb"), Some(64 << 10));
        assert_eq!(parse_bytes("5"), Some(5));
        assert_eq!(parse_bytes("kb"), None);
        assert_eq!(parse_bytes("99999999999 tb"), None);
        assert_eq!(parse_duration("600 s"), Some(Duration::from_secs(600)));
        assert_eq!(parse_duration("10min"), Some(Duration::from_secs(600)));
        assert_eq!(parse_duration("-1 s"), None);
    }

    #[test]
    fn a_default_is_read_and_a_wrong_value_is_named_with_what_is_allowed() {
        let absent = table(None);
        assert_eq!(Options::new(&absent, DESCRIPTIONS).number::<u32>("rate", 0..=10).expect("default"), 7);
        let wrong = table(Some("many"));
        let error = Options::new(&wrong, DESCRIPTIONS).number::<u32>("rate", 0..=10).expect_err("wrong");
        assert_eq!(
            error.message(),
            "table c.d.t: option 'rate' is 'many', where a number from 0 to 10 belongs"
        );
    }
}
