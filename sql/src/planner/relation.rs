//! What FROM can hold beside tables and queries: window table functions, UNNEST, VALUES.
//!
//! The parser has left a name in the place of a window table function, this puts the [`WindowNode`] there; an UNNEST stands in
//! one relation with what is before it, whose columns it may name. A function's input is planned by DataFusion in the scope of the query, so it can be a table, a view or a name of an
//! enclosing WITH.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::{Column, DFSchema, Result, TableReference, plan_err};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    Expr as AstExpr, FunctionArg, FunctionArgExpr, Ident, JoinOperator, ObjectName, Spanned, TableAlias,
    TableFactor,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};
use weir_api::error::Code;

use super::errors::{nearest_column, placed, planning_error};
use super::normalise::VALUES;
use super::unnest_node::UnnestNode;
use super::values::values_plan;
use super::window_node::{WINDOW_COLUMNS, WindowNode};
use crate::error::SqlError;
use crate::statement::{Name, Position, WindowCall, WindowInput};

/// Plans the placeholders of one query.
#[derive(Debug)]
pub(super) struct WindowFunctions {
    calls: HashMap<String, WindowCall>,
}

impl WindowFunctions {
    pub fn new(calls: &[WindowCall]) -> Self {
        Self { calls: calls.iter().map(|call| (call.placeholder.clone(), call.clone())).collect() }
    }
}

impl RelationPlanner for WindowFunctions {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        if let TableFactor::Function { name, .. } = &relation
            && name.0.first().and_then(|part| part.as_ident()).is_some_and(|ident| ident.value == VALUES)
        {
            return values(relation, context);
        }
        if let Some(unnest) = UnnestCall::of(&relation) {
            let plan = unnest.plan(context)?;
            return Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))));
        }
        let call = match &relation {
            TableFactor::Table { name, args: None, .. } => match name.0.as_slice() {
                [part] => part.as_ident().and_then(|ident| self.calls.get(&ident.value)),
                _ => None,
            },
            _ => None,
        };
        let Some(call) = call else { return Ok(RelationPlanning::Original(Box::new(relation))) };
        let alias = match relation {
            TableFactor::Table { alias, .. } => alias,
            _ => None,
        };
        let input = context.plan(factor_of(&call.input))?;
        let plan = window_over(call, input)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// The function that VALUES has become.
fn values(relation: TableFactor, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
    let TableFactor::Function { args, alias, .. } = relation else {
        return plan_err!("VALUES that isn't a function");
    };
    let nothing = DFSchema::empty();
    let mut rows = Vec::with_capacity(args.len());
    for row in args {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(AstExpr::Tuple(row))) = row else {
            return plan_err!("VALUES of something other than rows");
        };
        let row: Result<Vec<Expr>> =
            row.into_iter().map(|value| context.sql_to_expr(value, &nothing)).collect();
        rows.push(row?);
    }
    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(values_plan(rows)?, alias))))
}

/// An UNNEST and what stands before it.
struct UnnestCall<'a> {
    /// `None`: it stands alone.
    before: Option<&'a TableFactor>,
    collection: &'a AstExpr,
    outer: bool,
    with_ordinality: bool,
    alias: Option<&'a TableAlias>,
}

impl<'a> UnnestCall<'a> {
    fn of(relation: &'a TableFactor) -> Option<Self> {
        let (before, unnest, outer) = match relation {
            TableFactor::UNNEST { .. } => (None, relation, false),
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                let [join] = table_with_joins.joins.as_slice() else { return None };
                let outer = matches!(join.join_operator, JoinOperator::Left(_) | JoinOperator::LeftOuter(_));
                (Some(&table_with_joins.relation), &join.relation, outer)
            }
            _ => return None,
        };
        let TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } = unnest else { return None };
        let [collection] = array_exprs.as_slice() else { return None };
        Some(Self { before, collection, outer, with_ordinality: *with_ordinality, alias: alias.as_ref() })
    }

    fn plan(&self, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
        let input = match self.before {
            Some(before) => context.plan(before.clone())?,
            None => LogicalPlanBuilder::empty(true).build()?,
        };
        let collection = context.sql_to_expr(self.collection.clone(), input.schema())?;
        let alias = self.alias.map(|alias| TableReference::bare(alias.name.value.as_str()));
        let names = self.alias.iter().flat_map(|alias| &alias.columns);
        let names = names.map(|column| column.name.value.clone()).collect();
        let position = Position::of(self.collection.span());
        let node = UnnestNode::try_new(input, collection, (self.outer, self.with_ordinality), alias, names)
            .map_err(|error| match position {
            Some(position) => placed(planning_error(&error, position)),
            None => error,
        })?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }
}

fn window_over(call: &WindowCall, input: LogicalPlan) -> Result<LogicalPlan> {
    let function = call.kind.name();
    let time = time_column(function, &call.time_column, &input)?;
    let taken = |name: &&&str| input.schema().has_column_with_unqualified_name(name);
    if let Some(name) = WINDOW_COLUMNS.iter().find(taken) {
        let message = format!(
            "{function} appends a column {name}, but its input has one already: give that one another name in a subquery or \
             view, as in SELECT {name} AS inner_{name}, …"
        );
        return Err(placed(SqlError::at(Code::SqlType, call.position, message)));
    }
    let node = WindowNode::try_new(call.kind, input, time, call.position)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

fn time_column(function: &str, name: &Name, input: &LogicalPlan) -> Result<Expr> {
    let schema = input.schema();
    let unknown = || {
        let hint = nearest_column(&name.value, schema.fields().iter().map(|field| field.name().as_str()));
        let message = format!("{function}: its input has no column '{name}'{hint}");
        placed(SqlError::at(Code::SqlUnknownName, name.position, message))
    };
    let found = schema.qualified_fields_with_unqualified_name(&name.value);
    let (qualifier, field) = match found.as_slice() {
        [one] => *one,
        [] => return Err(unknown()),
        _ => return plan_err!("{function}: its input has several columns '{name}'"),
    };
    if !weir_api::schema::is_timestamp(field.data_type()) {
        let type_name = crate::types::flink_type_name(field.data_type(), true);
        let message = format!(
            "{function}: the column '{name}' is {type_name}; windows need a TIMESTAMP or TIMESTAMP_LTZ"
        );
        return Err(placed(SqlError::at(Code::SqlType, name.position, message)));
    }
    Ok(Expr::Column(Column::from((qualifier, field))))
}

/// What the function reads, as a relation of the query.
fn factor_of(input: &WindowInput) -> TableFactor {
    match input {
        WindowInput::Table(name) => TableFactor::Table {
            name: ObjectName::from(name.parts.iter().map(ident_of).collect::<Vec<_>>()),
            alias: None,
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        },
        WindowInput::Query(query) => {
            TableFactor::Derived { lateral: false, subquery: query.clone(), alias: None, sample: None }
        }
    }
}

fn ident_of(name: &Name) -> Ident {
    let Position { line, column } = name.position;
    let start = Location { line, column };
    let end = Location { line, column: column + name.value.chars().count() as u64 };
    Ident { value: name.value.clone(), quote_style: Some('`'), span: Span { start, end } }
}
