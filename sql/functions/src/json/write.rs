//! Values of any type as JSON.
//!
//! A column's type is looked at once: a [`Writer`] has a writer for each column inside. Floating-point numbers that JSON can't
//! express (NaN, infinity) are strings, as in Flink.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::cast::cast;
use arrow::datatypes::{DataType, Float64Type};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion_common::{Result, exec_err, plan_err};

use crate::cast::write_double;
use crate::type_name::type_name;

/// A writer of one column's values.
pub(super) struct Writer {
    values: ArrayRef,
    form: Form,
}

enum Form {
    /// What Arrow's cast to text writes is JSON.
    Plain,
    /// Text, in quotes. Holds points in time, too.
    Quoted,
    Double,
    Bytes,
    Array(Box<Writer>),
    Row(Vec<(String, Writer)>),
    Map(Box<Writer>, Box<Writer>),
}

impl Writer {
    /// Refuses types that JSON can't express.
    pub fn check(data_type: &DataType) -> Result<()> {
        match data_type {
            DataType::List(element) => Self::check(element.data_type()),
            DataType::Struct(fields) => fields.iter().try_for_each(|field| Self::check(field.data_type())),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) => match fields.as_ref() {
                    [key, value] if key.data_type().is_string() => Self::check(value.data_type()),
                    _ => plan_err!("JSON has no maps whose keys aren't STRINGs"),
                },
                other => plan_err!("JSON can't express {}", type_name(other)),
            },
            DataType::Interval(_) | DataType::Duration(_) => {
                plan_err!("JSON can't express {}", type_name(data_type))
            }
            _ => Ok(()),
        }
    }

    pub fn new(values: &ArrayRef) -> Result<Self> {
        let as_text = || cast(values, &DataType::Utf8);
        let (values, form) = match values.data_type() {
            DataType::Null | DataType::Boolean | DataType::Decimal128(_, _) => (as_text()?, Form::Plain),
            integer if integer.is_integer() => (as_text()?, Form::Plain),
            text if text.is_string() => (as_text()?, Form::Quoted),
            float if float.is_floating() => (cast(values, &DataType::Float64)?, Form::Double),
            point if point.is_temporal() => (as_text()?, Form::Quoted),
            bytes if bytes.is_binary() => (cast(values, &DataType::Binary)?, Form::Bytes),
            DataType::List(_) => {
                let inside = Self::new(values.as_list::<i32>().values())?;
                (values.clone(), Form::Array(Box::new(inside)))
            }
            DataType::Struct(fields) => {
                let columns = values.as_struct().columns();
                let members = fields
                    .iter()
                    .zip(columns)
                    .map(|(field, column)| Ok((field.name().clone(), Self::new(column)?)))
                    .collect::<Result<_>>()?;
                (values.clone(), Form::Row(members))
            }
            DataType::Map(_, _) => {
                let maps = values.as_map();
                let (keys, inside) = (Self::new(maps.keys())?, Self::new(maps.values())?);
                (values.clone(), Form::Map(Box::new(keys), Box::new(inside)))
            }
            other => return exec_err!("JSON can't express {}", type_name(other)),
        };
        Ok(Self { values, form })
    }

    /// Writes a row's value.
    pub fn write(&mut self, row: usize, out: &mut arrow::array::StringBuilder) -> Result<()> {
        if self.values.is_null(row) {
            return Ok(out.write_str("null")?);
        }
        match &mut self.form {
            Form::Plain => out.write_str(self.values.as_string::<i32>().value(row))?,
            Form::Quoted => write_text(self.values.as_string::<i32>().value(row), out)?,
            Form::Double => {
                let value = self.values.as_primitive::<Float64Type>().value(row);
                let quote = if value.is_finite() { "" } else { "\"" };
                out.write_str(quote)?;
                write_double(value, out)?;
                out.write_str(quote)?;
            }
            Form::Bytes => {
                let encoded = STANDARD.encode(self.values.as_binary::<i32>().value(row));
                write!(out, "\"{encoded}\"")?;
            }
            Form::Array(inside) => {
                let offsets = self.values.as_list::<i32>().value_offsets();
                out.write_char('[')?;
                for (index, place) in places(offsets, row).enumerate() {
                    if index > 0 {
                        out.write_char(',')?;
                    }
                    inside.write(place, out)?;
                }
                out.write_char(']')?;
            }
            Form::Row(members) => {
                out.write_char('{')?;
                for (index, (name, inside)) in members.iter_mut().enumerate() {
                    if index > 0 {
                        out.write_char(',')?;
                    }
                    write_text(name, out)?;
                    out.write_char(':')?;
                    inside.write(row, out)?;
                }
                out.write_char('}')?;
            }
            Form::Map(keys, inside) => {
                let offsets = self.values.as_map().value_offsets();
                out.write_char('{')?;
                for (index, place) in places(offsets, row).enumerate() {
                    if index > 0 {
                        out.write_char(',')?;
                    }
                    keys.write(place, out)?;
                    out.write_char(':')?;
                    inside.write(place, out)?;
                }
                out.write_char('}')?;
            }
        }
        Ok(())
    }
}

fn places(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |row: usize| offsets.get(row).map_or(0, |offset| usize::try_from(*offset).unwrap_or(0));
    at(row)..at(row + 1)
}

/// A JSON string.
pub(super) fn write_text(text: &str, out: &mut impl Write) -> std::fmt::Result {
    out.write_char('"')?;
    let mut rest = text;
    // Runs without a character that must be escaped are written at once.
    while let Some(at) = rest.find(|character: char| matches!(character, '"' | '\\') || character < ' ') {
        let (plain, special) = rest.split_at(at);
        out.write_str(plain)?;
        let mut characters = special.chars();
        match characters.next() {
            Some('"') => out.write_str("\\\"")?,
            Some('\\') => out.write_str("\\\\")?,
            Some('\n') => out.write_str("\\n")?,
            Some('\r') => out.write_str("\\r")?,
            Some('\t') => out.write_str("\\t")?,
            Some('\u{8}') => out.write_str("\\b")?,
            Some('\u{c}') => out.write_str("\\f")?,
            Some(other) => write!(out, "\\u{:04x}", u32::from(other))?,
            None => {}
        }
        rest = characters.as_str();
    }
    out.write_str(rest)?;
    out.write_char('"')
}
