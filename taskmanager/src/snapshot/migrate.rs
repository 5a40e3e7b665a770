//! Whether rows of a snapshot fit an operator's state as it is now, and how they are made to.
//!
//! A pure comparison of schemas: the key stays as it is; value columns are found by name; one that is new must be nullable, one that
//! is wider now takes what the narrower one held; nothing is left behind. What doesn't fit is refused before a row is read.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use weir_api::error::Code;
use weir_api::{Error, Result};
use weir_snapshots::manifest::StateSchema;

/// How rows become those of the operator.
#[derive(Clone, Debug)]
pub(crate) struct Migration {
    into: SchemaRef,
    /// For each column, where it comes from.
    columns: Vec<Origin>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    /// This column, of this type or of a narrower one.
    Found(usize),
    /// There was none.
    Null,
}

impl Migration {
    /// From what a snapshot holds to what the operator keeps.
    pub(crate) fn new(operator: &str, found: &StateSchema, expected: &StateSchema) -> Result<Self> {
        columns(found, expected).map(|columns| Self { into: Arc::clone(&expected.schema), columns }).map_err(
            |why| {
                let (from, to) = (describe(found), describe(expected));
                let message = format!(
                    "operator '{operator}' can't go on with the state '{}' of the snapshot: {why}. The snapshot has {from}; the \
                     operator keeps {to}. Restore with the query that made the snapshot, or give the operator another uid and \
                     leave this state behind",
                    found.state
                );
                Error::new(Code::InvalidArgument, message)
            },
        )
    }

    /// The rows as the operator keeps them.
    pub(crate) fn apply(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        if rows.schema_ref() == &self.into {
            return Ok(rows.clone());
        }
        let column = |(origin, field): (&Origin, &Arc<Field>)| -> Result<ArrayRef> {
            Ok(match origin {
                Origin::Null => new_null_array(field.data_type(), rows.num_rows()),
                Origin::Found(at) if rows.column(*at).data_type() == field.data_type() => {
                    Arc::clone(rows.column(*at))
                }
                Origin::Found(at) => cast(rows.column(*at), field.data_type())?,
            })
        };
        let columns = self.columns.iter().zip(self.into.fields()).map(column).collect::<Result<_>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.into), columns)?)
    }
}

fn columns(found: &StateSchema, expected: &StateSchema) -> Result<Vec<Origin>, String> {
    let (from, to) = (found.schema.fields(), expected.schema.fields());
    if found.key_columns != expected.key_columns {
        return Err(format!("its key has {} columns, not {}", found.key_columns, expected.key_columns));
    }
    let key_end = 1 + expected.key_columns as usize;
    let keys = from.iter().zip(to).take(key_end).enumerate();
    let mut columns = Vec::with_capacity(to.len());
    for (at, (old, new)) in keys {
        if old.data_type() != new.data_type() || old.name() != new.name() {
            return Err(format!("the column `{}` of its key is `{}` now", old.name(), new.name()));
        }
        columns.push(Origin::Found(at));
    }
    for new in to.iter().skip(key_end) {
        let old = from.iter().enumerate().skip(key_end).find(|(_, old)| old.name() == new.name());
        columns.push(match old {
            Some((at, old)) => value(at, old, new)?,
            None if new.is_nullable() => Origin::Null,
            None => return Err(format!("the column `{}` is new and can't be null", new.name())),
        });
    }
    match from.iter().skip(key_end).find(|old| to.iter().skip(key_end).all(|new| new.name() != old.name())) {
        Some(lost) => Err(format!("the column `{}` would be lost", lost.name())),
        None => Ok(columns),
    }
}

fn value(at: usize, old: &Field, new: &Field) -> Result<Origin, String> {
    if old.is_nullable() && !new.is_nullable() {
        return Err(format!("the column `{}` can't be null any more", new.name()));
    }
    if old.data_type() != new.data_type() && !widens(old.data_type(), new.data_type()) {
        return Err(format!("the column `{}` isn't of a wider type now", new.name()));
    }
    Ok(Origin::Found(at))
}

/// Whether every value of `from` is one of `to`.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        (T::Int8, T::Int16 | T::Int32 | T::Int64)
        | (T::Int16, T::Int32 | T::Int64)
        | (T::Int32, T::Int64)
        | (T::UInt8, T::UInt16 | T::UInt32 | T::UInt64 | T::Int16 | T::Int32 | T::Int64)
        | (T::UInt16, T::UInt32 | T::UInt64 | T::Int32 | T::Int64)
        | (T::UInt32, T::UInt64 | T::Int64)
        | (T::Float32, T::Float64)
        | (T::Utf8, T::LargeUtf8 | T::Utf8View)
        | (T::Binary, T::LargeBinary | T::BinaryView) => true,
        (T::Decimal128(p, s), T::Decimal128(q, t) | T::Decimal256(q, t))
        | (T::Decimal256(p, s), T::Decimal256(q, t)) => {
            // As many digits before the point and behind it.
            t >= s && i16::from(*q) - i16::from(*t) >= i16::from(*p) - i16::from(*s)
        }
        _ => false,
    }
}

fn describe(schema: &StateSchema) -> String {
    let key_end = 1 + schema.key_columns as usize;
    let columns = |schema: &Schema, from: usize, to: usize| {
        let fields = schema.fields().iter().skip(from).take(to - from);
        let one = |field: &Arc<Field>| {
            let null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("{} {}{null}", field.name(), field.data_type())
        };
        fields.map(one).collect::<Vec<_>>().join(", ")
    };
    let end = schema.schema.fields().len().max(key_end);
    format!(
        "key ({}), values ({})",
        columns(&schema.schema, 1, key_end),
        columns(&schema.schema, key_end, end)
    )
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, Int32Array, Int64Array, UInt32Array};
    use arrow::datatypes::Int64Type;
    use weir_api::state::KEY_GROUP_COLUMN;

    use super::*;

    fn schema(key: DataType, values: &[(&str, DataType, bool)]) -> StateSchema {
        let mut fields =
            vec![Field::new(KEY_GROUP_COLUMN, DataType::UInt32, false), Field::new("k", key, true)];
        fields.extend(values.iter().map(|(name, of, null)| Field::new(*name, of.clone(), *null)));
        StateSchema { state: "panes".to_owned(), key_columns: 1, schema: Arc::new(Schema::new(fields)) }
    }

    #[test]
    fn new_columns_are_null_and_wider_ones_keep_their_values() {
        let found = schema(DataType::Int64, &[("a", DataType::Int32, false), ("b", DataType::Int64, true)]);
        let wanted =
            [("b", DataType::Int64, true), ("c", DataType::Utf8, true), ("a", DataType::Int64, true)];
        let expected = schema(DataType::Int64, &wanted);
        let migration = Migration::new("op", &found, &expected).unwrap();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(vec![1, 2])),
            Arc::new(Int64Array::from(vec![10, 20])),
            Arc::new(Int32Array::from(vec![-5, 6])),
            Arc::new(Int64Array::from(vec![None, Some(7)])),
        ];
        let rows = RecordBatch::try_new(Arc::clone(&found.schema), columns).unwrap();
        let migrated = migration.apply(&rows).unwrap();
        assert_eq!(migrated.schema(), expected.schema);
        assert_eq!(migrated.column(4).as_primitive::<Int64Type>().values(), &[-5, 6]);
        assert_eq!((migrated.column(2).null_count(), migrated.column(3).null_count()), (1, 2));
    }

    #[test]
    fn what_cannot_be_carried_over_is_refused_with_both_schemas() {
        let int = |null| [("a", DataType::Int32, null)];
        let found = schema(DataType::Int64, &int(true));
        for (expected, why) in [
            (schema(DataType::Int32, &int(true)), "of its key"),
            (schema(DataType::Int64, &[("a", DataType::Int16, true)]), "wider"),
            (schema(DataType::Int64, &int(false)), "null any more"),
            (schema(DataType::Int64, &[]), "would be lost"),
            (schema(DataType::Int64, &[("b", DataType::Int64, true)]), "would be lost"),
            (
                schema(DataType::Int64, &[("a", DataType::Int32, true), ("b", DataType::Int64, false)]),
                "can't be null",
            ),
            (StateSchema { key_columns: 2, ..schema(DataType::Int64, &int(true)) }, "its key has"),
        ] {
            let error = Migration::new("Sum by k", &found, &expected).unwrap_err();
            let text = error.message();
            assert!(text.contains(why), "{text}");
            for part in ["'Sum by k'", "'panes'", "a Int32", &describe(&expected)] {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
    }

    #[test]
    fn decimals_widen_where_no_digit_is_lost() {
        use DataType::Decimal128 as D;
        assert!(widens(&D(10, 2), &D(12, 2)) && widens(&D(10, 2), &D(12, 4)));
        assert!(!widens(&D(10, 2), &D(10, 4)) && !widens(&D(10, 2), &D(12, 1)));
    }
}
