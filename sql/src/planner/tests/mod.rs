//! Plans of whole texts: against the job graph, against EXPLAIN snapshots, and what is refused.

mod connectors;
mod diff;
mod examples;
mod graph;
mod metadata;
mod nexmark;
mod once;
mod over;
mod random;
mod refused;
mod side_tables;
mod unnest;
mod values;
mod verify;
mod windows;

use weir_api::config::Configuration;
use weir_api::error::Error;
use weir_api::graph::JobGraph;
use weir_proto::v1::operator_spec::Kind;

use super::{Output, plan_job};
use crate::catalog::{Deferred, Session};
use crate::error::SqlResult;
use crate::parser::parse;

/// The last job of a text.
fn plan_with(text: &str, pairs: &[(&str, &str)]) -> SqlResult<JobGraph> {
    let mut session = Session::new(&connectors::registry());
    let (base, _) = Configuration::from_pairs(pairs.iter().copied()).unwrap();
    let mut inserts = Vec::new();
    for statement in parse(text)? {
        if let Some(Deferred::Inserts(more)) = session.execute(statement)? {
            inserts.extend(more);
        }
    }
    let graph = plan_job(&inserts.iter().map(Output::Insert).collect::<Vec<_>>(), &session, &base)?;
    verify::verify(&graph);
    Ok(graph)
}

/// The job of all inserts of a text at parallelism 2.
fn plan(text: &str) -> JobGraph {
    plan_with(text, &[("parallelism.default", "2")])
        .unwrap_or_else(|error| panic!("{}", error.into_error(text).chain()))
}

/// Why a text is refused.
fn refusal(text: &str) -> Error {
    match plan_with(text, &[]) {
        Ok(_) => panic!("planned: {text}"),
        Err(error) => error.into_error(text),
    }
}

/// The text of the last EXPLAIN.
fn explain(text: &str) -> String {
    let mut session = Session::new(&connectors::registry());
    let (base, _) = Configuration::from_pairs([("parallelism.default", "2")]).unwrap();
    let mut shown = String::new();
    let mut go = || -> SqlResult<()> {
        for statement in parse(text)? {
            if let Some(Deferred::Explain(explain)) = session.execute(statement)? {
                shown = crate::explain::explain(&explain, &session, &base)?.text;
            }
        }
        Ok(())
    };
    go().unwrap_or_else(|error| panic!("{}", error.into_error(text).chain()));
    shown
}

/// The specs of all operators, in order.
fn specs(graph: &JobGraph) -> Vec<Kind> {
    graph
        .vertices()
        .iter()
        .flat_map(|vertex| &vertex.chain)
        .map(|node| node.spec.kind.clone().expect("a spec"))
        .collect()
}

/// The names of all operators, in order.
fn names(graph: &JobGraph) -> Vec<&str> {
    graph.vertices().iter().flat_map(|vertex| &vertex.chain).map(|node| node.name.as_str()).collect()
}
