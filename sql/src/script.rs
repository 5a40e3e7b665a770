//! A text, statement by statement: declarations into the session, answers out, INSERTs and SELECTs kept for the job.
//!
//! Invariant: each statement sees what stands before it and nothing of what stands behind it, but for configuration, of which
//! a job has one.

use weir_api::config::{Configuration, options};

use crate::catalog::{Deferred, Session};
use crate::error::SqlResult;
use crate::explain::{self, Explanation};
use crate::results::{Results, Rows, StatementResult};
use crate::statement::{AsQuery, CreateTable, Explain, ExplainTarget, Insert, Position, Query};
use crate::{PlanRequest, create_as, inspect, parser, planner};

/// What is left of a text once its declarations have been taken in.
pub(crate) struct Script {
    pub session: Session,
    /// The configuration below what the text SETs.
    pub base: Configuration,
    /// What runs, in the order of the text.
    pub outputs: Vec<Kept>,
    /// The answers, in the order of the text.
    pub results: Vec<StatementResult>,
    /// What EXPLAIN statements have explained, with their places.
    pub explanations: Vec<(Position, Explanation)>,
    pub warnings: Vec<String>,
}

/// What runs.
pub(crate) enum Kept {
    /// Inserts.
    Inserts(Vec<Insert>),
    /// A query whose rows are printed.
    Query(Box<Query>),
}

impl Script {
    /// Reads a text to its end.
    pub fn read(request: &PlanRequest<'_>) -> SqlResult<Self> {
        let (base, mut warnings) = Configuration::from_pairs(
            request.config.iter().map(|(key, value)| (key.as_str(), value.as_str())),
        )?;
        let mut session = Session::new(request.registry);
        let mut outputs = Vec::new();
        let mut results = Results::default();
        let mut explanations = Vec::new();
        let (statements, ignored) = parser::parse_with_warnings(request.sql)?;
        warnings.extend(ignored);
        for statement in statements {
            match session.execute(statement)? {
                None => {}
                Some(Deferred::Inserts(inserts)) => outputs.push(Kept::Inserts(inserts)),
                Some(Deferred::Query(query)) => outputs.push(Kept::Query(query)),
                Some(Deferred::CreateTableAs(create, query)) => {
                    let insert = create_table_as(&mut session, &base, *create, *query)?;
                    outputs.push(Kept::Inserts(vec![insert]));
                }
                Some(Deferred::CheckFunction(function)) => {
                    planner::check_function(&function, &session, &base)?;
                }
                Some(Deferred::Inspect(statement)) => {
                    let position = statement.position;
                    let rows = inspect::inspect(&statement, &session, &base)
                        .map_err(|error| error.or_at(position))?;
                    results.push(statement.text, position, rows)?;
                }
                Some(Deferred::Explain(statement)) => {
                    let position = statement.position;
                    let explanation = explain_statement(*statement, &session, &base)
                        .map_err(|error| error.or_at(position))?;
                    results.push("EXPLAIN".to_owned(), position, Rows::text(explanation.text.trim_end()))?;
                    explanations.push((position, explanation));
                }
            }
        }
        if let Some(name) = &request.name {
            session.set(options::PIPELINE_NAME.key, name)?;
        }
        if let Some(parallelism) = request.parallelism {
            session.set(options::PARALLELISM_DEFAULT.key, &parallelism.to_string())?;
        }
        warnings.extend(session.warnings().iter().cloned());
        Ok(Self { session, base, outputs, results: results.all, explanations, warnings })
    }
}

/// Declares the table; what is left is its insert.
fn create_table_as(
    session: &mut Session,
    base: &Configuration,
    create: CreateTable,
    query: AsQuery,
) -> SqlResult<Insert> {
    let at = query.query.position;
    let fields = planner::query_columns(&query.query, session, base).map_err(|error| error.or_at(at))?;
    let (create, mut insert) = create_as::split(create, query, &fields)?;
    session.create_table(create)?;
    insert.query.moment = session.moment();
    Ok(insert)
}

fn explain_statement(statement: Explain, session: &Session, base: &Configuration) -> SqlResult<Explanation> {
    let Explain { target, details, position } = statement;
    match target {
        ExplainTarget::CreateTableAs(create, query) => {
            // The table is there for its own plan only.
            let mut session = session.clone();
            let insert = create_table_as(&mut session, base, *create, *query)?;
            let target = ExplainTarget::Inserts(vec![insert]);
            explain::explain(&Explain { target, details, position }, &session, base)
        }
        target => explain::explain(&Explain { target, details, position }, session, base),
    }
}
