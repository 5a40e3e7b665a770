//! State backends: where operators' tables and timers live while a task runs.
//!
//! Owns: the tables behind the traits of `weir_api::state`, laid out by key group. Does not own: what snapshots look like at rest
//! (`weir-snapshots`), or when one is taken (`weir-taskmanager`).
