//! Expressions as operators get them.
//!
//! An expression travels as the bytes of a `datafusion_proto::protobuf::PhysicalExprNode` (prost), written by
//! `datafusion_proto::physical_plan::to_proto::serialize_physical_expr` with the `DefaultPhysicalExtensionCodec`. It is a
//! physical expression over the operator's input schema: a column is its name and its position there. Functions are carried by
//! name alone; the decoder finds them in a registry filled with `weir_functions::scalar_udfs()`, where `get_field(row, 'name')`
//! is the access to a struct's field. To decode: `PhysicalExprNode::decode(bytes)`, then
//! `datafusion_proto::physical_plan::from_proto::parse_physical_expr(&node, &task_context, &input_schema, &codec)` with the
//! same codec.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_proto::physical_plan::DefaultPhysicalExtensionCodec;
use datafusion_proto::physical_plan::to_proto::serialize_physical_expr;
use datafusion_proto::protobuf::PhysicalExprNode;
use prost::Message;
use weir_api::error::{Code, Error, Result};

use super::names;

/// The most bytes of an expression; as the operators' limit.
const MAX_BYTES: usize = 1 << 20;
/// The deepest expression; as the operators' limit.
const MAX_DEPTH: usize = 500;
/// The most characters of an expression in an error.
const MAX_SHOWN: usize = 120;

/// The expression over rows of `schema`.
pub(super) fn physical(expression: &Expr, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let columns = DFSchema::try_from(schema.clone()).map_err(|error| problem(expression, &error))?;
    create_physical_expr(expression, &columns, &ExecutionProps::new(), &PhysicalPlanningContext::default())
        .map_err(|error| problem(expression, &error))
}

/// The expression over rows of `schema`, as bytes.
pub(super) fn encode(expression: &Expr, schema: &Schema) -> Result<Vec<u8>> {
    let physical = physical(expression, schema)?;
    let node = serialize_physical_expr(&physical, &DefaultPhysicalExtensionCodec {})
        .map_err(|error| problem(expression, &error))?;
    let bytes = node.encode_to_vec();
    // What decodes it bounds depth and size; better to say so now than when the job starts.
    if bytes.len() > MAX_BYTES
        || depth(&physical) > MAX_DEPTH
        || PhysicalExprNode::decode(bytes.as_slice()).is_err()
    {
        let shown: String = names::expression_text(expression).chars().take(MAX_SHOWN).collect();
        let message = format!(
            "an expression is nested too deeply, or too long, to be run ('{shown}…'): split it into columns of a view"
        );
        return Err(Error::new(Code::Unsupported, message));
    }
    Ok(bytes)
}

fn depth(expression: &Arc<dyn PhysicalExpr>) -> usize {
    1 + expression.children().into_iter().map(depth).max().unwrap_or(0)
}

fn problem(expression: &Expr, error: &datafusion::common::DataFusionError) -> Error {
    Error::internal(format!("the expression '{expression}' can't be made: {}", error.strip_backtrace()))
}
