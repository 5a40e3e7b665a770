//! Functions on dates, times and timestamps.

mod calendar;
mod convert;
mod current;
mod format;
mod parse;
mod part;
mod pattern;
mod points;
mod round;
mod shift;
mod unit;
mod zone;

pub(crate) use format::{write_date, write_time, write_timestamp};
pub(crate) use points::Points;
pub(crate) use round::{Direction, round_points, rounded_point_type};

use crate::function::Definition;

pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    [convert::DEFINITIONS, current::DEFINITIONS, format::DEFINITIONS, part::DEFINITIONS, shift::DEFINITIONS]
        .into_iter()
        .flatten()
}
