//! What tasks tell the JobManager of their states: the messages, and the bounded channel that they go through.

use tokio::sync::mpsc;
use weir_api::Error;
use weir_api::clock::Clock;
use weir_api::id::ExecutionId;
use weir_proto::v1::{Committable, Failure, MetricsReport, SubtaskMetrics, TaskState, TaskStateChanged};

use super::running::subtask_id;

/// How many reports may wait for the session.
const REPORTS: usize = 1024;

/// Something for the JobManager, in order.
#[derive(Debug)]
pub(crate) enum Report {
    State(TaskStateChanged),
    /// A task's last figures, before its last state.
    Metrics(MetricsReport),
}

/// Where tasks put their reports.
#[derive(Clone, Debug)]
pub(crate) struct Reports {
    sender: mpsc::Sender<Report>,
}

impl Reports {
    /// The channel.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(REPORTS);
        (Self { sender }, receiver)
    }

    /// Tells a state that nothing belongs to.
    pub(crate) async fn state(&self, task: ExecutionId, state: TaskState) {
        self.send(Report::State(changed(task, state))).await;
    }

    /// Tells that a task has failed.
    pub(crate) async fn failed(&self, task: ExecutionId, error: &Error, clock: &dyn Clock) {
        let failure = Failure {
            code: error.code().to_string(),
            message: error.chain(),
            restartable: error.is_restartable(),
            timestamp_millis: clock.unix_millis().max(0) as u64,
        };
        let failure = Some(failure);
        self.send(Report::State(TaskStateChanged { failure, ..changed(task, TaskState::Failed) })).await;
    }

    /// Tells that a task has finished, with what its sink, operator number `operator` of the chain, has prepared.
    pub(crate) async fn finished(&self, task: ExecutionId, operator: u32, payloads: Vec<Vec<u8>>) {
        let committables = payloads.into_iter().map(|payload| Committable { operator, payload }).collect();
        self.send(Report::State(TaskStateChanged { committables, ..changed(task, TaskState::Finished) }))
            .await;
    }

    /// Tells a task's last figures.
    pub(crate) async fn last_metrics(&self, metrics: SubtaskMetrics) {
        self.send(Report::Metrics(MetricsReport { subtasks: vec![metrics], process: None })).await;
    }

    async fn send(&self, report: Report) {
        // Without a session there is nobody to tell: the process is ending.
        let _ = self.sender.send(report).await;
    }
}

fn changed(task: ExecutionId, state: TaskState) -> TaskStateChanged {
    TaskStateChanged { task: Some(subtask_id(task)), state: state.into(), ..TaskStateChanged::default() }
}
