//! What leaves an operator beside its results: a source's dead letters, a window's late rows.
//!
//! Both are rows of fixed columns, so that the side outputs of many operators can be written to one table. A dead letter says
//! which record couldn't be decoded, where it stood and why; a late row says which row came after its windows had been emitted.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use weir_proto::v1::operator_spec::Kind;

/// The table that the record or row comes from: `catalog.database.table`.
pub const SOURCE: &str = "source";
/// Where it stood: topic, partition and offset, or path and byte offset; null for late rows.
pub const POSITION: &str = "position";
/// The record's bytes; null where a format has none, and for late rows.
pub const RAW: &str = "raw";
/// What is wrong with it.
pub const ERROR: &str = "error";
/// When it was found, by the clock of the process.
pub const TIME: &str = "ts";
/// Late rows only: the row as JSON.
pub const ROW: &str = "row";
/// Late rows only: the watermark that had passed it.
pub const WATERMARK: &str = "watermark";

fn dead_letter_fields() -> Vec<Field> {
    vec![
        Field::new(SOURCE, DataType::Utf8, false),
        Field::new(POSITION, DataType::Utf8, true),
        Field::new(RAW, DataType::Binary, true),
        Field::new(ERROR, DataType::Utf8, false),
        Field::new(TIME, DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
    ]
}

/// The columns of dead letters.
#[must_use]
pub fn dead_letters() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(dead_letter_fields())));
    Arc::clone(&SCHEMA)
}

/// The columns of late rows: those of dead letters, then the row and the watermark.
#[must_use]
pub fn late_rows() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let mut fields = dead_letter_fields();
        fields.push(Field::new(ROW, DataType::Utf8, false));
        fields.push(Field::new(WATERMARK, DataType::Timestamp(TimeUnit::Millisecond, None), false));
        Arc::new(Schema::new(fields))
    });
    Arc::clone(&SCHEMA)
}

/// What an operator's side output carries; `None` if it has none.
#[must_use]
pub fn schema(kind: &Kind) -> Option<SchemaRef> {
    match kind {
        Kind::Source(_) => Some(dead_letters()),
        Kind::WindowAggregate(spec) if !spec.late_rows_of.is_empty() => Some(late_rows()),
        _ => None,
    }
}
