//! A task: one subtask of a chain, from its making on a slot's thread to its end.
//!
//! Owns: the resumable core ([`chain`]), where elements come from ([`head`]) and go to ([`tail`]), the waits between them
//! ([`driver`]), what is counted ([`metrics`]). Does not own: the thread (`slot`), channels (`network`), who starts it
//! (`deploy`).

pub mod aligner;
mod build;
mod chain;
pub mod checkpoint;
pub(crate) mod control;
mod driver;
mod freeze;
mod head;
mod inlet;
mod mailbox;
mod metrics;
mod reader;
mod restore;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use weir_api::error::Code;
use weir_api::id::CheckpointId;
use weir_api::id::ExecutionId;
use weir_api::sink::Committable;
use weir_api::{Error, Result};
use weir_proto::v1::{Split, TaskSnapshot, TaskState};

pub(crate) use build::{Blueprint, Environment};
pub(crate) use freeze::{FrozenOperator, Snapshot};
#[cfg(test)]
pub(crate) use mailbox::Letter;
pub(crate) use mailbox::Mailbox;
pub(crate) use metrics::TaskMetrics;

use crate::deploy::Reports;
use crate::slot::Turn;
use crate::snapshot::{self, Owner};

/// How long a task that fails because a neighbour is gone keeps that to itself, so that the neighbour's own failure, the
/// cause, is told first. A cancellation ends the wait.
const COURTESY: Duration = Duration::from_millis(200);

/// What a task that has come to the end of its input leaves, its sink's output that isn't known to be committed included.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Its part of every later checkpoint.
    pub(crate) snapshot: TaskSnapshot,
}

impl Finished {
    fn new(
        owner: &Owner,
        splits: Option<Vec<Split>>,
        prepared: Vec<(CheckpointId, Vec<Committable>)>,
        newest: CheckpointId,
    ) -> Result<Self> {
        Ok(Self { snapshot: snapshot::final_part(owner, splits, prepared, newest)? })
    }
}

/// Makes a task and runs it to its end.
pub(crate) async fn run(
    blueprint: Result<Blueprint>,
    turn: Turn,
    environment: Arc<Environment>,
    id: ExecutionId,
    reports: Reports,
) -> Result<Finished> {
    let result = try_run(blueprint, turn, &environment, id, &reports).await;
    if result.as_ref().is_err_and(is_secondary) {
        tokio::time::sleep(COURTESY).await;
    }
    result
}

async fn try_run(
    blueprint: Result<Blueprint>,
    turn: Turn,
    environment: &Environment,
    id: ExecutionId,
    reports: &Reports,
) -> Result<Finished> {
    let blueprint = blueprint?;
    reports.state(id, TaskState::Initializing).await;
    let mut driver = blueprint.build(turn, environment, reports)?;
    driver.restore().await?;
    reports.state(id, TaskState::Running).await;
    driver.run().await
}

/// Whether the error tells of another task's end.
fn is_secondary(error: &Error) -> bool {
    matches!(error.code(), Code::ChannelClosed | Code::ConnectionLost)
}
