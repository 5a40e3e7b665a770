//! Late rows of source tables that want them kept: which aggregations emit them, and what of a row they hold.
//!
//! An aggregation by windows over rows of such a table (through filters, projections, views, window functions, unions) keeps the
//! columns that the connector gives: the row's JSON has them under their names in the table, so it can be written there
//! again. Rows of an aggregation aren't the table's, so a window over windows emits none of them twice. Where something else
//! stands between (an UNNEST), the JSON has what the aggregation reads.

use std::collections::HashSet;
use std::sync::Arc;

use weir_api::error::{Code, Result};

use super::stream::{Item, Kind, Late, NodeId, StreamPlan};
use super::table::BoundTable;
use super::window_node::WINDOW_COLUMNS;
use crate::error::{SqlError, SqlResult};

/// The input of a windowed aggregation with the columns that its late rows need, and what becomes of these.
pub(super) fn keep_late_rows(plan: &mut StreamPlan, below: NodeId) -> SqlResult<(NodeId, Option<Late>)> {
    let mut tables: Vec<Arc<BoundTable>> = Vec::new();
    sources_of(plan, below, &mut tables)?;
    let Some(into) = tables.iter().find_map(|table| table.side_tables.late_rows.clone()) else {
        return Ok((below, None));
    };
    let elsewhere = |table: &&Arc<BoundTable>| {
        table.side_tables.late_rows.as_ref().map(|table| &table.path) != Some(&into.path)
    };
    if let Some(other) = tables.iter().find(elsewhere) {
        let message = format!(
            "a window brings together rows of tables whose late rows go to different places: '{}' = '{}' is not what table {} says; \
             let both say the same, or aggregate each by itself",
            into.option, into.path, other.name
        );
        let error = SqlError::new(Code::InvalidArgument, message);
        return Err(match into.position {
            Some(position) => error.or_at(position),
            None => error,
        });
    }
    let of = tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>().join(", ");
    let (below, columns) = match carry(plan, below)? {
        Some(Carried { node, columns }) => (node, columns),
        None => (below, Vec::new()),
    };
    Ok((below, Some(Late { of, into, columns })))
}

/// The tables whose rows the node passes on, each once.
fn sources_of(plan: &StreamPlan, id: NodeId, tables: &mut Vec<Arc<BoundTable>>) -> Result<()> {
    let node = plan.node(id)?;
    match &node.kind {
        Kind::Scan(scan) if !tables.iter().any(|known| Arc::ptr_eq(known, &scan.table)) => {
            tables.push(scan.table.clone());
        }
        Kind::Scan(_) | Kind::Aggregate(_) | Kind::Sink(_) | Kind::Side(_) => {}
        Kind::Calc(_) | Kind::Window(_) | Kind::Unnest(_) | Kind::Over(_) | Kind::Union => {
            for input in &node.inputs {
                sources_of(plan, *input, tables)?;
            }
        }
    }
    Ok(())
}

/// A node with all columns that it had, and those of the source's rows.
struct Carried {
    node: NodeId,
    /// A column of the node, and its name in the source.
    columns: Vec<(String, String)>,
}

/// The node with the source's columns passed on through it; `None` if they can't be, or sources differ in them.
fn carry(plan: &mut StreamPlan, id: NodeId) -> Result<Option<Carried>> {
    let node = plan.node(id)?.clone();
    match &node.kind {
        Kind::Scan(scan) => {
            let columns =
                scan.fields.iter().map(|field| (field.name().clone(), field.name().clone())).collect();
            Ok(Some(Carried { node: id, columns }))
        }
        Kind::Calc(calc) => {
            let Some(below) = carry(plan, plan.input(id)?)? else { return Ok(None) };
            let mut items = calc.projection.clone();
            let columns = pass_on(&below.columns, &mut items);
            Ok(Some(Carried { node: plan.calc(below.node, calc.predicate.clone(), items)?, columns }))
        }
        Kind::Window(_) => {
            let Some(below) = carry(plan, plan.input(id)?)? else { return Ok(None) };
            Ok(Some(Carried { node: plan.add(node.kind.clone(), vec![below.node])?, columns: below.columns }))
        }
        Kind::Union => {
            let own: Vec<Item> =
                node.schema.fields().iter().map(|field| Item::column(field.name())).collect();
            let mut inputs = Vec::with_capacity(node.inputs.len());
            let mut common: Option<Vec<(String, String)>> = None;
            for input in &node.inputs {
                let Some(below) = carry(plan, *input)? else { return Ok(None) };
                // The same names in every input: those that the union's own columns leave free.
                let mut items = own.clone();
                let columns = append(&below.columns, &mut items);
                let fits = common.get_or_insert_with(|| columns.clone()) == &columns;
                let input = plan.calc(below.node, None, items)?;
                let schema = plan.node(input)?.schema.clone();
                let types = |id: &NodeId| -> Result<bool> {
                    let first = plan.node(*id)?.schema.clone();
                    Ok(first
                        .fields()
                        .iter()
                        .zip(schema.fields())
                        .all(|(a, b)| a.data_type() == b.data_type()))
                };
                if !fits || !inputs.first().map_or(Ok(true), types)? {
                    return Ok(None);
                }
                inputs.push(input);
            }
            let node = plan.add(Kind::Union, inputs)?;
            Ok(Some(Carried { node, columns: common.unwrap_or_default() }))
        }
        Kind::Unnest(_) | Kind::Aggregate(_) | Kind::Over(_) | Kind::Sink(_) | Kind::Side(_) => Ok(None),
    }
}

/// Adds the columns that aren't passed on yet to `items`; where each is now.
fn pass_on(columns: &[(String, String)], items: &mut Vec<Item>) -> Vec<(String, String)> {
    let mut passed = Vec::with_capacity(columns.len());
    for (column, name) in columns {
        let there = items.iter().find(|item| item.plain() == Some(column)).map(|item| item.name.clone());
        passed.push(match there {
            Some(there) => (there, name.clone()),
            None => appended(column, name, items),
        });
    }
    passed
}

/// Adds all columns to `items`, whether they are there already or not.
fn append(columns: &[(String, String)], items: &mut Vec<Item>) -> Vec<(String, String)> {
    columns.iter().map(|(column, name)| appended(column, name, items)).collect()
}

fn appended(column: &str, name: &str, items: &mut Vec<Item>) -> (String, String) {
    let taken: HashSet<&str> = items.iter().map(|item| item.name.as_str()).chain(WINDOW_COLUMNS).collect();
    let mut free = name.to_owned();
    while taken.contains(free.as_str()) {
        free.push('$');
    }
    items.push(Item::renamed(column, &free));
    (free, name.to_owned())
}
