//! Flink's types: their text, their Arrow types, and back.
//!
//! Decides which Arrow type carries which SQL type. Invariants: what a [`FlinkType`] prints parses as the same type, and
//! `flink_type_name` of its Arrow type names a type with the same Arrow type. Knows no tables and no expressions.

mod arrow_types;
mod display;

pub use arrow_types::{flink_type_name, of_arrow};

/// The largest length of CHAR, VARCHAR, BINARY and VARBINARY.
pub const MAX_LENGTH: u32 = i32::MAX as u32;
/// The precision of TIMESTAMP and TIMESTAMP_LTZ where none is written.
pub const DEFAULT_TIMESTAMP_PRECISION: u8 = 6;
/// The largest precision of TIMESTAMP, TIMESTAMP_LTZ and TIME.
pub const MAX_TIME_PRECISION: u8 = 9;
/// The largest precision of DECIMAL.
pub const MAX_DECIMAL_PRECISION: u8 = 38;

/// A SQL type with its nullability.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlinkType {
    /// Which type.
    pub kind: TypeKind,
    /// Whether it holds NULL; `NOT NULL` wasn't written.
    pub nullable: bool,
}

impl FlinkType {
    /// The type, nullable.
    #[must_use]
    pub const fn nullable(kind: TypeKind) -> Self {
        Self { kind, nullable: true }
    }

    /// The type, `NOT NULL`.
    #[must_use]
    pub const fn not_null(kind: TypeKind) -> Self {
        Self { kind, nullable: false }
    }
}

/// A SQL type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TypeKind {
    /// `BOOLEAN`
    Boolean,
    /// `TINYINT`
    TinyInt,
    /// `SMALLINT`
    SmallInt,
    /// `INT`
    Int,
    /// `BIGINT`
    BigInt,
    /// `FLOAT`
    Float,
    /// `DOUBLE`
    Double,
    /// `DECIMAL(precision, scale)`
    Decimal {
        /// All digits.
        precision: u8,
        /// The digits after the point.
        scale: u8,
    },
    /// `CHAR(length)`
    Char(u32),
    /// `VARCHAR(length)`; `STRING` is the one of [`MAX_LENGTH`].
    Varchar(u32),
    /// `BINARY(length)`
    Binary(u32),
    /// `VARBINARY(length)`; `BYTES` is the one of [`MAX_LENGTH`].
    Varbinary(u32),
    /// `DATE`
    Date,
    /// `TIME(precision)`
    Time(u8),
    /// `TIMESTAMP(precision)`
    Timestamp(u8),
    /// `TIMESTAMP_LTZ(precision)`
    TimestampLtz(u8),
    /// `INTERVAL YEAR TO MONTH` and its parts.
    IntervalYearMonth,
    /// `INTERVAL DAY TO SECOND` and its parts.
    IntervalDayTime,
    /// `ARRAY<element>`
    Array(Box<FlinkType>),
    /// `MAP<key, value>`
    Map(Box<FlinkType>, Box<FlinkType>),
    /// `MULTISET<element>`
    Multiset(Box<FlinkType>),
    /// `ROW<name type, …>`
    Row(Vec<RowField>),
}

impl TypeKind {
    /// `STRING`
    pub const STRING: Self = Self::Varchar(MAX_LENGTH);
    /// `BYTES`
    pub const BYTES: Self = Self::Varbinary(MAX_LENGTH);
}

/// One field of a ROW.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowField {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: FlinkType,
    /// `'…'` after the type.
    pub comment: Option<String>,
}
