//! Types as Flink's SQL writes them, for messages, and the checks of a table's declared columns.
//!
//! Decides how a refusal words a type. Knows no connector.

use arrow::datatypes::{DataType, Field, Fields, SchemaRef, TimeUnit};
use weir_api::error::{Code, Error, Result};
use weir_api::schema;
use weir_proto::v1::TableSpec;

/// The declared physical columns of a table.
pub fn declared(table: &TableSpec) -> Result<SchemaRef> {
    schema::decode(&table.schema).map_err(|error| error.context(format_args!("table {}", table.name)))
}

/// Refuses a partitioned table, for connectors that know none.
pub fn refuse_partitions(table: &TableSpec) -> Result<()> {
    if table.partition_keys.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Code::Unsupported,
        format!("table {}: connector '{}' doesn't take PARTITIONED BY", table.name, table.connector),
    ))
}

/// The error of a connector that only writes, or only reads.
#[must_use]
pub fn one_way(table: &TableSpec, can: &str, cannot: &str) -> Error {
    Error::new(
        Code::Unsupported,
        format!("table {}: connector '{}' can be {can}, not {cannot}", table.name, table.connector),
    )
}

/// A column of a type that the connector or format doesn't take.
#[must_use]
pub fn refuse_type(table: &str, column: &str, data_type: &DataType, by: &str) -> Error {
    Error::new(
        Code::TableOptions,
        format!("table {table}: column `{column}` is {}, which {by} doesn't take", sql_name(data_type)),
    )
}

/// The field of this name among `fields`.
#[must_use]
pub fn field_named<'a>(fields: &'a Fields, name: &str) -> Option<&'a Field> {
    fields.iter().map(AsRef::as_ref).find(|field| field.name() == name)
}

/// A type as Flink's SQL writes it; Arrow's own name for what SQL has no type for.
#[must_use]
pub fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTES".into(),
        DataType::FixedSizeBinary(length) => format!("BINARY({length})"),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("TIME({})", digits(*unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", digits(*unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(*unit)),
        DataType::List(item) => format!("ARRAY<{}>", sql_name(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("MAP<{}, {}>", sql_name(fields[0].data_type()), sql_name(fields[1].data_type()))
            }
            _ => data_type.to_string(),
        },
        DataType::Struct(fields) => {
            let parts: Vec<_> = fields
                .iter()
                .map(|field| format!("`{}` {}", field.name(), sql_name(field.data_type())))
                .collect();
            format!("ROW<{}>", parts.join(", "))
        }
        other => other.to_string(),
    }
}

/// Fractional digits of a second that a unit holds.
#[must_use]
pub const fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// Units in a second.
#[must_use]
pub const fn units_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}
