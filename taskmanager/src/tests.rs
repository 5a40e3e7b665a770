//! Whole TaskManagers against a small JobManager of the tests' own, over gRPC on loopback.

mod exactly_once;
mod faults;
pub(crate) mod fixture;
mod jobs;
mod manager;
