//! The current time. All rows of a batch see the same; the next batch sees another.
//!
//! This is the only place of the crate that reads a clock. The functions are volatile, so that planning never fixes their value.
#![expect(clippy::disallowed_methods, reason = "the edge, where time is read")]

use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::Result;

use super::calendar::SECONDS_PER_DAY;
use super::points::{points, session_zone};
use crate::arguments::Arguments;
use crate::function::{Definition, Nulls};
use crate::returns::{date, timestamp, timestamp_ltz};

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "current_timestamp",
        "CURRENT_TIMESTAMP, NOW()",
        "The current instant, as TIMESTAMP_LTZ(3).",
        &[],
        timestamp_ltz,
        |arguments| instant(arguments, now_millis()),
    )
    .aliases(&["now", "current_row_timestamp"])
    .nulls(Nulls::Never)
    .volatile(),
    Definition::new(
        "proctime",
        "PROCTIME()",
        "The processing time: the instant at which the row is processed, as TIMESTAMP_LTZ(3).",
        &[],
        timestamp_ltz,
        |arguments| instant(arguments, now_millis()),
    )
    .nulls(Nulls::Never)
    .volatile(),
    Definition::new(
        "localtimestamp",
        "LOCALTIMESTAMP",
        "What the clocks of the session's time zone show now, as TIMESTAMP(3).",
        &[],
        timestamp,
        |arguments| local(arguments, now_millis()),
    )
    .nulls(Nulls::Never)
    .volatile(),
    Definition::new(
        "current_date",
        "CURRENT_DATE",
        "The current date in the session's time zone.",
        &[],
        date,
        |arguments| local(arguments, now_millis()),
    )
    .nulls(Nulls::Never)
    .volatile(),
    Definition::new(
        "localtime",
        "LOCALTIME, CURRENT_TIME",
        "The current time of day in the session's time zone, as TIME(0).",
        &[],
        |_| Ok(DataType::Time32(TimeUnit::Millisecond)),
        |arguments| time_of_day(arguments, now_millis()),
    )
    .aliases(&["current_time"])
    .nulls(Nulls::Never)
    .volatile(),
];

/// Milliseconds since 1970 in UTC.
pub(super) fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn instant(arguments: &Arguments<'_>, now: i64) -> Result<ArrayRef> {
    points(arguments, 1_000, |_| Ok(Some(now)))
}

fn local_millis(arguments: &Arguments<'_>, now: i64) -> Result<i64> {
    let offset = session_zone(arguments)?.offset_at(now.div_euclid(1_000));
    Ok(now.saturating_add(offset * 1_000))
}

fn local(arguments: &Arguments<'_>, now: i64) -> Result<ArrayRef> {
    let local = local_millis(arguments, now)?;
    points(arguments, 1_000, |_| Ok(Some(local)))
}

fn time_of_day(arguments: &Arguments<'_>, now: i64) -> Result<ArrayRef> {
    let local = local_millis(arguments, now)?.rem_euclid(SECONDS_PER_DAY * 1_000);
    points(arguments, 1_000, |_| Ok(Some(local - local % 1_000)))
}
