//! The configuration keys that change a plan.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_api::config::{Configuration, Value, options};
use weir_api::error::{Code, Error, Result};
use weir_api::graph::LARGEST_MAX_PARALLELISM;
use weir_proto::v1::TableSpec;

/// What the planner reads of a job's configuration.
pub(super) struct PlannerConfig {
    /// The parallelism of operators that say nothing else.
    pub parallelism: u32,
    /// The number of key groups.
    pub max_parallelism: u32,
    /// Whether operators that exchange no data run in one task.
    pub chaining: bool,
    /// The session's time zone.
    pub time_zone: String,
    /// The job's name, if it has one.
    pub name: Option<String>,
    /// All keys, for the job graph.
    pub all: BTreeMap<String, String>,
    idle_timeout: Duration,
    state_ttl: Duration,
}

impl PlannerConfig {
    /// Reads and checks the keys.
    pub fn new(configuration: &Configuration) -> Result<Self> {
        let max_parallelism = configuration.get(&options::MAX_PARALLELISM);
        if max_parallelism > LARGEST_MAX_PARALLELISM {
            let message = format!(
                "'pipeline.max-parallelism' is {max_parallelism}; at most {LARGEST_MAX_PARALLELISM} is possible"
            );
            return Err(Error::new(Code::InvalidConfiguration, message));
        }
        let parallelism = configuration.get(&options::PARALLELISM_DEFAULT);
        if parallelism > max_parallelism {
            let message = format!(
                "the parallelism {parallelism} ('parallelism.default') is over 'pipeline.max-parallelism', {max_parallelism}"
            );
            return Err(Error::new(Code::InvalidConfiguration, message));
        }
        Ok(Self {
            parallelism,
            max_parallelism,
            chaining: configuration.get(&options::OPERATOR_CHAINING),
            time_zone: configuration.get(&options::LOCAL_TIME_ZONE),
            name: Some(configuration.get(&options::PIPELINE_NAME)).filter(|name| !name.is_empty()),
            all: configuration.values().clone(),
            idle_timeout: configuration.get(&options::SOURCE_IDLE_TIMEOUT),
            state_ttl: configuration.get(&options::STATE_TTL),
        })
    }

    /// After how long without a change keyed state is forgotten; 0: never.
    pub fn state_ttl_millis(&self) -> u64 {
        u64::try_from(self.state_ttl.as_millis()).unwrap_or(u64::MAX)
    }

    /// After how long without a record a split of the table is idle; 0: never.
    pub fn idle_timeout_millis(&self, table: &TableSpec) -> Result<u64> {
        const KEY: &str = "scan.watermark.idle-timeout";
        let timeout = match table.options.get(KEY) {
            Some(text) => Duration::parse(text).map_err(|expected| {
                let message = format!("table {}: '{KEY}' is '{text}'; {expected} belongs here", table.name);
                Error::new(Code::TableOptions, message)
            })?,
            None => self.idle_timeout,
        };
        Ok(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
    }
}
