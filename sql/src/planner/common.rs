//! What a Calc's filter and its projection both compute, computed once.
//!
//! A filter is evaluated for all rows, so a part of it that the projection needs too, or that it has itself twice, becomes a
//! column of a Calc before. Invariant: nothing is evaluated for a row that wasn't before, so nothing new can fail.

use std::collections::{HashMap, HashSet};

use datafusion::arrow::datatypes::Schema;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use weir_api::error::Result;

use super::calc::is_trivial;
use super::guard::may_fail;
use super::paths::Needs;
use super::stream::{Calc, Item, column_named, internal};

/// The Calc in two, if that saves work.
pub(super) fn split_common(calc: &Calc, input: &Schema) -> Result<Option<(Calc, Calc)>> {
    let Some(predicate) = &calc.predicate else { return Ok(None) };
    let columns = DFSchema::try_from(input.clone()).map_err(|error| internal(&error))?;
    let shared = shared_parts(predicate, &calc.projection, &columns)?;
    if shared.is_empty() {
        return Ok(None);
    }
    let mut replaced =
        Replacement { shared, items: Vec::new(), taken: names(input).map(str::to_owned).collect() };
    let mut conjuncts = Vec::new();
    for conjunct in split_conjunction(predicate) {
        conjuncts.push(replaced.apply(conjunct)?);
    }
    let mut projection = Vec::with_capacity(calc.projection.len());
    for item in &calc.projection {
        projection.push(Item { expression: replaced.apply(&item.expression)?, ..item.clone() });
    }
    for item in &projection {
        let computed =
            replaced.items.iter_mut().find(|common| item.rowtime && item.plain() == Some(&common.name));
        computed.into_iter().for_each(|common| common.rowtime = true);
    }
    let after = Calc { predicate: conjunction(conjuncts), projection };
    let mut needs = Needs::default();
    after
        .predicate
        .iter()
        .chain(after.projection.iter().map(|item| &item.expression))
        .for_each(|e| needs.add_expression(e));
    let mut items: Vec<Item> =
        names(input).filter(|name| needs.get(name).is_some()).map(Item::column).collect();
    items.extend(replaced.items);
    Ok(Some((Calc { predicate: None, projection: items }, after)))
}

fn names(schema: &Schema) -> impl Iterator<Item = &str> {
    schema.fields().iter().map(|field| field.name().as_str())
}

/// The parts that the filter evaluates for every row and that occur again. What may fail is evaluated only for rows that pass
/// the rest, see [`super::guard`].
fn shared_parts(predicate: &Expr, projection: &[Item], columns: &DFSchema) -> Result<HashSet<Expr>> {
    let mut of_filter: HashMap<&Expr, usize> = HashMap::new();
    for conjunct in split_conjunction(predicate).into_iter().filter(|conjunct| !may_fail(conjunct, columns)) {
        count(conjunct, &mut of_filter, true)?;
    }
    let mut everywhere: HashMap<&Expr, usize> = of_filter.clone();
    for item in projection {
        count(&item.expression, &mut everywhere, false)?;
    }
    Ok(of_filter
        .into_keys()
        .filter(|part| everywhere.get(part).is_some_and(|uses| *uses > 1))
        .cloned()
        .collect())
}

/// Counts the parts worth a column. `always`: only those that are evaluated for every row, so not what an AND, an OR or a CASE
/// may skip.
fn count<'e>(expression: &'e Expr, parts: &mut HashMap<&'e Expr, usize>, always: bool) -> Result<()> {
    let visited = expression.apply(|part| {
        if is_trivial(part) || part.is_volatile() {
            return Ok(TreeNodeRecursion::Jump);
        }
        *parts.entry(part).or_default() += 1;
        let may_skip = match part {
            Expr::BinaryExpr(BinaryExpr { op, .. }) => matches!(op, Operator::And | Operator::Or),
            Expr::ScalarFunction(call) => call.func.short_circuits(),
            Expr::Case(_) => true,
            _ => false,
        };
        Ok(if always && may_skip { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue })
    });
    visited.map(|_| ()).map_err(|error| internal(&error))
}

struct Replacement {
    shared: HashSet<Expr>,
    items: Vec<Item>,
    taken: HashSet<String>,
}

impl Replacement {
    /// The expression with columns in place of shared parts, the largest first.
    fn apply(&mut self, expression: &Expr) -> Result<Expr> {
        let replaced = expression.clone().transform_down(|part| {
            if !self.shared.contains(&part) {
                return Ok(Transformed::no(part));
            }
            let name = match self.items.iter().find(|item| item.expression == part) {
                Some(item) => item.name.clone(),
                None => {
                    let mut number = self.items.len();
                    while !self.taken.insert(format!("$common{number}")) {
                        number += 1;
                    }
                    let name = format!("$common{number}");
                    self.items.push(Item::new(&name, part));
                    name
                }
            };
            Ok(Transformed::new(column_named(&name), true, TreeNodeRecursion::Jump))
        });
        replaced.map(|replaced| replaced.data).map_err(|error| internal(&error))
    }
}
