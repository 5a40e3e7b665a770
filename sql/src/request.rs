//! A text of SQL in, a job or its explanation out.
//!
//! Decides which statements of a text count for what: all its INSERTs and SELECTs are one job; its declarations are seen
//! by the statements behind them. Invariant: neither call panics or recurses beyond its stack, whatever the text; every
//! error has the line that it speaks of. Knows nothing of how a query is parsed or planned.

use std::collections::BTreeMap;

use weir_api::Result;
use weir_api::connector::ConnectorRegistry;
use weir_api::error::Code;
use weir_api::graph::JobGraph;

use crate::deep::with_deep_stack;
use crate::error::{SqlError, SqlResult};
use crate::explain::{self as explaining, Explanation};
use crate::planner::{self, Output};
use crate::results::StatementResult;
use crate::script::{Kept, Script};
use crate::statement::{Explain, ExplainTarget, Insert, Position};

/// A text to plan.
#[derive(Clone)]
pub struct PlanRequest<'a> {
    /// The statements.
    pub sql: &'a str,
    /// The job's name, above what the text SETs.
    pub name: Option<String>,
    /// The job's parallelism, above what the text SETs.
    pub parallelism: Option<u32>,
    /// Configuration under Flink's keys, below what the text SETs.
    pub config: BTreeMap<String, String>,
    /// The connectors.
    pub registry: &'a ConnectorRegistry,
}

/// A text, planned.
#[derive(Debug)]
pub struct Planned {
    /// What to run; `None` if the text only asks.
    pub graph: Option<JobGraph>,
    /// What its SHOW, DESCRIBE and EXPLAIN statements answer, in their order.
    pub results: Vec<StatementResult>,
    /// What the user should hear about, though nothing is wrong enough to stop.
    pub warnings: Vec<String>,
}

/// A text, explained.
#[derive(Debug)]
pub struct Explained {
    /// For people.
    pub text: String,
    /// For programs: a plan for each EXPLAIN and SELECT, and one for all INSERTs; see [`crate::explain::PlanDocument`].
    pub plans: Vec<explaining::PlanDocument>,
    /// What the user should hear about.
    pub warnings: Vec<String>,
}

/// Plans all INSERTs and SELECTs of a text as one job; a text with nothing to run and nothing to answer is refused.
pub fn plan(request: PlanRequest<'_>) -> Result<Planned> {
    with_deep_stack(|| {
        let planned = plan_text(&request);
        planned.map_err(|error| error.into_error(request.sql))
    })?
}

/// Explains a text: all its INSERTs as the one job that they are, and each of its EXPLAINs and SELECTs.
pub fn explain(request: PlanRequest<'_>) -> Result<Explained> {
    with_deep_stack(|| {
        let explained = explain_text(&request);
        explained.map_err(|error| error.into_error(request.sql))
    })?
}

fn plan_text(request: &PlanRequest<'_>) -> SqlResult<Planned> {
    let Script { session, base, outputs, results, warnings, .. } = Script::read(request)?;
    let outputs = outputs_of(&outputs);
    let Some(first) = outputs.first() else {
        if !results.is_empty() {
            return Ok(Planned { graph: None, results, warnings });
        }
        let message = "there is no INSERT INTO or SELECT in the text, so there is nothing to run";
        return Err(SqlError::at(Code::InvalidArgument, Position::START, message));
    };
    let first = match first {
        Output::Insert(insert) => insert.position,
        Output::Print { query, .. } => query.position,
    };
    let graph = planner::plan_job(&outputs, &session, &base).map_err(|error| match error.code() {
        // Of the whole job, wherever its keys were set.
        Code::InvalidConfiguration => error,
        _ => error.or_at(first),
    })?;
    Ok(Planned { graph: Some(graph), results, warnings })
}

/// What runs, in the order of the text; SELECTs are told apart in what they print where there are several.
fn outputs_of(kept: &[Kept]) -> Vec<Output<'_>> {
    let queries = kept.iter().filter(|kept| matches!(kept, Kept::Query(_))).count();
    let mut outputs = Vec::new();
    let mut number = 0;
    for kept in kept {
        match kept {
            Kept::Inserts(inserts) => outputs.extend(inserts.iter().map(Output::Insert)),
            Kept::Query(query) => {
                number += 1;
                let identifier = (queries > 1).then(|| format!("query-{number}"));
                outputs.push(Output::Print { query, identifier });
            }
        }
    }
    outputs
}

fn explain_text(request: &PlanRequest<'_>) -> SqlResult<Explained> {
    let Script { session, base, outputs, mut explanations, warnings, .. } = Script::read(request)?;
    let mut inserts: Vec<Insert> = Vec::new();
    let mut add = |target: ExplainTarget, position: Position| -> SqlResult<()> {
        let statement = Explain { target, details: Vec::new(), position };
        let explanation =
            explaining::explain(&statement, &session, &base).map_err(|error| error.or_at(position))?;
        explanations.push((position, explanation));
        Ok(())
    };
    for kept in outputs {
        match kept {
            Kept::Inserts(more) => inserts.extend(more),
            Kept::Query(query) => {
                let position = query.position;
                add(ExplainTarget::Query(*query), position)?;
            }
        }
    }
    if let Some(first) = inserts.first() {
        let position = first.position;
        add(ExplainTarget::Inserts(inserts), position)?;
    }
    explanations.sort_by_key(|(position, _)| *position);
    if explanations.is_empty() {
        let message =
            "there is no INSERT INTO, SELECT or EXPLAIN in the text, so there is nothing to explain";
        return Err(SqlError::at(Code::InvalidArgument, Position::START, message));
    }
    let (texts, plans): (Vec<String>, Vec<_>) =
        explanations.into_iter().map(|(_, Explanation { text, plan })| (text, plan)).unzip();
    Ok(Explained { text: texts.join("\n"), plans, warnings })
}
