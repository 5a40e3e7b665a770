//! What the options say of each field: its generator, checked against its type.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use weir_api::connector::nearest;
use weir_api::error::{Code, Error, Result};
use weir_proto::v1::TableSpec;

use super::OPTIONS;
use crate::formats::json::scalars::{Rounding, decimal};
use crate::options::Options;
use crate::random::Lane;
use crate::types::refuse_type;

/// Items of a list or map, unless an option says another number.
const ITEMS: u64 = 3;
/// Length of a text or of bytes, likewise.
const LENGTH: u64 = 100;
/// The most of either: a batch of them must fit the offsets of a column.
const MAX_LENGTH: u64 = 100_000;

/// How the values of a field come about.
#[derive(Debug)]
pub enum Kind {
    /// True or false.
    Boolean,
    /// A whole number, both ends included.
    Integer(i64, i64),
    /// A floating-point number.
    Float(f64, f64),
    /// A decimal, in units of its scale, both ends included.
    Decimal(i128, i128),
    /// Hexadecimal digits.
    Text(Length),
    /// Bytes.
    Bytes(Length),
    /// Now, less up to so many milliseconds.
    Time(u64),
    /// Counts up from here.
    Sequence(i64),
    /// Fields of their own.
    Row(Vec<Generator>),
    /// Items.
    List(Length, Box<Generator>),
    /// Keys and values.
    Map(Length, Box<(Generator, Generator)>),
}

/// How long something is.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// At most.
    pub most: u64,
    /// Whether it is random from 1.
    pub varies: bool,
}

/// Makes the values of a field.
#[derive(Debug)]
pub struct Generator {
    /// Its name and type.
    pub field: FieldRef,
    /// How.
    pub kind: Kind,
    /// Share of nulls.
    pub null_rate: f64,
    /// Where its randomness comes from.
    pub lane: Lane,
}

/// Reads the options of fields.
pub struct Reader<'a> {
    options: Options<'a>,
    seed: u64,
    /// Rows that the shortest sequence gives.
    pub rows: Option<u64>,
    paths: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// Of this table.
    #[must_use]
    pub fn new(table: &'a TableSpec, seed: u64) -> Self {
        Self { options: Options::new(table, OPTIONS), seed, rows: None, paths: BTreeSet::new() }
    }

    /// The generators of these columns.
    pub fn columns(&mut self, fields: &Fields) -> Result<Vec<Generator>> {
        fields.iter().map(|field| self.generator(field.name(), field)).collect()
    }

    /// Refuses options of columns that haven't been read.
    pub fn check_names(&self) -> Result<()> {
        for key in self.options.table().options.keys() {
            let Some((path, _)) = key.strip_prefix("fields.").and_then(|rest| rest.rsplit_once('.')) else {
                continue;
            };
            if !self.paths.contains(path) {
                let hint = nearest(path, self.paths.iter().map(String::as_str))
                    .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
                return Err(Error::new(
                    Code::TableOptions,
                    format!(
                        "table {}: option '{key}' is for a column `{path}` that there isn't{hint}",
                        self.options.table().name
                    ),
                ));
            }
        }
        Ok(())
    }

    fn generator(&mut self, path: &str, field: &FieldRef) -> Result<Generator> {
        self.paths.insert(path.to_owned());
        let key = |name: &str| format!("fields.{path}.{name}");
        let is_sequence = match self.options.text(&key("kind")).unwrap_or("random") {
            "random" => false,
            "sequence" => true,
            _ => return Err(self.options.refuse(&key("kind"), "'random' or 'sequence'")),
        };
        let null_rate = self.options.optional_number::<f64>(&key("null-rate"))?.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&null_rate) {
            return Err(self.options.refuse(&key("null-rate"), "a share from 0 to 1"));
        }
        if null_rate > 0.0 && !field.is_nullable() {
            return Err(self.options.refuse(&key("null-rate"), "0, as the column is NOT NULL,"));
        }
        let kind = if is_sequence { self.sequence(path, field)? } else { self.random(path, field)? };
        Ok(Generator { field: field.clone(), kind, null_rate, lane: Lane::named(self.seed, path) })
    }

    fn sequence(&mut self, path: &str, field: &Field) -> Result<Kind> {
        let (start_key, end_key) = (format!("fields.{path}.start"), format!("fields.{path}.end"));
        let range = match field.data_type() {
            DataType::Int8 => i64::from(i8::MIN)..=i64::from(i8::MAX),
            DataType::Int16 => i64::from(i16::MIN)..=i64::from(i16::MAX),
            DataType::Int32 => i64::from(i32::MIN)..=i64::from(i32::MAX),
            DataType::Decimal128(precision, scale) => {
                let digits = u32::try_from(i16::from(*precision) - i16::from(*scale)).unwrap_or(0).min(18);
                let most = 10_i64.pow(digits) - 1;
                -most..=most
            }
            DataType::Int64 | DataType::Float32 | DataType::Float64 | DataType::Utf8 => i64::MIN..=i64::MAX,
            other => {
                let by = "a sequence";
                return Err(refuse_type(&self.options.table().name, path, other, by));
            }
        };
        let start = self.options.number(&start_key, range.clone())?;
        let end = self.options.number(&end_key, range)?;
        if end < start {
            return Err(self.options.refuse(&end_key, format_args!("a number from {start}")));
        }
        let rows = u64::try_from(i128::from(end) - i128::from(start) + 1).unwrap_or(u64::MAX);
        self.rows = Some(self.rows.map_or(rows, |shortest| shortest.min(rows)));
        Ok(Kind::Sequence(start))
    }

    fn random(&mut self, path: &str, field: &Field) -> Result<Kind> {
        Ok(match field.data_type() {
            DataType::Boolean => Kind::Boolean,
            DataType::Int8 => self.integer(path, i64::from(i8::MIN), i64::from(i8::MAX))?,
            DataType::Int16 => self.integer(path, i64::from(i16::MIN), i64::from(i16::MAX))?,
            DataType::Int32 => self.integer(path, i64::from(i32::MIN), i64::from(i32::MAX))?,
            DataType::Int64 => self.integer(path, i64::MIN, i64::MAX)?,
            DataType::Float32 => self.float(path, f64::from(f32::MAX))?,
            DataType::Float64 => self.float(path, f64::MAX)?,
            DataType::Decimal128(precision, scale) => self.decimal(path, *precision, *scale)?,
            DataType::Utf8 => Kind::Text(self.length(path, LENGTH)?),
            DataType::Binary => Kind::Bytes(self.length(path, LENGTH)?),
            DataType::FixedSizeBinary(length) => {
                Kind::Bytes(Length { most: u64::try_from(*length).unwrap_or(0), varies: false })
            }
            DataType::Date32 | DataType::Time32(_) | DataType::Time64(_) => Kind::Time(0),
            DataType::Timestamp(..) => {
                let key = format!("fields.{path}.max-past");
                let past = if self.options.is_given(&key) {
                    self.options.duration(&key)?
                } else {
                    std::time::Duration::ZERO
                };
                Kind::Time(u64::try_from(past.as_millis()).unwrap_or(u64::MAX))
            }
            DataType::Struct(fields) => Kind::Row(
                fields
                    .iter()
                    .map(|inner| self.generator(&format!("{path}.{}", inner.name()), inner))
                    .collect::<Result<_>>()?,
            ),
            DataType::List(item) => Kind::List(
                self.length(path, ITEMS)?,
                Box::new(self.generator(&format!("{path}.element"), item)?),
            ),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => {
                    let key = self.generator(&format!("{path}.key"), &pair[0])?;
                    let value = self.generator(&format!("{path}.value"), &pair[1])?;
                    Kind::Map(self.length(path, ITEMS)?, Box::new((key, value)))
                }
                _ => return Err(Error::internal("a map whose entries aren't pairs")),
            },
            other => return Err(refuse_type(&self.options.table().name, path, other, "connector 'datagen'")),
        })
    }

    fn integer(&self, path: &str, least: i64, most: i64) -> Result<Kind> {
        let (min_key, max_key) = (format!("fields.{path}.min"), format!("fields.{path}.max"));
        let read = |key: &str, default| {
            if self.options.is_given(key) { self.options.number(key, least..=most) } else { Ok(default) }
        };
        let (min, max) = (read(&min_key, least)?, read(&max_key, most)?);
        if max < min {
            Err(self.options.refuse(&max_key, format_args!("a number from {min}")))
        } else {
            Ok(Kind::Integer(min, max))
        }
    }

    fn float(&self, path: &str, limit: f64) -> Result<Kind> {
        let (min_key, max_key) = (format!("fields.{path}.min"), format!("fields.{path}.max"));
        let read = |key: &str, default| {
            if self.options.is_given(key) { self.options.number(key, -limit..=limit) } else { Ok(default) }
        };
        let (min, max) = (read(&min_key, 0.0)?, read(&max_key, limit)?);
        if max < min {
            Err(self.options.refuse(&max_key, format_args!("a number from {min}")))
        } else {
            Ok(Kind::Float(min, max))
        }
    }

    fn decimal(&self, path: &str, precision: u8, scale: i8) -> Result<Kind> {
        let (min_key, max_key) = (format!("fields.{path}.min"), format!("fields.{path}.max"));
        let most = 10_i128.pow(u32::from(precision).min(38)) - 1;
        let read = |key: &str, default| match self.options.text(key) {
            None => Ok(default),
            Some(text) => decimal(text.trim().as_bytes(), scale, Rounding::Exact)
                .filter(|value| (-most..=most).contains(value))
                .ok_or_else(|| {
                    self.options.refuse(key, format_args!("a number of DECIMAL({precision}, {scale})"))
                }),
        };
        let (min, max) = (read(&min_key, -most)?, read(&max_key, most)?);
        if max < min {
            Err(self.options.refuse(&max_key, "a number that isn't below the minimum"))
        } else {
            Ok(Kind::Decimal(min, max))
        }
    }

    fn length(&self, path: &str, default: u64) -> Result<Length> {
        let (length_key, varies_key) = (format!("fields.{path}.length"), format!("fields.{path}.var-len"));
        let most = if self.options.is_given(&length_key) {
            self.options.number(&length_key, 0..=MAX_LENGTH)?
        } else {
            default
        };
        let varies = self.options.is_given(&varies_key) && self.options.boolean(&varies_key)?;
        Ok(Length { most, varies })
    }
}

/// The generator's field, for building arrays of it.
#[must_use]
pub fn fields_of(generators: &[Generator]) -> Fields {
    generators.iter().map(|generator| Arc::clone(&generator.field)).collect()
}
