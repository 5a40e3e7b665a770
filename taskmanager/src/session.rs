//! The session with the JobManager: one stream, dialled by the TaskManager, that lives as long as its registration.
//!
//! Owns: when to dial, heartbeats, who may command ([`fence`]), the loss of the session ([`machine`]) and its I/O ([`shell`]).
//! Does not own: what a command does (`deploy`).

pub mod backoff;
mod fence;
pub mod machine;
mod notice;
mod shell;

pub(crate) use backoff::Backoff;
pub(crate) use machine::Machine;
pub(crate) use shell::Session;
