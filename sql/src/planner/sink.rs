//! INSERT INTO: the query's columns brought to the sink's, by Flink's implicit casts.
//!
//! Columns go by position to the columns that the sink stores (physical ones and metadata that isn't virtual), or to those that
//! the statement names; what is left out is NULL.
//! Invariant: the rows that reach a sink have its columns' names, types and order.

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Cast, Expr};
use weir_api::error::Code;

use super::errors::nearest_column;
use super::partition::fixed_values;
use super::refuse::place_of_output;
use super::rows::cast_row;
use super::stream::{Item, Kind, NodeId, Sink, StreamPlan, column_named, internal};
use super::typing::coerce_expression;
use crate::catalog::{SinkColumn, SinkTable, Table};
use crate::error::{SqlError, SqlResult};
use crate::statement::Insert;
use crate::types::flink_type_name;

/// Adds the sink of an insert over its query. `sink` is the table as its writers see it.
pub(super) fn lower_sink(
    plan: &mut StreamPlan,
    insert: &Insert,
    table: &Table,
    sink: &SinkTable,
    query: NodeId,
) -> SqlResult<NodeId> {
    let fixed = fixed_values(insert, table, sink)?;
    let mut targets = targets(insert, table, sink)?;
    targets.retain(|target| !fixed.iter().any(|(index, _)| index == target));
    let schema = plan.node(query)?.schema.clone();
    if schema.fields().len() != targets.len() {
        return Err(SqlError::at(
            Code::SqlType,
            insert.position,
            column_count(table, &schema, sink, &targets),
        ));
    }
    let mut items = Vec::with_capacity(sink.columns.len());
    let (metadata, physical): (Vec<_>, Vec<_>) =
        sink.columns.iter().enumerate().partition(|(_, column)| column.is_metadata);
    for (index, SinkColumn { declared, stored, .. }) in physical.into_iter().chain(metadata) {
        let constant = fixed.iter().find(|(known, _)| *known == index);
        let expression = match targets.iter().position(|target| *target == index) {
            Some(column) => {
                let field = schema.field(column);
                cast_to(field, declared.data_type()).ok_or_else(|| {
                    let place = place_of_output(&insert.query.ast, column).unwrap_or(insert.query.position);
                    SqlError::at(Code::SqlType, place, mismatch(table, field, declared, column))
                })?
            }
            None if let Some((_, value)) = constant => Expr::Literal(value.clone(), None),
            None if !declared.is_nullable() => {
                let message = format!(
                    "INSERT INTO {}: the column '{}' is NOT NULL, so the statement must give it a value",
                    table.path,
                    declared.name()
                );
                return Err(SqlError::at(Code::SqlType, insert.position, message));
            }
            None => {
                let null = ScalarValue::try_from(declared.data_type()).map_err(|error| internal(&error))?;
                Expr::Literal(null, None)
            }
        };
        items.push(Item::new(declared.name(), as_stored(expression, declared, stored)?));
    }
    let rows = plan.calc(query, None, items)?;
    let sink = Sink { spec: sink.spec.clone(), short_name: table.path.object.clone() };
    Ok(plan.add(Kind::Sink(sink), vec![rows])?)
}

/// A value of the declared type as the connector takes it.
pub(super) fn as_stored(value: Expr, declared: &Field, stored: &Field) -> SqlResult<Expr> {
    if equal_types(declared.data_type(), stored.data_type()) {
        return Ok(value);
    }
    let name = "$value";
    let schema = Schema::new(vec![Field::new(name, declared.data_type().clone(), true)]);
    let schema = DFSchema::try_from(schema).map_err(|error| internal(&error))?;
    let cast = Expr::Cast(Cast::new(Box::new(column_named(name)), stored.data_type().clone()));
    let cast = coerce_expression(cast, &schema).map_err(|error| internal(&error))?;
    let replaced = cast.transform_up(|part| {
        Ok(match &part {
            Expr::Column(column) if column.name == name => Transformed::yes(value.clone()),
            _ => Transformed::no(part),
        })
    });
    Ok(replaced.map_err(|error| internal(&error))?.data)
}

/// The positions among the sink's columns of the query's columns.
fn targets(insert: &Insert, table: &Table, sink: &SinkTable) -> SqlResult<Vec<usize>> {
    let fields: Vec<&FieldRef> = sink.columns.iter().map(|column| &column.declared).collect();
    if insert.columns.is_empty() {
        return Ok((0..fields.len()).collect());
    }
    let mut targets = Vec::with_capacity(insert.columns.len());
    for name in &insert.columns {
        let index = fields.iter().position(|field| *field.name() == name.value).ok_or_else(|| {
            let hint = nearest_column(&name.value, fields.iter().map(|field| field.name().as_str()));
            let message =
                format!("INSERT INTO {}: it has no column '{name}' that can be written{hint}", table.path);
            SqlError::at(Code::SqlUnknownName, name.position, message)
        })?;
        if targets.contains(&index) {
            let message = format!("INSERT INTO {}: the column '{name}' is named twice", table.path);
            return Err(SqlError::at(Code::InvalidArgument, name.position, message));
        }
        targets.push(index);
    }
    Ok(targets)
}

fn column_count(table: &Table, schema: &Schema, sink: &SinkTable, targets: &[usize]) -> String {
    let listed = |fields: Vec<&Field>| {
        let texts: Vec<String> = fields
            .iter()
            .map(|field| format!("{} {}", field.name(), flink_type_name(field.data_type(), true)))
            .collect();
        texts.join(", ")
    };
    let wanted =
        targets.iter().filter_map(|index| Some(sink.columns.get(*index)?.declared.as_ref())).collect();
    format!(
        "INSERT INTO {}: the query has {} columns, but {} belong here.\n  query: {}\n  sink:  {}",
        table.path,
        schema.fields().len(),
        targets.len(),
        listed(schema.fields().iter().map(AsRef::as_ref).collect()),
        listed(wanted)
    )
}

fn mismatch(table: &Table, field: &Field, target: &Field, column: usize) -> String {
    let wanted = flink_type_name(target.data_type(), true);
    format!(
        "INSERT INTO {}: column {} of the query, '{}', is {}, but the sink's column '{}' is {wanted}; write CAST({} AS {wanted})",
        table.path,
        column + 1,
        field.name(),
        flink_type_name(field.data_type(), true),
        target.name(),
        field.name(),
    )
}

/// The column with the sink's type, if Flink casts it without being asked.
pub(super) fn cast_to(field: &Field, target: &DataType) -> Option<Expr> {
    let column = column_named(field.name());
    if equal_types(field.data_type(), target) {
        return Some(column);
    }
    if !casts_implicitly(field.data_type(), target) {
        return None;
    }
    match (field.data_type(), target) {
        (DataType::Struct(from), DataType::Struct(to)) => cast_row(column, from, to),
        _ => Some(Expr::Cast(Cast::new(Box::new(column), target.clone()))),
    }
}

/// Whether two types are the same but for what is nullable inside them.
fn equal_types(a: &DataType, b: &DataType) -> bool {
    a == b || a.equals_datatype(b)
}

/// Flink's `LogicalTypeCasts.supportsImplicitCast`, as far as the types exist here.
fn casts_implicitly(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    if matches!(from, T::Null) {
        return true;
    }
    match to {
        T::Int16 => matches!(from, T::Int8),
        T::Int32 => matches!(from, T::Int8 | T::Int16),
        T::Int64 => matches!(from, T::Int8 | T::Int16 | T::Int32),
        T::Float32 => matches!(from, T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Decimal128(_, _)),
        T::Float64 | T::Decimal128(_, _) => is_numeric(from),
        T::Date32 => matches!(from, T::Timestamp(_, None)),
        T::Time32(_) | T::Time64(_) => matches!(from, T::Timestamp(_, None) | T::Time32(_) | T::Time64(_)),
        T::Timestamp(_, _) => matches!(from, T::Timestamp(_, _)),
        T::Struct(to) => match from {
            T::Struct(from) => {
                from.len() == to.len()
                    && from.iter().zip(to).all(|(from, to)| {
                        equal_types(from.data_type(), to.data_type())
                            || casts_implicitly(from.data_type(), to.data_type())
                    })
            }
            _ => false,
        },
        _ => false,
    }
}

const fn is_numeric(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(
        data_type,
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64 | T::Decimal128(_, _)
    )
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn only_what_loses_nothing_is_cast_silently() {
        use DataType as T;
        assert!(casts_implicitly(&T::Int32, &T::Int64));
        assert!(!casts_implicitly(&T::Int64, &T::Int32));
        assert!(casts_implicitly(&T::Int64, &T::Float64));
        assert!(casts_implicitly(&T::Decimal128(23, 3), &T::Decimal128(10, 2)));
        assert!(!casts_implicitly(&T::Utf8, &T::Int32));
        assert!(!casts_implicitly(&T::Int32, &T::Utf8));
        let local = T::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        assert!(casts_implicitly(&T::Timestamp(TimeUnit::Microsecond, None), &local));
        assert!(!casts_implicitly(&T::Utf8, &T::Timestamp(TimeUnit::Millisecond, None)));
    }
}
