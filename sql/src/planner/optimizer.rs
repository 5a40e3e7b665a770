//! Which of DataFusion's logical rules a streaming plan may use, each with the reason why it is safe without an end of input.
//!
//! What isn't listed is off. Off for a reason: rules about joins, limits and sorts (none are planned yet);
//! `SingleDistinctToGroupBy` (it splits an aggregation in two, which would hide its window); `PropagateEmptyRelation` and
//! `EliminateFilter` (a source must run, and end, even if a constant filter drops all its rows); `ExtractLeafExpressions`
//! (nested columns are pruned in [`super::prune`], without extra projections). `now()` and its like are never folded: there is
//! no start time to fold them with, and they are volatile.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::optimize_unions::OptimizeUnions;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

fn rules() -> Vec<Rule> {
    vec![
        // Nested UNION ALLs become one: rows pass through a union one by one.
        Arc::new(OptimizeUnions::new()),
        // Row by row: the same value for the same row; volatile functions are left alone.
        Arc::new(SimplifyExpressions::new()),
        // SELECT DISTINCT becomes GROUP BY, so that one place decides whether it can run on a stream.
        Arc::new(ReplaceDistinctWithAggregate::new()),
        // Grouping twice by one expression is grouping by it once.
        Arc::new(EliminateDuplicatedExpr::new()),
        // A predicate on grouped columns or on a window function's input keeps or drops all rows of a group alike, whenever
        // they come. Window columns stay above their window function.
        Arc::new(PushDownFilter::new()),
        // Row by row: what is computed twice for a row is computed once.
        Arc::new(CommonSubexprEliminate::new()),
        // Columns that nobody reads don't change the others.
        Arc::new(OptimizeProjections::new()),
    ]
}

/// The plan after all rules, with the same output columns. Of its own alias generator: names depend on nothing but the plan.
pub(super) fn optimize(plan: LogicalPlan, options: &Arc<ConfigOptions>) -> Result<LogicalPlan> {
    let config =
        OptimizerContext::new_with_config_options(options.clone()).without_query_execution_start_time();
    Optimizer::with_rules(rules()).optimize(plan, &config, |_, _| {})
}
