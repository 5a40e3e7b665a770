//! A JobManager that ends and another that goes on with its jobs.

use std::sync::Arc;

use weir_api::id::Attempt;
use weir_proto::v1::{SplitAssignment, TaskState};

use super::connector::{Later, Log, Told};
use super::fake::Fake;
use super::{Cluster, options};
use crate::metadata::Metadata;
use crate::metadata::directory::Directory;
use crate::metadata::memory::Memory;

#[tokio::test]
async fn jobs_go_on_under_the_next_leader() {
    let directory = tempfile::tempdir().unwrap();
    let mut with_directory = options(&[]);
    with_directory.metadata = Some(directory.path().to_owned());
    let log = Log::default();
    let first = Cluster::start_with(with_directory.clone(), log.clone()).await.unwrap();
    let mut manager = Fake::join(first.handle.rpc_address(), 2).await;
    let running = first.submit("JOB 2 2").await;
    let deploy = manager.deployment().await;
    manager.report_all(&deploy, TaskState::Running).await;
    let waiting = first.submit("JOB 1 1").await;
    first.until(&running, "RUNNING").await;
    let canceled = first.submit("JOB 9 9").await;
    first.rest.patch(&format!("/jobs/{canceled}")).await;
    first.until(&canceled, "CANCELED").await;

    let twice = Cluster::start_with(with_directory.clone(), log.clone()).await.err().expect("it is in use");
    assert!(twice.message().contains("another JobManager"), "{twice}");
    first.handle.shutdown().await.unwrap();
    while manager.next().await.is_some() {}

    let second = Cluster::start_with(with_directory, log.clone()).await.unwrap();
    second.until(&canceled, "CANCELED").await;
    second.until(&running, "RECONCILING").await;
    second.until(&waiting, "RECONCILING").await;
    let (_, details) = second.rest.get(&format!("/jobs/{running}")).await;
    assert_eq!((&details["name"], &details["attempt"]), (&"test job".into(), &1.into()));
    let mut manager = Fake::join(second.handle.rpc_address(), 3).await;
    assert_eq!(manager.epoch, 2);
    for _ in 0..2 {
        let deploy = manager.deployment().await;
        let expected = if deploy.placement.len() == 2 { 2 } else { 1 };
        assert_eq!(deploy.attempt, expected, "attempts go on growing");
        manager.report_all(&deploy, TaskState::Finished).await;
    }
    second.until(&running, "FINISHED").await;
    second.until(&waiting, "FINISHED").await;
    assert!(log.told().contains(&Told::Abort(Attempt(1))), "what the old leader's attempt left is removed");
    assert_eq!(log.commits().len(), 2);
    drop(second);
}

/// The ids of the splits of source subtask `subtask`, in order.
fn ids(splits: &[SplitAssignment], subtask: u32) -> Vec<&str> {
    let own = splits.iter().filter(|share| (share.vertex, share.subtask) == (0, subtask));
    own.flat_map(|share| &share.splits).map(|split| split.id.as_str()).collect()
}

#[tokio::test]
async fn splits_that_are_found_later_stay_with_their_job_and_their_subtask() {
    let directory = tempfile::tempdir().unwrap();
    let mut with_directory = options(&[]);
    with_directory.metadata = Some(directory.path().to_owned());
    let log = Log::default();
    log.find(Later::default());
    let first = Cluster::start_with(with_directory.clone(), log.clone()).await.unwrap();
    let mut manager = Fake::join(first.handle.rpc_address(), 2).await;
    let job = first.submit("JOB 2 2").await;
    let deploy = manager.deployment().await;
    manager.report_all(&deploy, TaskState::Running).await;
    first.until(&job, "RUNNING").await;

    // Fails, panics and fails: the job doesn't.
    log.find(Later { splits: vec!["a", "b", "c"], failures: 3 });
    let mut found = [manager.splits().await, manager.splits().await];
    found.sort_by_key(|found| found.task.as_ref().unwrap().subtask);
    let tasks = found.each_ref().map(|found| found.task.clone().unwrap());
    assert_eq!(
        tasks.each_ref().map(|task| (task.attempt, task.vertex, task.subtask)),
        [(1, 0, 0), (1, 0, 1)]
    );
    let new =
        found.each_ref().map(|found| found.splits.iter().map(|split| split.id.as_str()).collect::<Vec<_>>());
    assert_eq!(new, [vec!["a", "c"], vec!["b"]], "to those that have least");
    assert_eq!(found.each_ref().map(|found| found.first), [2, 2]);
    let path = format!("/jobs/{job}/metrics?get=numFailedSplitDiscoveries");
    let (_, failures) = first.rest.get(&path).await;
    assert_eq!(failures[0]["value"], "3", "{failures}");

    // Another attempt has them from the start.
    manager.fail(&manager.tasks(&deploy)[0], "WEIR-3002", true).await;
    manager.cancellation().await;
    manager.report_all(&deploy, TaskState::Canceled).await;
    let deploy = manager.deployment().await;
    let wanted = [vec!["0", "2", "a", "c"], vec!["1", "3", "b"]];
    assert_eq!([ids(&deploy.splits, 0), ids(&deploy.splits, 1)], wanted);
    manager.report_all(&deploy, TaskState::Running).await;
    first.until(&job, "RUNNING").await;
    log.find(Later { splits: vec!["a", "b", "c", "d"], failures: 0 });
    let found = manager.splits().await;
    let task = found.task.unwrap();
    assert_eq!((task.attempt, task.subtask, found.first, found.splits[0].id.as_str()), (2, 1, 3, "d"));

    // And so has the next leader's.
    first.handle.shutdown().await.unwrap();
    let second = Cluster::start_with(with_directory, log.clone()).await.unwrap();
    let mut manager = Fake::join(second.handle.rpc_address(), 2).await;
    let deploy = manager.deployment().await;
    let wanted = [vec!["0", "2", "a", "c"], vec!["1", "3", "b", "d"]];
    assert_eq!((deploy.attempt, [ids(&deploy.splits, 0), ids(&deploy.splits, 1)]), (3, wanted));
    log.find(Later { splits: vec!["a", "b", "c", "d", "e"], failures: 0 });
    assert_eq!(manager.splits().await.splits[0].id, "e", "the next leader looks for more too");
}

#[tokio::test]
async fn a_leader_that_was_succeeded_stops_at_its_next_write() {
    let memory = Memory::default();
    let log = Log::default();
    let mut first = Cluster::start_on(Arc::new(memory.clone()), log.clone()).await;
    let job = first.submit("JOB 1 1").await;
    let second = Cluster::start_on(Arc::new(memory), log).await;
    second.until(&job, "RECONCILING").await;
    // It wants to record attempt 1, and learns.
    let _manager = Fake::join(first.handle.rpc_address(), 1).await;
    let error = first.handle.wait().await.expect_err("it has no right to go on");
    assert_eq!(error.code(), weir_api::error::Code::Fenced);
    second.until(&job, "RECONCILING").await;
}

#[tokio::test]
async fn what_was_decided_to_be_committed_is_committed_by_the_next_leader() {
    let directory = tempfile::tempdir().unwrap();
    let metadata = Directory::open(directory.path()).unwrap();
    let epoch = metadata.lead().await.unwrap();
    let mut record = crate::control::fixtures::record(5, 1, 1, &[]);
    record.attempt = Attempt(3);
    record.stage =
        crate::control::job::record::Stage::Committing(vec![crate::control::job::record::SinkCommit {
            vertex: weir_api::id::VertexIndex(1),
            operator: 0,
            prepared: vec![weir_api::sink::Prepared {
                checkpoint: weir_api::id::CheckpointId(7),
                subtask: weir_api::id::SubtaskIndex(0),
                committable: b"prepared".to_vec().into(),
            }],
            ended: Default::default(),
        }]);
    let job = record.spec.id;
    metadata.put(epoch, job, None, crate::metadata::encoding::encode(&record)).await.unwrap();
    drop(metadata);

    let mut with_directory = options(&[]);
    with_directory.metadata = Some(directory.path().to_owned());
    let cluster = Cluster::start_with(with_directory, Log::default()).await.unwrap();
    cluster.until(&job.to_string(), "FINISHED").await;
    assert_eq!(cluster.log.told(), [Told::Commit(vec![b"prepared".to_vec()]), Told::Abort(Attempt(2))]);
}
