//! What registered TaskManagers say, and which of it still counts.

use weir_api::id::{ExecutionId, LeaderEpoch, TaskManagerId};
use weir_proto::v1 as proto;

use super::Core;
use super::event::{Action, Said, SessionId};
use super::job::exceptions::Exception;
use super::job::running::TaskReport;
use super::now::Now;
use super::task::TaskState;

impl Core {
    pub(super) fn said(
        &mut self,
        session: SessionId,
        epoch: LeaderEpoch,
        said: Said,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        if epoch != self.epoch {
            return;
        }
        let Some(manager) = self.managers.beat(session, now) else { return };
        match said {
            Said::Heartbeat => {}
            Said::Task { task, state, failure, part } => {
                let failure = failure.map(|failure| exception(failure, now));
                let report = TaskReport { vertex: task.vertex, subtask: task.subtask, state, failure, part };
                self.task_said(&manager, task, report, now, actions);
            }
            Said::Acknowledged { task, checkpoint, part } => {
                if self.counts(&manager, &task) {
                    let from = (task.vertex, task.subtask);
                    self.with_job(task.job, actions, |job, effects| {
                        job.checkpoint_acknowledged(from, checkpoint, *part, now, effects);
                    });
                }
            }
            Said::Declined { task, checkpoint, reason } => {
                if self.counts(&manager, &task) {
                    let from = (task.vertex, task.subtask);
                    self.with_job(task.job, actions, |job, effects| {
                        job.checkpoint_declined(from, checkpoint, reason, now, effects);
                    });
                }
            }
            Said::Metrics { tasks, process } => {
                if let Some(process) = process {
                    self.managers.measured(&manager, process);
                }
                for (task, metrics) in tasks {
                    let Some(job) = self.jobs.get_mut(&task.job) else { continue };
                    let placed_here = job.execution().manager_of(task.subtask) == Some(&manager);
                    if job.execution().attempt_of(task.vertex) == Some(task.attempt) && placed_here {
                        job.task_measured(task.vertex, task.subtask, metrics, now);
                    }
                }
            }
        }
    }

    /// Whether the TaskManager may speak for the task: it belongs to the attempt of its region that is out, and was placed there.
    fn counts(&self, manager: &TaskManagerId, task: &ExecutionId) -> bool {
        self.jobs.get(&task.job).is_some_and(|job| {
            job.execution().attempt_of(task.vertex) == Some(task.attempt)
                && job.has_tasks_of(task.vertex)
                && job.execution().manager_of(task.subtask) == Some(manager)
        })
    }

    fn task_said(
        &mut self,
        manager: &TaskManagerId,
        task: ExecutionId,
        report: TaskReport,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let random = self.random_of();
        if self.counts(manager, &task) {
            self.with_job(task.job, actions, |job, effects| job.task_reported(report, now, random, effects));
        } else if report.state.is_terminal() {
            self.slots.drained(manager, &task);
        } else if report.state != TaskState::Canceling {
            // A task that nobody waits for any more.
            actions.extend(self.send_cancel(manager, &task));
        }
    }
}

fn exception(failure: proto::Failure, now: Now) -> Exception {
    // The moment of a TaskManager's clock, if it can be one.
    let reported = i64::try_from(failure.timestamp_millis).ok().filter(|millis| *millis > 0);
    let unix_millis = reported.unwrap_or(now.unix_millis);
    Exception::reported(failure.code, failure.message, failure.restartable, unix_millis)
}
