//! The data plane as tasks use it: whole ways from a partition to a gate.

mod fixture;
mod hostile;
mod local;
mod remote;
