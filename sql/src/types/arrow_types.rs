//! Which Arrow type carries which SQL type, and back.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};

use super::{FlinkType, RowField, TypeKind};

/// The time zone of TIMESTAMP_LTZ columns.
const LTZ_ZONE: &str = "UTC";
/// The entries of a map, as DataFusion's own map functions name them.
const MAP_ENTRIES: &str = "entries";
const MAP_KEY: &str = "key";
const MAP_VALUE: &str = "value";

impl FlinkType {
    /// The Arrow field of a column of this type.
    #[must_use]
    pub fn to_field(&self, name: &str) -> Field {
        Field::new(name, self.kind.to_arrow(), self.nullable)
    }
}

impl TypeKind {
    /// The Arrow type that carries it.
    #[must_use]
    pub fn to_arrow(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal { precision, scale } => {
                DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(i8::MAX))
            }
            Self::Char(_) | Self::Varchar(_) => DataType::Utf8,
            Self::Binary(_) | Self::Varbinary(_) => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time(_) => DataType::Time32(TimeUnit::Millisecond),
            Self::Timestamp(precision) => DataType::Timestamp(unit_of(*precision), None),
            Self::TimestampLtz(precision) => DataType::Timestamp(unit_of(*precision), Some(LTZ_ZONE.into())),
            Self::IntervalYearMonth => DataType::Interval(IntervalUnit::YearMonth),
            Self::IntervalDayTime => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Array(element) => {
                DataType::List(Arc::new(element.to_field(Field::LIST_FIELD_DEFAULT_NAME)))
            }
            Self::Map(key, value) => map_of(key, value),
            Self::Multiset(element) => map_of(element, &FlinkType::not_null(Self::Int)),
            Self::Row(fields) => {
                DataType::Struct(fields.iter().map(|field| field.data_type.to_field(&field.name)).collect())
            }
        }
    }
}

fn map_of(key: &FlinkType, value: &FlinkType) -> DataType {
    // Arrow has no NULL keys.
    let key = Field::new(MAP_KEY, key.kind.to_arrow(), false);
    let entries = Fields::from(vec![key, value.to_field(MAP_VALUE)]);
    DataType::Map(Arc::new(Field::new(MAP_ENTRIES, DataType::Struct(entries), false)), false)
}

/// The coarsest unit that holds this many digits of a second.
const fn unit_of(precision: u8) -> TimeUnit {
    match precision {
        0..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

/// The digits of a second that a unit holds.
const fn precision_of(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// The SQL type of an Arrow type, as users know it; Arrow's own name where SQL has none.
#[must_use]
pub fn flink_type_name(data_type: &DataType, nullable: bool) -> String {
    let name = match of_arrow(data_type) {
        Some(kind) => kind.to_string(),
        None => data_type.to_string(),
    };
    if nullable { name } else { format!("{name} NOT NULL") }
}

/// The SQL type that an Arrow type carries; `None` where SQL has none.
#[must_use]
pub fn of_arrow(data_type: &DataType) -> Option<TypeKind> {
    Some(match data_type {
        DataType::Boolean => TypeKind::Boolean,
        DataType::Int8 => TypeKind::TinyInt,
        DataType::Int16 => TypeKind::SmallInt,
        DataType::Int32 => TypeKind::Int,
        DataType::Int64 => TypeKind::BigInt,
        DataType::Float32 => TypeKind::Float,
        DataType::Float64 => TypeKind::Double,
        DataType::Decimal128(precision, scale) => {
            TypeKind::Decimal { precision: *precision, scale: u8::try_from(*scale).ok()? }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => TypeKind::STRING,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => TypeKind::BYTES,
        DataType::FixedSizeBinary(length) => TypeKind::Binary(u32::try_from(*length).ok()?),
        DataType::Dictionary(_, values) => of_arrow(values)?,
        DataType::Date32 => TypeKind::Date,
        DataType::Time32(unit) | DataType::Time64(unit) => TypeKind::Time(precision_of(*unit)),
        DataType::Timestamp(unit, None) => TypeKind::Timestamp(precision_of(*unit)),
        DataType::Timestamp(unit, Some(_)) => TypeKind::TimestampLtz(precision_of(*unit)),
        DataType::Interval(IntervalUnit::YearMonth) => TypeKind::IntervalYearMonth,
        DataType::Interval(_) => TypeKind::IntervalDayTime,
        DataType::List(element) | DataType::LargeList(element) | DataType::ListView(element) => {
            TypeKind::Array(Box::new(of_field(element)?))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => match fields.as_ref() {
                [key, value] => TypeKind::Map(Box::new(of_field(key)?), Box::new(of_field(value)?)),
                _ => return None,
            },
            _ => return None,
        },
        DataType::Struct(fields) => TypeKind::Row(
            fields
                .iter()
                .map(|field| {
                    Some(RowField { name: field.name().clone(), data_type: of_field(field)?, comment: None })
                })
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

fn of_field(field: &Field) -> Option<FlinkType> {
    Some(FlinkType { kind: of_arrow(field.data_type())?, nullable: field.is_nullable() })
}
