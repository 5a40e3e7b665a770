//! Filters whose later parts may fail where their earlier parts don't hold: `b <> 0 AND a / b > 1`.
//!
//! An AND is evaluated for all rows, so what may fail is put into a CASE behind what can't, and is then evaluated for the rows
//! that are left. Invariant: the same rows pass; of a filter, NULL and FALSE are one.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Case, Cast, Expr, ExprSchemable, Operator, lit};

/// Functions that fail for some values of their arguments.
const REFUSES_VALUES: &[&str] =
    &["element", "from_base64", "json", "json_object", "map_from_arrays", "rand_integer"];

/// The predicate with what may fail behind what can't.
pub(super) fn guarded(predicate: Expr, schema: &DFSchema) -> Expr {
    let (risky, safe): (Vec<Expr>, Vec<Expr>) =
        split_conjunction_owned(predicate).into_iter().partition(|conjunct| may_fail(conjunct, schema));
    let mut ordered = conjunction(safe);
    for conjunct in risky {
        ordered = Some(match ordered {
            None => conjunct,
            Some(condition) => Expr::Case(Case {
                expr: None,
                when_then_expr: vec![(Box::new(condition), Box::new(conjunct))],
                else_expr: Some(Box::new(lit(false))),
            }),
        });
    }
    ordered.unwrap_or_else(|| lit(true))
}

/// Whether an expression has values for which it can't be computed, as far as its form tells.
pub(super) fn may_fail(expression: &Expr, schema: &DFSchema) -> bool {
    let mut found = false;
    // The closure never fails.
    let _ = expression.apply(|part| {
        found = found
            || match part {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide | Operator::Modulo, right }) => {
                    divides_exactly(left, schema) && !is_nonzero(right)
                }
                Expr::Cast(Cast { expr, field }) => {
                    let from = expr.get_type(schema).unwrap_or(DataType::Null);
                    from == DataType::Utf8 && *field.data_type() != DataType::Utf8
                }
                Expr::ScalarFunction(call) => match call.func.name() {
                    "mod" => !call.args.last().is_some_and(is_nonzero),
                    // With clauses, of which one may say ERROR.
                    "json_value" | "json_query" | "json_exists" => call.args.len() > 2,
                    name => REFUSES_VALUES.contains(&name),
                },
                _ => false,
            };
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// Whether a division by zero is an error: of floating-point numbers it is infinite.
fn divides_exactly(dividend: &Expr, schema: &DFSchema) -> bool {
    dividend.get_type(schema).map_or(true, |data_type| !data_type.is_floating())
}

fn is_nonzero(divisor: &Expr) -> bool {
    match divisor {
        Expr::Literal(value, _) => {
            !value.is_null() && ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| *value != zero)
        }
        Expr::Cast(Cast { expr, .. }) => is_nonzero(expr),
        _ => false,
    }
}

#[cfg(test)]
mod tests {

    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::prelude::col;

    use super::*;

    #[test]
    fn what_may_fail_waits_for_what_cannot() {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Int64, true),
            Field::new("f", DataType::Float64, true),
        ]);
        let schema = DFSchema::try_from(schema).unwrap();
        let quotient = || (col("a") / col("b")).gt(lit(1_i64));
        let nonzero = || col("b").not_eq(lit(0_i64));
        let guarded_text = |predicate: Expr| guarded(predicate, &schema).to_string();
        let expected = "CASE WHEN b != Int64(0) THEN a / b > Int64(1) ELSE Boolean(false) END";
        assert_eq!(guarded_text(nonzero().and(quotient())), expected);
        assert_eq!(guarded_text(quotient().and(nonzero())), expected);
        for harmless in [
            nonzero().and((col("f") / col("f")).gt(lit(1.0))),
            nonzero().and((col("a") % lit(2_i64)).eq(lit(0_i64))),
        ] {
            assert_eq!(guarded_text(harmless.clone()), harmless.to_string());
        }
    }
}
