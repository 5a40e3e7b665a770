//! A task: one subtask of a chain, from its making on a slot's thread to its end.
//!
//! Owns: the resumable core ([`chain`]), where elements come from ([`head`]) and go to ([`tail`]), the waits between them
//! ([`driver`]), what is counted ([`metrics`]). Does not own: the thread (`slot`), channels (`network`), who starts it
//! (`deploy`).

pub mod aligner;
mod build;
mod chain;
pub mod checkpoint;
mod driver;
mod head;
mod inlet;
mod mailbox;
mod metrics;
mod reader;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use weir_api::error::Code;
use weir_api::id::ExecutionId;
use weir_api::{Error, Result};
use weir_proto::v1::TaskState;

pub(crate) use build::{Blueprint, Environment};
pub(crate) use mailbox::Mailbox;
pub(crate) use metrics::TaskMetrics;

use crate::deploy::Reports;
use crate::slot::{Committables, Turn};

/// How long a task that fails because a neighbour is gone keeps that to itself, so that the neighbour's own failure, the
/// cause, is told first. A cancellation ends the wait.
const COURTESY: Duration = Duration::from_millis(200);

/// Makes a task and runs it to its end.
pub(crate) async fn run(
    blueprint: Result<Blueprint>,
    turn: Turn,
    environment: Arc<Environment>,
    id: ExecutionId,
    reports: Reports,
) -> Result<Committables> {
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
) -> Result<Committables> {
    let blueprint = blueprint?;
    reports.state(id, TaskState::Initializing).await;
    let driver = blueprint.build(turn, environment)?;
    reports.state(id, TaskState::Running).await;
    driver.run().await
}

/// Whether the error tells of another task's end.
fn is_secondary(error: &Error) -> bool {
    matches!(error.code(), Code::ChannelClosed | Code::ConnectionLost)
}
