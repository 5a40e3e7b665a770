//! `get_field`: a field of a row, without copying a value.
//!
//! Invariant: where the row is NULL, so is the field, whatever the field's own column holds there. DataFusion's function, which
//! this one stands in for under its name, hands out the field's column as it is.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{
    ColumnarValue, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};
use datafusion_functions::core::getfield::GetFieldFunc;

static GET_FIELD: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(GetField { planning: GetFieldFunc::new() })));

/// The function.
pub(crate) fn get_field() -> Arc<ScalarUDF> {
    GET_FIELD.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct GetField {
    /// DataFusion's, which types, names and simplifies calls.
    planning: GetFieldFunc,
}

impl ScalarUDFImpl for GetField {
    fn name(&self) -> &str {
        self.planning.name()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.planning.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.planning.signature()
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.planning.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.planning.return_field_from_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.planning.simplify(args, info)
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.planning.placement(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((ColumnarValue::Array(row), names)) = args.args.split_first() else {
            return self.planning.invoke_with_args(args);
        };
        let mut column = row.clone();
        for name in names {
            match field(&column, name)? {
                Some(field) => column = field,
                // A map, or something that planning should have refused.
                None => return self.planning.invoke_with_args(args),
            }
        }
        Ok(ColumnarValue::Array(column))
    }
}

fn field(row: &ArrayRef, name: &ColumnarValue) -> Result<Option<ArrayRef>> {
    let (Some(row), ColumnarValue::Scalar(name)) = (row.as_struct_opt(), name) else {
        return Ok(None);
    };
    let Some(name) = ScalarValue::try_as_str(name).flatten() else {
        return Ok(None);
    };
    let Some(column) = row.column_by_name(name) else {
        return internal_err!("a row has no field '{name}'; plan the job again");
    };
    match row.nulls() {
        Some(nulls) if nulls.null_count() > 0 => {
            // Shares the column's values; only its validity is new.
            Ok(Some(nullif(column, &BooleanArray::new(!nulls.inner(), None))?))
        }
        _ => Ok(Some(column.clone())),
    }
}
