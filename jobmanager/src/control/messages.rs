//! The messages that the core sends.
//!
//! Invariant: every one names the leader's epoch; a deployment carries only the splits of subtasks that its receiver runs.

use weir_api::id::{Attempt, JobId, LeaderEpoch, TaskManagerId, VertexIndex};
use weir_proto::v1::{
    AbortCheckpoint, AddSplits, CancelTasks, CheckpointComplete, DeployTasks, JobManagerHeartbeat,
    JobManagerMessage, Registered, Restore, SlotPlacement, SubtaskId, TriggerCheckpoint,
    job_manager_message::Body, trigger_checkpoint::Purpose,
};

use super::checkpoint::{Kind, Savepoint, Stop};
use super::job::Job;
use super::job::checkpoints::Order;
use super::job::discovery::Found;
use super::managers::Managers;
use super::regions::Vertices;

/// Everything sent names the epoch it was sent under.
#[must_use]
pub fn message(epoch: LeaderEpoch, body: Body) -> Box<JobManagerMessage> {
    Box::new(JobManagerMessage { leader_epoch: epoch.0, body: Some(body) })
}

/// The answer to a registration.
#[must_use]
pub fn registered(interval: std::time::Duration, timeout: std::time::Duration) -> Body {
    Body::Registered(Registered {
        heartbeat_interval_millis: u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
        heartbeat_timeout_millis: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
    })
}

/// A sign of life.
#[must_use]
pub fn heartbeat(sequence: u64) -> Body {
    Body::Heartbeat(JobManagerHeartbeat { sequence })
}

/// Stops the tasks of the job up to this attempt: all, or those of some of its regions.
#[must_use]
pub fn cancel(job: JobId, attempt: Attempt, part: Option<(&Vertices, &Job)>) -> Body {
    let (mut vertices, mut edges) = (Vec::new(), Vec::new());
    if let Some((part, job)) = part {
        vertices.extend(part.iter().map(|vertex| vertex.0));
        let all = (0..).zip(job.spec().graph.edges());
        let own = all.filter(|(_, edge)| part.contains(&VertexIndex(edge.source as u32)));
        edges.extend(own.map(|(position, _)| position));
    }
    Body::Cancel(CancelTasks { job_id: job.as_bytes().to_vec(), attempt: attempt.0, vertices, edges })
}

/// Splits that were found while the job runs, for a task that is out.
#[must_use]
pub fn add_splits(job: &Job, found: Found) -> Body {
    let task = SubtaskId {
        job_id: job.id().as_bytes().to_vec(),
        attempt: job.execution().attempt_of(found.vertex).unwrap_or_default().0,
        vertex: found.vertex.0,
        subtask: found.subtask.0,
    };
    Body::AddSplits(AddSplits { task: Some(task), first: found.first, splits: found.splits })
}

/// A word on a checkpoint to the tasks that were deployed with this attempt.
#[must_use]
pub fn order(job: &Job, attempt: Attempt, order: &Order) -> Body {
    let (job_id, attempt) = (job.id().as_bytes().to_vec(), attempt.0);
    match order {
        Order::Trigger { checkpoint, unix_millis, kind, location } => {
            let purpose = match kind {
                Kind::Periodic | Kind::Requested { .. } => Purpose::Checkpoint,
                Kind::Savepoint(Savepoint { stop: None, .. }) => Purpose::Savepoint,
                Kind::Savepoint(Savepoint { stop: Some(Stop::Suspend), .. }) => Purpose::Suspend,
                Kind::Savepoint(Savepoint { stop: Some(Stop::Drain), .. }) => Purpose::Drain,
            };
            Body::TriggerCheckpoint(TriggerCheckpoint {
                job_id,
                attempt,
                checkpoint_id: checkpoint.0,
                timestamp_millis: *unix_millis,
                purpose: purpose.into(),
                location: location.clone(),
                full: job.wants_full_checkpoint(kind),
            })
        }
        Order::Complete(checkpoint) => {
            Body::CheckpointComplete(CheckpointComplete { job_id, attempt, checkpoint_id: checkpoint.0 })
        }
        Order::Abort(checkpoint) => {
            Body::AbortCheckpoint(AbortCheckpoint { job_id, attempt, checkpoint_id: checkpoint.0 })
        }
    }
}

/// The job's present attempt, as one TaskManager gets it; `part`: only these vertices start.
#[must_use]
pub fn deploy(job: &Job, managers: &Managers, receiver: &TaskManagerId, part: Option<&Vertices>) -> Body {
    let placement = job.execution().placement();
    let runs = |subtask: u32| placement.get(subtask as usize).is_some_and(|slot| slot.manager == *receiver);
    let starts = |vertex: u32| part.is_none_or(|part| part.contains(&VertexIndex(vertex)));
    Body::Deploy(DeployTasks {
        job_id: job.id().as_bytes().to_vec(),
        attempt: job.attempt().0,
        graph: Some(job.spec().graph.as_ref().into()),
        placement: placement
            .iter()
            .map(|slot| SlotPlacement {
                task_manager_id: slot.manager.as_str().to_owned(),
                data_address: managers
                    .get(&slot.manager)
                    .map(|manager| manager.info.data_address.clone())
                    .unwrap_or_default(),
                slot: slot.index.0,
            })
            .collect(),
        splits: (job.deployed_splits().iter())
            .filter(|assignment| runs(assignment.subtask) && starts(assignment.vertex))
            .cloned()
            .collect(),
        restore: job.restored().map(|restored| Restore {
            path: restored.snapshot.path.clone(),
            checkpoint_id: restored.snapshot.checkpoint.0,
            owned: !restored.snapshot.is_savepoint,
        }),
        checkpoint_location: job.snapshot_places().checkpoints.clone(),
        vertices: part.into_iter().flatten().map(|vertex| vertex.0).collect(),
    })
}
