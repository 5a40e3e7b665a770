//! What tasks tell the JobManager of their states: the messages, and the bounded channel that they go through.

use tokio::sync::mpsc;
use weir_api::Error;
use weir_api::clock::Clock;
use weir_api::id::ExecutionId;
use weir_proto::v1::{
    CheckpointAcknowledged, CheckpointDeclined, Failure, MetricsReport, SubtaskMetrics, TaskSnapshot,
    TaskState, TaskStateChanged,
};

use super::running::subtask_id;

/// How many reports may wait for the session.
const REPORTS: usize = 1024;

/// The longest message of a failure.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// Something for the JobManager, in order.
#[derive(Debug)]
pub(crate) enum Report {
    State(TaskStateChanged),
    /// A task has taken its part of a checkpoint.
    Acknowledged(Box<CheckpointAcknowledged>),
    /// A task couldn't.
    Declined(Box<CheckpointDeclined>),
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

    /// For tasks that can't wait here.
    pub(crate) fn sender(&self) -> mpsc::Sender<Report> {
        self.sender.clone()
    }

    /// Tells a state that nothing belongs to.
    pub(crate) async fn state(&self, task: ExecutionId, state: TaskState) {
        self.send(Report::State(changed(task, state))).await;
    }

    /// Tells that a task has failed.
    pub(crate) async fn failed(&self, task: ExecutionId, error: &Error, clock: &dyn Clock) {
        let mut message = error.chain();
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        let failure = Failure {
            code: error.code().to_string(),
            message,
            restartable: error.is_restartable(),
            timestamp_millis: clock.unix_millis().max(0) as u64,
        };
        let failure = Some(failure);
        self.send(Report::State(TaskStateChanged { failure, ..changed(task, TaskState::Failed) })).await;
    }

    /// Tells that a task has finished, with its part of later checkpoints.
    pub(crate) async fn finished(&self, task: ExecutionId, snapshot: TaskSnapshot) {
        let snapshot = Some(snapshot);
        self.send(Report::State(TaskStateChanged { snapshot, ..changed(task, TaskState::Finished) })).await;
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

#[cfg(test)]
mod tests {
    use weir_api::id::{Attempt, JobId, SubtaskIndex, VertexIndex};

    use super::*;
    use crate::tests::fixture::TestClock;

    #[tokio::test]
    async fn what_no_message_can_carry_is_cut_and_a_part_comes_with_the_end() {
        let (reports, mut reported) = Reports::channel();
        let clock = TestClock::shared();
        let task = ExecutionId {
            job: JobId::from_bytes([1; 16]),
            attempt: Attempt(1),
            vertex: VertexIndex(0),
            subtask: SubtaskIndex(0),
        };
        let long = Error::new(weir_api::error::Code::Evaluation, "ü".repeat(100_000));
        reports.failed(task, &long, clock.as_ref()).await;
        reports
            .finished(
                task,
                TaskSnapshot { operators: vec![Default::default(); 2], ..TaskSnapshot::default() },
            )
            .await;
        let mut next = async || match reported.recv().await {
            Some(Report::State(changed)) => changed,
            other => panic!("{other:?}"),
        };
        let message = next().await.failure.expect("failed").message;
        assert!(message.len() <= MAX_MESSAGE_BYTES && message.starts_with("üü"));
        let finished = next().await;
        assert_eq!(finished.state(), TaskState::Finished);
        assert_eq!(finished.snapshot.map(|part| part.operators.len()), Some(2));
    }
}
