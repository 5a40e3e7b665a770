//! What tasks compute: calculations, windows, aggregates; all of it testable without a cluster.
//!
//! Owns: the operators behind [`weir_api::operator::Operator`], the decoding and evaluation of expressions, and the making of a
//! source's watermarks. Does not own: sources and sinks (`weir-connectors`), planning (`weir-sql`), the loop that drives
//! operators (`weir-taskmanager`). Pure: no clock, no I/O, no threads.
//!
//! Read next: [`create`], then [`weir_api::operator`] for the contract.

mod accumulator;
mod calc;
mod column;
mod event_time;
pub mod expression;
mod group;
mod over;
mod union;
mod unnest;
mod watermark_generator;
mod window;
mod window_aggregate;

use arrow::datatypes::SchemaRef;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::OperatorNode;
use weir_api::operator::Operator;
use weir_proto::v1::operator_spec::Kind;

pub use watermark_generator::{WatermarkChange, WatermarkGenerator};

/// The operator that a node of a chain describes; `input_schema` is what the stage before it emits.
///
/// Fails for sources and sinks, which tasks drive by themselves, and for specs that don't fit their input.
///
/// The session's time zone is UTC; see [`create_in_zone`].
pub fn create(node: &OperatorNode, input_schema: Option<SchemaRef>) -> Result<Box<dyn Operator>> {
    create_in_zone(node, input_schema, None)
}

/// [`create`] with the session's time zone (`table.local-time-zone`), in which functions read and write TIMESTAMP_LTZ.
pub fn create_in_zone(
    node: &OperatorNode,
    input_schema: Option<SchemaRef>,
    time_zone: Option<&str>,
) -> Result<Box<dyn Operator>> {
    let malformed = |what: &str| {
        Error::new(Code::MalformedMessage, format!("operator '{}' ({}) {what}", node.name, node.uid))
    };
    let kind = node.spec.kind.as_ref().ok_or_else(|| malformed("has no spec"))?;
    let output = node.output_schema.clone().ok_or_else(|| malformed("has no output schema"))?;
    let input = || input_schema.clone().ok_or_else(|| malformed("has no input"));
    Ok(match kind {
        Kind::Calc(spec) => Box::new(calc::Calc::new(&node.name, spec, &input()?, output, time_zone)?),
        Kind::WindowTableFunction(spec) => {
            Box::new(window::table_function::WindowTableFunction::new(&node.name, spec, &input()?, output)?)
        }
        Kind::WindowAggregate(spec) => window_aggregate::create(node, spec, output)?,
        Kind::Union(_) => Box::new(union::Union::new(output)),
        Kind::OverAggregate(spec) => over::create(node, spec, &input()?, output)?,
        Kind::Unnest(spec) => Box::new(unnest::Unnest::new(&node.name, spec, &input()?, output)?),
        Kind::Source(_) | Kind::Sink(_) => {
            return Err(malformed("is a source or a sink: a task drives it itself"));
        }
    })
}
