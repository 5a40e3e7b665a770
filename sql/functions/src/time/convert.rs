//! Text and numbers as points in time, and back to numbers.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::cast::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion_common::{Result, plan_err};

use super::calendar::SECONDS_PER_DAY;
use super::current::now_millis;
use super::format::{Patterns, checked_pattern, write_in_zone};
use super::parse::{Parsed, parse_date, parse_prefix, parse_timestamp, parse_whole};
use super::pattern::Pattern;
use super::points::{Points, points, session_zone};
use super::zone::Zone;
use crate::arguments::Arguments;
use crate::column::{numbers, texts};
use crate::function::{Call, Definition, Nulls};
use crate::parameter::Kind::{Any, Text, TextOrPoint};
use crate::returns::{bigint, date, string, timestamp, timestamp_ltz};
use crate::type_name::type_name;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "to_timestamp",
        "TO_TIMESTAMP(string[, pattern])",
        "The string as TIMESTAMP(3), by default in the form 'yyyy-MM-dd HH:mm:ss'; NULL when it can't be read.",
        &[Text],
        |call| checked_pattern(call, 1).and_then(|()| timestamp(call)),
        to_timestamp,
    )
    .optional(&[Text])
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "to_timestamp_ltz",
        "TO_TIMESTAMP_LTZ(number[, precision]), TO_TIMESTAMP_LTZ(string[, pattern[, time zone]])",
        "The instant so many seconds (precision 0) or milliseconds (precision 3, the default) after 1970-01-01 00:00:00 UTC, or the \
         one that a string shows on the clocks of a time zone, by default UTC, as TIMESTAMP_LTZ(3).",
        &[Any],
        to_timestamp_ltz_type,
        to_timestamp_ltz,
    )
    .optional(&[Any, Text])
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "to_date",
        "TO_DATE(string[, pattern])",
        "The string as DATE, by default in the form 'yyyy-MM-dd'; NULL when it can't be read.",
        &[Text],
        |call| checked_pattern(call, 1).and_then(|()| date(call)),
        to_date,
    )
    .optional(&[Text])
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "unix_timestamp",
        "UNIX_TIMESTAMP(), UNIX_TIMESTAMP(string[, pattern])",
        "The current time, or the string read in the session's time zone, in seconds since 1970-01-01 00:00:00 UTC. A string that \
         can't be read gives the smallest BIGINT.",
        &[],
        |call| checked_pattern(call, 1).and_then(|()| bigint(call)),
        unix_timestamp,
    )
    .optional(&[TextOrPoint, Text])
    .volatile(),
    Definition::new(
        "convert_tz",
        "CONVERT_TZ(string, from, to)",
        "A local time in the form 'yyyy-MM-dd HH:mm:ss' of one time zone as the clocks of another show it; NULL when it can't be read.",
        &[Text, Text, Text],
        string,
        convert_tz,
    )
    .nulls(Nulls::StrictOrMissing),
];

/// In milliseconds, cut off.
fn millis(parsed: &Parsed) -> Option<i64> {
    parsed.local_seconds()?.checked_mul(1_000)?.checked_add(parsed.nanos / 1_000_000)
}

/// Reads by the pattern, and where that fails in the default form, as Flink does.
fn parse_or_default(pattern: &Pattern, text: &str) -> Option<Parsed> {
    let readable = |parsed: &Parsed| parsed.local_seconds().is_some();
    parse_whole(pattern, text).filter(readable).or_else(|| parse_timestamp(text.trim()))
}

fn to_timestamp(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let text = arguments.text(0)?;
    if arguments.len() < 2 {
        return points(arguments, 1_000, |row| {
            Ok(parse_timestamp(text.value(row)).and_then(|parsed| millis(&parsed)))
        });
    }
    let mut patterns = Patterns::of(arguments, 1)?;
    points(arguments, 1_000, |row| {
        Ok(parse_or_default(patterns.at(row)?, text.value(row)).and_then(|parsed| millis(&parsed)))
    })
}

fn to_timestamp_ltz_type(call: &Call<'_>) -> Result<DataType> {
    let (first, second) = (call.type_of(0), call.type_of(1));
    if first.is_string() && (second.is_string() || second.is_null()) {
        checked_pattern(call, 1)?;
        if let Some(zone) = call.literal_text(2) {
            Zone::named(zone)?;
        }
        return timestamp_ltz(call);
    }
    if !first.is_numeric() && !first.is_null()
        || call.types.len() > 2
        || !(second.is_integer() || second.is_null())
    {
        return plan_err!(
            "TO_TIMESTAMP_LTZ takes a number and a precision, or a string, a pattern and a time zone, not ({}, {})",
            type_name(&first),
            type_name(&second)
        );
    }
    match call.literal_long(1) {
        None | Some(0 | 3) => timestamp_ltz(call),
        Some(other) => {
            plan_err!("TO_TIMESTAMP_LTZ's precision is 0 for seconds or 3 for milliseconds, not {other}")
        }
    }
}

fn to_timestamp_ltz(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let column = arguments.column(0)?;
    if column.values.data_type().is_string() {
        return to_timestamp_ltz_from_text(arguments);
    }
    let precision =
        if arguments.len() > 1 { Some(cast(&arguments.array(1)?, &DataType::Int64)?) } else { None };
    let per_value = |row: usize| match &precision {
        Some(precision) if precision.as_primitive::<Int64Type>().value(row) == 0 => 1_000,
        _ => 1,
    };
    if column.values.data_type().is_integer() {
        let values = cast(&arguments.array(0)?, &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>();
        return points(arguments, 1_000, |row| Ok(values.value(row).checked_mul(per_value(row))));
    }
    let values = cast(&arguments.array(0)?, &DataType::Float64)?;
    let values = values.as_primitive::<Float64Type>();
    points(arguments, 1_000, |row| {
        #[expect(clippy::cast_precision_loss, reason = "1 or 1000")]
        let millis = values.value(row) * per_value(row) as f64;
        #[expect(clippy::cast_possible_truncation, reason = "cut off, and within the range")]
        Ok((millis.abs() < 9.2e18).then_some(millis as i64))
    })
}

fn to_timestamp_ltz_from_text(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let text = arguments.text(0)?;
    let mut patterns = if arguments.len() > 1 { Some(Patterns::of(arguments, 1)?) } else { None };
    let zones = if arguments.len() > 2 { Some(arguments.text(2)?) } else { None };
    let one_zone = match zones {
        Some(_) => arguments.one_text(2)?.map(Zone::named).transpose()?,
        None => Some(Zone::UTC),
    };
    points(arguments, 1_000, |row| {
        let parsed = match &mut patterns {
            Some(patterns) => parse_or_default(patterns.at(row)?, text.value(row)),
            None => parse_timestamp(text.value(row)),
        };
        let zone = match (one_zone, &zones) {
            (Some(zone), _) => zone,
            (None, Some(zones)) => Zone::named(zones.value(row))?,
            (None, None) => Zone::UTC,
        };
        Ok(parsed.and_then(|parsed| {
            utc_seconds(&parsed, zone)?.checked_mul(1_000)?.checked_add(parsed.nanos / 1_000_000)
        }))
    })
}

/// In the text's own time zone when it has one.
fn utc_seconds(parsed: &Parsed, zone: Zone) -> Option<i64> {
    let local = parsed.local_seconds()?;
    Some(parsed.offset.map_or_else(|| zone.to_utc(local), |offset| local - offset))
}

fn to_date(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let text = arguments.text(0)?;
    if arguments.len() < 2 {
        return points(arguments, 1, |row| Ok(parse_date(text.value(row)).map(|day| day * SECONDS_PER_DAY)));
    }
    let mut patterns = Patterns::of(arguments, 1)?;
    points(arguments, 1, |row| {
        let day = parse_prefix(patterns.at(row)?, text.value(row)).and_then(|parsed| parsed.day());
        Ok(day.map(|day| day * SECONDS_PER_DAY))
    })
}

fn unix_timestamp(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    if arguments.len() == 0 {
        let now = now_millis().div_euclid(1_000);
        return numbers::<Int64Type>(arguments, |_| Ok(now));
    }
    let Ok(text) = arguments.text(0) else {
        let points = Points::of(arguments, 0)?;
        return numbers::<Int64Type>(arguments, |row| Ok(points.ticks(row).div_euclid(points.per_second)));
    };
    let (mut patterns, zone) = (Patterns::of(arguments, 1)?, session_zone(arguments)?);
    numbers::<Int64Type>(arguments, |row| {
        let parsed = parse_prefix(patterns.at(row)?, text.value(row));
        Ok(parsed.and_then(|parsed| utc_seconds(&parsed, zone)).unwrap_or(i64::MIN))
    })
}

fn convert_tz(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (text, from, to) = (arguments.text(0)?, arguments.text(1)?, arguments.text(2)?);
    let one =
        |index: usize| -> Result<Option<Zone>> { arguments.one_text(index)?.map(Zone::named).transpose() };
    let (one_from, one_to) = (one(1)?, one(2)?);
    let default = Pattern::compile(super::format::DEFAULT_PATTERN)?;
    let mut scratch = String::new();
    texts(arguments, text.size(), |row, out| {
        let from = one_from.map_or_else(|| Zone::named(from.value(row)), Ok)?;
        let to = one_to.map_or_else(|| Zone::named(to.value(row)), Ok)?;
        let Some(local) = parse_prefix(&default, text.value(row)).and_then(|parsed| parsed.local_seconds())
        else {
            return Ok(None);
        };
        scratch.clear();
        write_in_zone(local, from, to, &mut scratch)?;
        std::fmt::Write::write_str(out, &scratch)?;
        Ok(Some(()))
    })
}
