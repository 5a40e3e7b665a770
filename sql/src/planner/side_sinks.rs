//! The sinks of side outputs: one for each table that dead letters or late rows go to, fed by all that name it.
//!
//! The columns that the table declares are filled by name; `row` and `watermark`, which only late rows have, are NULL for dead
//! letters. Whatever else the table declares is refused, as nothing could fill it.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use weir_api::connector::nearest;
use weir_api::error::Code;
use weir_api::side_output::late_rows;

use super::sink::{as_stored, cast_to};
use super::stream::{Aggregate, Item, Kind, NodeId, Scan, Side, Sink, StreamPlan, internal};
use crate::catalog::{ObjectPath, Relation, Session, SideTable, SinkColumn, SinkTable, Table};
use crate::error::{SqlError, SqlResult};
use crate::statement::Position;
use crate::types::flink_type_name;

/// Adds the sinks that the plan's sources and windows ask for.
pub(super) fn add_side_sinks(plan: &mut StreamPlan, session: &Session) -> SqlResult<()> {
    let mut feeders: BTreeMap<ObjectPath, (SideTable, Vec<(NodeId, Side)>)> = BTreeMap::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        let (into, side) = match &node.kind {
            Kind::Scan(Scan { table, .. }) => (table.side_tables.dead_letters.as_ref(), Side::DeadLetters),
            Kind::Aggregate(Aggregate { late: Some(late), .. }) => (Some(&late.into), Side::LateRows),
            _ => continue,
        };
        if let Some(into) = into {
            let entry = feeders.entry(into.path.clone()).or_insert_with(|| (into.clone(), Vec::new()));
            entry.1.push((NodeId(index), side));
        }
    }
    for (into, feeders) in feeders.into_values() {
        let sink = add_sink(plan, session, &into, &feeders)
            .map_err(|error| error.or_at(into.position.unwrap_or(Position::START)))?;
        plan.roots.push(sink);
    }
    Ok(())
}

fn add_sink(
    plan: &mut StreamPlan,
    session: &Session,
    into: &SideTable,
    feeders: &[(NodeId, Side)],
) -> SqlResult<NodeId> {
    let path = &into.path;
    let named = format!("'{}' = '{path}'", into.option);
    let table = match session.find(&[&path.catalog, &path.database, &path.object]) {
        Some(Relation::Table(table)) => table,
        Some(Relation::View(_)) => {
            let message = format!("{named} names a view: only tables can be written to");
            return Err(SqlError::new(Code::InvalidArgument, message));
        }
        None => {
            return Err(session
                .unknown(path, into.position.unwrap_or(Position::START))
                .context(format!("{named} of a table that is read")));
        }
    };
    let sink = table.sink()?;
    session
        .registry()
        .sink(&sink.spec)
        .map_err(|error| SqlError::from(error).or_at(table.position).context(named.as_str()))?;
    let mut inputs = Vec::with_capacity(feeders.len());
    for (feeder, side) in feeders {
        let rows = plan.add(Kind::Side(*side), vec![*feeder])?;
        let schema = plan.node(rows)?.schema.clone();
        let items = items_of(&sink, table, &schema).map_err(|error| error.context(named.as_str()))?;
        inputs.push(plan.calc(rows, None, items)?);
    }
    let rows = match inputs.as_slice() {
        [one] => *one,
        _ => plan.add(Kind::Union, inputs)?,
    };
    let sink = Sink { spec: sink.spec, short_name: path.object.clone() };
    Ok(plan.add(Kind::Sink(sink), vec![rows])?)
}

/// The sink's columns, of what a side output has.
fn items_of(sink: &SinkTable, table: &Table, given: &Schema) -> SqlResult<Vec<Item>> {
    let (metadata, physical): (Vec<&SinkColumn>, Vec<&SinkColumn>) =
        sink.columns.iter().partition(|column| column.is_metadata);
    let mut items = Vec::with_capacity(sink.columns.len());
    for SinkColumn { declared, stored, .. } in physical.into_iter().chain(metadata) {
        let position = table.columns.iter().find(|column| column.name == *declared.name());
        let position = position.map_or(table.position, |column| column.position);
        let refuse =
            |code, what: String| SqlError::at(code, position, format!("table {}: {what}", table.path));
        let wanted = flink_type_name(declared.data_type(), declared.is_nullable());
        let value = match given.field_with_name(declared.name()) {
            Ok(field) if field.is_nullable() && !declared.is_nullable() => {
                let what = format!("the column '{}' is {wanted}, but it may be NULL", declared.name());
                return Err(refuse(Code::SqlType, what));
            }
            Ok(field) => cast_to(field, declared.data_type()).ok_or_else(|| {
                let is = flink_type_name(field.data_type(), field.is_nullable());
                refuse(
                    Code::SqlType,
                    format!("the column '{}' is {wanted}, but what goes there is {is}", declared.name()),
                )
            })?,
            Err(_) if late_rows().field_with_name(declared.name()).is_err() => {
                return Err(refuse(Code::SqlUnknownName, unknown_column(declared.name(), given)));
            }
            // Of a table that late rows and dead letters share.
            Err(_) if declared.is_nullable() => {
                let null = ScalarValue::try_from(declared.data_type()).map_err(|error| internal(&error))?;
                Expr::Literal(null, None)
            }
            Err(_) => {
                let what = format!(
                    "the column '{}' is {wanted}, but dead letters have none, so it must be nullable",
                    declared.name()
                );
                return Err(refuse(Code::SqlType, what));
            }
        };
        items.push(Item::new(declared.name(), as_stored(value, declared, stored)?));
    }
    Ok(items)
}

fn unknown_column(name: &str, given: &Schema) -> String {
    let names = || given.fields().iter().map(|field| field.name().as_str());
    let hint = nearest(name, names()).map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
    let there: Vec<String> = given
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), flink_type_name(field.data_type(), field.is_nullable())))
        .collect();
    format!("nothing fills the column '{name}'{hint} (there are: {})", there.join(", "))
}
