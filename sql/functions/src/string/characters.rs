//! What strings are made of: tests of all their characters.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;
use datafusion_common::Result;

use crate::arguments::Arguments;
use crate::function::{Definition, Nulls};
use crate::parameter::Kind::Text;
use crate::returns::boolean;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "is_alpha",
        "IS_ALPHA(string)",
        "Whether the string has characters and all are letters; FALSE for NULL.",
        &[Text],
        boolean,
        |arguments| all(arguments, char::is_alphabetic),
    )
    .nulls(Nulls::Never),
    Definition::new(
        "is_digit",
        "IS_DIGIT(string)",
        "Whether the string has characters and all are digits; FALSE for NULL.",
        &[Text],
        boolean,
        |arguments| all(arguments, char::is_numeric),
    )
    .nulls(Nulls::Never),
    Definition::new(
        "is_decimal",
        "IS_DECIMAL(string)",
        "Whether the string reads as a number; FALSE for NULL.",
        &[Text],
        boolean,
        |arguments| each(arguments, |text| text.trim().parse::<f64>().is_ok()),
    )
    .nulls(Nulls::Never),
];

fn all(arguments: &Arguments<'_>, is: fn(char) -> bool) -> Result<ArrayRef> {
    each(arguments, |text| !text.is_empty() && text.chars().all(is))
}

/// FALSE, not NULL, for NULL.
fn each(arguments: &Arguments<'_>, is: impl Fn(&str) -> bool) -> Result<ArrayRef> {
    let text = arguments.text(0)?;
    let values = BooleanBuffer::collect_bool(arguments.rows(), |row| text.get(row).is_some_and(&is));
    Ok(Arc::new(BooleanArray::new(values, None)))
}
