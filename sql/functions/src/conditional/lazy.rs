//! Functions that DataFusion's simplifier turns into another expression, and that compute the same where it doesn't run.

use std::hash::{Hash, Hasher};

use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::Result;
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use crate::function::{Definition, Function};

/// The expression that a call stands for.
pub(super) type Rewrite = fn(Vec<Expr>) -> Result<Expr>;

/// A function with the expression that it stands for.
pub(super) struct Lazy {
    function: Function,
    rewrite: Rewrite,
}

impl Lazy {
    pub fn new(definition: &'static Definition, rewrite: Rewrite) -> Self {
        Self { function: Function::new(definition), rewrite }
    }
}

impl std::fmt::Debug for Lazy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.function.fmt(f)
    }
}

impl PartialEq for Lazy {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl Eq for Lazy {}

impl Hash for Lazy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl ScalarUDFImpl for Lazy {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.function.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        (self.rewrite)(args).map(ExprSimplifyResult::Simplified)
    }

    /// Common subexpressions aren't computed ahead of the choice.
    fn short_circuits(&self) -> bool {
        true
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        let (eager, lazy) = args.split_at_checked(1)?;
        Some((eager.iter().collect(), lazy.iter().collect()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.function.invoke_with_args(args)
    }
}
