//! The streaming planner: inserts and queries become a job graph.
//!
//! In this order: resolve names (DataFusion over our catalog, [`context`]), type by Flink's rules ([`typing`]), optimise
//! ([`optimizer`]), lower to streaming nodes ([`lower`], [`scan`], [`aggregate`], [`sink`], [`print`]), keep what is needed ([`prune`]),
//! make operators with specs and uids ([`operators`], [`uid`], [`expressions`]), chain them ([`job`]). It decides what can run
//! on an unbounded stream and refuses the rest with the reason; it knows connectors as traits only and computes nothing.

mod aggregate;
mod calc;
mod columns;
mod common;
mod config;
mod context;
mod decimal;
mod describe;
pub mod diff;
mod errors;
mod expressions;
mod functions;
mod grouping;
mod guard;
mod job;
mod late;
mod lower;
mod names;
mod normalise;
mod operators;
mod optimizer;
mod over;
mod partition;
mod paths;
mod predicates;
mod print;
mod prune;
mod pull_up;
mod ranges;
mod refuse;
mod refuse_over;
mod relation;
mod rows;
mod scan;
mod share;
mod side_sinks;
mod similar;
mod sink;
mod specs;
mod stream;
mod table;
mod typing;
mod uid;
mod unnest_node;
mod values;
mod window_node;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use datafusion::logical_expr::LogicalPlan;
use weir_api::config::Configuration;
use weir_api::error::{Code, Error};
use weir_api::graph::JobGraph;
use weir_api::id::OperatorUid;

pub(crate) use self::describe::{built_in_names, check_function, is_built_in, query_columns, table_columns};

use self::config::PlannerConfig;
use self::context::Planning;
use self::errors::planning_error;
use self::job::{Layout, job_graph, layout};
use self::operators::operators_of;
use self::refuse::place_of_grouping;
use self::stream::{Kind, NodeId, Scan, StreamPlan};
use self::uid::uids_of;
use crate::catalog::{Session, Table};
use crate::error::SqlResult;
use crate::statement::{Insert, Query};

/// A query of a job, and where its rows go.
#[derive(Clone, Debug)]
pub enum Output<'a> {
    /// Into a table of the session.
    Insert(&'a Insert),
    /// To whoever looks: a made table of the connector `print` takes them.
    Print {
        /// The query.
        query: &'a Query,
        /// What precedes each row, where several queries print.
        identifier: Option<String>,
    },
}

/// Plans queries and their sinks as one job. `base` is the configuration that the session's own SETs are laid over.
pub fn plan_job(outputs: &[Output<'_>], session: &Session, base: &Configuration) -> SqlResult<JobGraph> {
    let config = configuration(session, base)?;
    let planned = plan_outputs(outputs, session, &config)?;
    let layout = layout(operators_of(&planned.stream, &config)?, &config)?;
    Ok(job_graph(layout, config)?)
}

/// A plan on its way, for EXPLAIN.
pub(crate) struct Explained {
    /// The optimised logical plans, each with the name of its sink.
    pub logical: Vec<(Option<String>, LogicalPlan)>,
    /// What would run.
    pub layout: Layout,
    /// The sources' watermarks.
    pub watermarks: HashMap<OperatorUid, String>,
}

/// Plans inserts as [`plan_job`] does, and tells what it did.
pub(crate) fn explain_inserts(
    inserts: &[Insert],
    session: &Session,
    base: &Configuration,
) -> SqlResult<Explained> {
    let config = configuration(session, base)?;
    let outputs: Vec<Output<'_>> = inserts.iter().map(Output::Insert).collect();
    let planned = plan_outputs(&outputs, session, &config)?;
    let layout = layout(operators_of(&planned.stream, &config)?, &config)?;
    Ok(Explained { logical: planned.logical, layout, watermarks: watermarks(&planned.stream)? })
}

/// Plans a query that has no sink.
pub(crate) fn explain_query(query: &Query, session: &Session, base: &Configuration) -> SqlResult<Explained> {
    let config = configuration(session, base)?;
    let planning = Planning::new(session, &config);
    let mut stream = StreamPlan::new(planning.options());
    let (logical, root) = plan_query(&planning, &mut stream, query)?;
    stream.roots.push(root);
    let stream = finished(&planning, &stream)?;
    let layout = layout(operators_of(&stream, &config)?, &config)?;
    Ok(Explained { logical: vec![(None, logical)], layout, watermarks: watermarks(&stream)? })
}

fn watermarks(plan: &StreamPlan) -> SqlResult<HashMap<OperatorUid, String>> {
    let mut watermarks = HashMap::new();
    for (node, uid) in plan.nodes.iter().zip(uids_of(plan)?) {
        if let Kind::Scan(Scan { watermark: Some(expression), .. }) = &node.kind {
            watermarks.insert(uid.operator()?, names::expression_text(expression));
        }
    }
    Ok(watermarks)
}

struct Planned {
    logical: Vec<(Option<String>, LogicalPlan)>,
    stream: StreamPlan,
}

fn plan_outputs(outputs: &[Output<'_>], session: &Session, config: &PlannerConfig) -> SqlResult<Planned> {
    let planning = Planning::new(session, config);
    let mut stream = StreamPlan::new(planning.options());
    let mut logical = Vec::with_capacity(outputs.len());
    for output in outputs {
        let (name, plan, sink) = match output {
            Output::Insert(insert) => plan_insert(&planning, &mut stream, insert)?,
            Output::Print { query, identifier } => {
                let (plan, node) = plan_query(&planning, &mut stream, query)?;
                let sink = print::lower_print(&mut stream, query, node, identifier.as_deref(), session)?;
                (None, plan, sink)
            }
        };
        stream.roots.push(sink);
        logical.push((name, plan));
    }
    if stream.roots.is_empty() {
        return Err(Error::internal("a job without an INSERT or a SELECT").into());
    }
    Ok(Planned { logical, stream: finished(&planning, &stream)? })
}

/// The plan as it runs: what several queries read is read once, only what is needed is kept, what can't be used goes into the
/// tables that are named for it.
fn finished(planning: &Planning<'_>, stream: &StreamPlan) -> SqlResult<StreamPlan> {
    let mut plan = prune::prune(&share::share_scans(stream)?)?;
    side_sinks::add_side_sinks(&mut plan, planning.session)?;
    Ok(plan)
}

fn plan_insert(
    planning: &Planning<'_>,
    stream: &mut StreamPlan,
    insert: &Insert,
) -> SqlResult<(Option<String>, LogicalPlan, NodeId)> {
    let declared = planning.session.resolve_sink(&insert.table, &insert.query.moment)?;
    let hinted;
    let table: &Table = if insert.options.is_empty() {
        declared
    } else {
        hinted = planning.session.with_options(declared, &insert.options)?;
        &hinted
    };
    let as_sink = table.sink().map_err(|error| error.or_at(insert.table.position))?;
    // The connector says whether it can be written to at all.
    planning
        .session
        .registry()
        .sink(&as_sink.spec)
        .map_err(|error| crate::error::SqlError::from(error).or_at(insert.table.position))?;
    let (plan, query) = plan_query(planning, stream, &insert.query)?;
    let sink = sink::lower_sink(stream, insert, table, &as_sink, query)
        .map_err(|error| error.or_at(insert.position))?;
    Ok((Some(table.spec.name.clone()), plan, sink))
}

fn plan_query(
    planning: &Planning<'_>,
    stream: &mut StreamPlan,
    query: &Query,
) -> SqlResult<(LogicalPlan, NodeId)> {
    let at_query = |error: datafusion::common::DataFusionError| planning_error(&error, query.position);
    let resolved = planning.resolve(query)?;
    let typed = typing::coerce(resolved).map_err(at_query)?;
    let typed = values::with_tables(typed, planning).map_err(at_query)?;
    let optimised = optimizer::optimize(typed, &planning.options()).map_err(at_query)?;
    let node = lower::lower(stream, &optimised).map_err(|error| {
        let grouping = (error.code() == Code::SqlUnbounded).then(|| place_of_grouping(query)).flatten();
        error.or_at(grouping.unwrap_or(query.position))
    })?;
    Ok((optimised, node))
}

fn configuration(session: &Session, base: &Configuration) -> SqlResult<PlannerConfig> {
    let mut all = base.clone();
    let pairs = session.config().iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let (own, _) = Configuration::from_pairs(pairs)?;
    all.merge(&own);
    Ok(PlannerConfig::new(&all)?)
}

/// A pushed-down predicate, as plans show it.
pub(crate) fn predicate_text(predicate: &weir_proto::v1::Predicate) -> String {
    predicates::text_of(predicate)
}
