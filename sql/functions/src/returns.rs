//! The result types that many functions share.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::Result;

use crate::function::Call;

pub(crate) const fn string(_: &Call<'_>) -> Result<DataType> {
    Ok(DataType::Utf8)
}

pub(crate) const fn bytes(_: &Call<'_>) -> Result<DataType> {
    Ok(DataType::Binary)
}

pub(crate) const fn int(_: &Call<'_>) -> Result<DataType> {
    Ok(DataType::Int32)
}

pub(crate) const fn bigint(_: &Call<'_>) -> Result<DataType> {
    Ok(DataType::Int64)
}

pub(crate) const fn double(_: &Call<'_>) -> Result<DataType> {
    Ok(DataType::Float64)
}

pub(crate) const fn boolean(_: &Call<'_>) -> Result<DataType> {
    Ok(DataType::Boolean)
}

pub(crate) const fn date(_: &Call<'_>) -> Result<DataType> {
    Ok(DataType::Date32)
}

/// TIMESTAMP(3)
pub(crate) const fn timestamp(_: &Call<'_>) -> Result<DataType> {
    Ok(DataType::Timestamp(TimeUnit::Millisecond, None))
}

/// TIMESTAMP_LTZ(3)
pub(crate) fn timestamp_ltz(_: &Call<'_>) -> Result<DataType> {
    Ok(DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())))
}

/// The type of the first argument.
pub(crate) fn first(call: &Call<'_>) -> Result<DataType> {
    Ok(call.type_of(0))
}
