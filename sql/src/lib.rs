//! weir-sql: Flink's SQL to a JobGraph.
//!
//! Owns: the dialect's parser, its types, the session with its tables and views, the streaming planner. Does not own: the
//! functions (`weir-functions`), what operators compute, connectors (it knows them through `weir_api::connector`).
//!
//! Read next: [`plan()`] for the way of a text, [`statement`] for what one says, [`catalog`] for what it declares, [`planner`]
//! for what becomes of a query.

pub mod catalog;
mod create_as;
mod deep;
pub mod error;
pub mod explain;
mod inspect;
pub mod parser;
pub mod planner;
mod request;
mod results;
mod script;
pub mod statement;
pub mod types;
mod written;

pub use planner::diff::{Change, Diff, Fate, Held, diff, diff_held};
pub use request::{Explained, PlanRequest, Planned, explain, plan};
pub use results::StatementResult;

#[cfg(test)]
mod tests;
