//! The aggregate functions as the planner knows them, with Flink's types, and how `COUNT(*)` is written.
//!
//! They exist for typing only: the plan names them in `AggregateCall`s, and `weir-operators` computes them.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility, lit,
};
use weir_api::graph::aggregate_result_type;
use weir_proto::v1::aggregate_call::Function;

use crate::types::flink_type_name;

/// All aggregate functions.
pub(super) fn aggregate_udfs() -> Vec<Arc<AggregateUDF>> {
    [Function::Count, Function::Sum, Function::Min, Function::Max, Function::Avg]
        .into_iter()
        .map(|function| Arc::new(AggregateUDF::new_from_impl(FlinkAggregate::new(function))))
        .collect()
}

/// Which function a call of one of ours means.
pub(super) fn function_of(udf: &AggregateUDF) -> Option<Function> {
    udf.inner().downcast_ref::<FlinkAggregate>().map(|aggregate| aggregate.function)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FlinkAggregate {
    function: Function,
    signature: Signature,
}

impl FlinkAggregate {
    fn new(function: Function) -> Self {
        let signature = match function {
            Function::Count => Signature::variadic_any(Volatility::Immutable),
            _ => Signature::user_defined(Volatility::Immutable),
        };
        Self { function, signature }
    }
}

impl AggregateUDFImpl for FlinkAggregate {
    fn name(&self) -> &str {
        match self.function {
            Function::Unspecified => "unspecified",
            Function::Count => "count",
            Function::Sum => "sum",
            Function::Min => "min",
            Function::Max => "max",
            Function::Avg => "avg",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name().to_uppercase();
        match arguments {
            [argument] if aggregate_result_type(self.function, Some(argument)).is_ok() => {
                Ok(arguments.to_vec())
            }
            [argument] => plan_err!("{name} of {} isn't supported", flink_type_name(argument, true)),
            _ => plan_err!("{name} takes one argument, not {}", arguments.len()),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match aggregate_result_type(self.function, arguments.first()) {
            Ok(data_type) => Ok(data_type),
            Err(error) => plan_err!("{}", error.message()),
        }
    }

    fn is_nullable(&self) -> bool {
        self.function != Function::Count
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.function {
            Function::Count => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        internal_err!("{} is computed by Weir's operators", self.name())
    }
}

/// Writes `COUNT(*)` and `COUNT()` as a count of a literal, under its own name.
#[derive(Debug)]
pub(super) struct CountStar;

impl ExprPlanner for CountStar {
    #[expect(deprecated, reason = "DataFusion's parser still hands the star over as this expression")]
    fn plan_aggregate(&self, raw: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        let is_star = raw.args.is_empty() || matches!(raw.args.as_slice(), [Expr::Wildcard { .. }]);
        if function_of(&raw.func) != Some(Function::Count) || !is_star {
            return Ok(PlannerResult::Original(raw));
        }
        let mut params = AggregateFunctionParams {
            args: raw.args,
            distinct: raw.distinct,
            filter: raw.filter,
            order_by: raw.order_by,
            null_treatment: raw.null_treatment,
        };
        let written =
            Expr::AggregateFunction(AggregateFunction { func: raw.func.clone(), params: params.clone() });
        let name = NamePreserver::new_for_projection().save(&written);
        params.args = vec![lit(1_i64)];
        let call = Expr::AggregateFunction(AggregateFunction { func: raw.func, params });
        Ok(PlannerResult::Planned(name.restore(call)))
    }
}
