//! Columns of generated values: value n of a field is a pure function of (its lane, n), and of the time for clock columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray,
    ListArray, MapArray, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use weir_api::error::{Error, Result};

use super::fields::{Generator, Kind, Length, fields_of};
use crate::random::{Lane, scale};
use crate::types::units_per_second;

const MILLIS_PER_DAY: i64 = 86_400_000;

/// What time it is at a row.
pub struct Now<'a>(pub &'a dyn Fn(u64) -> i64);

impl Generator {
    /// The values of these numbers.
    pub fn column(&self, numbers: &[u64], now: &Now<'_>) -> Result<ArrayRef> {
        let nulls = self.nulls(numbers);
        let data_type = self.field.data_type();
        let lane = self.lane;
        Ok(match (&self.kind, data_type) {
            (Kind::Boolean, DataType::Boolean) => {
                let values =
                    BooleanBuffer::collect_bool(numbers.len(), |row| lane.bits(numbers[row]) & 1 == 1);
                Arc::new(BooleanArray::new(values, nulls))
            }
            (Kind::Integer(min, max), data_type) => {
                integers(data_type, numbers.iter().map(|n| between(lane.bits(*n), *min, *max)), nulls)?
            }
            (Kind::Sequence(start), DataType::Utf8) => {
                let texts = numbers.iter().map(|n| start.wrapping_add(*n as i64));
                numbered_texts(texts, nulls)?
            }
            (Kind::Sequence(start), data_type) => {
                integers(data_type, numbers.iter().map(|n| start.wrapping_add(*n as i64)), nulls)?
            }
            (Kind::Float(min, max), DataType::Float32) => {
                fixed::<Float32Type>(numbers.iter().map(|n| mixed(lane.unit(*n), *min, *max) as f32), nulls)
            }
            (Kind::Float(min, max), _) => {
                fixed::<Float64Type>(numbers.iter().map(|n| mixed(lane.unit(*n), *min, *max)), nulls)
            }
            (Kind::Decimal(min, max), DataType::Decimal128(precision, scale)) => {
                let values: Vec<_> = numbers.iter().map(|n| wide_between(lane, *n, *min, *max)).collect();
                let array = Decimal128Array::new(ScalarBuffer::from(values), nulls);
                Arc::new(array.with_precision_and_scale(*precision, *scale)?)
            }
            (Kind::Text(length) | Kind::Bytes(length), data_type) => {
                bytes(data_type, numbers, lane, *length, nulls)?
            }
            (Kind::Time(past), data_type) => {
                let millis =
                    numbers.iter().map(|n| now.0(*n) - lane.below(*n, past.saturating_add(1)) as i64);
                times(data_type, millis, nulls)?
            }
            (Kind::Row(inner), _) => {
                let columns =
                    inner.iter().map(|field| field.column(numbers, now)).collect::<Result<Vec<_>>>()?;
                Arc::new(StructArray::try_new_with_length(fields_of(inner), columns, nulls, numbers.len())?)
            }
            (Kind::List(length, item), DataType::List(field)) => {
                let (offsets, items) = items(numbers, lane, *length);
                let now_of_item = |n: u64| now.0(n / length.most.max(1));
                let values = item.column(&items, &Now(&now_of_item))?;
                Arc::new(ListArray::try_new(field.clone(), offsets, values, nulls)?)
            }
            (Kind::Map(length, pair), DataType::Map(field, sorted)) => {
                let (offsets, items) = items(numbers, lane, *length);
                let now_of_item = |n: u64| now.0(n / length.most.max(1));
                let now = Now(&now_of_item);
                let columns = vec![pair.0.column(&items, &now)?, pair.1.column(&items, &now)?];
                let DataType::Struct(fields) = field.data_type() else {
                    return Err(Error::internal("a map whose entries aren't pairs"));
                };
                let pairs = StructArray::try_new(fields.clone(), columns, None)?;
                Arc::new(MapArray::try_new(field.clone(), offsets, pairs, nulls, *sorted)?)
            }
            (kind, data_type) => {
                return Err(Error::internal(format!("datagen has no {kind:?} of type {data_type}")));
            }
        })
    }

    fn nulls(&self, numbers: &[u64]) -> Option<NullBuffer> {
        if self.null_rate == 0.0 {
            return None;
        }
        let lane = self.lane.part(u64::MAX);
        let valid =
            BooleanBuffer::collect_bool(numbers.len(), |row| lane.unit(numbers[row]) >= self.null_rate);
        Some(NullBuffer::new(valid))
    }
}

/// Random bits as a number from `min` to `max`.
fn between(bits: u64, min: i64, max: i64) -> i64 {
    match (max.wrapping_sub(min) as u64).checked_add(1) {
        Some(span) => min.wrapping_add(scale(bits, span) as i64),
        None => bits as i64,
    }
}

fn wide_between(lane: Lane, n: u64, min: i128, max: i128) -> i128 {
    let bits = u128::from(lane.bits(n)) << 64 | u128::from(lane.part(1).bits(n));
    // Both ends have at most 38 digits, so the span fits; the bias of the remainder is below one part in ten.
    let span = max.wrapping_sub(min) as u128 + 1;
    min.wrapping_add((bits % span) as i128)
}

/// A number from `min` to `max`, also where their difference is too large for the type.
fn mixed(share: f64, min: f64, max: f64) -> f64 {
    min * (1.0 - share) + max * share
}

fn fixed<T: ArrowPrimitiveType>(
    values: impl Iterator<Item = T::Native>,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values.collect::<Vec<_>>()), nulls))
}

/// Whole numbers that are known to fit the type.
fn integers(
    data_type: &DataType,
    values: impl Iterator<Item = i64>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    Ok(match data_type {
        DataType::Int8 => fixed::<Int8Type>(values.map(|value| value as i8), nulls),
        DataType::Int16 => fixed::<Int16Type>(values.map(|value| value as i16), nulls),
        DataType::Int32 => fixed::<Int32Type>(values.map(|value| value as i32), nulls),
        DataType::Int64 => fixed::<Int64Type>(values, nulls),
        DataType::Float32 => fixed::<Float32Type>(values.map(|value| value as f32), nulls),
        DataType::Float64 => fixed::<Float64Type>(values.map(|value| value as f64), nulls),
        DataType::Decimal128(precision, scale) => {
            let unit = 10_i128.pow(u32::from(scale.unsigned_abs()));
            let values: Vec<_> = if *scale >= 0 {
                values.map(|value| i128::from(value) * unit).collect()
            } else {
                values.map(|value| i128::from(value) / unit).collect()
            };
            let array = Decimal128Array::new(ScalarBuffer::from(values), nulls);
            Arc::new(array.with_precision_and_scale(*precision, *scale)?)
        }
        other => return Err(Error::internal(format!("datagen has no whole numbers of type {other}"))),
    })
}

fn numbered_texts(values: impl Iterator<Item = i64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let (mut offsets, mut bytes) = (vec![0], Vec::new());
    let mut buffer = itoa::Buffer::new();
    for value in values {
        bytes.extend_from_slice(buffer.format(value).as_bytes());
        offsets.push(bytes.len() as i32);
    }
    Ok(Arc::new(StringArray::try_new(OffsetBuffer::new(offsets.into()), Buffer::from_vec(bytes), nulls)?))
}

/// Hexadecimal digits or bytes.
fn bytes(
    data_type: &DataType,
    numbers: &[u64],
    lane: Lane,
    length: Length,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let digit = |bits: u64| b"0123456789abcdef"[(bits & 15) as usize];
    Ok(match data_type {
        DataType::Utf8 => {
            let (offsets, bytes) = varied(numbers, lane, length, digit);
            Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
        }
        DataType::FixedSizeBinary(width) => {
            let (_, bytes) = varied(numbers, lane, length, |bits| bits as u8);
            Arc::new(FixedSizeBinaryArray::try_new(*width, bytes, nulls)?)
        }
        _ => {
            let (offsets, bytes) = varied(numbers, lane, length, |bits| bits as u8);
            Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
        }
    })
}

fn length_at(lane: Lane, n: u64, length: Length) -> u64 {
    if length.varies && length.most > 0 { 1 + lane.part(2).below(n, length.most) } else { length.most }
}

fn varied(
    numbers: &[u64],
    lane: Lane,
    length: Length,
    byte: impl Fn(u64) -> u8,
) -> (OffsetBuffer<i32>, Buffer) {
    let mut offsets = Vec::with_capacity(numbers.len() + 1);
    let mut bytes = Vec::with_capacity(numbers.len() * length.most as usize);
    offsets.push(0);
    for n in numbers {
        let mut left = length_at(lane, *n, length);
        // A stream of its own for each value: eight bytes from each number.
        let of_value = Lane::new(lane.bits(*n), 0);
        let mut step = 0;
        while left > 0 {
            let mut bits = of_value.bits(step);
            for _ in 0..left.min(8) {
                bytes.push(byte(bits));
                bits >>= 8;
            }
            left -= left.min(8);
            step += 1;
        }
        offsets.push(bytes.len() as i32);
    }
    (OffsetBuffer::new(offsets.into()), Buffer::from_vec(bytes))
}

/// Offsets of the items, and the number of each: items of row n have the numbers n × most and up.
fn items(numbers: &[u64], lane: Lane, length: Length) -> (OffsetBuffer<i32>, Vec<u64>) {
    let mut offsets = Vec::with_capacity(numbers.len() + 1);
    let mut items = Vec::with_capacity(numbers.len() * length.most as usize);
    offsets.push(0);
    for n in numbers {
        let first = n.wrapping_mul(length.most);
        items.extend((0..length_at(lane, *n, length)).map(|item| first.wrapping_add(item)));
        offsets.push(items.len() as i32);
    }
    (OffsetBuffer::new(offsets.into()), items)
}

fn times(
    data_type: &DataType,
    millis: impl Iterator<Item = i64>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let in_units = |millis: i64, unit: TimeUnit| match unit {
        TimeUnit::Second => millis.div_euclid(1_000),
        unit => millis * (units_per_second(unit) / 1_000),
    };
    Ok(match data_type {
        DataType::Date32 => {
            fixed::<Date32Type>(millis.map(|millis| millis.div_euclid(MILLIS_PER_DAY) as i32), nulls)
        }
        DataType::Time32(unit) => {
            let values = millis.map(|millis| in_units(millis.rem_euclid(MILLIS_PER_DAY), *unit) as i32);
            match unit {
                TimeUnit::Second => fixed::<Time32SecondType>(values, nulls),
                _ => fixed::<Time32MillisecondType>(values, nulls),
            }
        }
        DataType::Time64(unit) => {
            let values = millis.map(|millis| in_units(millis.rem_euclid(MILLIS_PER_DAY), *unit));
            match unit {
                TimeUnit::Nanosecond => fixed::<Time64NanosecondType>(values, nulls),
                _ => fixed::<Time64MicrosecondType>(values, nulls),
            }
        }
        DataType::Timestamp(unit, zone) => {
            let values = ScalarBuffer::from(millis.map(|millis| in_units(millis, *unit)).collect::<Vec<_>>());
            let zone = zone.clone();
            match unit {
                TimeUnit::Second => Arc::new(
                    PrimitiveArray::<TimestampSecondType>::new(values, nulls).with_timezone_opt(zone),
                ),
                TimeUnit::Millisecond => Arc::new(
                    PrimitiveArray::<TimestampMillisecondType>::new(values, nulls).with_timezone_opt(zone),
                ),
                TimeUnit::Microsecond => Arc::new(
                    PrimitiveArray::<TimestampMicrosecondType>::new(values, nulls).with_timezone_opt(zone),
                ),
                TimeUnit::Nanosecond => Arc::new(
                    PrimitiveArray::<TimestampNanosecondType>::new(values, nulls).with_timezone_opt(zone),
                ),
            }
        }
        other => return Err(Error::internal(format!("datagen has no times of type {other}"))),
    })
}
