//! The aggregate functions as the planner knows them, with Flink's types, and how `COUNT(*)` is written.
//!
//! They exist for typing only: the plan names them in `AggregateCall`s, and `weir-operators` computes them.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawWindowExpr};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility, WindowFunctionDefinition, lit,
};
use weir_api::graph::{aggregate_result_type, is_never_null};
use weir_proto::v1::aggregate_call::Function;

use crate::types::flink_type_name;

/// All aggregate functions, by their names; two have a second one.
const AGGREGATES: &[(&str, &[&str], Function)] = &[
    ("count", &[], Function::Count),
    ("sum", &[], Function::Sum),
    ("min", &[], Function::Min),
    ("max", &[], Function::Max),
    ("avg", &[], Function::Avg),
    ("first_value", &[], Function::FirstValue),
    ("last_value", &[], Function::LastValue),
    ("var_pop", &[], Function::VarPop),
    ("var_samp", &["variance"], Function::VarSamp),
    ("stddev_pop", &[], Function::StddevPop),
    ("stddev_samp", &["stddev"], Function::StddevSamp),
    ("listagg", &[], Function::Listagg),
    ("collect", &[], Function::Collect),
    ("array_agg", &[], Function::ArrayAgg),
    ("json_objectagg", &[], Function::JsonObjectagg),
    ("json_arrayagg", &[], Function::JsonArrayagg),
    ("percentile", &[], Function::Percentile),
    ("approx_count_distinct", &[], Function::ApproxCountDistinct),
];

/// All aggregate functions.
pub(super) fn aggregate_udfs() -> Vec<Arc<AggregateUDF>> {
    AGGREGATES
        .iter()
        .map(|(name, aliases, function)| {
            let udf = AggregateUDF::new_from_impl(FlinkAggregate::new(name, *function));
            Arc::new(udf.with_aliases(aliases.iter().copied()))
        })
        .collect()
}

/// Which function a call of one of ours means, given the types of its arguments.
pub(super) fn function_of(udf: &AggregateUDF, arguments: &[DataType]) -> Option<Function> {
    // An alias is a wrapper, which only its name leads through.
    let name = udf.name();
    let (_, _, function) = AGGREGATES.iter().find(|(known, _, _)| *known == name)?;
    Some(match (function, arguments.get(1)) {
        (Function::Percentile, Some(DataType::List(_))) => Function::Percentiles,
        _ => *function,
    })
}

/// The type that an argument of an aggregate function is brought to; `None` where it is no argument of it.
fn coerced(function: Function, index: usize, given: &DataType) -> Option<DataType> {
    let doubles = || DataType::new_list(DataType::Float64, true);
    let or_null = |is: bool, data_type: DataType| (is || given.is_null()).then_some(data_type);
    match (function, index) {
        (Function::Percentile, 0) => or_null(given.is_numeric(), DataType::Float64),
        (Function::Percentile, 1) => match given {
            DataType::List(element) if element.data_type().is_numeric() => Some(doubles()),
            given => given.is_numeric().then_some(DataType::Float64),
        },
        (Function::Listagg, 0 | 1) | (Function::JsonArrayagg | Function::JsonObjectagg, 0) => {
            or_null(*given == DataType::Utf8, DataType::Utf8)
        }
        (Function::ArrayAgg | Function::Collect | Function::FirstValue | Function::LastValue, 0) => {
            Some(given.clone())
        }
        (_, 0) => aggregate_result_type(function, Some(given)).is_ok().then(|| given.clone()),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FlinkAggregate {
    name: &'static str,
    function: Function,
    signature: Signature,
}

impl FlinkAggregate {
    fn new(name: &'static str, function: Function) -> Self {
        let signature = match function {
            Function::Count => Signature::variadic_any(Volatility::Immutable),
            _ => Signature::user_defined(Volatility::Immutable),
        };
        Self { name, function, signature }
    }
}

impl AggregateUDFImpl for FlinkAggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name().to_uppercase();
        let (least, most) = match self.function {
            Function::Listagg => (1, 2),
            Function::Percentile => (2, 2),
            _ => (1, 1),
        };
        if !(least..=most).contains(&arguments.len()) {
            let wanted = match (least, most) {
                (1, 1) => "one argument",
                (1, _) => "a string and perhaps a separator",
                _ => "a number and a percentage, or an array of percentages",
            };
            return plan_err!("{name} takes {wanted}, not {}", arguments.len());
        }
        let coerced =
            arguments.iter().enumerate().map(|(index, given)| match coerced(self.function, index, given) {
                Some(data_type) => Ok(data_type),
                None => plan_err!("{name} of {} isn't supported", flink_type_name(given, true)),
            });
        coerced.collect()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let function = match (self.function, arguments.get(1)) {
            (Function::Percentile, Some(DataType::List(_))) => Function::Percentiles,
            (function, _) => function,
        };
        match aggregate_result_type(function, arguments.first()) {
            Ok(data_type) => Ok(data_type),
            Err(error) => plan_err!("{}", error.message()),
        }
    }

    fn supports_null_handling_clause(&self) -> bool {
        matches!(self.function, Function::ArrayAgg | Function::FirstValue | Function::LastValue)
    }

    fn is_nullable(&self) -> bool {
        !is_never_null(self.function)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.function {
            Function::Count | Function::ApproxCountDistinct => Ok(ScalarValue::Int64(Some(0))),
            Function::JsonObjectagg => Ok(ScalarValue::from("{}")),
            Function::JsonArrayagg => Ok(ScalarValue::from("[]")),
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
        if function_of(&raw.func, &[]) != Some(Function::Count) || !is_star {
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

    #[expect(deprecated, reason = "DataFusion's parser still hands the star over as this expression")]
    fn plan_window(&self, mut raw: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        let is_star = raw.args.is_empty() || matches!(raw.args.as_slice(), [Expr::Wildcard { .. }]);
        match &raw.func_def {
            WindowFunctionDefinition::AggregateUDF(udf)
                if is_star && function_of(udf, &[]) == Some(Function::Count) =>
            {
                raw.args = vec![lit(1_i64)];
            }
            _ => {}
        }
        Ok(PlannerResult::Original(raw))
    }
}
