//! Deployment: from a message of the JobManager to running tasks, and their cancellation.
//!
//! Owns: what is placed here ([`plan`]), the order of starting, which tasks run ([`running`]), what they report ([`reports`]).
//! Does not own: who may command (`session::fence`), how a task works (`task`).

mod executor;
mod plan;
mod reports;
mod running;

pub(crate) use executor::{Command, Executor};
pub(crate) use reports::{Report, Reports};
pub(crate) use running::{Running, subtask_id};
