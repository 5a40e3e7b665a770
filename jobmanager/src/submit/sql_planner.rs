//! The planner of real jobs: Flink's SQL by `weir-sql`.

use weir_api::error::Result;
use weir_sql::PlanRequest;

use super::planner::{Explained, Planned, Planner, Request};

/// Plans Flink's SQL.
#[derive(Clone, Copy, Debug, Default)]
pub struct SqlPlanner;

impl Planner for SqlPlanner {
    fn plan(&self, request: Request) -> Result<Planned> {
        let weir_sql::Planned { graph, results, warnings } = weir_sql::plan(plan_request(&request))?;
        Ok(Planned { graph, results, warnings })
    }

    fn explain(&self, request: Request) -> Result<Explained> {
        let weir_sql::Explained { text, plans, warnings } = weir_sql::explain(plan_request(&request))?;
        Ok(Explained { text, plans, warnings })
    }
}

fn plan_request(request: &Request) -> PlanRequest<'_> {
    PlanRequest {
        sql: &request.sql,
        name: request.name.clone(),
        parallelism: request.parallelism,
        config: request.config.values().clone(),
        registry: &request.registry,
    }
}
