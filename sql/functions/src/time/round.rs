//! Points in time rounded to whole units, as a clock shows them.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, exec_err, plan_err};

use super::calendar::{SECONDS_PER_DAY, period, weekday};
use super::points::{Points, points};
use super::unit::Unit;
use crate::arguments::Arguments;
use crate::function::Call;
use crate::type_name::type_name;

/// Which neighbour is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// The type of `FLOOR(point TO unit)`: the point's own.
pub(crate) fn rounded_point_type(point: &DataType, call: &Call<'_>) -> Result<DataType> {
    if call.types.len() < 2 {
        return plan_err!("a {} is rounded to a unit: FLOOR(timepoint TO DAY)", type_name(point));
    }
    Unit::checked(call, 1)?;
    let unit = call.literal_text(1).map(Unit::named).transpose()?;
    let is_date_unit =
        unit.is_some_and(|unit| unit.months().is_some() || matches!(unit, Unit::Day | Unit::Week));
    if matches!(point, DataType::Time32(_) | DataType::Time64(_)) && is_date_unit {
        return plan_err!("a TIME can't be rounded to a unit of a day or more");
    }
    Ok(point.clone())
}

/// Rounds argument 0 to the unit that argument 1 names.
pub(crate) fn round_points(arguments: &Arguments<'_>, direction: Direction) -> Result<ArrayRef> {
    let Some(unit) = arguments.one_text(1)? else {
        return exec_err!("{} needs a unit that is the same in every row", arguments.usage());
    };
    let unit = Unit::named(unit)?;
    let column = Points::of(arguments, 0)?;
    let per_second = column.per_second;
    points(arguments, per_second, |row| {
        let local = column.local_ticks(row);
        let rounded = match round(local, per_second, unit, direction) {
            Some(rounded) => rounded,
            None => return exec_err!("{unit:?} isn't a unit that points in time are rounded to"),
        };
        Ok(Some(if rounded == local { column.ticks(row) } else { column.instant(rounded) }))
    })
}

/// `None` for what isn't a unit.
fn round(ticks: i64, per_second: i64, unit: Unit, direction: Direction) -> Option<i64> {
    let (start, next) = if let Some(parts) = unit.per_second() {
        let length = (per_second / parts).max(1);
        let start = ticks - ticks.rem_euclid(length);
        (start, start.saturating_add(length))
    } else {
        let day_length = SECONDS_PER_DAY * per_second;
        let days = ticks.div_euclid(day_length);
        let of_days =
            |(start, next): (i64, i64)| (start.saturating_mul(day_length), next.saturating_mul(day_length));
        match (unit, unit.seconds(), unit.months()) {
            (Unit::Week, _, _) => {
                let sunday = days - weekday(days);
                of_days((sunday, sunday + 7))
            }
            // Centuries and millennia begin with a year 1.
            (Unit::Century | Unit::Millennium, _, Some(months)) => of_days(period(days, months, 1)),
            (_, _, Some(months)) => of_days(period(days, months, 0)),
            (_, Some(seconds), _) => {
                let length = seconds * per_second;
                let start = ticks - ticks.rem_euclid(length);
                (start, start.saturating_add(length))
            }
            _ => return None,
        }
    };
    Some(if direction == Direction::Down || start == ticks { start } else { next })
}
