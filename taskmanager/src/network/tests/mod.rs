//! The data plane as tasks use it: whole ways from a partition to a gate.
#![expect(clippy::unwrap_used, reason = "tests")]

mod fixture;
mod hostile;
mod local;
mod remote;
