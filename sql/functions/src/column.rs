//! Result columns, built row by row where no kernel does it, without an allocation per row.
//!
//! Invariant: rows in which an argument of a strict function is NULL are NULL and never computed. A STRING column holds at most
//! [`MAX_COLUMN_BYTES`]; more is an error of the call, not of the process.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanArray, BooleanBufferBuilder, PrimitiveArray,
    StringBuilder,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion_common::{Result, exec_err};

use crate::arguments::Arguments;

/// The most bytes that one STRING column of a batch may take: Arrow's offsets have 31 bits.
pub(crate) const MAX_COLUMN_BYTES: usize = 1 << 30;

/// A STRING column. `write` appends the row's text in pieces; `None` makes the row NULL.
pub(crate) fn texts(
    arguments: &Arguments<'_>,
    bytes: usize,
    mut write: impl FnMut(usize, &mut StringBuilder) -> Result<Option<()>>,
) -> Result<ArrayRef> {
    let mut builder = StringBuilder::with_capacity(arguments.rows(), bytes.min(MAX_COLUMN_BYTES));
    for row in 0..arguments.rows() {
        if arguments.is_null(row) || write(row, &mut builder)?.is_none() {
            builder.append_null();
        } else {
            builder.append_value("");
        }
        check_size(arguments, builder.values_slice().len())?;
    }
    Ok(Arc::new(builder.finish()))
}

/// A STRING column of parts of other strings.
pub(crate) fn slices<'a>(
    arguments: &Arguments<'_>,
    bytes: usize,
    mut slice: impl FnMut(usize) -> Result<Option<&'a str>>,
) -> Result<ArrayRef> {
    let mut builder = StringBuilder::with_capacity(arguments.rows(), bytes.min(MAX_COLUMN_BYTES));
    for row in 0..arguments.rows() {
        let text = if arguments.is_null(row) { None } else { slice(row)? };
        check_size(arguments, builder.values_slice().len() + text.map_or(0, str::len))?;
        builder.append_option(text);
    }
    Ok(Arc::new(builder.finish()))
}

/// A BYTES column.
pub(crate) fn binaries(
    arguments: &Arguments<'_>,
    mut write: impl FnMut(usize, &mut Vec<u8>) -> Result<Option<()>>,
) -> Result<ArrayRef> {
    let mut builder = BinaryBuilder::with_capacity(arguments.rows(), 0);
    let mut scratch = Vec::new();
    for row in 0..arguments.rows() {
        scratch.clear();
        if arguments.is_null(row) || write(row, &mut scratch)?.is_none() {
            builder.append_null();
        } else {
            check_size(arguments, builder.values_slice().len() + scratch.len())?;
            builder.append_value(&scratch);
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Whether a column of this many bytes is allowed.
pub(crate) fn check_size(arguments: &Arguments<'_>, bytes: usize) -> Result<()> {
    if bytes > MAX_COLUMN_BYTES {
        return exec_err!(
            "{} makes more than 1 GiB of text in one batch; shorten its results",
            arguments.usage()
        );
    }
    Ok(())
}

/// A column of numbers, NULL where an argument is.
pub(crate) fn numbers<T: ArrowPrimitiveType>(
    arguments: &Arguments<'_>,
    mut value: impl FnMut(usize) -> Result<T::Native>,
) -> Result<ArrayRef> {
    let mut values = Vec::with_capacity(arguments.rows());
    for row in 0..arguments.rows() {
        values.push(if arguments.is_null(row) { T::default_value() } else { value(row)? });
    }
    Ok(Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), arguments.nulls().cloned())))
}

/// A column of numbers, NULL where an argument is and where `value` is `None`.
pub(crate) fn optional_numbers<T: ArrowPrimitiveType>(
    arguments: &Arguments<'_>,
    mut value: impl FnMut(usize) -> Result<Option<T::Native>>,
) -> Result<ArrayRef> {
    let mut values = Vec::with_capacity(arguments.rows());
    let mut valid = BooleanBufferBuilder::new(arguments.rows());
    for row in 0..arguments.rows() {
        let value = if arguments.is_null(row) { None } else { value(row)? };
        valid.append(value.is_some());
        values.push(value.unwrap_or_else(T::default_value));
    }
    let nulls = NullBuffer::new(valid.finish());
    let nulls = (nulls.null_count() > 0).then_some(nulls);
    Ok(Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls)))
}

/// A BOOLEAN column, NULL where an argument is.
pub(crate) fn booleans(
    arguments: &Arguments<'_>,
    mut value: impl FnMut(usize) -> Result<bool>,
) -> Result<ArrayRef> {
    let mut values = BooleanBufferBuilder::new(arguments.rows());
    for row in 0..arguments.rows() {
        let bit = !arguments.is_null(row) && value(row)?;
        values.append(bit);
    }
    Ok(Arc::new(BooleanArray::new(values.finish(), arguments.nulls().cloned())))
}
