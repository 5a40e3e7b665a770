//! The worker: slots that run tasks, the network between them, the session with the JobManager.
//!
//! Owns: a process's slots, the driving of operator chains, the data plane ([`network`]), what is reported of
//! tasks. Does not own: what operators compute (`weir-operators`), connectors (given to it as a registry), scheduling
//! (`weir-jobmanager`, which it knows only as a gRPC service), checkpoint files. It never sees SQL.
//!
//! Read next: [`TaskManager::start`], then `task/chain.rs` for how a task works and `session/machine.rs` for how it comes to be.

mod deploy;
mod metrics;
pub mod network;
mod options;
mod planted;
pub mod protocol;
mod region;
mod service;
mod session;
mod slot;
mod snapshot;
mod task;
#[cfg(test)]
mod tests;

pub use options::Options;
pub use service::{Handle, TaskManager};
