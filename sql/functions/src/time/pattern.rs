//! Java's patterns of dates and times (`yyyy-MM-dd HH:mm:ss.SSS`), compiled once per call.
//!
//! Letters: `y u` year, `M L` month, `d` day, `D` day of the year, `H k K h` hour, `a` AM or PM, `m` minute, `s` second, `S` fraction,
//! `E` weekday, `Q` quarter, `X x Z` offset from UTC, `'text'` as it is. Names are English.

use datafusion_common::{Result, plan_err};

/// What a run of one letter stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    Year,
    Month,
    Day,
    DayOfYear,
    /// 0 to 23.
    Hour,
    /// 1 to 24.
    HourFromOne,
    /// 0 to 11.
    HalfDayHour,
    /// 1 to 12.
    HalfDayHourFromOne,
    HalfDay,
    Minute,
    Second,
    Fraction,
    Weekday,
    Quarter,
    /// `X`: `Z` for none.
    OffsetOrZ,
    /// `x` and `Z`: always digits.
    Offset,
}

/// A piece of a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Item {
    Literal(String),
    /// The field, and how many letters stood there.
    Field(Field, usize),
}

/// A compiled pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pattern {
    pub items: Vec<Item>,
}

/// More letters than any pattern needs.
const MAX_LETTERS: usize = 19;

impl Pattern {
    pub fn compile(pattern: &str) -> Result<Self> {
        let mut items = Vec::new();
        let mut rest = pattern;
        while let Some(letter) = rest.chars().next() {
            if let Some(quoted) = rest.strip_prefix('\'') {
                rest = literal(pattern, quoted, &mut items)?;
                continue;
            }
            let run = rest.len() - rest.trim_start_matches(letter).len();
            let count = run / letter.len_utf8();
            match field(letter) {
                Some(field) if count <= MAX_LETTERS => items.push(Item::Field(field, count)),
                None if !letter.is_ascii_alphabetic() && !"[]{}#".contains(letter) => {
                    push_literal(&mut items, rest.get(..run).unwrap_or(""));
                }
                _ => {
                    return plan_err!(
                        "the pattern '{pattern}' has '{letter}', which isn't supported; put text between single quotes"
                    );
                }
            }
            rest = rest.get(run..).unwrap_or("");
        }
        Ok(Self { items })
    }

    /// How many seconds in a row look the same, counted from any midnight: 0 when fractions of a second are shown.
    pub fn granularity(&self) -> i64 {
        let seconds_of = |item: &Item| match item {
            Item::Field(Field::Fraction, _) => 0,
            Item::Field(Field::Second | Field::Offset | Field::OffsetOrZ, _) => 1,
            Item::Field(Field::Minute, _) => 60,
            Item::Field(
                Field::Hour
                | Field::HourFromOne
                | Field::HalfDayHour
                | Field::HalfDayHourFromOne
                | Field::HalfDay,
                _,
            ) => 3_600,
            _ => super::calendar::SECONDS_PER_DAY,
        };
        self.items.iter().map(seconds_of).min().unwrap_or(super::calendar::SECONDS_PER_DAY)
    }
}

/// Reads up to the closing quote; two quotes stand for one. Returns what follows.
fn literal<'a>(pattern: &str, quoted: &'a str, items: &mut Vec<Item>) -> Result<&'a str> {
    if let Some(rest) = quoted.strip_prefix('\'') {
        push_literal(items, "'");
        return Ok(rest);
    }
    let mut rest = quoted;
    loop {
        let Some((text, after)) = rest.split_once('\'') else {
            return plan_err!("the pattern {pattern} has a quote that isn't closed");
        };
        push_literal(items, text);
        match after.strip_prefix('\'') {
            Some(more) => {
                push_literal(items, "'");
                rest = more;
            }
            None => return Ok(after),
        }
    }
}

fn push_literal(items: &mut Vec<Item>, text: &str) {
    match items.last_mut() {
        Some(Item::Literal(before)) => before.push_str(text),
        _ => items.push(Item::Literal(text.to_owned())),
    }
}

const fn field(letter: char) -> Option<Field> {
    Some(match letter {
        'y' | 'u' => Field::Year,
        'M' | 'L' => Field::Month,
        'd' => Field::Day,
        'D' => Field::DayOfYear,
        'H' => Field::Hour,
        'k' => Field::HourFromOne,
        'K' => Field::HalfDayHour,
        'h' => Field::HalfDayHourFromOne,
        'a' => Field::HalfDay,
        'm' => Field::Minute,
        's' => Field::Second,
        'S' => Field::Fraction,
        'E' => Field::Weekday,
        'Q' => Field::Quarter,
        'X' => Field::OffsetOrZ,
        'x' | 'Z' => Field::Offset,
        _ => return None,
    })
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// From Sunday.
pub(super) const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn letters_quotes_and_literals() {
        let pattern = Pattern::compile("yyyy-MM-dd'T'HH:mm 'o''clock'''").expect("valid");
        assert_eq!(
            pattern.items,
            [
                Item::Field(Field::Year, 4),
                Item::Literal("-".to_owned()),
                Item::Field(Field::Month, 2),
                Item::Literal("-".to_owned()),
                Item::Field(Field::Day, 2),
                Item::Literal("T".to_owned()),
                Item::Field(Field::Hour, 2),
                Item::Literal(":".to_owned()),
                Item::Field(Field::Minute, 2),
                Item::Literal(" o'clock'".to_owned()),
            ]
        );
        assert_eq!(pattern.granularity(), 60);
        for refused in ["YYYY-'", "b", "yyyy 'open", "[MM]"] {
            assert!(Pattern::compile(refused).is_err(), "{refused}");
        }
    }
}
