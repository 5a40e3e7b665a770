//! Columns of points in time, read as seconds and ticks whatever their type, and written back.
//!
//! A tick is the column's own resolution. A TIMESTAMP_LTZ is an instant; what it shows depends on the session's time zone
//! (`execution.time_zone` of the evaluating context, set from `table.local-time-zone`), or, where none is set, on its type's.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, PrimitiveArray, Time32MillisecondArray, Time32SecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion_common::{Result, exec_err};

use super::calendar::SECONDS_PER_DAY;
use super::zone::Zone;
use crate::arguments::Arguments;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The ticks in a second.
pub(super) const fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => NANOS_PER_SECOND,
    }
}

/// The session's time zone, when one is set.
pub(super) fn session_zone(arguments: &Arguments<'_>) -> Result<Zone> {
    match &arguments.config().execution.time_zone {
        Some(name) => Zone::named(name),
        None => Ok(Zone::UTC),
    }
}

/// A DATE, TIME, TIMESTAMP or TIMESTAMP_LTZ argument.
pub(crate) struct Points {
    values: ScalarBuffer<i64>,
    stride: usize,
    /// Ticks per second; a DATE's ticks are seconds.
    pub per_second: i64,
    /// Of a TIMESTAMP_LTZ.
    pub zone: Option<Zone>,
}

impl Points {
    pub fn of(arguments: &Arguments<'_>, index: usize) -> Result<Self> {
        let column = arguments.column(index)?;
        let values = &column.values;
        let (ticks, per_second, zone) = match values.data_type() {
            DataType::Timestamp(unit, zone) => {
                let zone = match (&arguments.config().execution.time_zone, zone) {
                    (_, None) => None,
                    (Some(session), Some(_)) => Some(Zone::named(session)?),
                    (None, Some(own)) => Some(Zone::named(own)?),
                };
                (timestamp_ticks(values, *unit), per_second(*unit), zone)
            }
            DataType::Date32 => {
                (widened::<Date32Type>(values, |days| i64::from(days) * SECONDS_PER_DAY), 1, None)
            }
            DataType::Time32(TimeUnit::Second) => (widened::<Time32SecondType>(values, i64::from), 1, None),
            DataType::Time32(_) => (widened::<Time32MillisecondType>(values, i64::from), 1_000, None),
            DataType::Time64(TimeUnit::Microsecond) => {
                (values.as_primitive::<Time64MicrosecondType>().values().clone(), 1_000_000, None)
            }
            DataType::Time64(_) => {
                (values.as_primitive::<Time64NanosecondType>().values().clone(), NANOS_PER_SECOND, None)
            }
            other => return arguments.mistyped(index, "a point in time", other),
        };
        Ok(Self { values: ticks, stride: usize::from(!column.is_one_value()), per_second, zone })
    }

    /// The instant in ticks since 1970.
    #[inline]
    pub fn ticks(&self, row: usize) -> i64 {
        self.values.get(row * self.stride).copied().unwrap_or(0)
    }

    /// What a clock shows, in ticks since 1970.
    #[inline]
    pub fn local_ticks(&self, row: usize) -> i64 {
        let ticks = self.ticks(row);
        match self.zone {
            None | Some(Zone::UTC) => ticks,
            Some(zone) => {
                let offset = zone.offset_at(ticks.div_euclid(self.per_second));
                ticks.saturating_add(offset.saturating_mul(self.per_second))
            }
        }
    }

    /// What a clock shows, in seconds since 1970.
    #[inline]
    pub fn local_seconds(&self, row: usize) -> i64 {
        self.local_ticks(row).div_euclid(self.per_second)
    }

    /// The part of a second, in nanoseconds.
    #[inline]
    pub fn nanos(&self, row: usize) -> i64 {
        self.ticks(row).rem_euclid(self.per_second) * (NANOS_PER_SECOND / self.per_second)
    }

    /// The instant at which a clock shows `local`, in ticks.
    pub fn instant(&self, local: i64) -> i64 {
        match self.zone {
            None | Some(Zone::UTC) => local,
            Some(zone) => {
                let seconds = local.div_euclid(self.per_second);
                let shift = zone.to_utc(seconds).saturating_sub(seconds);
                local.saturating_add(shift.saturating_mul(self.per_second))
            }
        }
    }
}

fn widened<T: ArrowPrimitiveType>(values: &ArrayRef, widen: impl Fn(T::Native) -> i64) -> ScalarBuffer<i64> {
    values.as_primitive::<T>().values().iter().map(|value| widen(*value)).collect()
}

fn timestamp_ticks(values: &ArrayRef, unit: TimeUnit) -> ScalarBuffer<i64> {
    match unit {
        TimeUnit::Second => values.as_primitive::<TimestampSecondType>().values().clone(),
        TimeUnit::Millisecond => values.as_primitive::<TimestampMillisecondType>().values().clone(),
        TimeUnit::Microsecond => values.as_primitive::<TimestampMicrosecondType>().values().clone(),
        TimeUnit::Nanosecond => values.as_primitive::<TimestampNanosecondType>().values().clone(),
    }
}

/// A column of the planned type from instants in ticks of `per_second`; NULL where `tick` is `None` or an argument is NULL.
pub(super) fn points(
    arguments: &Arguments<'_>,
    per_second: i64,
    mut tick: impl FnMut(usize) -> Result<Option<i64>>,
) -> Result<ArrayRef> {
    let resolution = match arguments.return_type() {
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => {
            self::per_second(*unit)
        }
        _ => 1,
    };
    let mut values = Vec::with_capacity(arguments.rows());
    let mut valid = Vec::with_capacity(arguments.rows());
    for row in 0..arguments.rows() {
        let value = if arguments.is_null(row) { None } else { tick(row)? };
        valid.push(value.is_some());
        values.push(rescaled(value.unwrap_or(0), per_second, resolution)?);
    }
    let nulls = NullBuffer::from(valid);
    finish(arguments, values, (nulls.null_count() > 0).then_some(nulls))
}

fn rescaled(ticks: i64, from: i64, to: i64) -> Result<i64> {
    if from == to {
        return Ok(ticks);
    }
    if from > to {
        return Ok(ticks.div_euclid(from / to));
    }
    match ticks.checked_mul(to / from) {
        Some(ticks) => Ok(ticks),
        None => exec_err!("a point in time {ticks} ticks from 1970 is too far away for its type"),
    }
}

fn finish(arguments: &Arguments<'_>, values: Vec<i64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    fn of<T: ArrowPrimitiveType<Native = i64>>(
        values: Vec<i64>,
        nulls: Option<NullBuffer>,
    ) -> PrimitiveArray<T> {
        PrimitiveArray::new(values.into(), nulls)
    }
    let narrowed = |values: Vec<i64>, divisor: i64| -> ScalarBuffer<i32> {
        values.into_iter().map(|value| i32::try_from(value.div_euclid(divisor)).unwrap_or(i32::MAX)).collect()
    };
    Ok(match arguments.return_type() {
        DataType::Timestamp(TimeUnit::Second, zone) => {
            let column: TimestampSecondArray = of(values, nulls);
            Arc::new(column.with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            let column: TimestampMillisecondArray = of(values, nulls);
            Arc::new(column.with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let column: TimestampMicrosecondArray = of(values, nulls);
            Arc::new(column.with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            let column: TimestampNanosecondArray = of(values, nulls);
            Arc::new(column.with_timezone_opt(zone.clone()))
        }
        DataType::Date32 => Arc::new(Date32Array::new(narrowed(values, SECONDS_PER_DAY), nulls)),
        DataType::Time32(TimeUnit::Second) => Arc::new(Time32SecondArray::new(narrowed(values, 1), nulls)),
        DataType::Time32(_) => Arc::new(Time32MillisecondArray::new(narrowed(values, 1), nulls)),
        DataType::Time64(TimeUnit::Microsecond) => Arc::new(of::<Time64MicrosecondType>(values, nulls)) as _,
        DataType::Time64(_) => Arc::new(of::<Time64NanosecondType>(values, nulls)) as _,
        other => return arguments.mistyped(0, "a point in time", other),
    })
}
