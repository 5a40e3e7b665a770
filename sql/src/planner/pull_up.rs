//! Takes a window function out from below an aggregation, if everything between them leaves its columns alone.
//!
//! Between the two stand Calcs. One that filters by window columns only filters groups, so its predicate moves above the
//! aggregation; one that computes with window columns, or compares them with others, stops the search, and so does any node
//! other than a Calc: rows then carry their windows.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use weir_api::error::Result;

use super::aggregate::property_of;
use super::stream::{Item, Kind, Node, NodeId, Property, StreamPlan, column_named, internal};
use crate::statement::WindowKind;

/// What an aggregation reads in place of a window function's rows.
pub(super) struct Pulled {
    /// The node with the columns that were asked for, and the time column.
    pub below: NodeId,
    pub window: WindowKind,
    /// The time column's name in `below`.
    pub time: String,
    /// Predicates on window columns, with the columns that they name.
    pub above: Vec<(WindowPredicate, Vec<Property>)>,
}

/// A predicate over window columns alone.
pub(super) struct WindowPredicate {
    expression: Expr,
    columns: Vec<(String, Property)>,
}

impl WindowPredicate {
    /// The predicate over columns of other names.
    pub fn over(&self, name_of: &impl Fn(Property) -> String) -> Expr {
        let renamed = self.expression.clone().transform_up(|expression| {
            Ok(match &expression {
                Expr::Column(column) => match self.columns.iter().find(|(name, _)| *name == column.name) {
                    Some((_, property)) => Transformed::yes(column_named(&name_of(*property))),
                    None => Transformed::no(expression),
                },
                _ => Transformed::no(expression),
            })
        });
        // The closure never fails.
        renamed.map_or_else(|_| self.expression.clone(), |renamed| renamed.data)
    }
}

/// Pulls the function that made `window` out from below `input`, of which `wanted` is read; `None` if that can't be.
pub(super) fn pull_window(
    plan: &mut StreamPlan,
    input: NodeId,
    window: NodeId,
    wanted: &[Item],
) -> Result<Option<Pulled>> {
    let node = plan.node(input)?.clone();
    let Some((items, _)) = split_items(wanted, &node, window)? else { return Ok(None) };
    if items.len() != wanted.len() {
        // A window column is read as an argument.
        return Ok(None);
    }
    let mut above = Vec::new();
    let Some(Source { node, kind, time }) = descend(plan, input, window, &mut above)? else {
        return Ok(None);
    };
    let mut items = items;
    let time_name = match items.iter().find(|item| item.plain() == Some(&time)) {
        Some(item) => item.name.clone(),
        None => {
            let free = free_name(&time, &items);
            items.push(Item::renamed(&time, &free));
            free
        }
    };
    let below = plan.calc(node, None, items)?;
    Ok(Some(Pulled { below, window: kind, time: time_name, above }))
}

/// A node that has all columns of the one above it but the window's, and the time column.
struct Source {
    node: NodeId,
    kind: WindowKind,
    time: String,
}

fn descend(
    plan: &mut StreamPlan,
    id: NodeId,
    window: NodeId,
    above: &mut Vec<(WindowPredicate, Vec<Property>)>,
) -> Result<Option<Source>> {
    let node = plan.node(id)?.clone();
    match &node.kind {
        Kind::Window(table) if id == window => {
            Ok(Some(Source { node: plan.input(id)?, kind: table.window, time: table.time.clone() }))
        }
        Kind::Calc(calc) => {
            let inner_id = plan.input(id)?;
            let inner = plan.node(inner_id)?.clone();
            let Some((mut items, _)) = split_items(&calc.projection, &inner, window)? else {
                return Ok(None);
            };
            let mut kept = Vec::new();
            let mut moved = Vec::new();
            for conjunct in calc.predicate.iter().flat_map(split_conjunction) {
                let columns = columns_of(conjunct, &inner, window)?;
                if columns.iter().all(|(_, property)| property.is_none()) {
                    kept.push(conjunct.clone());
                } else if conjunct.is_volatile() {
                    return Ok(None);
                } else {
                    let Some(named) = columns
                        .into_iter()
                        .map(|(name, property)| Some((name, property?)))
                        .collect::<Option<Vec<_>>>()
                    else {
                        return Ok(None);
                    };
                    let properties = named.iter().map(|(_, property)| *property).collect();
                    moved
                        .push((WindowPredicate { expression: conjunct.clone(), columns: named }, properties));
                }
            }
            let Some(Source { node, kind, time }) = descend(plan, inner_id, window, above)? else {
                return Ok(None);
            };
            above.extend(moved);
            let time_name = match items.iter().find(|item| item.plain() == Some(&time)) {
                Some(item) => item.name.clone(),
                None => {
                    let free = free_name(&time, &items);
                    items.push(Item::renamed(&time, &free));
                    free
                }
            };
            let node = plan.calc(node, conjunction(kept), items)?;
            Ok(Some(Source { node, kind, time: time_name }))
        }
        _ => Ok(None),
    }
}

/// The items that have nothing to do with the window, and how many just pass its columns on; `None` if one computes with them.
fn split_items(items: &[Item], input: &Node, window: NodeId) -> Result<Option<(Vec<Item>, usize)>> {
    let mut plain = Vec::new();
    let mut passed = 0;
    for item in items {
        let of_window =
            columns_of(&item.expression, input, window)?.iter().any(|(_, property)| property.is_some());
        match (of_window, item.plain()) {
            (false, _) => plain.push(item.clone()),
            (true, Some(_)) => passed += 1,
            (true, None) => return Ok(None),
        }
    }
    Ok(Some((plain, passed)))
}

/// The columns that an expression reads, and which of the window's they are.
fn columns_of(expression: &Expr, input: &Node, window: NodeId) -> Result<Vec<(String, Option<Property>)>> {
    let mut columns = Vec::new();
    expression
        .apply(|expression| {
            if let Expr::Column(column) = expression {
                columns.push((column.name.clone(), property_of(input.role(&column.name), window)));
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(|error| internal(&error))?;
    Ok(columns)
}

fn free_name(wanted: &str, items: &[Item]) -> String {
    let mut free = wanted.to_owned();
    while items.iter().any(|item| item.name == free) {
        free.push('$');
    }
    free
}
