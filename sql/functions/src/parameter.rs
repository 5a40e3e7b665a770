//! What kinds of arguments functions take, and which type each is brought to before the call.
//!
//! Invariant: after coercion an argument has one of the few types that [`crate::arguments`] reads for its kind. As in Flink,
//! nothing turns into a string by itself, nor a string into a number.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::{Result, plan_err};
use datafusion_expr::type_coercion::binary::type_union_resolution;

use crate::type_name::type_names;

/// What an argument may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// STRING, read as any of Arrow's string types.
    Text,
    /// STRING or BYTES.
    TextOrBytes,
    /// STRING or an integer, as it is.
    TextOrLong,
    /// BYTES.
    Bytes,
    /// An integer, as it is: a cast would hide a literal from planning.
    Long,
    /// A number, brought to DOUBLE.
    Double,
    /// A number, as it is.
    Number,
    /// BOOLEAN.
    Boolean,
    /// DATE, TIMESTAMP or TIMESTAMP_LTZ, as it is.
    Point,
    /// DATE, TIME, TIMESTAMP or TIMESTAMP_LTZ, as it is.
    PointOrTime,
    /// STRING, DATE, TIMESTAMP or TIMESTAMP_LTZ, as it is.
    TextOrPoint,
    /// A number, DATE, TIME, TIMESTAMP or TIMESTAMP_LTZ, as it is.
    NumberOrPoint,
    /// Anything that has a common type with the other arguments of this kind; brought to it.
    Common,
    /// Anything, as it is.
    Any,
}

impl Kind {
    /// The kind in words, for messages: "argument 1 must be …".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Text => "a STRING",
            Self::TextOrBytes => "a STRING or BYTES",
            Self::TextOrLong => "a STRING or an integer",
            Self::Bytes => "BYTES",
            Self::Long => "an integer",
            Self::Double | Self::Number => "a number",
            Self::Boolean => "a BOOLEAN",
            Self::Point => "a DATE or a TIMESTAMP",
            Self::PointOrTime => "a DATE, a TIME or a TIMESTAMP",
            Self::TextOrPoint => "a STRING, a DATE or a TIMESTAMP",
            Self::NumberOrPoint => "a number, a DATE, a TIME or a TIMESTAMP",
            Self::Common => "of the others' type",
            Self::Any => "any value",
        }
    }

    /// The type that an argument of type `given` is brought to; `None` when it doesn't fit.
    pub fn coerce(self, given: &DataType) -> Option<DataType> {
        if let DataType::Dictionary(_, values) = given {
            return self.coerce(values);
        }
        if given.is_null() {
            return Some(self.of_null());
        }
        let as_it_is = |fits: bool| fits.then(|| given.clone());
        match self {
            Self::Text => as_it_is(given.is_string()),
            Self::TextOrBytes => as_it_is(given.is_string()).or_else(|| Self::Bytes.coerce(given)),
            Self::TextOrLong => as_it_is(given.is_string()).or_else(|| Self::Long.coerce(given)),
            Self::Bytes => given.is_binary().then_some(DataType::Binary),
            Self::Long => as_it_is(given.is_integer()),
            Self::Double => given.is_numeric().then_some(DataType::Float64),
            Self::Number => as_it_is(given.is_numeric()),
            Self::Boolean => as_it_is(*given == DataType::Boolean),
            Self::Point => as_it_is(is_point(given)),
            Self::PointOrTime => as_it_is(is_point(given) || is_time(given)),
            Self::TextOrPoint => as_it_is(given.is_string() || is_point(given)),
            Self::NumberOrPoint => as_it_is(given.is_numeric() || is_point(given) || is_time(given)),
            Self::Common | Self::Any => Some(given.clone()),
        }
    }

    /// The type that an untyped NULL takes.
    const fn of_null(self) -> DataType {
        match self {
            Self::Text | Self::TextOrBytes | Self::TextOrLong | Self::TextOrPoint => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Long | Self::Number | Self::NumberOrPoint => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Point | Self::PointOrTime => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::Common | Self::Any => DataType::Null,
        }
    }
}

fn is_point(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, _) | DataType::Date32)
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Time32(_) | DataType::Time64(_))
}

/// Brings the arguments that must have a common type to it.
pub(crate) fn coerce_common(
    types: &mut [DataType],
    is_common: impl Fn(usize) -> bool,
    usage: &str,
) -> Result<()> {
    let theirs: Vec<DataType> = types
        .iter()
        .enumerate()
        .filter(|(index, _)| is_common(*index))
        .map(|(_, given)| given.clone())
        .collect();
    let Some(common) = common_type(&theirs) else {
        return plan_err!("{usage} can't be called with ({}): they have no common type", type_names(types));
    };
    for (index, data_type) in types.iter_mut().enumerate() {
        if is_common(index) {
            *data_type = common.clone();
        }
    }
    Ok(())
}

/// The least restrictive type of all; `Null` for none.
pub(crate) fn common_type(types: &[DataType]) -> Option<DataType> {
    let mut typed = types.iter().filter(|data_type| !data_type.is_null());
    let Some(first) = typed.next() else {
        return Some(DataType::Null);
    };
    if typed.clone().all(|data_type| data_type == first) {
        return Some(first.clone());
    }
    let all_alike =
        |is: fn(&DataType) -> bool| types.iter().all(|data_type| data_type.is_null() || is(data_type));
    let mixable = all_alike(DataType::is_numeric)
        || all_alike(DataType::is_string)
        || all_alike(DataType::is_binary)
        || all_alike(DataType::is_temporal)
        || all_alike(DataType::is_nested);
    if mixable { type_union_resolution(types) } else { None }
}
