//! Functions found by name: what decodes expressions, and what names the nearest function when there is none.
//!
//! An encoded expression names its functions. The encoding side needs nothing but DataFusion's default codec; the decoding side
//! passes [`task_context`] to `datafusion_proto`'s `parse_physical_expr`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use datafusion_common::{Result, plan_err};
use datafusion_execution::TaskContext;
use datafusion_execution::config::SessionConfig;
use datafusion_execution::runtime_env::RuntimeEnv;
use datafusion_expr::planner::ExprPlanner;
use datafusion_expr::registry::FunctionRegistry;
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};

use crate::catalog::ENTRIES;
use crate::planner::FlinkExprPlanner;

/// All functions by name and alias, in lower case.
#[derive(Clone, Debug)]
pub struct Registry {
    by_name: HashMap<String, Arc<ScalarUDF>>,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut by_name = HashMap::new();
    // Names before aliases: an alias never hides a function's own name.
    for entry in ENTRIES.iter() {
        by_name.insert(entry.udf.name().to_owned(), entry.udf.clone());
    }
    for entry in ENTRIES.iter() {
        for alias in entry.udf.aliases() {
            by_name.entry(alias.clone()).or_insert_with(|| entry.udf.clone());
        }
    }
    Registry { by_name }
});

/// The registry, made once per process.
#[must_use]
pub fn registry() -> &'static Registry {
    &REGISTRY
}

impl Registry {
    /// The function with this name or alias, in any case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.by_name.get(name).or_else(|| self.by_name.get(&name.to_ascii_lowercase()))
    }

    /// All functions by name and alias.
    #[must_use]
    pub const fn scalar_functions(&self) -> &HashMap<String, Arc<ScalarUDF>> {
        &self.by_name
    }
}

impl FunctionRegistry for Registry {
    fn udfs(&self) -> HashSet<String> {
        self.by_name.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn udafs(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn udwfs(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn udf(&self, name: &str) -> Result<Arc<ScalarUDF>> {
        match self.find(name) {
            Some(function) => Ok(function.clone()),
            None => plan_err!("there is no function {name}"),
        }
    }

    fn higher_order_function(&self, name: &str) -> Result<Arc<HigherOrderUDF>> {
        plan_err!("there is no function {name} that takes functions")
    }

    fn udaf(&self, name: &str) -> Result<Arc<AggregateUDF>> {
        plan_err!("{name} isn't a scalar function")
    }

    fn udwf(&self, name: &str) -> Result<Arc<WindowUDF>> {
        plan_err!("{name} isn't a scalar function")
    }

    fn expr_planners(&self) -> Vec<Arc<dyn ExprPlanner>> {
        vec![Arc::new(FlinkExprPlanner)]
    }
}

/// The context in which expressions are decoded and evaluated. `time_zone` is `table.local-time-zone`; `None` stands for UTC.
#[must_use]
pub fn task_context(time_zone: Option<&str>) -> TaskContext {
    let mut config = SessionConfig::new();
    config.options_mut().execution.time_zone = time_zone.map(str::to_owned);
    TaskContext::new(
        None,
        "weir".to_owned(),
        config,
        registry().by_name.clone(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        Arc::new(RuntimeEnv::default()),
    )
}
