//! What jobs want done, made into actions: to whom which message goes, and what `service` is to do.

use std::sync::Arc;

use weir_api::id::{ExecutionId, JobId, TaskManagerId};

use super::event::Action;
use super::job::Effect;
use super::{Core, messages};

impl Core {
    /// What a job wants done.
    pub(super) fn apply(&mut self, id: JobId, effects: Vec<Effect>, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get(&id) else { return };
        for effect in effects {
            match effect {
                Effect::Persist => {
                    actions.push(Action::Persist { record: Box::new(job.record()), expected: job.version() });
                }
                Effect::Deploy(part) => {
                    for receiver in job.execution().managers_of(part.as_ref()) {
                        if let Some(session) = self.managers.session_of(&receiver) {
                            let body = messages::deploy(job, &self.managers, &receiver, part.as_ref());
                            actions.push(Action::Send(session, messages::message(self.epoch, body)));
                        }
                    }
                }
                Effect::CancelTasks(attempt, part) => {
                    let receivers = job.execution().managers_of(part.as_ref());
                    for session in receivers.iter().filter_map(|id| self.managers.session_of(id)) {
                        let body = messages::cancel(id, attempt, part.as_ref().map(|part| (part, job)));
                        actions.push(Action::Send(session, messages::message(self.epoch, body)));
                    }
                }
                Effect::Release(slots, stuck) => self.slots.release(id, &slots, stuck),
                Effect::Commit(attempt, checkpoint, sinks) => {
                    actions.push(Action::Commit { job: id, attempt, checkpoint, sinks });
                }
                Effect::Recover(recovery) => {
                    actions.push(Action::Recover { job: id, attempt: job.attempt(), recovery });
                }
                Effect::WriteSnapshot(write) => {
                    actions.push(Action::WriteSnapshot { job: id, epoch: self.epoch, write });
                }
                Effect::Order(order) => {
                    for (receiver, attempts) in job.execution().attempts() {
                        let Some(session) = self.managers.session_of(&receiver) else { continue };
                        for attempt in attempts {
                            let body = messages::order(job, attempt, &order);
                            actions.push(Action::Send(session, messages::message(self.epoch, body)));
                        }
                    }
                }
                Effect::Discard(discard) => {
                    let attempts = (job.execution().oldest_attempt(), job.attempt());
                    actions.push(Action::Discard { job: id, attempts, discard });
                }
                Effect::Discover(vertex) => {
                    actions.push(Action::Discover { job: id, vertex, known: Arc::clone(job.splits()) });
                }
                Effect::AddSplits(found) => {
                    let manager = job.execution().manager_of(found.subtask);
                    if let Some(session) = manager.and_then(|manager| self.managers.session_of(manager)) {
                        let body = messages::add_splits(job, found);
                        actions.push(Action::Send(session, messages::message(self.epoch, body)));
                    }
                }
                Effect::Abort(recovery) => {
                    actions.push(Action::Abort { job: id, attempt: job.attempt(), recovery });
                }
                Effect::StepDown(reason) => actions.push(Action::StepDown(reason)),
            }
        }
    }

    /// Stops a task that nobody waits for, and those that it is connected with.
    pub(super) fn send_cancel(&self, receiver: &TaskManagerId, task: &ExecutionId) -> Option<Action> {
        let session = self.managers.session_of(receiver)?;
        let job = self.jobs.get(&task.job);
        let region = job.map(|job| (job.regions().around([task.vertex]), job));
        let part = region.as_ref().filter(|(part, _)| !part.is_empty()).map(|(part, job)| (part, *job));
        let body = messages::cancel(task.job, task.attempt, part);
        Some(Action::Send(session, messages::message(self.epoch, body)))
    }
}
