//! A JobManager that does what a test says, and the TaskManagers that register with it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};
use weir_proto::v1::job_manager_server::{JobManager as Service, JobManagerServer};
use weir_proto::v1::{
    AddSplits, CancelTasks, CheckpointAcknowledged, CheckpointDeclined, DeployTasks, JobManagerMessage,
    Register, Registered, Split, SubtaskId, SubtaskMetrics, TaskManagerMessage, TaskState, TaskStateChanged,
    job_manager_message, task_manager_message,
};

use crate::tests::fixture::TestClock;
use crate::tests::fixture::connector::TestConnector;
use crate::{Handle, Options, TaskManager};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The server; sessions come out of it as they are opened.
pub(crate) struct JobManager {
    pub(crate) address: String,
    sessions: mpsc::Receiver<Session>,
    server: JoinHandle<()>,
}

/// One TaskManager's stream, seen from the JobManager.
pub(crate) struct Session {
    pub(crate) epoch: u64,
    pub(crate) register: Register,
    outbound: mpsc::Sender<Result<JobManagerMessage, Status>>,
    inbound: Streaming<TaskManagerMessage>,
    /// The last metrics of each subtask, by vertex and subtask.
    pub(crate) metrics: BTreeMap<(u32, u32), SubtaskMetrics>,
    pub(crate) heartbeats: u64,
}

/// What a TaskManager says of its tasks.
#[derive(Debug)]
pub(crate) enum Heard {
    State(TaskStateChanged),
    Acknowledged(CheckpointAcknowledged),
    Declined(CheckpointDeclined),
}

struct Accept(mpsc::Sender<Session>);

#[tonic::async_trait]
impl Service for Accept {
    type SessionStream = ReceiverStream<Result<JobManagerMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<TaskManagerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut inbound = request.into_inner();
        // Answers only after the first message, as a JobManager may.
        let first = inbound.message().await?.unwrap();
        let Some(task_manager_message::Body::Register(register)) = first.body else { panic!("{first:?}") };
        let (outbound, messages) = mpsc::channel(64);
        let metrics = BTreeMap::new();
        let session = Session { epoch: 1, register, outbound, inbound, metrics, heartbeats: 0 };
        self.0.send(session).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

impl JobManager {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, sessions) = mpsc::channel(16);
        let server = tonic::transport::Server::builder()
            .add_service(JobManagerServer::new(Accept(sender)))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { server.await.unwrap() });
        Self { address, sessions, server }
    }

    /// Starts a TaskManager that dials this.
    pub(crate) async fn worker(&self, id: &str, slots: u32, connector: &TestConnector) -> Handle {
        let options = self.options(id, slots);
        TaskManager::start(options, connector.registry(), TestClock::shared()).await.unwrap()
    }

    /// What [`JobManager::worker`] starts with.
    pub(crate) fn options(&self, id: &str, slots: u32) -> Options {
        let mut options = Options::new(self.address.clone());
        options.id = Some(weir_api::id::TaskManagerId::new(id).unwrap());
        options.slots = slots;
        options.metrics_ports = Some(weir_api::config::PortRange::default());
        options.metrics_interval = Duration::from_millis(50);
        options.reconnect = (Duration::from_millis(10), Duration::from_millis(50));
        options
    }

    /// The next session, accepted as the leader of epoch 1.
    pub(crate) async fn accept(&mut self) -> Session {
        self.accept_as(1, Duration::from_secs(5)).await
    }

    pub(crate) async fn accept_as(&mut self, epoch: u64, heartbeat_timeout: Duration) -> Session {
        let mut session =
            timeout(PATIENCE, self.sessions.recv()).await.expect("a session is opened").unwrap();
        session.epoch = epoch;
        let registered = Registered {
            heartbeat_interval_millis: 50,
            heartbeat_timeout_millis: heartbeat_timeout.as_millis() as u64,
        };
        session.send(job_manager_message::Body::Registered(registered)).await;
        session
    }
}

impl Drop for JobManager {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Session {
    pub(crate) async fn send(&self, body: job_manager_message::Body) {
        let message = JobManagerMessage { leader_epoch: self.epoch, body: Some(body) };
        // The TaskManager may have given the session up.
        let _ = self.outbound.send(Ok(message)).await;
    }

    pub(crate) async fn deploy(&self, deploy: DeployTasks) {
        self.send(job_manager_message::Body::Deploy(deploy)).await;
    }

    pub(crate) async fn cancel(&self, job: u8, attempt: u32) {
        self.send(job_manager_message::Body::Cancel(CancelTasks {
            job_id: vec![job; 16],
            attempt,
            ..Default::default()
        }))
        .await;
    }

    /// Sends the splits with these ids to a task (job, attempt, subtask of vertex 0).
    pub(crate) async fn add_splits(&self, task: (u8, u32, u32), first: u32, ids: &[&str]) {
        let (job, attempt, subtask) = task;
        let task = SubtaskId { job_id: vec![job; 16], attempt, vertex: 0, subtask };
        let splits = ids.iter().map(|id| Split { id: (*id).to_owned(), ..Split::default() }).collect();
        self.send(job_manager_message::Body::AddSplits(AddSplits { task: Some(task), first, splits })).await;
    }

    /// Reads the next message, which is no change of a state.
    pub(crate) async fn metrics(&mut self) {
        let changed = timeout(Duration::from_millis(100), self.next()).await;
        assert!(changed.is_err(), "{changed:?}");
    }

    /// The next thing that is said of a task; `None` when the TaskManager has closed the stream.
    pub(crate) async fn hear(&mut self) -> Option<Heard> {
        loop {
            let message = timeout(PATIENCE, self.inbound.message()).await.expect("a message comes");
            return Some(match message.ok()??.body.unwrap() {
                task_manager_message::Body::TaskState(state) => Heard::State(state),
                task_manager_message::Body::CheckpointAcknowledged(part) => Heard::Acknowledged(part),
                task_manager_message::Body::CheckpointDeclined(declined) => Heard::Declined(declined),
                _ => continue,
            });
        }
    }

    /// The next change of a task's state; `None` when the TaskManager has closed the stream.
    pub(crate) async fn next(&mut self) -> Option<TaskStateChanged> {
        loop {
            let message = timeout(PATIENCE, self.inbound.message()).await.expect("a message comes");
            match message.ok()??.body.unwrap() {
                task_manager_message::Body::TaskState(state) => return Some(state),
                task_manager_message::Body::Heartbeat(_) => self.heartbeats += 1,
                task_manager_message::Body::Metrics(report) => {
                    for metrics in report.subtasks {
                        let SubtaskId { vertex, subtask, .. } = metrics.task.clone().unwrap();
                        self.metrics.insert((vertex, subtask), metrics);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads until `count` tasks have ended; answers all states of each task, and the changes that ended them.
    pub(crate) async fn ends(
        &mut self,
        count: usize,
    ) -> (BTreeMap<(u32, u32), Vec<TaskState>>, Vec<TaskStateChanged>) {
        let mut states: BTreeMap<_, Vec<TaskState>> = BTreeMap::new();
        let mut ends = Vec::new();
        while ends.len() < count {
            let changed = self.next().await.expect("the session lasts");
            let task = changed.task.clone().unwrap();
            states.entry((task.vertex, task.subtask)).or_default().push(changed.state());
            if matches!(changed.state(), TaskState::Finished | TaskState::Failed | TaskState::Canceled) {
                ends.push(changed);
            }
        }
        (states, ends)
    }

    /// Reads until so many tasks run.
    pub(crate) async fn running(&mut self, count: usize) {
        let mut running = 0;
        while running < count {
            let changed = self.next().await.expect("the session lasts");
            assert!(changed.failure.is_none(), "{changed:?}");
            running += usize::from(changed.state() == TaskState::Running);
        }
    }
}
