//! Parquet's columns as the declared ones: which leaves are read, and how their types become those of the table.
//!
//! Invariant: a value is never changed but for a timestamp's digits beyond the declared precision; where a value could be, the
//! table is refused with both types. Columns and fields are found by name.

pub mod filter;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, PrimitiveArray, StructArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowTimestampType, DataType, Field, FieldRef, Fields, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use parquet::arrow::ProjectionMask;
use parquet::schema::types::SchemaDescriptor;
use weir_api::error::{Code, Error, Result};

use crate::types::{field_named, sql_name};

/// The leaves that hold the wanted fields.
#[must_use]
pub fn projection(wanted: &Fields, file: &SchemaDescriptor) -> ProjectionMask {
    let leaves = file
        .columns()
        .iter()
        .enumerate()
        .filter(|(_, column)| holds(wanted, column.path().parts()))
        .map(|(index, _)| index);
    ProjectionMask::leaves(file, leaves)
}

/// Whether a leaf with this path belongs to one of the fields.
fn holds(fields: &Fields, path: &[String]) -> bool {
    let Some((name, rest)) = path.split_first() else { return false };
    match field_named(fields, name).map(Field::data_type) {
        None => false,
        Some(DataType::Struct(inner)) if !inner.is_empty() => holds(inner, rest),
        Some(_) => true,
    }
}

/// How an array of the file becomes one of the table.
enum Step {
    Keep,
    Cast(DataType),
    /// Its unit changes, then its time zone is replaced: the instant stays.
    Timestamp(TimeUnit, Option<Arc<str>>),
    Row(Fields, Vec<(usize, Step)>),
    List(FieldRef, Box<Step>),
    Map(FieldRef, bool, Box<Step>),
}

/// How a file's columns become the table's.
pub struct Adapter {
    columns: Vec<(usize, Step)>,
}

impl Adapter {
    /// From the columns that are read of a file to the wanted ones; the error names the column and what the file has.
    pub fn new(wanted: &Fields, read: &Fields, in_file: &Fields) -> Result<Self> {
        Ok(Self { columns: row_steps("", wanted, read, in_file)? })
    }

    /// The wanted columns of a batch's columns.
    pub fn columns(&self, read: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        self.columns.iter().map(|(index, step)| apply(step, part(read, *index)?)).collect()
    }
}

fn part(columns: &[ArrayRef], index: usize) -> Result<&ArrayRef> {
    columns.get(index).ok_or_else(|| Error::internal("a Parquet reader left out a column"))
}

fn row_steps(within: &str, wanted: &Fields, read: &Fields, in_file: &Fields) -> Result<Vec<(usize, Step)>> {
    wanted
        .iter()
        .map(|field| {
            let path = format!("{within}{}", field.name());
            let Some(whole) = field_named(in_file, field.name()) else {
                let names: Vec<_> = in_file.iter().map(|field| field.name().as_str()).collect();
                return Err(Error::new(
                    Code::TableOptions,
                    format!("the file has no column `{path}`; it has {}", names.join(", ")),
                ));
            };
            let Some(index) = read.iter().position(|candidate| candidate.name() == field.name()) else {
                // None of its leaves is wanted because the file has none of the fields: this says which.
                step(&path, field.data_type(), whole.data_type(), whole.data_type())?;
                return Err(Error::internal(format!("column `{path}` wasn't read")));
            };
            Ok((index, step(&path, field.data_type(), read[index].data_type(), whole.data_type())?))
        })
        .collect()
}

fn step(path: &str, wanted: &DataType, read: &DataType, in_file: &DataType) -> Result<Step> {
    Ok(match (wanted, read, in_file) {
        (wanted, read, _) if wanted == read => Step::Keep,
        (DataType::Struct(wanted), DataType::Struct(read), DataType::Struct(in_file)) => {
            Step::Row(wanted.clone(), row_steps(&format!("{path}."), wanted, read, in_file)?)
        }
        (DataType::List(wanted), DataType::List(read), DataType::List(in_file)) => {
            let item = step(&format!("{path}[]"), wanted.data_type(), read.data_type(), in_file.data_type())?;
            Step::List(wanted.clone(), Box::new(item))
        }
        (DataType::Map(wanted, sorted), DataType::Map(read, _), DataType::Map(in_file, _)) => {
            Step::Map(wanted.clone(), *sorted, Box::new(entries(path, wanted, read, in_file)?))
        }
        (DataType::Timestamp(unit, zone), DataType::Timestamp(..), _) => Step::Timestamp(*unit, zone.clone()),
        (wanted, read, _) if keeps_values(wanted, read) => Step::Cast(wanted.clone()),
        _ => {
            return Err(Error::new(
                Code::TableOptions,
                format!(
                    "column `{path}` is {} in the file, which can't be read as {} without loss",
                    sql_name(read),
                    sql_name(wanted)
                ),
            ));
        }
    })
}

/// Keys and values of maps are matched by position: writers name them differently.
fn entries(path: &str, wanted: &Field, read: &Field, in_file: &Field) -> Result<Step> {
    match (wanted.data_type(), read.data_type(), in_file.data_type()) {
        (DataType::Struct(wanted), DataType::Struct(read), DataType::Struct(in_file))
            if wanted.len() == 2 && read.len() == 2 && in_file.len() == 2 =>
        {
            let steps = (0..2)
                .map(|index| {
                    let types = [wanted, read, in_file].map(|fields| fields[index].data_type());
                    Ok((
                        index,
                        step(&format!("{path}.{}", wanted[index].name()), types[0], types[1], types[2])?,
                    ))
                })
                .collect::<Result<_>>()?;
            Ok(Step::Row(wanted.clone(), steps))
        }
        _ => Err(Error::internal("a map whose entries aren't pairs")),
    }
}

/// Whether a cast keeps every value, or fails on one that doesn't fit.
fn keeps_values(wanted: &DataType, read: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Date32, Date64, Decimal128, Dictionary, FixedSizeBinary, Float16, Float32,
        Float64, Int8, Int16, Int32, Int64, LargeBinary, LargeList, LargeUtf8, List, Null, Time32, Time64,
        UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    match (wanted, read) {
        (_, Null) => true,
        (wanted, Dictionary(_, values)) => wanted == values.as_ref() || keeps_values(wanted, values),
        (Int16, Int8 | UInt8)
        | (Int32, Int8 | Int16 | UInt8 | UInt16)
        | (Int64, Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32 | UInt64)
        | (Float32, Float16 | Int8 | Int16 | UInt8 | UInt16)
        | (Float64, Float16 | Float32 | Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32)
        | (Utf8, LargeUtf8 | Utf8View)
        | (Binary, LargeBinary | BinaryView | FixedSizeBinary(_))
        | (Date32, Date64)
        | (Time32(_) | Time64(_), Time32(_) | Time64(_)) => true,
        (Decimal128(precision, scale), Decimal128(read_precision, read_scale)) => {
            let whole = i16::from(*precision) - i16::from(*scale);
            *scale >= *read_scale && whole >= i16::from(*read_precision) - i16::from(*read_scale)
        }
        (List(wanted), LargeList(read)) => {
            wanted.data_type() == read.data_type() || keeps_values(wanted.data_type(), read.data_type())
        }
        _ => false,
    }
}

fn apply(step: &Step, array: &ArrayRef) -> Result<ArrayRef> {
    let checked = CastOptions { safe: false, ..CastOptions::default() };
    Ok(match step {
        Step::Keep => array.clone(),
        Step::Cast(wanted) => cast_with_options(array, wanted, &checked)?,
        Step::Timestamp(unit, zone) => {
            let zone_of_read = match array.data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            let array = cast_with_options(array, &DataType::Timestamp(*unit, zone_of_read), &checked)?;
            in_zone(&array, *unit, zone.clone())
        }
        Step::Row(fields, steps) => {
            let row = array.as_struct();
            let columns = steps
                .iter()
                .map(|(index, step)| apply(step, part(row.columns(), *index)?))
                .collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                row.nulls().cloned(),
                row.len(),
            )?)
        }
        Step::List(item, step) => {
            let list = array.as_list::<i32>();
            let values = apply(step, list.values())?;
            Arc::new(ListArray::try_new(item.clone(), list.offsets().clone(), values, list.nulls().cloned())?)
        }
        Step::Map(field, sorted, step) => {
            let map = array.as_map();
            let pairs: ArrayRef = Arc::new(map.entries().clone());
            let pairs = apply(step, &pairs)?.as_struct().clone();
            Arc::new(MapArray::try_new(
                field.clone(),
                map.offsets().clone(),
                pairs,
                map.nulls().cloned(),
                *sorted,
            )?)
        }
    })
}

fn in_zone(array: &ArrayRef, unit: TimeUnit, zone: Option<Arc<str>>) -> ArrayRef {
    fn with<T: ArrowTimestampType>(array: &ArrayRef, zone: Option<Arc<str>>) -> ArrayRef {
        let array: PrimitiveArray<T> = array.as_primitive::<T>().clone();
        Arc::new(array.with_timezone_opt(zone))
    }
    match unit {
        TimeUnit::Second => with::<TimestampSecondType>(array, zone),
        TimeUnit::Millisecond => with::<TimestampMillisecondType>(array, zone),
        TimeUnit::Microsecond => with::<TimestampMicrosecondType>(array, zone),
        TimeUnit::Nanosecond => with::<TimestampNanosecondType>(array, zone),
    }
}
