//! One function with what its users read about it.

use std::sync::Arc;

use datafusion_expr::ScalarUDF;

use crate::function::{Definition, Function};

/// A function with what its users read about it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub udf: Arc<ScalarUDF>,
    pub usage: &'static str,
    pub description: &'static str,
}

impl Entry {
    /// A function of DataFusion that means what Flink's means.
    pub const fn reused(udf: Arc<ScalarUDF>, usage: &'static str, description: &'static str) -> Self {
        Self { udf, usage, description }
    }

    pub fn own(definition: &'static Definition) -> Self {
        Self {
            udf: Arc::new(ScalarUDF::new_from_impl(Function::new(definition))),
            usage: definition.usage(),
            description: definition.description(),
        }
    }
}
