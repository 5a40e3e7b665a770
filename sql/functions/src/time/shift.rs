//! Distances between points in time: `TIMESTAMPADD` and `TIMESTAMPDIFF`.
//!
//! Units up to weeks are exact lengths; months and what is made of them follow the calendar.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int32Type, TimeUnit};
use datafusion_common::{Result, exec_err};

use super::calendar::{SECONDS_PER_DAY, add_months, months_between};
use super::points::{Points, points};
use super::unit::Unit;
use crate::arguments::Arguments;
use crate::column::numbers;
use crate::function::{Call, Definition};
use crate::parameter::Kind::{Long, Point, Text};
use crate::returns::int;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "timestampdiff",
        "TIMESTAMPDIFF(unit, timepoint1, timepoint2)",
        "How many whole units lie between two points in time; negative when the second comes first.",
        &[Text, Point, Point],
        |call| Unit::checked(call, 0).and_then(|()| int(call)),
        difference,
    ),
    Definition::new(
        "timestampadd",
        "TIMESTAMPADD(unit, number, timepoint)",
        "The point in time that many units later. Adding months keeps the day of the month or takes the month's last.",
        &[Text, Long, Point],
        sum_type,
        add,
    ),
];

fn unit_of(arguments: &Arguments<'_>) -> Result<Unit> {
    match arguments.one_text(0)? {
        Some(unit) => Unit::named(unit),
        None => exec_err!("{} needs a unit that is the same in every row", arguments.usage()),
    }
}

fn difference(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let unit = unit_of(arguments)?;
    let (from, to) = (Points::of(arguments, 1)?, Points::of(arguments, 2)?);
    // Instants are compared as such; where one of both is local, both are.
    let both_instants = from.zone.is_some() && to.zone.is_some();
    let resolution = from.per_second.max(to.per_second);
    let at = |points: &Points, row: usize| {
        let ticks = if both_instants && unit.months().is_none() {
            points.ticks(row)
        } else {
            points.local_ticks(row)
        };
        ticks.saturating_mul(resolution / points.per_second)
    };
    let day = SECONDS_PER_DAY * resolution;
    let day_and_rest = |ticks: i64| (ticks.div_euclid(day), ticks.rem_euclid(day));
    numbers::<Int32Type>(arguments, |row| {
        let (from, to) = (at(&from, row), at(&to, row));
        let count = match (unit.months(), unit.seconds(), unit.per_second()) {
            (Some(months), _, _) => months_between(day_and_rest(from), day_and_rest(to)) / months,
            (_, Some(seconds), _) => to.saturating_sub(from) / (seconds * resolution),
            (_, _, Some(parts)) if parts <= resolution => to.saturating_sub(from) / (resolution / parts),
            (_, _, Some(parts)) => to.saturating_sub(from).saturating_mul(parts / resolution),
            _ => return exec_err!("{unit:?} isn't a unit that TIMESTAMPDIFF counts"),
        };
        match i32::try_from(count) {
            Ok(count) => Ok(count),
            Err(_) => {
                exec_err!("TIMESTAMPDIFF gives {count} {unit:?}s, which is no INT; count in a larger unit")
            }
        }
    })
}

/// A DATE to which hours are added becomes a TIMESTAMP.
fn sum_type(call: &Call<'_>) -> Result<DataType> {
    Unit::checked(call, 0)?;
    let unit = call.literal_text(0).map(Unit::named).transpose()?;
    Ok(match (call.type_of(2), unit) {
        (DataType::Date32, Some(unit))
            if unit.months().is_none() && !matches!(unit, Unit::Day | Unit::Week) =>
        {
            DataType::Timestamp(TimeUnit::Millisecond, None)
        }
        (point, _) => point,
    })
}

fn add(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let unit = unit_of(arguments)?;
    let (count, point) = (arguments.longs(1)?, Points::of(arguments, 2)?);
    // Fine enough for the unit and the result.
    let resolution = match arguments.return_type() {
        DataType::Timestamp(unit, _) => point.per_second.max(super::points::per_second(*unit)),
        _ => point.per_second,
    };
    let scale = resolution / point.per_second;
    let day = SECONDS_PER_DAY * point.per_second;
    points(arguments, resolution, |row| {
        let count = count.value(row);
        let sum = match (unit.months(), unit.seconds(), unit.per_second()) {
            (Some(months), _, _) => {
                let local = point.local_ticks(row);
                let months = count.checked_mul(months);
                let shifted = months.and_then(|months| add_months(local.div_euclid(day), months));
                let shifted =
                    shifted.and_then(|days| days.checked_mul(day)?.checked_add(local.rem_euclid(day)));
                shifted.and_then(|local| point.instant(local).checked_mul(scale))
            }
            (_, Some(seconds), _) => count
                .checked_mul(seconds * resolution)
                .and_then(|distance| point.ticks(row).checked_mul(scale)?.checked_add(distance)),
            (_, _, Some(parts)) => {
                let distance = if parts <= resolution {
                    count.checked_mul(resolution / parts)
                } else {
                    Some(count.div_euclid(parts / resolution))
                };
                distance.and_then(|distance| point.ticks(row).checked_mul(scale)?.checked_add(distance))
            }
            _ => return exec_err!("{unit:?} isn't a unit that TIMESTAMPADD adds"),
        };
        match sum {
            Some(sum) => Ok(Some(sum)),
            None => exec_err!("TIMESTAMPADD of {count} {unit:?}s leaves the range of its type"),
        }
    })
}
