//! Columns that grow a JSON value at a time and can be cut back to a row, so that a malformed line leaves nothing behind.
//!
//! Invariant: between rows all columns of an object have the same length.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, Decimal128Array, ListArray, MapArray, NullBufferBuilder,
    StructArray,
};
use arrow::datatypes::{
    ArrowNativeType, DataType, Date32Type, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use weir_api::error::{Error, Result};

use super::cursor::{Cursor, Parsed, Problem, unescape};
use super::objects::Object;
use super::scalars::{self, Rounding};
use super::storage::{Fixed, Items, Varied};
use crate::formats::text;
use crate::types::{sql_name, units_per_second};

/// The values of one column, by type.
enum Values {
    Boolean(BooleanBufferBuilder, NullBufferBuilder),
    Int8(Fixed<i8>),
    Int16(Fixed<i16>),
    Int32(Fixed<i32>),
    Int64(Fixed<i64>),
    Float32(Fixed<f32>),
    Float64(Fixed<f64>),
    Decimal(Fixed<i128>, u8, i8),
    Text(Varied),
    Binary(Varied),
    FixedBinary(Varied, usize),
    Date(Fixed<i32>),
    Time32(Fixed<i32>, TimeUnit),
    Time64(Fixed<i64>, TimeUnit),
    Timestamp(Fixed<i64>, TimeUnit, Option<Arc<str>>),
    List(Box<Items<Column>>, FieldRef),
    Map(Box<Items<(Column, Column)>>, FieldRef, bool),
    Row(Box<Object>),
}

/// A column that grows.
pub struct Column {
    values: Values,
    data_type: DataType,
    nullable: bool,
    scratch: Vec<u8>,
}

impl Column {
    /// An empty column of this type; an error for types that JSON lines can't hold.
    pub fn new(data_type: &DataType, nullable: bool, fail_on_missing: bool, rows: usize) -> Result<Self> {
        let nulls = || NullBufferBuilder::new(rows);
        let column = |field: &FieldRef| Self::new(field.data_type(), field.is_nullable(), fail_on_missing, 0);
        let values = match data_type {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(rows), nulls()),
            DataType::Int8 => Values::Int8(Fixed::new(rows)),
            DataType::Int16 => Values::Int16(Fixed::new(rows)),
            DataType::Int32 => Values::Int32(Fixed::new(rows)),
            DataType::Int64 => Values::Int64(Fixed::new(rows)),
            DataType::Float32 => Values::Float32(Fixed::new(rows)),
            DataType::Float64 => Values::Float64(Fixed::new(rows)),
            DataType::Decimal128(precision, scale) => Values::Decimal(Fixed::new(rows), *precision, *scale),
            DataType::Utf8 => Values::Text(Varied::new(rows)),
            DataType::Binary => Values::Binary(Varied::new(rows)),
            DataType::FixedSizeBinary(length) => {
                Values::FixedBinary(Varied::new(rows), usize::try_from(*length).unwrap_or(0))
            }
            DataType::Date32 => Values::Date(Fixed::new(rows)),
            DataType::Time32(unit) => Values::Time32(Fixed::new(rows), *unit),
            DataType::Time64(unit) => Values::Time64(Fixed::new(rows), *unit),
            DataType::Timestamp(unit, zone) => Values::Timestamp(Fixed::new(rows), *unit, zone.clone()),
            DataType::List(item) => Values::List(Box::new(Items::new(rows, column(item)?)), item.clone()),
            DataType::Map(entries, sorted) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => {
                    let items = (column(&fields[0])?, column(&fields[1])?);
                    Values::Map(Box::new(Items::new(rows, items)), entries.clone(), *sorted)
                }
                _ => return Err(Error::internal("a map whose entries aren't pairs")),
            },
            DataType::Struct(fields) => Values::Row(Box::new(Object::new(fields, fail_on_missing, rows)?)),
            other => {
                return Err(Error::internal(format!("a column of type {other} reached the JSON decoder")));
            }
        };
        Ok(Self { values, data_type: data_type.clone(), nullable, scratch: Vec::new() })
    }

    /// Adds the value at the cursor. After an error the column may be a row too long: [`Self::truncate`] it.
    #[inline]
    pub fn parse(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        let start = cursor.position();
        match cursor.peek() {
            Some(b'n') => {
                cursor.word("null")?;
                self.add_null(start)
            }
            Some(b'"') => {
                let quoted = cursor.quoted()?;
                if quoted.escaped {
                    let mut text = std::mem::take(&mut self.scratch);
                    text.clear();
                    let result = unescape(quoted.raw, &mut text)
                        .map_err(|what| Problem { at: start, what: what.into() })
                        .and_then(|()| self.scalar(&text, true, start));
                    self.scratch = text;
                    result
                } else {
                    self.scalar(quoted.raw, true, start)
                }
            }
            Some(b'{' | b'[') => self.nested(cursor),
            Some(b'-' | b'0'..=b'9') => match &mut self.values {
                Values::Int64(column) if let Some(value) = cursor.small_integer() => {
                    column.push(value);
                    Ok(())
                }
                _ => self.scalar(cursor.number(), false, start),
            },
            Some(b't') => cursor.word("true").and_then(|()| self.scalar(b"true", false, start)),
            Some(b'f') => cursor.word("false").and_then(|()| self.scalar(b"false", false, start)),
            _ => Err(cursor.unexpected("a value")),
        }
    }

    /// Adds what a text without quotes around it means for this type; `at` is where it stands. Errors as in [`Self::parse`].
    #[inline]
    pub fn add_text(&mut self, text: &[u8], at: usize) -> Parsed<()> {
        self.scalar(text, true, at)
    }

    /// Adds a null, if it may hold one.
    pub fn add_null(&mut self, at: usize) -> Parsed<()> {
        if !self.nullable {
            let what = format!("null for {} NOT NULL", sql_name(&self.data_type));
            return Err(Problem { at, what: what.into() });
        }
        self.append_null();
        Ok(())
    }

    /// Adds a list of what texts mean for the type of its items; `None` is null.
    pub fn add_texts<'a>(&mut self, texts: impl Iterator<Item = Option<&'a [u8]>>, at: usize) -> Parsed<()> {
        let Values::List(list, _) = &mut self.values else {
            return Err(Problem { at, what: format!("an array for {}", sql_name(&self.data_type)).into() });
        };
        for text in texts {
            match text {
                Some(text) => list.items.add_text(text, at)?,
                None => list.items.add_null(at)?,
            }
        }
        list.end(list.items.len());
        Ok(())
    }

    /// Adds what a text, number or boolean means for this type.
    #[inline]
    fn scalar(&mut self, text: &[u8], quoted: bool, at: usize) -> Parsed<()> {
        let added = match &mut self.values {
            Values::Int64(column) => scalars::integer(text).map(|value| column.push(value)),
            Values::Text(column) => {
                column.bytes.extend_from_slice(text);
                column.end();
                Some(())
            }
            Values::Timestamp(column, unit, zone) if quoted => text::parse_timestamp(text)
                .filter(|moment| zone.is_some() || !moment.has_offset)
                .and_then(|moment| moment.in_units(*unit))
                .map(|value| column.push(value)),
            _ => self.rare_scalar(text, quoted),
        };
        added.ok_or_else(|| self.does_not_fit(text, quoted, at))
    }

    fn rare_scalar(&mut self, text: &[u8], quoted: bool) -> Option<()> {
        let integer = || scalars::integer(text);
        match &mut self.values {
            Values::Boolean(values, nulls) => scalars::boolean(text).map(|value| {
                values.append(value);
                nulls.append_non_null();
            }),
            Values::Int8(column) => {
                integer().and_then(|value| value.try_into().ok()).map(|value| column.push(value))
            }
            Values::Int16(column) => {
                integer().and_then(|value| value.try_into().ok()).map(|value| column.push(value))
            }
            Values::Int32(column) => {
                integer().and_then(|value| value.try_into().ok()).map(|value| column.push(value))
            }
            Values::Float32(column) => scalars::double(text).map(|value| column.push(value as f32)),
            Values::Float64(column) => scalars::double(text).map(|value| column.push(value)),
            Values::Decimal(column, precision, scale) => scalars::decimal(text, *scale, Rounding::HalfUp)
                .filter(|value| value.unsigned_abs() < 10_u128.pow(u32::from(*precision).min(38)))
                .map(|value| column.push(value)),
            Values::Binary(column) if quoted => {
                scalars::base64(text, &mut column.bytes).then(|| column.end())
            }
            Values::FixedBinary(column, length) if quoted => {
                let start = column.bytes.len();
                let fits = scalars::base64(text, &mut column.bytes) && column.bytes.len() - start == *length;
                fits.then(|| column.end())
            }
            Values::Date(column) if quoted => {
                text::parse_date(text).and_then(|days| i32::try_from(days).ok()).map(|days| column.push(days))
            }
            Values::Time32(column, unit) if quoted => {
                time(text, *unit).and_then(|value| i32::try_from(value).ok()).map(|value| column.push(value))
            }
            Values::Time64(column, unit) if quoted => time(text, *unit).map(|value| column.push(value)),
            _ => None,
        }
    }

    fn nested(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        let start = cursor.position();
        match &mut self.values {
            Values::Row(object) => object.parse(cursor),
            Values::List(list, _) => {
                cursor.expect(b'[')?;
                if !cursor.take(b']') {
                    loop {
                        list.items.parse(cursor)?;
                        if !cursor.take(b',') {
                            break cursor.expect(b']')?;
                        }
                    }
                }
                list.end(list.items.len());
                Ok(())
            }
            Values::Map(map, ..) => {
                cursor.expect(b'{')?;
                if !cursor.take(b'}') {
                    loop {
                        map.items.0.parse(cursor)?;
                        cursor.expect(b':')?;
                        map.items.1.parse(cursor)?;
                        if !cursor.take(b',') {
                            break cursor.expect(b'}')?;
                        }
                    }
                }
                map.end(map.items.0.len());
                Ok(())
            }
            // A text column takes an object or an array as its JSON.
            Values::Text(column) => {
                cursor.skip()?;
                column.bytes.extend_from_slice(cursor.since(start));
                column.end();
                Ok(())
            }
            _ => {
                let what = format!("an object or an array for {}", sql_name(&self.data_type));
                Err(Problem { at: start, what: what.into() })
            }
        }
    }

    #[cold]
    fn does_not_fit(&self, text: &[u8], quoted: bool, at: usize) -> Problem {
        const SHOWN: usize = 40;
        let shown = String::from_utf8_lossy(text.get(..SHOWN).unwrap_or(text));
        let more = if text.len() > SHOWN { "…" } else { "" };
        let quote = if quoted { "\"" } else { "" };
        let what = format!("{quote}{shown}{more}{quote} isn't a value of {}", sql_name(&self.data_type));
        Problem { at, what: Cow::Owned(what) }
    }

    /// The type of its values.
    #[must_use]
    pub const fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Whether it may hold null.
    #[must_use]
    pub const fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// Adds a null.
    pub fn append_null(&mut self) {
        fn null<T: ArrowNativeType>(column: &mut Fixed<T>) {
            column.values.push(T::default());
            column.nulls.append_null();
        }
        match &mut self.values {
            Values::Boolean(values, nulls) => {
                values.append(false);
                nulls.append_null();
            }
            Values::Int8(column) => null(column),
            Values::Int16(column) => null(column),
            Values::Int32(column) | Values::Date(column) | Values::Time32(column, _) => null(column),
            Values::Int64(column) | Values::Time64(column, _) | Values::Timestamp(column, ..) => null(column),
            Values::Float32(column) => null(column),
            Values::Float64(column) => null(column),
            Values::Decimal(column, ..) => null(column),
            Values::Text(column) | Values::Binary(column) => {
                column.offsets.push(column.bytes.len() as i32);
                column.nulls.append_null();
            }
            Values::FixedBinary(column, length) => {
                column.bytes.resize(column.bytes.len() + *length, 0);
                column.offsets.push(column.bytes.len() as i32);
                column.nulls.append_null();
            }
            Values::List(list, _) => {
                list.offsets.push(list.last() as i32);
                list.nulls.append_null();
            }
            Values::Map(map, ..) => {
                map.offsets.push(map.last() as i32);
                map.nulls.append_null();
            }
            Values::Row(object) => object.append_null(),
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Boolean(values, _) => values.len(),
            Values::Int8(column) => column.values.len(),
            Values::Int16(column) => column.values.len(),
            Values::Int32(column) | Values::Date(column) | Values::Time32(column, _) => column.values.len(),
            Values::Int64(column) | Values::Time64(column, _) | Values::Timestamp(column, ..) => {
                column.values.len()
            }
            Values::Float32(column) => column.values.len(),
            Values::Float64(column) => column.values.len(),
            Values::Decimal(column, ..) => column.values.len(),
            Values::Text(column) | Values::Binary(column) | Values::FixedBinary(column, _) => {
                column.offsets.len() - 1
            }
            Values::List(list, _) => list.offsets.len() - 1,
            Values::Map(map, ..) => map.offsets.len() - 1,
            Values::Row(object) => object.len(),
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cuts back to `rows` rows, and to what belongs to them, even in the midst of one.
    pub fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(values, nulls) => {
                values.truncate(rows);
                nulls.truncate(rows);
            }
            Values::Int8(column) => column.truncate(rows),
            Values::Int16(column) => column.truncate(rows),
            Values::Int32(column) | Values::Date(column) | Values::Time32(column, _) => column.truncate(rows),
            Values::Int64(column) | Values::Time64(column, _) | Values::Timestamp(column, ..) => {
                column.truncate(rows)
            }
            Values::Float32(column) => column.truncate(rows),
            Values::Float64(column) => column.truncate(rows),
            Values::Decimal(column, ..) => column.truncate(rows),
            Values::Text(column) | Values::Binary(column) | Values::FixedBinary(column, _) => {
                column.truncate(rows);
            }
            Values::List(list, _) => {
                list.offsets.truncate(rows + 1);
                list.nulls.truncate(rows);
                let items = list.last();
                list.items.truncate(items);
            }
            Values::Map(map, ..) => {
                map.offsets.truncate(rows + 1);
                map.nulls.truncate(rows);
                let items = map.last();
                map.items.0.truncate(items);
                map.items.1.truncate(items);
            }
            Values::Row(object) => object.truncate(rows),
        }
    }

    /// Takes the rows out as an array.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match &mut self.values {
            Values::Boolean(values, nulls) => Arc::new(BooleanArray::new(values.finish(), nulls.finish())),
            Values::Int8(column) => Arc::new(column.finish::<Int8Type>()),
            Values::Int16(column) => Arc::new(column.finish::<Int16Type>()),
            Values::Int32(column) => Arc::new(column.finish::<Int32Type>()),
            Values::Int64(column) => Arc::new(column.finish::<Int64Type>()),
            Values::Float32(column) => Arc::new(column.finish::<Float32Type>()),
            Values::Float64(column) => Arc::new(column.finish::<Float64Type>()),
            Values::Decimal(column, precision, scale) => {
                let array: Decimal128Array = column.finish();
                Arc::new(array.with_precision_and_scale(*precision, *scale)?)
            }
            Values::Text(column) => column.texts()?,
            Values::Binary(column) => column.binaries()?,
            Values::FixedBinary(column, length) => column.fixed_binaries(*length)?,
            Values::Date(column) => Arc::new(column.finish::<Date32Type>()),
            Values::Time32(column, TimeUnit::Second) => Arc::new(column.finish::<Time32SecondType>()),
            Values::Time32(column, _) => Arc::new(column.finish::<Time32MillisecondType>()),
            Values::Time64(column, TimeUnit::Nanosecond) => Arc::new(column.finish::<Time64NanosecondType>()),
            Values::Time64(column, _) => Arc::new(column.finish::<Time64MicrosecondType>()),
            Values::Timestamp(column, unit, zone) => {
                let zone = zone.clone();
                match unit {
                    TimeUnit::Second => {
                        Arc::new(column.finish::<TimestampSecondType>().with_timezone_opt(zone))
                    }
                    TimeUnit::Millisecond => {
                        Arc::new(column.finish::<TimestampMillisecondType>().with_timezone_opt(zone))
                    }
                    TimeUnit::Microsecond => {
                        Arc::new(column.finish::<TimestampMicrosecondType>().with_timezone_opt(zone))
                    }
                    TimeUnit::Nanosecond => {
                        Arc::new(column.finish::<TimestampNanosecondType>().with_timezone_opt(zone))
                    }
                }
            }
            Values::List(list, item) => {
                let (offsets, nulls) = list.finish();
                Arc::new(ListArray::try_new(item.clone(), offsets, list.items.finish()?, nulls)?)
            }
            Values::Map(map, entries, sorted) => {
                let (offsets, nulls) = map.finish();
                let pairs = vec![map.items.0.finish()?, map.items.1.finish()?];
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(Error::internal("a map whose entries aren't pairs"));
                };
                let pairs = StructArray::try_new(fields.clone(), pairs, None)?;
                Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, *sorted)?)
            }
            Values::Row(object) => object.finish()?,
        })
    }
}

/// Units since midnight.
fn time(text: &[u8], unit: TimeUnit) -> Option<i64> {
    text::parse_time(text).map(|nanos| nanos / (1_000_000_000 / units_per_second(unit)))
}
