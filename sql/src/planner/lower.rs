//! From DataFusion's optimised logical plan to the streaming plan.
//!
//! Invariant: the node that a logical plan becomes has its columns, in its order, under [`names_of`] its schema. What has no
//! streaming form is refused with the reason.

use std::collections::HashSet;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, Union};
use weir_api::error::{Code, Error};

use super::aggregate::lower_aggregate;
use super::over::lower_over;
use super::scan::lower_scan;
use super::stream::{Item, Kind, NodeId, StreamPlan, Unnest, WindowTable, internal};
use super::unnest_node::UnnestNode;
use super::window_node::WindowNode;
use crate::error::{SqlError, SqlResult};

/// The node that computes a logical plan.
pub(super) fn lower(plan: &mut StreamPlan, logical: &LogicalPlan) -> SqlResult<NodeId> {
    match logical {
        LogicalPlan::TableScan(scan) => Ok(lower_scan(plan, scan)?),
        LogicalPlan::SubqueryAlias(alias) => lower(plan, &alias.input),
        LogicalPlan::Projection(projection) => {
            let input = lower(plan, &projection.input)?;
            let mut items = Vec::with_capacity(projection.expr.len());
            for (name, expression) in names_of(&projection.schema).into_iter().zip(&projection.expr) {
                items.push(Item::new(name, resolve(expression, projection.input.schema())?));
            }
            Ok(plan.calc(input, None, items)?)
        }
        LogicalPlan::Filter(filter) => {
            let input = lower(plan, &filter.input)?;
            let predicate = resolve(&filter.predicate, filter.input.schema())?;
            let items = names_of(filter.input.schema()).iter().map(|name| Item::column(name)).collect();
            Ok(plan.calc(input, Some(predicate), items)?)
        }
        LogicalPlan::Aggregate(aggregate) => lower_aggregate(plan, aggregate),
        LogicalPlan::Window(window) => lower_over(plan, window),
        LogicalPlan::Union(union) => lower_union(plan, union),
        LogicalPlan::Extension(Extension { node }) => match node.as_any().downcast_ref::<WindowNode>() {
            Some(window) => lower_window(plan, window),
            None => match node.as_any().downcast_ref::<UnnestNode>() {
                Some(unnest) => lower_unnest(plan, unnest),
                None => Err(Error::internal(format!("a plan node {} that nobody made", node.name())).into()),
            },
        },
        other => Err(SqlError::new(Code::Unsupported, refusal(other))),
    }
}

fn refusal(plan: &LogicalPlan) -> String {
    let what = match plan {
        LogicalPlan::Join(_) => "joins aren't",
        LogicalPlan::Sort(_) => "ORDER BY isn't",
        LogicalPlan::Limit(_) => "LIMIT isn't",
        LogicalPlan::Unnest(_) => "UNNEST in a SELECT list isn't",
        LogicalPlan::Subquery(_) => "correlated subqueries aren't",
        LogicalPlan::RecursiveQuery(_) => "WITH RECURSIVE isn't",
        _ => return format!("the query needs '{}', which isn't supported yet", plan.display()),
    };
    format!("{what} supported yet")
}

fn lower_window(plan: &mut StreamPlan, window: &WindowNode) -> SqlResult<NodeId> {
    let input = lower(plan, &window.input)?;
    let function = window.kind.name();
    let Expr::Column(column) = resolve(&window.time, window.input.schema())? else {
        return Err(Error::internal(format!("{function} over a time that isn't a column")).into());
    };
    if !plan.node(input)?.role(&column.name).is_rowtime() {
        let message = format!(
            "{function}: the column '{}' isn't a time attribute, so nothing says when its windows are complete: declare WATERMARK FOR it \
             in CREATE TABLE, and pass it on as it is (an expression over a time attribute isn't one)",
            column.name
        );
        return Err(SqlError::at(Code::SqlType, window.position, message));
    }
    Ok(plan.add(Kind::Window(WindowTable { window: window.kind, time: column.name }), vec![input])?)
}

fn lower_unnest(plan: &mut StreamPlan, unnest: &UnnestNode) -> SqlResult<NodeId> {
    let mut input = lower(plan, &unnest.input)?;
    let kept = names_of(unnest.input.schema());
    let collection = match resolve(&unnest.collection, unnest.input.schema())? {
        Expr::Column(column) => column.name,
        computed => {
            let mut free = "$collection".to_owned();
            while kept.contains(&free) {
                free.push('$');
            }
            let mut items: Vec<Item> = kept.iter().map(|name| Item::column(name)).collect();
            items.push(Item::new(&free, computed));
            input = plan.calc(input, None, items)?;
            free
        }
    };
    let names = names_of(&unnest.schema);
    let mut own: Vec<String> = names.into_iter().skip(kept.len()).collect();
    let ordinality = if unnest.with_ordinality { own.pop() } else { None };
    let elements = own.into_iter().enumerate().collect();
    let unnest = Unnest { collection, kept, elements, ordinality, outer: unnest.outer };
    Ok(plan.add(Kind::Unnest(unnest), vec![input])?)
}

fn lower_union(plan: &mut StreamPlan, union: &Union) -> SqlResult<NodeId> {
    let names = names_of(&union.schema);
    let mut inputs = Vec::with_capacity(union.inputs.len());
    for logical in &union.inputs {
        let input = lower(plan, logical)?;
        let own = names_of(logical.schema());
        let items = own.iter().zip(&names).map(|(own, name)| Item::renamed(own, name)).collect();
        inputs.push(plan.calc(input, None, items)?);
    }
    Ok(plan.add(Kind::Union, inputs)?)
}

/// The names of the columns of the node that a plan with this schema becomes: without qualifiers, the second of one name
/// numbered.
pub(super) fn names_of(schema: &DFSchema) -> Vec<String> {
    let mut taken = HashSet::new();
    schema
        .fields()
        .iter()
        .map(|field| {
            let mut name = field.name().clone();
            let mut number = 0;
            while !taken.insert(name.clone()) {
                name = format!("{}{number}", field.name());
                number += 1;
            }
            name
        })
        .collect()
}

/// The expression over the columns of the node that the plan with this schema becomes.
pub(super) fn resolve(expression: &Expr, schema: &DFSchema) -> SqlResult<Expr> {
    let names = names_of(schema);
    let resolved = expression.clone().transform_up(|expression| match expression {
        Expr::Column(column) => {
            let index = schema.index_of_column(&column)?;
            let name = names.get(index).cloned().unwrap_or(column.name);
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name))))
        }
        Expr::Alias(alias) => Ok(Transformed::yes(*alias.expr)),
        other => Ok(Transformed::no(other)),
    });
    Ok(resolved.map_err(|error| internal(&error))?.data)
}

/// The expression without qualifiers and inner names.
pub(super) fn unqualified(expression: Expr) -> DataFusionResult<Expr> {
    let plain = expression.transform_up(|expression| {
        Ok(match expression {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            Expr::Alias(alias) => Transformed::yes(*alias.expr),
            other => Transformed::no(other),
        })
    })?;
    Ok(plain.data)
}
