//! What the JobManager's messages say about checkpoints: checked, and in the words of tasks.

use weir_api::element::{Barrier, Purpose};
use weir_api::id::{Attempt, CheckpointId, JobId};
use weir_api::{Error, Result};
use weir_proto::v1::{AbortCheckpoint, CheckpointComplete, TriggerCheckpoint, trigger_checkpoint};

use super::machine::{job_attempt, malformed};
use crate::task::checkpoint::{Notice, Trigger};

/// To whom and what.
pub(super) type Addressed = (JobId, Attempt, Notice);

pub(super) fn trigger(message: TriggerCheckpoint) -> Result<Addressed> {
    use trigger_checkpoint::Purpose as P;
    let (job, attempt) = job_attempt(&message.job_id, message.attempt)?;
    let checkpoint = checkpoint(message.checkpoint_id)?;
    let purpose = match message.purpose() {
        P::Checkpoint if message.full => Purpose::FullCheckpoint,
        P::Checkpoint => Purpose::Checkpoint,
        P::Savepoint => Purpose::Savepoint,
        P::Suspend => Purpose::Suspend,
        P::Drain => Purpose::Drain,
        P::Unspecified => return Err(malformed(&format!("checkpoint {checkpoint} for no purpose"))),
    };
    if purpose.is_savepoint() && message.location.is_empty() {
        return Err(malformed(&format!("savepoint {checkpoint} without a folder")));
    }
    let (checkpoint_id, timestamp_millis) = (checkpoint.0, message.timestamp_millis);
    let barrier = Barrier { checkpoint_id, timestamp_millis, purpose };
    Ok((job, attempt, Notice::Trigger(Trigger { barrier, location: message.location })))
}

pub(super) fn complete(message: &CheckpointComplete) -> Result<Addressed> {
    let (job, attempt) = job_attempt(&message.job_id, message.attempt)?;
    Ok((job, attempt, Notice::Complete(checkpoint(message.checkpoint_id)?)))
}

pub(super) fn abort(message: &AbortCheckpoint) -> Result<Addressed> {
    let (job, attempt) = job_attempt(&message.job_id, message.attempt)?;
    Ok((job, attempt, Notice::Abort(checkpoint(message.checkpoint_id)?)))
}

fn checkpoint(id: u64) -> Result<CheckpointId, Error> {
    if id == 0 {
        Err(malformed("checkpoint 0, where checkpoints are counted from 1"))
    } else {
        Ok(CheckpointId(id))
    }
}
