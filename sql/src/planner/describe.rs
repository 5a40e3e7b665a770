//! What DESCRIBE, CREATE TABLE … AS and CREATE FUNCTION ask of the planner: types, without a plan to run.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::{self, CastKind};
use weir_api::config::Configuration;
use weir_functions::registry;

use super::configuration;
use super::context::{Planning, QueryContext};
use super::errors::planning_error;
use super::functions::aggregate_udfs;
use super::table::{schema_of, type_of};
use super::typing::coerce;
use crate::catalog::{Function, Session, Table};
use crate::error::{SqlError, SqlResult};
use crate::statement::Query;

/// The columns of a table as queries see them, computed ones with their types.
pub(crate) fn table_columns(
    table: &Table,
    session: &Session,
    base: &Configuration,
) -> SqlResult<Vec<FieldRef>> {
    let config = configuration(session, base)?;
    let planning = Planning::new(session, &config);
    let schema = schema_of(table, &QueryContext::without_query(&planning))?;
    Ok(schema.fields().iter().cloned().collect())
}

/// The columns of a query.
pub(crate) fn query_columns(
    query: &Query,
    session: &Session,
    base: &Configuration,
) -> SqlResult<Vec<FieldRef>> {
    let config = configuration(session, base)?;
    let planning = Planning::new(session, &config);
    let typed = coerce(planning.resolve(query)?).map_err(|error| planning_error(&error, query.position))?;
    Ok(typed.schema().fields().iter().cloned().collect())
}

/// Fails unless a function's body has a type that can be cast to the declared one, over its parameters alone.
pub(crate) fn check_function(function: &Function, session: &Session, base: &Configuration) -> SqlResult<()> {
    let config = configuration(session, base)?;
    let planning = Planning::new(session, &config);
    let context = QueryContext::without_query(&planning);
    let parameters: Vec<Field> = function
        .parameters
        .iter()
        .map(|parameter| parameter.data_type.to_field(&parameter.name.value))
        .collect();
    let result = ast::Expr::Cast {
        kind: CastKind::Cast,
        expr: function.body.clone(),
        data_type: crate::parser::data_type::to_ast(&function.returns.kind),
        array: false,
        format: None,
    };
    let in_function =
        |error: SqlError| error.or_at(function.position).context(format!("function {}", function.name));
    let typed = type_of(&result, Arc::new(Schema::new(parameters)), &context, function.position)
        .map_err(in_function)?;
    let mut aggregates = false;
    // The closure never fails.
    let _ = typed.apply(|expression| {
        aggregates |= matches!(expression, Expr::AggregateFunction(_));
        Ok(TreeNodeRecursion::Continue)
    });
    if aggregates {
        let message = "its body aggregates; a function here is an expression over one row";
        return Err(in_function(SqlError::unsupported(function.position, message)));
    }
    Ok(())
}

/// Whether a function of this name, in lower case, is built in.
pub(crate) fn is_built_in(name: &str) -> bool {
    registry().find(name).is_some() || aggregate_udfs().iter().any(|udf| udf.name() == name)
}

/// The names of all functions that are built in, in lower case.
pub(crate) fn built_in_names() -> Vec<String> {
    let aggregates = aggregate_udfs();
    registry()
        .scalar_functions()
        .keys()
        .map(|name| name.to_lowercase())
        .chain(aggregates.iter().map(|udf| udf.name().to_owned()))
        .collect()
}
