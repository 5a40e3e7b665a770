//! What the JobManager needs of a planner: SQL to a job graph.
//!
//! A trait, so that the service can be tested without SQL; the real one is [`SqlPlanner`](super::sql_planner::SqlPlanner).

use weir_api::config::{Configuration, Warning};
use weir_api::connector::ConnectorRegistry;
use weir_api::error::Result;
use weir_api::graph::JobGraph;
use weir_sql::StatementResult;
use weir_sql::explain::PlanDocument;

/// What there is to plan.
#[derive(Clone)]
pub struct Request {
    /// The statements.
    pub sql: String,
    /// The job's name; else the planner makes one.
    pub name: Option<String>,
    /// How many parallel subtasks, above what the statements say; else they and the configuration decide.
    pub parallelism: Option<u32>,
    /// The cluster's and the job's configuration.
    pub config: Configuration,
    /// The connectors.
    pub registry: ConnectorRegistry,
}

/// A plan.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What is to be run; `None` if the statements only ask.
    pub graph: Option<JobGraph>,
    /// What they answer.
    pub results: Vec<StatementResult>,
    /// What the author should hear about.
    pub warnings: Vec<Warning>,
}

/// A plan for people.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The text.
    pub text: String,
    /// The same for programs.
    pub plans: Vec<PlanDocument>,
    /// What the author should hear about.
    pub warnings: Vec<Warning>,
}

/// Plans SQL.
pub trait Planner: Send + Sync {
    /// The job that the statements make.
    fn plan(&self, request: Request) -> Result<Planned>;

    /// How it would be run.
    fn explain(&self, request: Request) -> Result<Explained>;
}
