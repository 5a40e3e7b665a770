//! The arguments of one call, read by row without expanding what is the same in every row.
//!
//! Decides how columns and single values are read alike: a single value is a column of one row with a stride of zero. Invariant:
//! readers are only asked for rows where [`Arguments::is_null`] is false, or the caller has looked at the column's own nulls.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, LargeStringArray, StringArray,
    StringViewArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::cast::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, ScalarValue, exec_err, internal_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs};

use crate::type_name::type_name;

/// One argument.
pub(crate) struct Column {
    /// One row when the argument is a single value.
    pub values: ArrayRef,
    /// 1 for a column, 0 for a single value.
    stride: usize,
    /// Whether it was planned as one that may be NULL.
    pub may_be_null: bool,
}

impl Column {
    /// Whether the argument is the same in every row.
    pub const fn is_one_value(&self) -> bool {
        self.stride == 0
    }
}

/// The arguments of one call.
pub(crate) struct Arguments<'a> {
    usage: &'static str,
    columns: Vec<Column>,
    rows: usize,
    one_value: bool,
    nulls: Option<NullBuffer>,
    return_type: &'a DataType,
    config: &'a ConfigOptions,
}

impl<'a> Arguments<'a> {
    pub fn new(usage: &'static str, args: &'a ScalarFunctionArgs) -> Result<Self> {
        let one_value =
            !args.args.is_empty() && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let mut columns = Vec::with_capacity(args.args.len());
        let mut nulls = None;
        for (index, arg) in args.args.iter().enumerate() {
            let may_be_null = args.arg_fields.get(index).is_none_or(|field| field.is_nullable());
            columns.push(match arg {
                ColumnarValue::Array(values) => {
                    if values.len() != args.number_rows {
                        return internal_err!("{usage} got {} rows for {}", values.len(), args.number_rows);
                    }
                    nulls = NullBuffer::union(nulls.as_ref(), values.logical_nulls().as_ref());
                    Column { values: values.clone(), stride: 1, may_be_null }
                }
                ColumnarValue::Scalar(value) => Column { values: value.to_array()?, stride: 0, may_be_null },
            });
        }
        let rows = if one_value { 1 } else { args.number_rows };
        Ok(Self {
            usage,
            columns,
            rows,
            one_value,
            nulls,
            return_type: args.return_type(),
            config: &args.config_options,
        })
    }

    /// How many rows the result has.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Whether all arguments are single values, and there are some.
    pub const fn is_one_value(&self) -> bool {
        self.one_value
    }

    /// How many arguments there are.
    pub const fn len(&self) -> usize {
        self.columns.len()
    }

    /// The rows in which any column is NULL.
    pub const fn nulls(&self) -> Option<&NullBuffer> {
        self.nulls.as_ref()
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// What the call was planned to return.
    pub const fn return_type(&self) -> &DataType {
        self.return_type
    }

    /// How the function is called, for messages.
    pub const fn usage(&self) -> &'static str {
        self.usage
    }

    pub const fn config(&self) -> &ConfigOptions {
        self.config
    }

    pub fn column(&self, index: usize) -> Result<&Column> {
        match self.columns.get(index) {
            Some(column) => Ok(column),
            None => internal_err!("{} got {} arguments", self.usage, self.columns.len()),
        }
    }

    /// The argument as a column of [`Self::rows`] rows; expands a single value.
    pub fn array(&self, index: usize) -> Result<ArrayRef> {
        let column = self.column(index)?;
        if column.is_one_value() && self.rows != 1 {
            return ScalarValue::try_from_array(&column.values, 0)?.to_array_of_size(self.rows);
        }
        Ok(column.values.clone())
    }

    pub fn text(&self, index: usize) -> Result<Text<'_>> {
        let column = self.column(index)?;
        let values = match column.values.data_type() {
            DataType::Utf8 => TextValues::Utf8(column.values.as_string()),
            DataType::LargeUtf8 => TextValues::LargeUtf8(column.values.as_string()),
            DataType::Utf8View => TextValues::Utf8View(column.values.as_string_view()),
            other => return self.mistyped(index, "STRING", other),
        };
        Ok(Text { values, stride: column.stride })
    }

    /// The text of an argument that is the same in every row.
    pub fn one_text(&self, index: usize) -> Result<Option<&str>> {
        let column = self.column(index)?;
        if !column.is_one_value() || column.values.is_null(0) {
            return Ok(None);
        }
        Ok(Some(self.text(index)?.value(0)))
    }

    /// An integer argument of any width.
    pub fn longs(&self, index: usize) -> Result<Longs> {
        let column = self.column(index)?;
        if !column.values.data_type().is_integer() {
            return self.mistyped(index, "an integer", column.values.data_type());
        }
        let values = cast(&column.values, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        Ok(Longs { values, stride: column.stride })
    }

    pub fn doubles(&self, index: usize) -> Result<Doubles<'_>> {
        let column = self.column(index)?;
        match column.values.as_primitive_opt::<Float64Type>() {
            Some(values) => Ok(Doubles { values, stride: column.stride }),
            None => self.mistyped(index, "DOUBLE", column.values.data_type()),
        }
    }

    /// The bytes of a BYTES or STRING argument.
    pub fn bytes(&self, index: usize) -> Result<Bytes<'_>> {
        let column = self.column(index)?;
        if let Some(values) = column.values.as_binary_opt::<i32>() {
            return Ok(Bytes::Binary(values, column.stride));
        }
        Ok(Bytes::Text(self.text(index)?))
    }

    /// A type that planning should have refused.
    pub fn mistyped<T>(&self, index: usize, wanted: &str, given: &DataType) -> Result<T> {
        exec_err!(
            "argument {} of {} is {} where {wanted} was planned; plan the job again",
            index + 1,
            self.usage,
            type_name(given)
        )
    }
}

enum TextValues<'a> {
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
}

/// A STRING argument.
pub(crate) struct Text<'a> {
    values: TextValues<'a>,
    stride: usize,
}

impl<'a> Text<'a> {
    #[inline]
    pub fn value(&self, row: usize) -> &'a str {
        let row = row * self.stride;
        match self.values {
            TextValues::Utf8(values) => values.value(row),
            TextValues::LargeUtf8(values) => values.value(row),
            TextValues::Utf8View(values) => values.value(row),
        }
    }

    /// Looks at this argument's own nulls.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        let at = row * self.stride;
        let is_null = match self.values {
            TextValues::Utf8(values) => values.is_null(at),
            TextValues::LargeUtf8(values) => values.is_null(at),
            TextValues::Utf8View(values) => values.is_null(at),
        };
        (!is_null).then(|| self.value(row))
    }

    /// About how many bytes all rows have together.
    pub fn size(&self) -> usize {
        match self.values {
            TextValues::Utf8(values) => {
                span(values.value_offsets(), |offset| usize::try_from(offset).unwrap_or(0))
            }
            TextValues::LargeUtf8(values) => {
                span(values.value_offsets(), |offset| usize::try_from(offset).unwrap_or(0))
            }
            TextValues::Utf8View(values) => values.total_bytes_len(),
        }
    }
}

/// From the first offset to the last.
fn span<T: Copy>(offsets: &[T], bytes: impl Fn(T) -> usize) -> usize {
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => bytes(*last).saturating_sub(bytes(*first)),
        _ => 0,
    }
}

/// An integer argument.
pub(crate) struct Longs {
    values: Int64Array,
    stride: usize,
}

impl Longs {
    #[inline]
    pub fn value(&self, row: usize) -> i64 {
        self.values.value(row * self.stride)
    }
}

/// A number as DOUBLE.
pub(crate) struct Doubles<'a> {
    values: &'a Float64Array,
    stride: usize,
}

impl Doubles<'_> {
    #[inline]
    pub fn value(&self, row: usize) -> f64 {
        self.values.value(row * self.stride)
    }
}

/// A BYTES or STRING argument.
pub(crate) enum Bytes<'a> {
    Binary(&'a BinaryArray, usize),
    Text(Text<'a>),
}

impl<'a> Bytes<'a> {
    #[inline]
    pub fn value(&self, row: usize) -> &'a [u8] {
        match self {
            Self::Binary(values, stride) => values.value(row * stride),
            Self::Text(text) => text.value(row).as_bytes(),
        }
    }
}
