//! weir-sql: Flink's SQL to a JobGraph.
//!
//! Owns: the dialect's parser, its types, the session with its tables and views, the streaming planner. Does not own: the
//! functions (`weir-functions`), what operators compute, connectors (it knows them through `weir_api::connector`).
//!
//! Read next: [`statement`] for what a text says, [`catalog`] for what it declares.

pub mod catalog;
pub mod error;
pub mod parser;
pub mod statement;
pub mod types;
