//! State backends: where operators' tables and timers live while a task runs.
//!
//! Owns: the tables behind [`weir_api::state::backend`], laid out by key group, and the suite that every backend must pass. Does not
//! own: what snapshots look like at rest (`weir-snapshots`), when one is taken (`weir-taskmanager`), or the tables that operators
//! keep by themselves. Pure: no clock but the one that is given, no I/O, no threads.
//!
//! Read next: [`weir_api::state::backend`] for the contract, [`hashmap`] for the backend.

pub mod conformance;
pub mod hashmap;
pub mod operator_state;
