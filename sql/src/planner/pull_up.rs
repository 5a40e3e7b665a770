//! Takes a window function out from below an aggregation, if everything between them leaves its columns alone.
//!
//! Between the two stand Calcs. One that filters by window columns only filters groups, so its predicate moves above the
//! aggregation; one that computes with window columns, or compares them with others, stops the search, and so does any node
//! other than a Calc: rows then carry their windows.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use weir_api::error::Result;

use super::grouping::{Before, property_of};
use super::stream::{Item, Kind, Node, NodeId, Property, StreamPlan, column_named, internal};
use crate::statement::WindowKind;

/// What an aggregation reads in place of a window function's rows.
pub(super) struct Pulled {
    /// The node with the columns that were asked for, and the time column.
    pub below: NodeId,
    pub window: WindowKind,
    /// The time column's name in `below`.
    pub time: String,
    /// Predicates on window columns.
    pub above: Vec<WindowPredicate>,
}

/// A predicate over window columns alone.
pub(super) struct WindowPredicate {
    expression: Expr,
    columns: Vec<(String, Property)>,
}

impl WindowPredicate {
    /// The window columns that it names.
    pub fn columns(&self) -> impl Iterator<Item = Property> {
        self.columns.iter().map(|(_, property)| *property)
    }

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
    wanted: &Before,
) -> Result<Option<Pulled>> {
    let node = plan.node(input)?.clone();
    let Some(mut items) = split_items(&wanted.items, &node, window)? else { return Ok(None) };
    if items.len() != wanted.items.len() {
        // A window column is read as an argument.
        return Ok(None);
    }
    let mut above = Vec::new();
    let Some(Source { node, kind, time }) = descend(plan, input, window, &mut above)? else {
        return Ok(None);
    };
    let time = pass_on(&time, &mut items);
    let items = Before { items }.into_items(&plan.node(node)?.schema);
    let below = plan.calc(node, None, items)?;
    Ok(Some(Pulled { below, window: kind, time, above }))
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
    above: &mut Vec<WindowPredicate>,
) -> Result<Option<Source>> {
    let node = plan.node(id)?.clone();
    match &node.kind {
        Kind::Window(table) if id == window => {
            Ok(Some(Source { node: plan.input(id)?, kind: table.window, time: table.time.clone() }))
        }
        Kind::Calc(calc) => {
            let inner_id = plan.input(id)?;
            let inner = plan.node(inner_id)?.clone();
            let Some(mut items) = split_items(&calc.projection, &inner, window)? else { return Ok(None) };
            let Some((kept, moved)) = split_predicate(calc.predicate.as_ref(), &inner, window)? else {
                return Ok(None);
            };
            let Some(Source { node, kind, time }) = descend(plan, inner_id, window, above)? else {
                return Ok(None);
            };
            above.extend(moved);
            let time = pass_on(&time, &mut items);
            let node = plan.calc(node, conjunction(kept), items)?;
            Ok(Some(Source { node, kind, time }))
        }
        _ => Ok(None),
    }
}

/// What a filter says of other columns, and what of the window's alone; `None` if it compares them, or is volatile.
fn split_predicate(
    predicate: Option<&Expr>,
    input: &Node,
    window: NodeId,
) -> Result<Option<(Vec<Expr>, Vec<WindowPredicate>)>> {
    let mut kept = Vec::new();
    let mut moved = Vec::new();
    for conjunct in predicate.into_iter().flat_map(split_conjunction) {
        let columns = columns_of(conjunct, input, window)?;
        let of_window: Vec<(String, Property)> =
            columns.iter().filter_map(|(name, property)| Some((name.clone(), (*property)?))).collect();
        if of_window.is_empty() {
            kept.push(conjunct.clone());
        } else if of_window.len() < columns.len() || conjunct.is_volatile() {
            return Ok(None);
        } else {
            moved.push(WindowPredicate { expression: conjunct.clone(), columns: of_window });
        }
    }
    Ok(Some((kept, moved)))
}

/// The items that have nothing to do with the window, without those that pass its columns on; `None` if one computes with them.
fn split_items(items: &[Item], input: &Node, window: NodeId) -> Result<Option<Vec<Item>>> {
    let mut plain = Vec::new();
    for item in items {
        let of_window =
            columns_of(&item.expression, input, window)?.iter().any(|(_, property)| property.is_some());
        match (of_window, item.plain()) {
            (false, _) => plain.push(item.clone()),
            (true, Some(_)) => {}
            (true, None) => return Ok(None),
        }
    }
    Ok(Some(plain))
}

/// The name of the column among `items` that passes `column` on; it is added if there is none.
fn pass_on(column: &str, items: &mut Vec<Item>) -> String {
    if let Some(item) = items.iter().find(|item| item.plain() == Some(column)) {
        return item.name.clone();
    }
    let mut free = column.to_owned();
    while items.iter().any(|item| item.name == free) {
        free.push('$');
    }
    items.push(Item::renamed(column, &free));
    free
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
