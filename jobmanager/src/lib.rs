//! The JobManager: plans are submitted to it, it schedules them on TaskManagers, watches over them, and answers REST.
//!
//! Owns: jobs' lives, slots, restarts, leadership, metadata, the JobManager's end of the session with TaskManagers, splits and
//! commits, REST. Does not own: SQL (`weir-sql`), connectors (it knows them through `weir_api::connector`), or anything that
//! touches a row.
//!
//! Read next: [`control`] for what is decided, `service` for how it is done, [`metadata`] for what survives, `rest` for how it
//! looks from outside.

mod commit;
pub mod control;
mod discover;
pub mod metadata;
mod options;
mod rest;
mod service;
mod session;
mod snapshots;
mod start;
pub mod submit;

pub use options::Options;
pub use rest::FLINK_VERSION;
pub use start::{Handle, JobManager};

#[cfg(test)]
mod tests;
