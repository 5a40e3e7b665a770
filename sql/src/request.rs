//! A text of SQL in, a job or its explanation out.
//!
//! Decides which statements of a text count for what: all its INSERTs and SELECTs are one job; its declarations are seen
//! by the statements behind them. Invariant: neither call panics or recurses beyond its stack, whatever the text; every
//! error has the line that it speaks of. Knows nothing of how a query is parsed or planned.

use std::collections::BTreeMap;

use weir_api::Result;
use weir_api::config::{Configuration, options};
use weir_api::connector::ConnectorRegistry;
use weir_api::error::Code;
use weir_api::graph::JobGraph;

use crate::catalog::{Deferred, Session};
use crate::deep::with_deep_stack;
use crate::error::{SqlError, SqlResult};
use crate::parser;
use crate::planner::Output;
use crate::statement::{Explain, ExplainTarget, Insert, Position, Statement};
use crate::{explain as explaining, planner};

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

/// A job, planned.
#[derive(Debug)]
pub struct Planned {
    /// What to run.
    pub graph: JobGraph,
    /// What the user should hear about, though nothing is wrong enough to stop.
    pub warnings: Vec<String>,
}

/// Plans all INSERTs and SELECTs of a text as one job; a text without any is refused.
pub fn plan(request: PlanRequest<'_>) -> Result<Planned> {
    with_deep_stack(|| {
        let planned = plan_text(&request);
        planned.map_err(|error| error.into_error(request.sql))
    })?
}

/// Explains a text: all its INSERTs as the one job that they are, and each of its EXPLAINs and SELECTs.
pub fn explain(request: PlanRequest<'_>) -> Result<String> {
    with_deep_stack(|| {
        let explained = explain_text(&request);
        explained.map_err(|error| error.into_error(request.sql))
    })?
}

fn plan_text(request: &PlanRequest<'_>) -> SqlResult<Planned> {
    let script = Script::read(request)?;
    let mut warnings = script.warnings;
    for deferred in &script.deferred {
        if let Deferred::Explain(explain) = deferred {
            warnings.push(format!("{}: EXPLAIN has no effect in a job", explain.position));
        }
    }
    let outputs = outputs_of(&script.deferred);
    let Some(first) = outputs.first() else {
        let message = "there is no INSERT INTO or SELECT in the text, so there is nothing to run";
        return Err(SqlError::at(Code::InvalidArgument, Position::START, message));
    };
    let first = match first {
        Output::Insert(insert) => insert.position,
        Output::Print { query, .. } => query.position,
    };
    let graph =
        planner::plan_job(&outputs, &script.session, &script.base).map_err(|error| match error.code() {
            // Of the whole job, wherever its keys were set.
            Code::InvalidConfiguration => error,
            _ => error.or_at(first),
        })?;
    Ok(Planned { graph, warnings })
}

/// What runs, in the order of the text; SELECTs are told apart in what they print where there are several.
fn outputs_of(deferred: &[Deferred]) -> Vec<Output<'_>> {
    let queries = deferred.iter().filter(|deferred| matches!(deferred, Deferred::Query(_))).count();
    let mut outputs = Vec::new();
    let mut number = 0;
    for deferred in deferred {
        match deferred {
            Deferred::Inserts(inserts) => outputs.extend(inserts.iter().map(Output::Insert)),
            Deferred::Query(query) => {
                number += 1;
                let identifier = (queries > 1).then(|| format!("query-{number}"));
                outputs.push(Output::Print { query, identifier });
            }
            Deferred::Explain(_) => {}
        }
    }
    outputs
}

fn explain_text(request: &PlanRequest<'_>) -> SqlResult<String> {
    let script = Script::read(request)?;
    let mut explains: Vec<Explain> = Vec::new();
    let mut inserts: Vec<Insert> = Vec::new();
    for deferred in script.deferred {
        match deferred {
            Deferred::Inserts(more) => inserts.extend(more),
            Deferred::Explain(explain) => explains.push(*explain),
            Deferred::Query(query) => {
                let position = query.position;
                explains.push(Explain {
                    target: ExplainTarget::Query(*query),
                    details: Vec::new(),
                    position,
                });
            }
        }
    }
    if let Some(first) = inserts.first() {
        let position = first.position;
        explains.push(Explain { target: ExplainTarget::Inserts(inserts), details: Vec::new(), position });
    }
    explains.sort_by_key(|explain| explain.position);
    if explains.is_empty() {
        let message =
            "there is no INSERT INTO, SELECT or EXPLAIN in the text, so there is nothing to explain";
        return Err(SqlError::at(Code::InvalidArgument, Position::START, message));
    }
    let texts: Vec<String> = explains
        .iter()
        .map(|explain| {
            explaining::explain(explain, &script.session, &script.base)
                .map_err(|error| error.or_at(explain.position))
        })
        .collect::<SqlResult<_>>()?;
    Ok(texts.join("\n"))
}

/// A text whose declarations have been taken in.
struct Script {
    session: Session,
    /// The configuration below what the text SETs.
    base: Configuration,
    deferred: Vec<Deferred>,
    warnings: Vec<String>,
}

impl Script {
    fn read(request: &PlanRequest<'_>) -> SqlResult<Self> {
        let (base, mut warnings) = Configuration::from_pairs(
            request.config.iter().map(|(key, value)| (key.as_str(), value.as_str())),
        )?;
        let mut session = Session::new(request.registry);
        let mut deferred = Vec::new();
        for statement in parser::parse(request.sql)? {
            if let Statement::Drop(drop) = &statement
                && !deferred.is_empty()
            {
                // What was deferred is planned with the session as the text leaves it.
                let message = format!(
                    "DROP {} stands behind statements that are planned with all that the text declares; \
                                       remove it, a text's tables and views go with it",
                    drop.name
                );
                return Err(SqlError::unsupported(drop.position, message));
            }
            deferred.extend(session.execute(statement)?);
        }
        if let Some(name) = &request.name {
            session.set(options::PIPELINE_NAME.key, name)?;
        }
        if let Some(parallelism) = request.parallelism {
            session.set(options::PARALLELISM_DEFAULT.key, &parallelism.to_string())?;
        }
        warnings.extend(session.warnings().iter().cloned());
        Ok(Self { session, base, deferred, warnings })
    }
}
