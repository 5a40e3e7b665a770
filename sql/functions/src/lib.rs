//! weir-functions: Flink's scalar functions as DataFusion UDFs.
//!
//! Owns: which functions there are, what they take, return, and compute. `weir-sql` types expressions with them, `weir-operators`
//! evaluates them; in between they travel by name. Does not own: aggregates and window functions (`weir-operators`), operators
//! like `+` and `LIKE` and native casts (DataFusion and Arrow).
//!
//! Read next: `function` for the shape of a function, then a family: `string`, `regexp`, `hash`, `math`, `conditional`,
//! `time`, `nested`, `json`, `cast`; [`registry`](mod@registry) for how expressions find them.

mod aggregates;
mod arguments;
mod cast;
mod catalog;
mod column;
mod conditional;
mod entry;
mod examples;
mod function;
mod hash;
mod json;
mod math;
mod nested;
mod parameter;
mod planner;
mod reference;
mod regexp;
mod registry;
mod returns;
mod string;
mod time;
mod type_name;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion_expr::ScalarUDF;

pub use aggregates::{AGGREGATES, Aggregate, why_absent};
pub use examples::{Example, example_text};
pub use planner::FlinkExprPlanner;
pub use reference::reference;
pub use registry::{Registry, registry, task_context};

/// All functions, each with its aliases.
#[must_use]
pub fn scalar_udfs() -> Vec<Arc<ScalarUDF>> {
    catalog::ENTRIES.iter().map(|entry| entry.udf.clone()).collect()
}

/// What users read about a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// The name, in lower case.
    pub name: String,
    /// Other names for the same function.
    pub aliases: Vec<String>,
    /// How it is called.
    pub signature: &'static str,
    /// What it returns.
    pub description: &'static str,
    /// A call, and what it gives; none for what queries don't call by name.
    pub example: Option<Example>,
}

/// Describes all functions, by name.
#[must_use]
pub fn describe() -> Vec<Description> {
    let mut all: Vec<Description> = catalog::ENTRIES
        .iter()
        .map(|entry| Description {
            name: entry.udf.name().to_owned(),
            aliases: entry.udf.aliases().to_vec(),
            signature: entry.usage,
            description: entry.description,
            example: examples::of(entry.udf.name()),
        })
        .collect();
    all.sort_by(|left, right| left.name.cmp(&right.name));
    all
}
