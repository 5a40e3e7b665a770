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
use prost::Message;
use weir_api::error::{Error, Result};

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
    Ok(node.encode_to_vec())
}

fn problem(expression: &Expr, error: &datafusion::common::DataFusionError) -> Error {
    Error::internal(format!("the expression '{expression}' can't be made: {}", error.strip_backtrace()))
}
