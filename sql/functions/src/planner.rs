//! SQL's special forms as calls: `EXTRACT(… FROM …)`, `SUBSTRING(… FROM … FOR …)`, `POSITION(… IN …)`, `row.field`, `array[1]`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion_common::{Column, DFSchema, Result, ScalarValue, TableReference, plan_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion_expr::{Expr, ExprSchemable, GetFieldAccess, ScalarUDF, lit};

use crate::nested::get_field;
use crate::registry::registry;

/// Plans the special forms into this crate's functions. Register it with the SQL planner, before any other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlinkExprPlanner;

fn call(function: Arc<ScalarUDF>, arguments: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function, arguments))
}

fn planned<T>(name: &str, arguments: Vec<Expr>) -> Result<PlannerResult<T>> {
    match registry().find(name) {
        Some(function) => Ok(PlannerResult::Planned(call(function.clone(), arguments))),
        None => plan_err!("there is no function {name}"),
    }
}

impl ExprPlanner for FlinkExprPlanner {
    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        planned("extract", args)
    }

    fn plan_substring(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        planned("substring", args)
    }

    fn plan_overlay(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        planned("overlay", args)
    }

    /// Comes as (string, search).
    fn plan_position(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        planned("instr", args)
    }

    fn plan_array_literal(&self, exprs: Vec<Expr>, _schema: &DFSchema) -> Result<PlannerResult<Vec<Expr>>> {
        planned("make_array", exprs)
    }

    /// Comes as key, value, key, value, …
    fn plan_make_map(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        let array = |offset: usize| -> Result<PlannerResult<Vec<Expr>>> {
            planned("make_array", args.iter().skip(offset).step_by(2).cloned().collect())
        };
        match (array(0)?, array(1)?) {
            (PlannerResult::Planned(keys), PlannerResult::Planned(values)) => {
                planned("map", vec![keys, values])
            }
            _ => Ok(PlannerResult::Original(args)),
        }
    }

    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        match expr.field_access {
            GetFieldAccess::NamedStructField { name } => {
                Ok(PlannerResult::Planned(call(get_field(), vec![expr.expr, lit(name)])))
            }
            GetFieldAccess::ListIndex { key } => {
                let is_map = matches!(expr.expr.get_type(schema), Ok(DataType::Map(_, _)));
                planned(if is_map { "map_value" } else { "array_element" }, vec![expr.expr, *key])
            }
            GetFieldAccess::ListRange { .. } => plan_err!("Flink's SQL has no slices of arrays, like a[1:2]"),
        }
    }

    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let mut arguments = vec![Expr::Column(Column::from((qualifier, field)))];
        arguments.extend(nested_names.iter().map(|name| lit(ScalarValue::from(name.clone()))));
        Ok(PlannerResult::Planned(call(get_field(), arguments)))
    }
}
