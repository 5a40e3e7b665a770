//! What a job does about the reports of its tasks and about failures.

use std::sync::Arc;

use weir_api::error::Code;
use weir_api::id::{SubtaskIndex, TaskManagerId, VertexIndex};
use weir_proto::v1::SubtaskMetrics;

use super::exceptions::Exception;
use super::partial;
use super::phase::{Next, Phase};
use super::status::JobStatus;
use super::writes::Reason;
use super::{Effect, Job};
use crate::control::checkpoint::part::{Part, sink_commits};
use crate::control::now::Now;
use crate::control::restart::Decision;
use crate::control::task::TaskState;

/// What a job can't help: its processes, or the ways between them, went away.
const LOSSES: [Code; 2] = [Code::TaskManagerLost, Code::ConnectionLost];

/// A task's report of its state, read and checked.
#[derive(Clone, Debug)]
pub struct TaskReport {
    /// The task's vertex.
    pub vertex: VertexIndex,
    /// Which of its subtasks.
    pub subtask: SubtaskIndex,
    /// The state it has entered.
    pub state: TaskState,
    /// With [`TaskState::Failed`].
    pub failure: Option<Exception>,
    /// With [`TaskState::Finished`]: what it leaves to every later checkpoint, uncommitted output included.
    pub part: Option<Arc<Part>>,
}

impl Job {
    /// A task of the present attempt has entered a state.
    pub fn task_reported(&mut self, report: TaskReport, now: Now, random: f64, effects: &mut Vec<Effect>) {
        let (vertex, subtask) = (report.vertex, report.subtask);
        let advanced = match report.state {
            TaskState::Finished => {
                self.execution.finished(vertex, subtask, report.part.unwrap_or_default(), now.unix_millis)
            }
            state => self.execution.advance(vertex, subtask, state, now.unix_millis),
        };
        if !advanced {
            return;
        }
        match report.state {
            TaskState::Failed => {
                let failure = report.failure.unwrap_or_else(|| {
                    Exception::of_job(Code::Internal, "the task failed without saying why", now.unix_millis)
                });
                self.failed(self.locate(failure, vertex, subtask), now, random, effects);
            }
            TaskState::Canceled if matches!(self.phase, Phase::Running { .. }) || self.survives(vertex) => {
                let failure = Exception::of_job(
                    Code::TaskManagerLost,
                    "the TaskManager cancelled the task",
                    now.unix_millis,
                );
                self.failed(self.locate(failure, vertex, subtask), now, random, effects);
            }
            state => self.tell_coordinator((vertex, subtask), state, now, effects),
        }
        self.look_for_the_end(now, effects);
    }

    /// A task of the present attempt has reported counters.
    pub fn task_measured(
        &mut self,
        vertex: VertexIndex,
        subtask: SubtaskIndex,
        metrics: SubtaskMetrics,
        now: Now,
    ) {
        if let Some(task) = self.execution.task_mut(vertex, subtask) {
            task.measure.report(metrics, now.monotonic_millis);
        }
    }

    /// A TaskManager is gone, and whatever ran there.
    pub fn manager_lost(
        &mut self,
        manager: &TaskManagerId,
        why: &str,
        now: Now,
        random: f64,
        effects: &mut Vec<Effect>,
    ) {
        let (phase, partial) = (&self.phase, self.partial.as_ref());
        let is_out = |vertex| partial::is_out(phase, partial, vertex);
        let lost = self.execution.lost(manager, is_out, now.unix_millis);
        if let Some((vertex, subtask)) = lost.first().copied() {
            let others = match lost.len() {
                1 => String::new(),
                count => format!(" and {} more of its tasks", count - 1),
            };
            let message = format!("TaskManager {manager} was lost{others}: {why}");
            let failure = Exception::of_job(Code::TaskManagerLost, message, now.unix_millis);
            self.failed(self.locate(failure, vertex, subtask), now, random, effects);
        }
        self.look_for_the_end(now, effects);
    }

    pub(super) fn deploy_timed_out(&mut self, now: Now, random: f64, effects: &mut Vec<Effect>) {
        let message = format!(
            "tasks didn't answer within {} s of being deployed",
            self.limits.deploy_timeout.as_secs_f64()
        );
        self.failed(Exception::of_job(Code::TaskManagerLost, message, now.unix_millis), now, random, effects);
    }

    /// Says of a failure which task it is about.
    fn locate(&self, failure: Exception, vertex: VertexIndex, subtask: SubtaskIndex) -> Exception {
        let name = self.spec.graph.vertices().get(vertex.0 as usize).map_or_else(
            || format!("vertex {vertex}"),
            |vertex| format!("{} ({}/{})", vertex.name, subtask.0 + 1, vertex.parallelism),
        );
        failure.at(name, self.execution.manager_of(subtask).cloned())
    }

    /// Something failed while tasks of the attempt were out.
    pub(super) fn failed(&mut self, exception: Exception, now: Now, random: f64, effects: &mut Vec<Effect>) {
        match &self.phase {
            // The job may be over by its record.
            Phase::Running { .. } if self.concluding.is_some() => {
                self.exceptions.push(exception);
                self.stop(Next::Commit, now, effects);
            }
            Phase::Running { .. } => {
                let (exception, is_damage) = self.look_at_damage(exception);
                let next = self.after_failure(exception, now, random);
                // What is damaged, all regions have been restored from.
                let broken = if is_damage { None } else { self.broken_part(next) };
                match broken {
                    Some(part) => self.stop_part(part, next, now, effects),
                    None => self.stop(next, now, effects),
                }
            }
            _ if self.partial.is_some() => self.failed_beside(exception, now, random, effects),
            // Often the effect is reported before its cause, by another TaskManager: a lost channel before the bad record
            // that closed it. What no restart can help ends the job whenever it is heard.
            Phase::Stopping { next: Next::Restart { .. }, .. } if !exception.restartable => {
                self.exceptions.promote(exception);
                self.history.set(JobStatus::Failing, now.unix_millis);
                if let Phase::Stopping { next, .. } = &mut self.phase {
                    *next = Next::End(JobStatus::Failed);
                }
            }
            Phase::Stopping { next: Next::End(JobStatus::Canceled) | Next::Commit, .. } => {}
            _ => self.exceptions.push_concurrent(exception),
        }
    }

    /// Records a failure that ends an attempt and decides what comes next.
    pub(super) fn after_failure(&mut self, mut exception: Exception, now: Now, random: f64) -> Next {
        let next = if exception.restartable {
            let is_loss = LOSSES.iter().any(|code| code.as_str() == exception.code);
            match self.strategy.decide(is_loss, now.monotonic_millis, random) {
                Decision::Restart { after } => Next::Restart { not_before: now.after(after) },
                Decision::GiveUp(why) => {
                    exception.message = format!("{} (not restarted: {why})", exception.message);
                    Next::End(JobStatus::Failed)
                }
            }
        } else {
            Next::End(JobStatus::Failed)
        };
        self.exceptions.push(exception);
        let status = match next {
            Next::Restart { .. } => JobStatus::Restarting,
            Next::End(_) | Next::Commit => JobStatus::Failing,
        };
        self.history.set(status, now.unix_millis);
        next
    }

    /// Slots were not found in time. A job that ran before goes by its restart strategy, as an outage of the TaskManagers may
    /// last; one that never ran fails at once.
    pub(super) fn starved(&mut self, exception: Exception, now: Now, random: f64, effects: &mut Vec<Effect>) {
        if self.attempt.0 == 0 {
            self.exceptions.push(exception);
            self.history.set(JobStatus::Failing, now.unix_millis);
            self.close(JobStatus::Failed, now, effects);
            return;
        }
        let next = self.after_failure(exception, now, random);
        self.go_on(next, now, effects);
    }

    /// Asks all tasks to stop.
    pub(super) fn stop(&mut self, next: Next, now: Now, effects: &mut Vec<Effect>) {
        self.end_checkpoints(now, effects);
        self.partial = None;
        self.execution.cancel(&self.regions.all().collect(), now.unix_millis);
        self.phase = Phase::Stopping { next, deadline: now.after(self.limits.cancel_timeout) };
        effects.push(Effect::CancelTasks(self.attempt, None));
        self.look_for_the_end(now, effects);
    }

    /// Moves on when the last task that is waited for has ended.
    pub(super) fn look_for_the_end(&mut self, now: Now, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Running { .. } if self.execution.is_finished() => self.finished(effects, now),
            Phase::Stopping { .. } if self.is_stopped() => self.stopped(now, effects),
            _ => {}
        }
    }

    /// Every task has finished: what they prepared is to be made visible.
    fn finished(&mut self, effects: &mut Vec<Effect>, now: Now) {
        self.end_checkpoints(now, effects);
        self.release(effects);
        let sinks = sink_commits(&self.execution.finished_parts());
        if sinks.is_empty() && self.attempt.0 <= 1 {
            self.close(JobStatus::Finished, now, effects);
        } else {
            self.phase = Phase::Recording(sinks);
            self.writes.want(Reason::Phase, effects);
        }
    }
}
