//! Parts of points in time: `EXTRACT` and the functions named after the part. All are BIGINT.

use arrow::array::ArrayRef;
use arrow::datatypes::Int64Type;
use datafusion_common::{Result, exec_err};

use super::calendar::{SECONDS_PER_DAY, date_of, day_of_year, iso_week, iso_weekday, weekday};
use super::points::Points;
use super::unit::Unit;
use crate::arguments::Arguments;
use crate::column::numbers;
use crate::function::Definition;
use crate::parameter::Kind::{PointOrTime, Text};
use crate::returns::bigint;

/// A function that is named after what it extracts.
macro_rules! named {
    ($name:literal, $usage:literal, $description:literal, $unit:expr) => {
        Definition::new($name, $usage, $description, &[PointOrTime], bigint, |arguments| {
            part(arguments, 0, $unit)
        })
    };
}

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "extract",
        "EXTRACT(unit FROM timepoint)",
        "A part of a point in time: YEAR, QUARTER, MONTH, WEEK (ISO), DAY, DOY, DOW (1 is Sunday), HOUR, MINUTE, SECOND, \
         MILLISECOND, EPOCH and others.",
        &[Text, PointOrTime],
        |call| Unit::checked(call, 0).and_then(|()| bigint(call)),
        |arguments| match arguments.one_text(0)? {
            Some(unit) => part(arguments, 1, Unit::named(unit)?),
            None => exec_err!("EXTRACT needs a unit that is the same in every row"),
        },
    )
    .aliases(&["date_part"]),
    named!("year", "YEAR(timepoint)", "The year.", Unit::Year),
    named!("quarter", "QUARTER(timepoint)", "The quarter of the year, from 1 to 4.", Unit::Quarter),
    named!("month", "MONTH(timepoint)", "The month, from 1 to 12.", Unit::Month),
    named!("week", "WEEK(timepoint)", "The ISO week of the year, from 1 to 53.", Unit::Week),
    named!("dayofyear", "DAYOFYEAR(timepoint)", "The day of the year, from 1 to 366.", Unit::DayOfYear),
    named!("dayofmonth", "DAYOFMONTH(timepoint)", "The day of the month, from 1 to 31.", Unit::Day),
    named!("dayofweek", "DAYOFWEEK(timepoint)", "The day of the week, from 1 for Sunday to 7.", Unit::DayOfWeek),
    named!("hour", "HOUR(timepoint)", "The hour, from 0 to 23.", Unit::Hour),
    named!("minute", "MINUTE(timepoint)", "The minute, from 0 to 59.", Unit::Minute),
    named!("second", "SECOND(timepoint)", "The second, from 0 to 59.", Unit::Second),
];

fn part(arguments: &Arguments<'_>, index: usize, unit: Unit) -> Result<ArrayRef> {
    let points = Points::of(arguments, index)?;
    let of_day = |divisor: i64, modulus: i64| {
        numbers::<Int64Type>(arguments, |row| {
            Ok(points.local_seconds(row).div_euclid(divisor).rem_euclid(modulus))
        })
    };
    let of_second = |divisor: i64| numbers::<Int64Type>(arguments, |row| Ok(points.nanos(row) / divisor));
    let of_date = |compute: fn(i64) -> i64| {
        numbers::<Int64Type>(arguments, |row| {
            Ok(compute(points.local_seconds(row).div_euclid(SECONDS_PER_DAY)))
        })
    };
    match unit {
        Unit::Hour => of_day(3_600, 24),
        Unit::Minute => of_day(60, 60),
        Unit::Second => of_day(1, 60),
        Unit::Millisecond => of_second(1_000_000),
        Unit::Microsecond => of_second(1_000),
        Unit::Nanosecond => of_second(1),
        Unit::Epoch => {
            numbers::<Int64Type>(arguments, |row| Ok(points.ticks(row).div_euclid(points.per_second)))
        }
        Unit::Day => of_date(|days| date_of(days).day),
        Unit::Month => of_date(|days| date_of(days).month),
        Unit::Quarter => of_date(|days| (date_of(days).month + 2) / 3),
        Unit::Year => of_date(|days| date_of(days).year),
        Unit::Decade => of_date(|days| date_of(days).year.div_euclid(10)),
        Unit::Century => of_date(|days| counted_from_one(date_of(days).year, 100)),
        Unit::Millennium => of_date(|days| counted_from_one(date_of(days).year, 1_000)),
        Unit::Week => of_date(|days| iso_week(days).1),
        Unit::IsoYear => of_date(|days| iso_week(days).0),
        Unit::DayOfWeek => of_date(|days| weekday(days) + 1),
        Unit::IsoDayOfWeek => of_date(iso_weekday),
        Unit::DayOfYear => of_date(day_of_year),
    }
}

/// Years 1 to 100 are the first century; there is none of number 0.
const fn counted_from_one(year: i64, length: i64) -> i64 {
    if year > 0 { (year + length - 1) / length } else { (year - length + 1) / length }
}
