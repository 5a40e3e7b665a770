//! Filters and projections, merged into as few Calc nodes as compute nothing twice.
//!
//! Invariant: merging changes neither rows nor columns. An inner column that costs something to compute stays where it is if
//! it is read more than once or may differ from one evaluation to the next.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::interval_arithmetic::NullableInterval;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use weir_api::error::{Error, Result};

use super::paths::path_of;
use super::stream::{Calc, Item, Kind, NodeId, StreamPlan, internal};

/// The column of rows of which nothing is read.
pub(super) const ROW: &str = "$row";

impl StreamPlan {
    /// The rows of `input` that pass `predicate`, with these columns; no node where that changes nothing.
    pub fn calc(&mut self, input: NodeId, predicate: Option<Expr>, projection: Vec<Item>) -> Result<NodeId> {
        let mut calc = Calc { predicate, projection };
        if calc.projection.is_empty() {
            // Rows without columns can't be told from no rows: COUNT(*) counts a constant.
            calc.projection.push(Item::new(ROW, lit(true)));
        }
        let node = self.node(input)?;
        if let Kind::Calc(inner) = &node.kind
            && let Some(merged) = merge(inner, &calc)?
        {
            let below = self.input(input)?;
            return self.calc(below, merged.predicate, merged.projection);
        }
        if calc.predicate.is_none() && is_identity(&calc.projection, &node.schema) {
            return Ok(input);
        }
        self.add(Kind::Calc(calc), vec![input])
    }
}

fn is_identity(projection: &[Item], schema: &Schema) -> bool {
    projection.len() == schema.fields().len()
        && projection
            .iter()
            .zip(schema.fields())
            .all(|(item, field)| item.plain() == Some(field.name()) && item.name == *field.name())
}

/// Both in one, or `None` where something would be computed twice.
fn merge(inner: &Calc, outer: &Calc) -> Result<Option<Calc>> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    let outer_expressions = outer.projection.iter().map(|item| &item.expression).chain(&outer.predicate);
    for expression in outer_expressions {
        count_columns(expression, &mut uses)?;
    }
    for item in &inner.projection {
        let count = uses.get(item.name.as_str()).copied().unwrap_or(0);
        let volatile = item.expression.is_volatile();
        if (count > 1 && !is_trivial(&item.expression)) || (count > 0 && volatile) {
            return Ok(None);
        }
    }
    let columns: HashMap<&str, &Item> =
        inner.projection.iter().map(|item| (item.name.as_str(), item)).collect();
    let predicate = match &outer.predicate {
        Some(predicate) => {
            let inlined = inline(predicate.clone(), &columns)?;
            conjunction(inner.predicate.clone().into_iter().chain([inlined]))
        }
        None => inner.predicate.clone(),
    };
    let mut projection = Vec::with_capacity(outer.projection.len());
    for item in &outer.projection {
        let rowtime = match item.plain() {
            Some(column) => columns.get(column).is_some_and(|inner| inner.rowtime),
            None => item.rowtime,
        };
        let expression = inline(item.expression.clone(), &columns)?;
        projection.push(Item { name: item.name.clone(), expression, rowtime });
    }
    Ok(Some(Calc { predicate, projection }))
}

fn inline(expression: Expr, columns: &HashMap<&str, &Item>) -> Result<Expr> {
    let inlined = expression.transform_up(|expression| {
        Ok(match &expression {
            Expr::Column(column) => match columns.get(column.name.as_str()) {
                Some(item) => Transformed::yes(item.expression.clone()),
                None => Transformed::no(expression),
            },
            _ => Transformed::no(expression),
        })
    });
    inlined.map(|inlined| inlined.data).map_err(|error| internal(&error))
}

/// Counts how often each column is read.
fn count_columns<'e>(expression: &'e Expr, uses: &mut HashMap<&'e str, usize>) -> Result<()> {
    expression
        .apply(|expression| {
            if let Expr::Column(column) = expression {
                *uses.entry(&column.name).or_default() += 1;
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map(|_| ())
        .map_err(|error| internal(&error))
}

/// Whether evaluating it again costs nothing worth a column: a column, a field of one, a constant.
pub(super) fn is_trivial(expression: &Expr) -> bool {
    matches!(expression, Expr::Literal(_, _)) || path_of(expression).is_some()
}

/// What holds for every row that passes the predicates: columns that equal a constant.
pub(super) fn guarantees<'e>(predicates: impl Iterator<Item = &'e Expr>) -> Vec<(Expr, NullableInterval)> {
    let mut known = Vec::new();
    for conjunct in predicates.flat_map(split_conjunction) {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = conjunct else { continue };
        let (column, value) = match (left.as_ref(), right.as_ref()) {
            (column @ Expr::Column(_), Expr::Literal(value, _)) => (column, value),
            (Expr::Literal(value, _), column @ Expr::Column(_)) => (column, value),
            _ => continue,
        };
        if !value.is_null() {
            known.push((column.clone(), NullableInterval::from(value.clone())));
        }
    }
    known
}

/// The expression with its constant parts computed, knowing `guarantees`. `now()` and its like stay.
pub(super) fn simplify(
    expression: Expr,
    schema: &Arc<DFSchema>,
    options: &Arc<ConfigOptions>,
    guarantees: Vec<(Expr, NullableInterval)>,
) -> Result<Expr> {
    let context =
        SimplifyContext::builder().with_schema(schema.clone()).with_config_options(options.clone()).build();
    ExprSimplifier::new(context).with_guarantees(guarantees).simplify(expression).map_err(|error| {
        Error::internal(format!("a constant can't be computed: {}", error.strip_backtrace()))
    })
}

/// Whether a predicate lets every row pass.
pub(super) fn is_true(predicate: &Expr) -> bool {
    matches!(predicate, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}
