//! All functions with their descriptions.

use std::sync::{Arc, LazyLock};

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

    fn own(definition: &'static Definition) -> Self {
        Self {
            udf: Arc::new(ScalarUDF::new_from_impl(Function::new(definition))),
            usage: definition.usage(),
            description: definition.description(),
        }
    }
}

/// Every function, made once per process.
pub(crate) static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let mut entries = Vec::new();
    entries.extend(crate::string::reused());
    entries.extend(crate::nested::reused());
    entries.extend(crate::conditional::lazy());
    let own = crate::string::definitions()
        .chain(crate::regexp::definitions())
        .chain(crate::hash::definitions())
        .chain(crate::math::definitions())
        .chain(crate::conditional::definitions())
        .chain(crate::nested::definitions())
        .chain(crate::time::definitions())
        .chain(crate::json::definitions())
        .chain(crate::cast::definitions());
    entries.extend(own.map(Entry::own));
    entries
});
