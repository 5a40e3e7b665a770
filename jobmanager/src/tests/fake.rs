//! A TaskManager for tests: real gRPC, scripted by the test.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use weir_proto::v1::job_manager_client::JobManagerClient;
use weir_proto::v1::job_manager_message::Body as Said;
use weir_proto::v1::task_manager_message::Body;
use weir_proto::v1::{
    AddSplits, CancelTasks, CheckpointAcknowledged, DeployTasks, Failure, JobManagerMessage, MetricsReport,
    OperatorPart, PendingCommittables, Prepared, Register, Split, SplitPosition, SubtaskId, SubtaskMetrics,
    SubtaskSnapshot, TaskManagerHeartbeat, TaskManagerMessage, TaskSnapshot, TaskState, TaskStateChanged,
    TriggerCheckpoint,
};

pub(super) struct Fake {
    pub(super) id: String,
    pub(super) epoch: u64,
    sender: mpsc::Sender<TaskManagerMessage>,
    pub(super) receiver: Streaming<JobManagerMessage>,
    /// Triggers that came while something else was waited for.
    triggers: VecDeque<TriggerCheckpoint>,
}

pub(super) fn registration(id: &str, slots: u32) -> Register {
    Register {
        task_manager_id: id.to_owned(),
        data_address: format!("{id}.example:4711"),
        metrics_address: String::new(),
        slots,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: "host".to_owned(),
        cpu_cores: 4,
        physical_memory_bytes: 8 << 30,
        network_memory_bytes: 64 << 20,
    }
}

/// A task's part of a checkpoint.
pub(super) fn part(deploy: &DeployTasks, task: &SubtaskId, checkpoint: u64, position: u64) -> TaskSnapshot {
    let mut snapshot = SubtaskSnapshot { index: task.subtask, ..Default::default() };
    if task.vertex == 0 {
        let own = deploy.splits.iter().filter(|own| (own.vertex, own.subtask) == (0, task.subtask));
        snapshot.splits = own
            .flat_map(|own| &own.splits)
            .map(|split| SplitPosition {
                split_id: split.id.clone(),
                encoding_version: 1,
                payload: Split { position: Some(position), ..split.clone() }.encode_to_vec(),
            })
            .collect();
    } else {
        let payload = format!("{}/{}/{checkpoint}", task.attempt, task.subtask).into_bytes();
        snapshot.committables = vec![PendingCommittables {
            checkpoint_id: checkpoint,
            encoding_version: 1,
            entries: vec![Prepared { payload, blobs: Vec::new() }],
        }];
    }
    TaskSnapshot {
        operators: vec![OperatorPart { operator: 0, schemas: Vec::new(), subtask: Some(snapshot) }],
        ..TaskSnapshot::default()
    }
}

impl Fake {
    /// Registers and waits for the answer.
    pub(super) async fn join(address: SocketAddr, slots: u32) -> Self {
        Self::join_as(address, registration(&super::unique("tm"), slots)).await.expect("registered")
    }

    /// Registers; the error is the reason of a refusal.
    pub(super) async fn join_as(address: SocketAddr, register: Register) -> Result<Self, String> {
        let id = register.task_manager_id.clone();
        let (sender, messages) = mpsc::channel(1_024);
        sender
            .send(TaskManagerMessage { leader_epoch: 0, body: Some(Body::Register(register)) })
            .await
            .unwrap();
        let mut client = JobManagerClient::connect(format!("http://{address}")).await.unwrap();
        let receiver = client.session(ReceiverStream::new(messages)).await.unwrap().into_inner();
        let mut fake = Self { id, epoch: 0, sender, receiver, triggers: VecDeque::new() };
        match fake.next().await {
            Some(JobManagerMessage { leader_epoch, body: Some(Said::Registered(_)) }) => {
                fake.epoch = leader_epoch;
                Ok(fake)
            }
            Some(JobManagerMessage { body: Some(Said::Refused(refused)), .. }) => Err(refused.reason),
            other => Err(format!("{other:?}")),
        }
    }

    /// The next message; `None`: the session has ended.
    pub(super) async fn next(&mut self) -> Option<JobManagerMessage> {
        let message = tokio::time::timeout(Duration::from_secs(20), self.receiver.message()).await;
        message.expect("the JobManager says nothing").ok().flatten()
    }

    /// The next message that isn't a heartbeat.
    pub(super) async fn command(&mut self) -> Option<Said> {
        loop {
            match self.next().await?.body? {
                Said::Heartbeat(_) => {}
                other => return Some(other),
            }
        }
    }

    pub(super) async fn deployment(&mut self) -> DeployTasks {
        match self.command().await {
            Some(Said::Deploy(deploy)) => deploy,
            other => panic!("a deployment should come, not {other:?}"),
        }
    }

    pub(super) async fn splits(&mut self) -> AddSplits {
        match self.command().await {
            Some(Said::AddSplits(splits)) => splits,
            other => panic!("splits should come, not {other:?}"),
        }
    }

    /// Passes over checkpoints.
    pub(super) async fn cancellation(&mut self) -> CancelTasks {
        loop {
            match self.command().await {
                Some(Said::Cancel(cancel)) => return cancel,
                Some(Said::TriggerCheckpoint(_) | Said::AbortCheckpoint(_)) => {}
                other => panic!("a cancellation should come, not {other:?}"),
            }
        }
    }

    pub(super) async fn say(&self, body: Body) {
        self.say_as(self.epoch, body).await;
    }

    pub(super) async fn say_as(&self, epoch: u64, body: Body) {
        // A session that was ended is what some tests want.
        let _ = self.sender.send(TaskManagerMessage { leader_epoch: epoch, body: Some(body) }).await;
    }

    pub(super) async fn beat(&self) {
        self.say(Body::Heartbeat(TaskManagerHeartbeat { sequence: 1 })).await;
    }

    /// The tasks of a deployment that run here.
    pub(super) fn tasks(&self, deploy: &DeployTasks) -> Vec<SubtaskId> {
        let mut tasks = Vec::new();
        for (subtask, place) in (0..).zip(&deploy.placement) {
            for (vertex, graph) in (0..).zip(&deploy.graph.as_ref().unwrap().vertices) {
                if place.task_manager_id == self.id && subtask < graph.parallelism {
                    let (job_id, attempt) = (deploy.job_id.clone(), deploy.attempt);
                    tasks.push(SubtaskId { job_id, attempt, vertex, subtask });
                }
            }
        }
        tasks
    }

    pub(super) async fn report(&self, task: &SubtaskId, state: TaskState) {
        let sink = state == TaskState::Finished && task.vertex == 1;
        let payload = format!("{}/{}", task.attempt, task.subtask).into_bytes();
        let entries = vec![Prepared { payload, blobs: Vec::new() }];
        let pending = PendingCommittables { entries, ..PendingCommittables::default() };
        let subtask = SubtaskSnapshot {
            index: task.subtask,
            committables: vec![pending],
            ..SubtaskSnapshot::default()
        };
        let part = OperatorPart { operator: 0, schemas: Vec::new(), subtask: Some(subtask) };
        let snapshot = sink.then(|| TaskSnapshot { operators: vec![part], ..TaskSnapshot::default() });
        let task = Some(task.clone());
        let changed = TaskStateChanged { task, state: state as i32, failure: None, snapshot };
        self.say(Body::TaskState(changed)).await;
    }

    pub(super) async fn report_all(&self, deploy: &DeployTasks, state: TaskState) {
        for task in self.tasks(deploy) {
            self.report(&task, state).await;
        }
    }

    pub(super) async fn fail(&self, task: &SubtaskId, code: &str, restartable: bool) {
        let failure = Failure {
            code: code.to_owned(),
            message: "it broke".to_owned(),
            restartable,
            timestamp_millis: 1_700_000_000_000,
        };
        let changed = TaskStateChanged {
            task: Some(task.clone()),
            state: TaskState::Failed as i32,
            failure: Some(failure),
            snapshot: None,
        };
        self.say(Body::TaskState(changed)).await;
    }

    /// The next trigger of a checkpoint.
    pub(super) async fn trigger(&mut self) -> TriggerCheckpoint {
        if let Some(trigger) = self.triggers.pop_front() {
            return trigger;
        }
        match self.command().await {
            Some(Said::TriggerCheckpoint(trigger)) => trigger,
            other => panic!("a trigger should come, not {other:?}"),
        }
    }

    /// The id of the next checkpoint that is complete; triggers are kept.
    pub(super) async fn complete(&mut self) -> u64 {
        loop {
            match self.command().await {
                Some(Said::CheckpointComplete(complete)) => return complete.checkpoint_id,
                Some(Said::TriggerCheckpoint(trigger)) => self.triggers.push_back(trigger),
                other => panic!("a completion should come, not {other:?}"),
            }
        }
    }

    /// Every task of the deployment takes its part: sources say that they have read `position` of each split, sinks that they
    /// have prepared something.
    pub(super) async fn acknowledge_all(&self, deploy: &DeployTasks, checkpoint: u64, position: u64) {
        for task in self.tasks(deploy) {
            self.acknowledge(deploy, &task, checkpoint, position).await;
        }
    }

    pub(super) async fn acknowledge(
        &self,
        deploy: &DeployTasks,
        task: &SubtaskId,
        checkpoint: u64,
        position: u64,
    ) {
        let acknowledged = CheckpointAcknowledged {
            task: Some(task.clone()),
            checkpoint_id: checkpoint,
            snapshot: Some(part(deploy, task, checkpoint, position)),
            ..Default::default()
        };
        self.say(Body::CheckpointAcknowledged(acknowledged)).await;
    }

    pub(super) async fn measure(&self, metrics: SubtaskMetrics) {
        self.say(Body::Metrics(MetricsReport { subtasks: vec![metrics], process: None })).await;
    }
}
