//! Expressions: decoded once, evaluated per batch.
//!
//! Invariant: an [`Expression`] fits its input schema, and its tree is no deeper than [`limits::MAX_DEPTH`]. Decoding never
//! panics; what can't be computed for a row becomes [`Code::Evaluation`] with the operator and the expression. Column references
//! pass through without a copy.

mod limits;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, Schema};
use datafusion_common::DataFusionError;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::collect_columns;
use datafusion_proto::physical_plan::DefaultPhysicalExtensionCodec;
use datafusion_proto::physical_plan::from_proto::parse_physical_expr;
use datafusion_proto::protobuf::PhysicalExprNode;
use prost::Message;
use weir_api::error::{Code, Error, Result};

/// A decoded expression over a schema.
#[derive(Clone, Debug)]
pub struct Expression {
    tree: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    operator: Arc<str>,
}

impl Expression {
    /// Decodes a `PhysicalExprNode` over `schema`. `operator` is named in errors; `time_zone` is the session's, `None` stands
    /// for UTC.
    pub fn decode(bytes: &[u8], schema: &Schema, operator: &str, time_zone: Option<&str>) -> Result<Self> {
        let malformed = |what: String| {
            Error::new(Code::MalformedMessage, format!("an expression of operator '{operator}' {what}"))
        };
        if bytes.len() > limits::MAX_BYTES {
            return Err(malformed(format!(
                "takes {} bytes; the limit is {}",
                bytes.len(),
                limits::MAX_BYTES
            )));
        }
        let node =
            PhysicalExprNode::decode(bytes).map_err(|error| malformed(format!("doesn't decode: {error}")))?;
        limits::check(&node).map_err(malformed)?;
        let context = weir_functions::task_context(time_zone);
        // Literals hold Arrow IPC, whose reader panics on malformed input.
        let tree = catch_unwind(AssertUnwindSafe(|| {
            let tree = parse_physical_expr(&node, &context, schema, &DefaultPhysicalExtensionCodec {})?;
            check_columns(&tree, schema)?;
            let data_type = tree.data_type(schema)?;
            Ok((tree, data_type))
        }))
        .map_err(|_| malformed("holds a value that doesn't fit its type".to_owned()))?;
        let (tree, data_type) =
            tree.map_err(|error: DataFusionError| malformed(format!("isn't valid: {error}")))?;
        Ok(Self { tree, data_type, operator: operator.into() })
    }

    /// The type of the values.
    #[must_use]
    pub const fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The value of every row.
    pub fn evaluate(&self, records: &RecordBatch) -> Result<ArrayRef> {
        let value = self.tree.evaluate(records).map_err(|error| self.error(error))?;
        let array = value.into_array(records.num_rows()).map_err(|error| self.error(error))?;
        if array.data_type() != &self.data_type || array.len() != records.num_rows() {
            return Err(Error::internal(format!(
                "the expression {} of operator '{}' is {} rows of {}, not {} of {}",
                self.tree,
                self.operator,
                array.len(),
                array.data_type(),
                records.num_rows(),
                self.data_type
            )));
        }
        Ok(array)
    }

    /// Which rows a boolean expression is true for; null is not true.
    pub fn evaluate_predicate(&self, records: &RecordBatch) -> Result<BooleanArray> {
        let array = self.evaluate(records)?;
        let mask = array.as_boolean_opt().ok_or_else(|| {
            Error::internal(format!(
                "the predicate {} of operator '{}' isn't boolean",
                self.tree, self.operator
            ))
        })?;
        Ok(if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() })
    }

    /// The positions of the columns that are read, ascending.
    #[must_use]
    pub fn columns(&self) -> Vec<usize> {
        let mut columns: Vec<usize> = collect_columns(&self.tree).iter().map(Column::index).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The same expression over a schema that holds only the columns `kept`, in that order.
    pub fn over_columns(&self, kept: &[usize]) -> Result<Self> {
        let tree = Arc::clone(&self.tree).transform_up(|node| {
            let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
            let position = kept.iter().position(|&index| index == column.index()).ok_or_else(|| {
                DataFusionError::Internal(format!("column {} isn't among those kept", column.index()))
            })?;
            Ok(Transformed::yes(Arc::new(Column::new(column.name(), position)) as Arc<dyn PhysicalExpr>))
        });
        let tree = tree.map_err(|error| self.error(error))?.data;
        Ok(Self { tree, data_type: self.data_type.clone(), operator: Arc::clone(&self.operator) })
    }

    fn error(&self, error: DataFusionError) -> Error {
        let code = match error.find_root() {
            DataFusionError::ArrowError(..)
            | DataFusionError::Execution(_)
            | DataFusionError::External(_) => Code::Evaluation,
            DataFusionError::NotImplemented(_) => Code::Unsupported,
            _ => Code::Internal,
        };
        Error::new(code, format!("operator '{}' could not compute {}", self.operator, self.tree))
            .with_source(error)
    }
}

/// A column beyond the schema would panic in the evaluation.
fn check_columns(tree: &Arc<dyn PhysicalExpr>, schema: &Schema) -> datafusion_common::Result<()> {
    match collect_columns(tree).iter().find(|column| column.index() >= schema.fields().len()) {
        Some(column) => Err(DataFusionError::Plan(format!(
            "it reads column {} of {}",
            column.index(),
            schema.fields().len()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
