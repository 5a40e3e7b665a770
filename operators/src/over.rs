//! Running aggregates: `OVER (PARTITION BY … ORDER BY time)`, from the beginning to the current row.
//!
//! Every row leaves with the aggregates of its key's rows so far. In processing time it does so at once ([`processing`]); in
//! event time rows wait until the watermark has passed them and leave in the order of their times ([`event`]), and what comes behind
//! the watermark is late. Append-only: changelogs are refused. State: a row of accumulators per key ([`table`]), and in event time the
//! rows that wait ([`buffer`]).
//!
//! Read next: [`plan`] for what a spec means, [`table`] for the state.

mod buffer;
mod event;
mod frozen;
mod keys;
mod plan;
mod processing;
mod restored;
mod table;

use arrow::datatypes::SchemaRef;
use weir_api::error::Result;
use weir_api::graph::OperatorNode;
use weir_api::operator::Operator;
use weir_proto::v1::OverAggregateSpec;

use plan::Plan;

/// The operator of a spec.
pub(crate) fn create(
    node: &OperatorNode,
    spec: &OverAggregateSpec,
    input: &SchemaRef,
    output: SchemaRef,
) -> Result<Box<dyn Operator>> {
    let made = Plan::new(&node.name, spec, input, output).and_then(|plan| -> Result<Box<dyn Operator>> {
        Ok(match plan.event {
            None => Box::new(processing::ProcessingTime::new(plan)?),
            Some(_) => Box::new(event::EventTime::new(plan)?),
        })
    });
    made.map_err(|error| error.context(format_args!("operator '{}' ({})", node.name, node.uid)))
}

#[cfg(test)]
mod tests;
