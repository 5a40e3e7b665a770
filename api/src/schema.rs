//! Schemas as they travel, and the mark of a time attribute.
//!
//! Event time is an ordinary timestamp column whose field carries [`TIME_ATTRIBUTE`] in its metadata. Schemas travel as Arrow
//! IPC schema messages.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::ipc::convert::IpcSchemaEncoder;

use crate::error::{Code, Error, Result};

/// Field metadata key; its value is [`ROWTIME`] or [`PROCTIME`].
pub const TIME_ATTRIBUTE: &str = "weir.time-attribute";
/// The column is the event time.
pub const ROWTIME: &str = "rowtime";
/// The column is the processing time.
pub const PROCTIME: &str = "proctime";

/// The most bytes that a schema message may take.
const MAX_SCHEMA_BYTES: usize = 1 << 20;

/// The field, marked as event time.
#[must_use]
pub fn mark_rowtime(field: Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(TIME_ATTRIBUTE.to_owned(), ROWTIME.to_owned());
    field.with_metadata(metadata)
}

/// Whether the field is marked as event time.
#[must_use]
pub fn is_rowtime(field: &Field) -> bool {
    field.metadata().get(TIME_ATTRIBUTE).is_some_and(|value| value == ROWTIME)
}

/// Encodes a schema as an Arrow IPC schema message.
#[must_use]
pub fn encode(schema: &Schema) -> Vec<u8> {
    IpcSchemaEncoder::new().schema_to_fb(schema).finished_data().to_vec()
}

/// Decodes [`encode`]'s bytes; refuses anything else without panicking.
pub fn decode(bytes: &[u8]) -> Result<SchemaRef> {
    let malformed = |what: String| Error::new(Code::MalformedMessage, format!("a schema message {what}"));
    if bytes.len() > MAX_SCHEMA_BYTES {
        return Err(malformed(format!("of {} bytes is over the limit of {MAX_SCHEMA_BYTES}", bytes.len())));
    }
    // The conversion of a verified flatbuffer still panics on types that don't fit their parameters.
    std::panic::catch_unwind(|| {
        arrow::ipc::root_as_schema(bytes)
            .map(|schema| arrow::ipc::convert::fb_to_schema(schema))
            .map_err(|error| error.to_string())
    })
    .map_err(|_| malformed("holds a type that doesn't exist".to_owned()))?
    .map(Arc::new)
    .map_err(|error| malformed(format!("doesn't verify: {error}")))
}

/// How many milliseconds one unit of a timestamp column is, as (numerator, denominator).
#[must_use]
pub const fn millis_per_unit(unit: TimeUnit) -> (i64, i64) {
    match unit {
        TimeUnit::Second => (1000, 1),
        TimeUnit::Millisecond => (1, 1),
        TimeUnit::Microsecond => (1, 1000),
        TimeUnit::Nanosecond => (1, 1_000_000),
    }
}

/// Whether a column of this type can be a time attribute.
#[must_use]
pub const fn is_timestamp(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, _))
}

/// Whether every value of the type `from` is one of the type `to`, so that state of the one can be read as the other.
#[must_use]
pub fn widens(from: &DataType, to: &DataType) -> bool {
    let integer = |data_type: &DataType| match data_type {
        DataType::Int8 => Some(8),
        DataType::Int16 => Some(16),
        DataType::Int32 => Some(32),
        DataType::Int64 => Some(64),
        _ => None,
    };
    match (from, to) {
        (DataType::Float32, DataType::Float64) => true,
        (DataType::Decimal128(from, scale), DataType::Decimal128(to, other)) => from <= to && scale == other,
        _ => from == to || matches!((integer(from), integer(to)), (Some(from), Some(to)) if from < to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_survives_the_wire_and_garbage_does_not_panic() {
        let time = Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true);
        let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), mark_rowtime(time)]);
        let bytes = encode(&schema);
        let decoded = decode(&bytes).expect("valid");
        assert_eq!(*decoded, schema);
        assert!(is_rowtime(decoded.field(1)) && !is_rowtime(decoded.field(0)));
        for cut in 0..bytes.len() {
            let _ = decode(&bytes[..cut]);
            let mut flipped = bytes.clone();
            flipped[cut] ^= 0x55;
            let _ = decode(&flipped);
        }
    }

    #[test]
    fn wider_types_hold_all_values() {
        let decimal = DataType::Decimal128;
        assert!(widens(&DataType::Int16, &DataType::Int64) && widens(&decimal(10, 2), &decimal(38, 2)));
        assert!(widens(&DataType::Float32, &DataType::Float64) && widens(&DataType::Utf8, &DataType::Utf8));
        assert!(!widens(&DataType::Int64, &DataType::Int32) && !widens(&decimal(10, 2), &decimal(38, 3)));
        assert!(!widens(&DataType::Int64, &DataType::Utf8) && !widens(&DataType::Int64, &DataType::Float64));
    }
}
