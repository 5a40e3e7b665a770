//! Windowed aggregation in panes, in one phase or two.
//!
//! Rows are folded into one table per pane; a window that is due is merged from its panes, so no row is copied per window.
//! `SINGLE` folds rows and emits results; `LOCAL` folds rows and emits partial results, which `GLOBAL` merges. Append-only:
//! changelogs are refused. Rows that are too late for all their windows are dropped and counted, or, by SINGLE, told of on the
//! side output.
//!
//! Read next: [`plan`] for what a spec means, [`pane`] for the tables, [`local`] and [`windowed`] for the operators.

mod frozen;
mod keyed_state;
mod late;
mod local;
mod pane;
mod panes;
mod plan;
mod restored;
mod split;
mod stack;
mod windowed;

use arrow::datatypes::SchemaRef;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::OperatorNode;
use weir_api::operator::Operator;
use weir_proto::v1::WindowAggregateSpec;
use weir_proto::v1::window_aggregate_spec::Phase;

use plan::Plan;

/// The operator of a spec.
pub(crate) fn create(
    node: &OperatorNode,
    spec: &WindowAggregateSpec,
    output: SchemaRef,
) -> Result<Box<dyn Operator>> {
    let plan = Plan::new(&node.name, spec, output)
        .map_err(|error| error.context(format_args!("operator '{}' ({})", node.name, node.uid)))?;
    Ok(match spec.phase() {
        Phase::Local => Box::new(local::LocalAggregate::new(plan)),
        Phase::Single | Phase::Global => Box::new(windowed::WindowAggregate::new(plan)?),
        Phase::Unspecified => {
            return Err(Error::new(Code::MalformedMessage, format!("operator '{}' has no phase", node.name)));
        }
    })
}

#[cfg(test)]
mod tests;
