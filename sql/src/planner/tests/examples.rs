//! The examples of the functions' documentation: each is planned and evaluated as a query would be.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::LogicalPlan;
use weir_api::config::Configuration;

use super::connectors;
use crate::catalog::{Deferred, Session};
use crate::error::SqlResult;
use crate::parser::parse;
use crate::planner::expressions::physical;
use crate::planner::{explain_query, optimizer};

const TABLE: &str = "CREATE TABLE one (x INT) WITH ('connector' = 'bounded');";

/// The value of an expression, as text.
pub(super) fn evaluate(expression: &str) -> SqlResult<String> {
    let _ = optimizer::optimize;
    let mut session = Session::new(&connectors::registry());
    let (base, _) = Configuration::from_pairs([]).unwrap();
    let mut shown = String::new();
    for statement in parse(&format!("{TABLE} SELECT {expression} AS y FROM one"))? {
        let Some(Deferred::Query(query)) = session.execute(statement)? else { continue };
        let logical = explain_query(&query, &session, &base)?.logical;
        let mut plan = &logical.first().expect("a query").1;
        while let LogicalPlan::SubqueryAlias(alias) = plan {
            plan = &alias.input;
        }
        let LogicalPlan::Projection(projection) = plan else { panic!("{plan}") };
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int32, true)]));
        let x: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        let row = RecordBatch::try_new(schema.clone(), vec![x]).unwrap();
        let physical = physical(&projection.expr[0], &schema)?;
        let value = physical
            .evaluate(&row)
            .and_then(|value| value.into_array(1))
            .map_err(|error| weir_api::error::Error::internal(error.strip_backtrace()))?;
        shown = weir_functions::example_text(&value, 0);
    }
    Ok(shown)
}

#[test]
fn every_scalar_example_gives_what_it_says() {
    let mut wrong = Vec::new();
    for function in weir_functions::describe() {
        let Some(example) = function.example else { continue };
        let found = match evaluate(example.expression) {
            Ok(found) => found,
            Err(error) => error.into_error(example.expression).chain(),
        };
        if found != example.result {
            wrong.push(format!("{} gives {found}, not {}", example.expression, example.result));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
