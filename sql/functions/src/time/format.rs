//! Points in time as text: `DATE_FORMAT` and `FROM_UNIXTIME`.
//!
//! Rows that look the same under the pattern as the row before (the same day, the same minute) repeat its text.

use std::fmt::Write;

use arrow::array::ArrayRef;
use datafusion_common::Result;

use super::calendar::{SECONDS_PER_DAY, date_of, day_of_year, weekday};
use super::parse::parse_prefix;
use super::pattern::{Field, Item, MONTHS, Pattern, WEEKDAYS};
use super::points::{Points, session_zone};
use super::zone::Zone;
use crate::arguments::Arguments;
use crate::column::texts;
use crate::function::{Call, Definition, Nulls};
use crate::parameter::Kind::{Long, Text, TextOrPoint};
use crate::returns::string;

pub(super) const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "date_format",
        "DATE_FORMAT(timepoint, pattern)",
        "The point in time (or a string that reads as one) as text, by a pattern of Java's like 'yyyy-MM-dd HH:mm:ss.SSS'.",
        &[TextOrPoint, Text],
        |call| checked_pattern(call, 1).and_then(|()| string(call)),
        date_format,
    )
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "from_unixtime",
        "FROM_UNIXTIME(seconds[, pattern])",
        "Seconds since 1970-01-01 00:00:00 UTC as text in the session's time zone, by default as 'yyyy-MM-dd HH:mm:ss'.",
        &[Long],
        |call| checked_pattern(call, 1).and_then(|()| string(call)),
        from_unixtime,
    )
    .optional(&[Text]),
];

/// Refuses a literal pattern that can't be compiled.
pub(super) fn checked_pattern(call: &Call<'_>, index: usize) -> Result<()> {
    call.literal_text(index).map_or(Ok(()), |pattern| Pattern::compile(pattern).map(|_| ()))
}

/// The patterns of a call: compiled once, or anew where a column's pattern changes.
pub(super) struct Patterns<'a> {
    arguments: &'a Arguments<'a>,
    index: usize,
    one: Option<Pattern>,
    current: Option<(&'a str, Pattern)>,
}

impl<'a> Patterns<'a> {
    /// The patterns in argument `index`; the default where there is no such argument.
    pub fn of(arguments: &'a Arguments<'a>, index: usize) -> Result<Self> {
        let one = match arguments.len() {
            count if count <= index => Some(DEFAULT_PATTERN),
            _ => arguments.one_text(index)?,
        };
        Ok(Self { arguments, index, one: one.map(Pattern::compile).transpose()?, current: None })
    }

    pub fn at(&mut self, row: usize) -> Result<&Pattern> {
        if let Some(pattern) = &self.one {
            return Ok(pattern);
        }
        let text = self.arguments.text(self.index)?.value(row);
        let compiled = match self.current.take() {
            Some((source, pattern)) if source == text => pattern,
            _ => Pattern::compile(text)?,
        };
        Ok(&self.current.insert((text, compiled)).1)
    }
}

fn date_format(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    if let Ok(text) = arguments.text(0) {
        let default = Pattern::compile(DEFAULT_PATTERN)?;
        return format(arguments, |row| {
            let parsed = parse_prefix(&default, text.value(row))?;
            Some((parsed.local_seconds()?, parsed.nanos))
        });
    }
    let points = Points::of(arguments, 0)?;
    format(arguments, |row| Some((points.local_seconds(row), points.nanos(row))))
}

/// Formats local times (seconds, nanoseconds), with the patterns in argument 1.
fn format(arguments: &Arguments<'_>, local: impl Fn(usize) -> Option<(i64, i64)>) -> Result<ArrayRef> {
    format_with_zone(arguments, |row| local(row).map(|(seconds, nanos)| (seconds, nanos, 0)))
}

fn format_with_zone(
    arguments: &Arguments<'_>,
    local: impl Fn(usize) -> Option<(i64, i64, i64)>,
) -> Result<ArrayRef> {
    let mut patterns = Patterns::of(arguments, 1)?;
    let granularity = patterns.one.as_ref().map_or(0, Pattern::granularity);
    let mut last = None;
    let mut scratch = String::with_capacity(32);
    texts(arguments, arguments.rows() * 16, |row, out| {
        let Some((seconds, nanos, offset)) = local(row) else {
            return Ok(None);
        };
        let key = if granularity > 0 { Some(seconds.div_euclid(granularity)) } else { None };
        if key.is_none() || key != last {
            scratch.clear();
            write_point(patterns.at(row)?, seconds, nanos, offset, &mut scratch)?;
            last = key;
        }
        out.write_str(&scratch)?;
        Ok(Some(()))
    })
}

fn from_unixtime(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (seconds, zone) = (arguments.longs(0)?, session_zone(arguments)?);
    format_with_zone(arguments, |row| {
        // Beyond, Java's calendar would wrap around as well.
        let seconds = seconds.value(row).clamp(-(1 << 52), 1 << 52);
        let offset = zone.offset_at(seconds);
        Some((seconds + offset, 0, offset))
    })
}

/// Writes a local time.
pub(super) fn write_point(
    pattern: &Pattern,
    seconds: i64,
    nanos: i64,
    offset: i64,
    out: &mut String,
) -> std::fmt::Result {
    let (days, second) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    let date = date_of(days);
    let hour = second / 3_600;
    let half_day_hour = hour % 12;
    for item in &pattern.items {
        let (field, count) = match item {
            Item::Literal(text) => {
                out.push_str(text);
                continue;
            }
            Item::Field(field, count) => (*field, *count),
        };
        match field {
            Field::Year if count == 2 => number(out, date.year.rem_euclid(100), 2)?,
            Field::Year => number(out, date.year, count)?,
            Field::Month if count > 2 => name(out, &MONTHS, date.month - 1, count),
            Field::Month => number(out, date.month, count)?,
            Field::Day => number(out, date.day, count)?,
            Field::DayOfYear => number(out, day_of_year(days), count)?,
            Field::Hour => number(out, hour, count)?,
            Field::HourFromOne => number(out, if hour == 0 { 24 } else { hour }, count)?,
            Field::HalfDayHour => number(out, half_day_hour, count)?,
            Field::HalfDayHourFromOne => {
                number(out, if half_day_hour == 0 { 12 } else { half_day_hour }, count)?
            }
            Field::HalfDay => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            Field::Minute => number(out, second / 60 % 60, count)?,
            Field::Second => number(out, second % 60, count)?,
            Field::Fraction => fraction(out, nanos, count)?,
            Field::Weekday => name(out, &WEEKDAYS, weekday(days), count),
            Field::Quarter => number(out, (date.month + 2) / 3, count)?,
            Field::OffsetOrZ if offset == 0 => out.push('Z'),
            Field::OffsetOrZ | Field::Offset => write_offset(out, offset, field, count)?,
        }
    }
    Ok(())
}

/// Pads with zeros; the sign stands before them.
fn number(out: &mut String, value: i64, width: usize) -> std::fmt::Result {
    if width == 2 && (0..100).contains(&value) {
        // By far the most frequent case.
        let digit = |value: i64| u8::try_from(value).map_or('0', |value| char::from(b'0' + value));
        out.push(digit(value / 10));
        out.push(digit(value % 10));
        return Ok(());
    }
    if value < 0 {
        out.push('-');
    }
    write!(out, "{:0width$}", value.unsigned_abs())
}

/// Three letters and fewer stand for the short name.
fn name(out: &mut String, names: &[&str], index: i64, count: usize) {
    let name = usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or("");
    out.push_str(if count > 3 { name } else { name.get(..3).unwrap_or(name) });
}

fn fraction(out: &mut String, nanos: i64, digits: usize) -> std::fmt::Result {
    let shown = digits.min(9);
    let divisor = 10_i64.pow(u32::try_from(9 - shown).unwrap_or(0));
    write!(out, "{:0shown$}", nanos / divisor)?;
    out.extend(std::iter::repeat_n('0', digits - shown));
    Ok(())
}

fn write_offset(out: &mut String, offset: i64, field: Field, count: usize) -> std::fmt::Result {
    let (hours, minutes) = (offset.abs() / 3_600, offset.abs() / 60 % 60);
    out.push(if offset < 0 { '-' } else { '+' });
    number(out, hours, 2)?;
    if field == Field::OffsetOrZ && count == 1 && minutes == 0 {
        return Ok(());
    }
    if count == 3 {
        out.push(':');
    }
    number(out, minutes, 2)
}

/// The text of a local time in the form of `CAST(… AS STRING)`: as many digits of the second as the type has.
pub(crate) fn write_timestamp(seconds: i64, nanos: i64, digits: usize, out: &mut String) -> std::fmt::Result {
    let (days, second) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    write_date(days, out)?;
    out.push(' ');
    write_time(second, nanos, digits, out)
}

/// `yyyy-MM-dd`
pub(crate) fn write_date(days: i64, out: &mut String) -> std::fmt::Result {
    let date = date_of(days);
    number(out, date.year, 4)?;
    out.push('-');
    number(out, date.month, 2)?;
    out.push('-');
    number(out, date.day, 2)
}

/// `HH:mm:ss` and `digits` of the second.
pub(crate) fn write_time(second: i64, nanos: i64, digits: usize, out: &mut String) -> std::fmt::Result {
    number(out, second / 3_600, 2)?;
    out.push(':');
    number(out, second / 60 % 60, 2)?;
    out.push(':');
    number(out, second % 60, 2)?;
    if digits > 0 {
        out.push('.');
        fraction(out, nanos, digits)?;
    }
    Ok(())
}

/// `CONVERT_TZ`'s way: a local time of one zone as the clocks of another show it.
pub(super) fn write_in_zone(local: i64, from: Zone, to: Zone, out: &mut String) -> Result<()> {
    let there = to.to_local(from.to_utc(local));
    Ok(write_timestamp(there, 0, 0, out)?)
}
