//! A job of two pipelines, step by step: one fails, the other goes on.

use std::sync::Arc;

use weir_api::graph::{JobEdge, JobGraph};
use weir_api::id::{Attempt, ExecutionId, JobId, LeaderEpoch, SubtaskIndex, TaskManagerId, VertexIndex};
use weir_proto::v1::job_manager_message::Body;
use weir_proto::v1::{CancelTasks, DeployTasks, Failure};

use super::Core;
use super::event::{Action, Event, ManagerInfo, Said, SessionId};
use super::fixtures;
use super::job::Version;
use super::job::record::{JobRecord, JobSpec};
use super::job::recovery::{Recovered, Recovery};
use super::job::status::JobStatus;
use super::now::Now;
use super::task::TaskState;

const JOB: JobId = JobId::from_bytes([1; 16]);
const SESSION: SessionId = SessionId(1);

fn graph() -> JobGraph {
    let one = fixtures::graph_of("two", "test", 1, 1, ["a", "b"]);
    let other = fixtures::graph_of("two", "test", 1, 1, ["c", "d"]);
    let shifted = other.edges().iter().map(|edge| JobEdge {
        source: edge.source + 2,
        target: edge.target + 2,
        ..edge.clone()
    });
    let edges = one.edges().iter().cloned().chain(shifted).collect();
    let vertices = one.vertices().iter().chain(other.vertices()).cloned().collect();
    JobGraph::new("two", 128, vertices, edges, Default::default()).expect("a valid graph")
}

struct Test {
    core: Core,
    now: u64,
    version: u64,
    cancelled: Vec<CancelTasks>,
    deployed: Vec<DeployTasks>,
    recovering: Vec<Recovery>,
    writes: usize,
}

impl Test {
    /// All tasks of the first attempt run.
    fn new() -> Self {
        let now = Now { monotonic_millis: 1_000, unix_millis: 1_000 };
        let (core, _) = Core::new(LeaderEpoch(1), fixtures::settings(1), Vec::new(), now);
        let mut test = Self {
            core,
            now: 1_000,
            version: 1,
            cancelled: Vec::new(),
            deployed: Vec::new(),
            recovering: Vec::new(),
            writes: 0,
        };
        let info = ManagerInfo {
            id: TaskManagerId::new("tm").expect("valid"),
            data_address: "tm:1".to_owned(),
            metrics_address: String::new(),
            slots: 1,
            version: "1".to_owned(),
            host: "host".to_owned(),
            cpu_cores: 1,
            physical_memory_bytes: 1,
            network_memory_bytes: 1,
        };
        test.feed(Event::Register { session: SESSION, epoch: LeaderEpoch(0), info });
        let record = fixtures::record(1, 1, 1, &[]);
        let spec = JobSpec { graph: Arc::new(graph()), ..record.spec.as_ref().clone() };
        let record = JobRecord { spec: Arc::new(spec), ..record };
        test.feed(Event::Submitted { record, version: Version(1) });
        test.answer_write();
        for vertex in 0..4 {
            test.say(1, vertex, TaskState::Running);
        }
        assert_eq!(test.deployed.pop().map(|deploy| deploy.vertices), Some(Vec::new()));
        test
    }

    fn feed(&mut self, event: Event) {
        let now = Now { monotonic_millis: self.now, unix_millis: self.now as i64 };
        for action in self.core.handle(event, now) {
            match action {
                Action::Persist { .. } => self.writes += 1,
                Action::Recover { recovery, .. } => self.recovering.push(*recovery),
                Action::Send(SESSION, message) => match message.body {
                    Some(Body::Cancel(cancel)) => self.cancelled.push(cancel),
                    Some(Body::Deploy(deploy)) => self.deployed.push(deploy),
                    _ => {}
                },
                _ => {}
            }
        }
    }

    fn answer_write(&mut self) {
        assert_eq!(std::mem::take(&mut self.writes), 1);
        self.version += 1;
        self.feed(Event::Persisted { job: JOB, result: Ok(Version(self.version)) });
    }

    fn answer_recovery(&mut self, attempt: u32) {
        let result = Ok(Recovered::default());
        self.feed(Event::Recovered { job: JOB, attempt: Attempt(attempt), result });
    }

    fn say(&mut self, attempt: u32, vertex: u32, state: TaskState) {
        let task = ExecutionId {
            job: JOB,
            attempt: Attempt(attempt),
            vertex: VertexIndex(vertex),
            subtask: SubtaskIndex(0),
        };
        let failure = (state == TaskState::Failed).then(|| Failure {
            code: "WEIR-3002".to_owned(),
            message: "it was made to".to_owned(),
            restartable: true,
            timestamp_millis: 1,
        });
        let said = Said::Task { task, state, failure, part: None };
        self.feed(Event::Said { session: SESSION, epoch: LeaderEpoch(1), said });
    }

    fn status(&self) -> JobStatus {
        self.core.job(JOB).expect("there").history().current()
    }

    /// Every vertex' attempt and state.
    fn tasks(&self) -> Vec<(u32, TaskState)> {
        let execution = self.core.job(JOB).expect("there").execution();
        let of = |vertex: u32| {
            let attempt = execution.attempt_of(VertexIndex(vertex)).expect("there").0;
            (attempt, execution.vertex(vertex as usize)[0].state())
        };
        (0..4).map(of).collect()
    }

    /// The first pipeline has failed and ended, and its next attempt is recorded.
    fn fail_first(&mut self) {
        self.say(1, 0, TaskState::Failed);
        let cancel = self.cancelled.pop().expect("the rest of the pipeline is cancelled");
        assert_eq!((cancel.attempt, cancel.vertices, cancel.edges), (1, vec![0, 1], vec![0]));
        assert_eq!(self.status(), JobStatus::Restarting);
        self.say(1, 1, TaskState::Canceled);
        self.now += 100_000;
        self.core.managers.pardon(100_000);
        self.feed(Event::Tick);
        self.answer_write();
        let recovery = self.recovering.pop().expect("it looks what to go on from");
        assert_eq!(recovery.fence, Attempt(1));
        assert_eq!(recovery.part, Some([VertexIndex(0), VertexIndex(1)].into()));
    }
}

#[test]
fn one_pipeline_restarts_and_the_other_keeps_its_tasks() {
    let mut test = Test::new();
    test.fail_first();
    test.answer_recovery(2);
    let deploy = test.deployed.pop().expect("it starts anew");
    assert_eq!((deploy.attempt, deploy.vertices), (2, vec![0, 1]));
    assert!(test.cancelled.is_empty() && test.deployed.is_empty());
    assert_eq!(test.status(), JobStatus::Running);
    let kept = (1, TaskState::Running);
    assert_eq!(test.tasks(), [(2, TaskState::Deploying), (2, TaskState::Deploying), kept, kept]);
    // A task of the attempt before isn't heard, and its end doesn't touch the others.
    test.say(1, 0, TaskState::Running);
    let cancel = test.cancelled.pop().expect("nobody waits for it");
    assert_eq!((cancel.attempt, cancel.vertices), (1, vec![0, 1]));
    (0..2).for_each(|vertex| test.say(2, vertex, TaskState::Finished));
    (2..4).for_each(|vertex| test.say(1, vertex, TaskState::Finished));
    assert!(test.tasks().iter().all(|(_, state)| *state == TaskState::Finished), "{:?}", test.tasks());
    assert_eq!(test.core.job(JOB).expect("there").restarts(), 1);
}

#[test]
fn what_fails_beside_a_restart_joins_it() {
    let mut test = Test::new();
    test.fail_first();
    test.say(1, 3, TaskState::Failed);
    assert!(test.cancelled.is_empty(), "an answer is outstanding");
    test.answer_recovery(2);
    assert!(test.deployed.is_empty(), "nothing starts while more is broken");
    let cancel = test.cancelled.pop().expect("now the whole job");
    assert_eq!((cancel.attempt, cancel.vertices), (2, Vec::new()));
    test.say(1, 2, TaskState::Canceled);
    test.now += 100_000;
    test.core.managers.pardon(100_000);
    test.feed(Event::Tick);
    test.answer_write();
    assert_eq!(
        test.recovering.pop().map(|recovery| (recovery.fence, recovery.part)),
        Some((Attempt(2), None))
    );
    test.answer_recovery(3);
    assert_eq!(test.deployed.pop().map(|deploy| (deploy.attempt, deploy.vertices)), Some((3, Vec::new())));
}

#[test]
fn a_task_that_does_not_end_costs_the_whole_job_a_restart() {
    let mut test = Test::new();
    test.say(1, 0, TaskState::Failed);
    test.cancelled.clear();
    test.now += 61_000;
    test.core.managers.pardon(100_000);
    test.feed(Event::Tick);
    let cancel = test.cancelled.pop().expect("the job is to go elsewhere");
    assert!(cancel.vertices.is_empty(), "{cancel:?}");
}

#[test]
fn a_cancellation_meets_the_tasks_that_went_on() {
    let mut test = Test::new();
    test.fail_first();
    let now = Now { monotonic_millis: test.now, unix_millis: 0 };
    test.core.cancel(JOB, now).expect("it may be");
    // Whatever fails now changes nothing of that.
    test.say(1, 3, TaskState::Failed);
    assert_eq!(test.status(), JobStatus::Cancelling);
    test.answer_recovery(2);
    assert!(test.deployed.is_empty());
    assert_eq!(test.cancelled.pop().map(|cancel| cancel.vertices), Some(Vec::new()));
}
