//! What TaskManagers say to the JobManager: on its way, and in the core's words when it has come.

use weir_jobmanager::control::event::{Event, SessionId};
use weir_jobmanager::control::inbound;
use weir_proto::v1::TaskManagerMessage;
use weir_proto::v1::task_manager_message::Body;

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
        let event = if matches!(message.body, Some(Body::Register(_))) {
            let (epoch, info) = inbound::registration(message).unwrap();
            Event::Register { session, epoch, info }
        } else {
            let (epoch, said) = inbound::said(message).unwrap();
            Event::Said { session, epoch, said }
        };
        self.feed_master(event);
    }
}
