//! What TaskManagers say to the JobManager: on its way, and in the core's words when it has come.

use std::sync::Arc;

use weir_api::id::{
    Attempt, CheckpointId, ExecutionId, JobId, LeaderEpoch, SubtaskIndex, TaskManagerId, VertexIndex,
};
use weir_jobmanager::control::checkpoint::part::Part;
use weir_jobmanager::control::event::{Event, ManagerInfo, Said, SessionId};
use weir_jobmanager::control::task::TaskState;
use weir_proto::v1::task_manager_message::Body;
use weir_proto::v1::{self as proto, TaskManagerMessage};

use super::swarm::Kind;
use super::world::{Happening, Life, World};

impl World {
    pub(crate) fn send_to_master(
        &mut self,
        life: Life,
        session: SessionId,
        message: Box<TaskManagerMessage>,
    ) {
        let kind = match &message.body {
            Some(Body::CheckpointAcknowledged(_)) => Some(Kind::Acknowledge),
            Some(Body::CheckpointDeclined(_)) => Some(Kind::Decline),
            Some(Body::TaskState(_)) => Some(Kind::State),
            _ => None,
        };
        for wait in self.carry(session, life, true, kind) {
            self.after(wait, Happening::ToMaster(session, message.clone()));
        }
    }

    pub(crate) fn master_hears(&mut self, session: SessionId, message: TaskManagerMessage) {
        if !self.is_connected(session) {
            return;
        }
        let epoch = LeaderEpoch(message.leader_epoch);
        let Some(body) = message.body else { return };
        let said = match body {
            Body::Register(register) => {
                let info = info(register);
                self.feed_master(Event::Register { session, epoch, info });
                return;
            }
            Body::Heartbeat(_) => Said::Heartbeat,
            Body::Metrics(_) => return,
            Body::TaskState(changed) => {
                let Some(task) = execution(changed.task.as_ref()) else { return };
                let Some(state) = state(changed.state()) else { return };
                let part = changed.snapshot.and_then(|snapshot| Part::read(task.subtask, snapshot).ok());
                let part = part.map(|part| Arc::new(Part { finished: true, ..part }));
                Said::Task { task, state, failure: changed.failure, part }
            }
            Body::CheckpointAcknowledged(acknowledged) => {
                let Some(task) = execution(acknowledged.task.as_ref()) else { return };
                let snapshot = acknowledged.snapshot.unwrap_or_default();
                let Ok(part) = Part::read(task.subtask, snapshot) else { return };
                let checkpoint = CheckpointId(acknowledged.checkpoint_id);
                Said::Acknowledged { task, checkpoint, part: Box::new(part) }
            }
            Body::CheckpointDeclined(declined) => {
                let Some(task) = execution(declined.task.as_ref()) else { return };
                let checkpoint = CheckpointId(declined.checkpoint_id);
                Said::Declined { task, checkpoint, reason: declined.reason }
            }
        };
        self.feed_master(Event::Said { session, epoch, said });
    }
}

fn info(register: proto::Register) -> ManagerInfo {
    ManagerInfo {
        id: TaskManagerId::new(register.task_manager_id).unwrap(),
        data_address: register.data_address,
        metrics_address: register.metrics_address,
        slots: register.slots,
        version: register.version,
        host: register.host,
        cpu_cores: register.cpu_cores,
        physical_memory_bytes: register.physical_memory_bytes,
        network_memory_bytes: register.network_memory_bytes,
    }
}

fn execution(task: Option<&proto::SubtaskId>) -> Option<ExecutionId> {
    let task = task?;
    Some(ExecutionId {
        job: JobId::try_from_slice(&task.job_id).ok()?,
        attempt: Attempt(task.attempt),
        vertex: VertexIndex(task.vertex),
        subtask: SubtaskIndex(task.subtask),
    })
}

fn state(state: proto::TaskState) -> Option<TaskState> {
    Some(match state {
        proto::TaskState::Unspecified => return None,
        proto::TaskState::Created => TaskState::Created,
        proto::TaskState::Scheduled => TaskState::Scheduled,
        proto::TaskState::Deploying => TaskState::Deploying,
        proto::TaskState::Initializing => TaskState::Initializing,
        proto::TaskState::Running => TaskState::Running,
        proto::TaskState::Finished => TaskState::Finished,
        proto::TaskState::Canceling => TaskState::Canceling,
        proto::TaskState::Canceled => TaskState::Canceled,
        proto::TaskState::Failed => TaskState::Failed,
    })
}
