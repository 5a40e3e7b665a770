//! Flink's types for a query that DataFusion has resolved: literals, decimal arithmetic, then DataFusion's own coercion.
//!
//! Integer literals are INT where they fit, decimal literals DECIMAL with Flink's precision, arithmetic with decimals has
//! Flink's result types (see [`super::decimal`]); everything else (integer division, comparisons, CASE, functions) follows
//! DataFusion, whose rules agree there. One pass, inputs first, so that each expression sees its final argument types.
//! Invariant: names of columns don't change.

use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRewriter};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercionRewriter;

use weir_functions::registry;

use super::decimal::{self, Decimal};
use super::rows::cast_row;
use crate::types::flink_type_name;

/// Flink's text of a value.
const CAST_TO_STRING: &str = "flink_cast_to_string";

/// The plan with Flink's types, every implicit cast written out.
pub(super) fn coerce(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up(coerce_node)?.data)
}

/// One expression over `schema`, likewise.
pub(super) fn coerce_expression(expression: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(expression.rewrite(&mut FlinkRewriter::new(schema))?.data)
}

fn coerce_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    let mut rewriter = FlinkRewriter::new(&schema);
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        Ok(expression.rewrite(&mut rewriter)?.update_data(|expression| name.restore(expression)))
    })?
    .map_data(|plan| {
        check_union(&plan)?;
        rewriter.datafusion.coerce_plan(plan)
    })?
    .map_data(LogicalPlan::recompute_schema)
}

/// Refuses a union of text with something else, which DataFusion would turn into text.
fn check_union(plan: &LogicalPlan) -> Result<()> {
    let LogicalPlan::Union(union) = plan else { return Ok(()) };
    let Some((first, others)) = union.inputs.split_first() else { return Ok(()) };
    for other in others {
        for (left, right) in first.schema().fields().iter().zip(other.schema().fields()) {
            let (a, b) = (left.data_type(), right.data_type());
            let is_text = |data_type: &DataType| *data_type == DataType::Utf8;
            if is_text(a) != is_text(b) && !a.is_null() && !b.is_null() {
                return plan_err!(
                    "a UNION ALL brings together '{}', which is {}, and '{}', which is {}: cast one of them",
                    left.name(),
                    flink_type_name(a, true),
                    right.name(),
                    flink_type_name(b, true)
                );
            }
        }
    }
    Ok(())
}

struct FlinkRewriter<'a> {
    schema: &'a DFSchema,
    datafusion: TypeCoercionRewriter<'a>,
}

impl<'a> FlinkRewriter<'a> {
    fn new(schema: &'a DFSchema) -> Self {
        Self { schema, datafusion: TypeCoercionRewriter::new(schema) }
    }
}

impl TreeNodeRewriter for FlinkRewriter<'_> {
    type Node = Expr;

    fn f_up(&mut self, expression: Expr) -> Result<Transformed<Expr>> {
        match expression {
            Expr::Literal(value, metadata) => {
                let typed = flink_literal(&value);
                let changed = typed.is_some();
                let literal = Expr::Literal(typed.unwrap_or(value), metadata);
                Ok(Transformed::new(
                    literal,
                    changed,
                    datafusion::common::tree_node::TreeNodeRecursion::Continue,
                ))
            }
            Expr::BinaryExpr(binary) => match self.decimal_arithmetic(&binary)? {
                Some(expression) => Ok(Transformed::yes(expression)),
                None => self.datafusion.f_up(Expr::BinaryExpr(binary)),
            },
            Expr::Cast(cast) => {
                let rewritten = match self.certain_cast(&cast)? {
                    Some(expression) => Some(expression),
                    None => self.cast_between_rows(&cast)?,
                };
                if rewritten.is_none() {
                    self.check_cast(&cast.expr, cast.field.data_type())?;
                }
                Ok(rewritten.map_or_else(|| Transformed::no(Expr::Cast(cast)), Transformed::yes))
            }
            Expr::TryCast(cast) => {
                // What never fails is the same with TRY.
                let certain = Cast { expr: cast.expr.clone(), field: cast.field.clone() };
                if let Some(value) = self.certain_cast(&certain)? {
                    return Ok(Transformed::yes(value));
                }
                self.check_cast(&cast.expr, cast.field.data_type())?;
                Ok(Transformed::no(Expr::TryCast(cast)))
            }
            // Those with a pattern that is known have become regular expressions.
            Expr::SimilarTo(_) => {
                plan_err!(
                    "SIMILAR TO needs its pattern as a text in quotes, and a single character as ESCAPE"
                )
            }
            other => self.datafusion.f_up(other),
        }
    }
}

impl FlinkRewriter<'_> {
    /// A cast that never fails and has another result in Flink than in Arrow.
    fn certain_cast(&self, cast: &Cast) -> Result<Option<Expr>> {
        match self.cast_to_string(cast)? {
            Some(text) => Ok(Some(text)),
            None => self.narrowing_cast(cast),
        }
    }

    /// A cast to a narrower integer: the lowest bits, as Java's, where Arrow's fails. Their sign is that of the highest of them.
    fn narrowing_cast(&self, cast: &Cast) -> Result<Option<Expr>> {
        let from = cast.expr.get_type(self.schema)?;
        let to = cast.field.data_type();
        let (Some(wide), Some(narrow)) = (integer_bits(&from), integer_bits(to)) else { return Ok(None) };
        if narrow >= wide {
            return Ok(None);
        }
        let long = self::cast(cast.expr.as_ref().clone(), &from, DataType::Int64);
        let binary = |left: Expr, op, right: i64| {
            let right = Expr::Literal(ScalarValue::Int64(Some(right)), None);
            Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) })
        };
        let sign = 1_i64 << (narrow - 1);
        let lowest = binary(long, Operator::BitwiseAnd, (1_i64 << narrow) - 1);
        let signed = binary(binary(lowest, Operator::BitwiseXor, sign), Operator::Minus, sign);
        Ok(Some(self::cast(signed, &DataType::Int64, to.clone())))
    }

    /// A cast to a string whose text is another in Flink than in Arrow.
    fn cast_to_string(&self, cast: &Cast) -> Result<Option<Expr>> {
        if *cast.field.data_type() != DataType::Utf8 {
            return Ok(None);
        }
        let from = cast.expr.get_type(self.schema)?;
        let differs = matches!(
            from,
            DataType::Boolean
                | DataType::Float32
                | DataType::Float64
                | DataType::Timestamp(_, _)
                | DataType::Date32
                | DataType::Time32(_)
        );
        let udf = if differs { registry().find(CAST_TO_STRING) } else { None };
        Ok(udf.map(|udf| udf.call(vec![cast.expr.as_ref().clone()])))
    }

    /// Refuses a cast for which there is no rule.
    fn check_cast(&self, expression: &Expr, to: &DataType) -> Result<()> {
        let from = expression.get_type(self.schema)?;
        if from == *to || can_cast_types(&from, to) {
            return Ok(());
        }
        plan_err!("{} can't be cast to {}", flink_type_name(&from, true), flink_type_name(to, true))
    }

    /// A cast between rows whose types differ.
    fn cast_between_rows(&self, cast: &Cast) -> Result<Option<Expr>> {
        let DataType::Struct(to) = cast.field.data_type() else { return Ok(None) };
        match cast.expr.get_type(self.schema)? {
            DataType::Struct(from) if from != *to => Ok(cast_row(cast.expr.as_ref().clone(), &from, to)),
            _ => Ok(None),
        }
    }

    /// Arithmetic between exact numbers of which one is a decimal; `None` for everything else.
    fn decimal_arithmetic(&self, binary: &BinaryExpr) -> Result<Option<Expr>> {
        let left_type = binary.left.get_type(self.schema)?;
        let right_type = binary.right.get_type(self.schema)?;
        if !is_decimal(&left_type) && !is_decimal(&right_type) {
            return Ok(None);
        }
        let (Some(left), Some(right)) = (Decimal::of(&left_type), Decimal::of(&right_type)) else {
            return Ok(None);
        };
        let Some(result) = decimal::result(left, binary.op, right) else { return Ok(None) };
        let left = if binary.op == Operator::Divide { decimal::dividend(result) } else { left };
        let computed = Expr::BinaryExpr(BinaryExpr {
            left: Box::new(cast(binary.left.as_ref().clone(), &left_type, left.data_type())),
            op: binary.op,
            right: Box::new(cast(binary.right.as_ref().clone(), &right_type, right.data_type())),
        });
        let computed_type = computed.get_type(self.schema)?;
        Ok(Some(cast(computed, &computed_type, result.data_type())))
    }
}

const fn integer_bits(data_type: &DataType) -> Option<u32> {
    Some(match data_type {
        DataType::Int8 => 8,
        DataType::Int16 => 16,
        DataType::Int32 => 32,
        DataType::Int64 => 64,
        _ => return None,
    })
}

const fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(_, _))
}

fn cast(expression: Expr, from: &DataType, to: DataType) -> Expr {
    if *from == to { expression } else { Expr::Cast(Cast::new(Box::new(expression), to)) }
}

/// The literal with Flink's type, if DataFusion gave it another.
fn flink_literal(value: &ScalarValue) -> Option<ScalarValue> {
    match value {
        ScalarValue::Int64(Some(number)) => {
            i32::try_from(*number).ok().map(|number| ScalarValue::Int32(Some(number)))
        }
        // Calcite counts the digit before the point: 0.908 is a DECIMAL(4, 3).
        ScalarValue::Decimal128(Some(number), precision, scale) => {
            let digits = i64::from(number.unsigned_abs().checked_ilog10().unwrap_or(0)) + 1;
            let wanted = digits.max(i64::from(*scale) + 1).min(38) as u8;
            (wanted != *precision).then_some(ScalarValue::Decimal128(Some(*number), wanted, *scale))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {

    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::prelude::{col, lit};

    use super::*;

    fn type_of(expression: Expr) -> DataType {
        let schema = Schema::new(vec![
            Field::new("i", DataType::Int32, true),
            Field::new("l", DataType::Int64, true),
            Field::new("d", DataType::Decimal128(10, 2), true),
            Field::new("f", DataType::Float64, true),
        ]);
        let schema = DFSchema::try_from(schema).unwrap();
        coerce_expression(expression, &schema).unwrap().get_type(&schema).unwrap()
    }

    #[test]
    fn expressions_have_flinks_types() {
        let rate = || lit(ScalarValue::Decimal128(Some(908), 3, 3));
        assert_eq!(type_of(rate() * col("l")), DataType::Decimal128(23, 3));
        assert_eq!(type_of(col("d") / col("d")), DataType::Decimal128(23, 13));
        assert_eq!(type_of(col("d") + lit(1_i64)), DataType::Decimal128(13, 2));
        assert_eq!(type_of(col("d") * col("f")), DataType::Float64);
        assert_eq!(type_of(lit(1_i64)), DataType::Int32);
        assert_eq!(type_of(lit(3_000_000_000_i64)), DataType::Int64);
        assert_eq!(type_of(col("i") / lit(2_i64)), DataType::Int32);
        assert_eq!(type_of(col("i") + col("l")), DataType::Int64);
    }
}
