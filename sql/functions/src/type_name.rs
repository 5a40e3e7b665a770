//! Types by their SQL names, for messages.

use arrow::datatypes::{DataType, TimeUnit};

/// The SQL names of types, with commas between.
pub(crate) fn type_names(types: &[DataType]) -> String {
    let names: Vec<String> = types.iter().map(type_name).collect();
    names.join(", ")
}

/// The SQL name of a type.
pub(crate) fn type_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Null => "NULL",
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::Float32 => "FLOAT",
        DataType::Float64 => "DOUBLE",
        DataType::Decimal128(precision, scale) => return format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "BYTES"
        }
        DataType::Date32 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(unit, None) => return format!("TIMESTAMP({})", digits(*unit)),
        DataType::Timestamp(unit, Some(_)) => return format!("TIMESTAMP_LTZ({})", digits(*unit)),
        DataType::List(element) => return format!("ARRAY<{}>", type_name(element.data_type())),
        DataType::Map(_, _) => "MAP",
        DataType::Struct(_) => "ROW",
        DataType::Interval(_) => "INTERVAL",
        other => return other.to_string(),
    };
    name.to_owned()
}

const fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}
