//! Tasks that fail, TaskManagers that are lost, commits that fail.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use serde_json::json;
use weir_api::error::Code;
use weir_api::id::Attempt;
use weir_proto::v1::TaskState;

use super::Cluster;
use super::connector::Told;
use super::fake::{Fake, registration};

#[tokio::test]
async fn a_lost_task_manager_restarts_the_job_on_the_others() {
    let cluster = Cluster::start(&[]).await;
    let mut one = Fake::join(cluster.handle.rpc_address(), 2).await;
    let mut two = Fake::join(cluster.handle.rpc_address(), 2).await;
    let job = cluster.submit("JOB 2 2").await;
    let (first, second) = (one.deployment().await, two.deployment().await);
    one.report_all(&first, TaskState::Running).await;
    two.report_all(&second, TaskState::Running).await;
    cluster.until(&job, "RUNNING").await;
    let lost = one.id.clone();
    drop(one);

    assert_eq!(two.cancellation().await.attempt, 1);
    cluster.until(&job, "RESTARTING").await;
    two.report_all(&second, TaskState::Canceled).await;
    let again = two.deployment().await;
    assert_eq!(again.attempt, 2);
    assert_eq!(two.tasks(&again).len(), 4, "everything runs on the one that is left");
    assert_eq!(
        again.splits.iter().map(|share| share.splits.len()).sum::<usize>(),
        4,
        "the splits are as before"
    );
    two.report_all(&again, TaskState::Finished).await;
    cluster.until(&job, "FINISHED").await;

    let told = cluster.log.told();
    assert_eq!(
        told[..2],
        [Told::Fence(Attempt(1)), Told::Abort(Attempt(1))],
        "what attempt 1 left is removed before attempt 2 starts"
    );
    assert_eq!(cluster.log.commits().len(), 1);
    assert!(cluster.log.commits()[0].iter().all(|payload| payload.starts_with(b"2/")));
    let (_, exceptions) = cluster.rest.get(&format!("/jobs/{job}/exceptions")).await;
    let entry = &exceptions["exceptionHistory"]["entries"][0];
    assert_eq!(entry["exceptionName"], "WEIR-3003");
    assert_eq!(entry["taskManagerId"], json!(lost));
    assert!(entry["stacktrace"].as_str().unwrap().contains(&lost), "{entry}");
    let (_, restarts) = cluster.rest.get(&format!("/jobs/{job}/metrics?get=numRestarts")).await;
    assert_eq!(restarts, json!([{ "id": "numRestarts", "value": "1" }]));
}

#[tokio::test]
async fn a_failure_that_no_restart_can_help_ends_the_job() {
    let cluster = Cluster::start(&[]).await;
    let mut manager = Fake::join(cluster.handle.rpc_address(), 2).await;
    let job = cluster.submit("JOB 2 2").await;
    let deploy = manager.deployment().await;
    let tasks = manager.tasks(&deploy);
    manager.report_all(&deploy, TaskState::Running).await;
    // The effect first: a lost channel; then its cause.
    manager.fail(&tasks[1], "WEIR-3002", true).await;
    manager.fail(&tasks[0], "WEIR-2001", false).await;
    manager.cancellation().await;
    manager.report_all(&deploy, TaskState::Canceled).await;
    cluster.until(&job, "FAILED").await;
    let (_, exceptions) = cluster.rest.get(&format!("/jobs/{job}/exceptions")).await;
    assert_eq!(exceptions["root-exception"], "[WEIR-2001] it broke");
    assert_eq!(exceptions["timestamp"], 1_700_000_000_000_u64);
    let root = &exceptions["exceptionHistory"]["entries"][0];
    assert_eq!(root["taskName"], "source (1/2)");
    assert_eq!(root["concurrentExceptions"][0]["exceptionName"], "WEIR-3002");
    assert!(cluster.log.commits().is_empty());
    let (_, overview) = cluster.rest.get("/overview").await;
    assert_eq!((&overview["jobs-failed"], &overview["slots-available"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn restarts_are_used_up_at_last() {
    let cluster = Cluster::start(&[]).await;
    let mut manager = Fake::join(cluster.handle.rpc_address(), 1).await;
    let job = cluster.submit("JOB 1 1").await;
    for attempt in 1..=6 {
        let deploy = manager.deployment().await;
        assert_eq!(deploy.attempt, attempt);
        let tasks = manager.tasks(&deploy);
        manager.fail(&tasks[0], "WEIR-0006", true).await;
        manager.cancellation().await;
        manager.report(&tasks[1], TaskState::Canceled).await;
    }
    cluster.until(&job, "FAILED").await;
    let (_, exceptions) = cluster.rest.get(&format!("/jobs/{job}/exceptions")).await;
    assert_eq!(exceptions["exceptionHistory"]["entries"].as_array().unwrap().len(), 6);
    assert!(exceptions["root-exception"].as_str().unwrap().contains("all 5 restarts"), "{exceptions}");
    let (_, shown) = cluster.rest.get(&format!("/jobs/{job}/exceptions?maxExceptions=2")).await;
    assert_eq!(shown["exceptionHistory"]["entries"].as_array().unwrap().len(), 2);
    assert_eq!(shown["exceptionHistory"]["truncated"], true);
}

#[tokio::test]
async fn a_commit_that_fails_is_tried_again() {
    let cluster = Cluster::start(&[]).await;
    cluster.log.fail(&[Code::Io, Code::TaskPanicked]);
    let mut manager = Fake::join(cluster.handle.rpc_address(), 1).await;
    let job = cluster.submit("JOB 1 1").await;
    let deploy = manager.deployment().await;
    manager.report_all(&deploy, TaskState::Finished).await;
    cluster.until(&job, "FINISHED").await;
    assert_eq!(cluster.log.commits().len(), 1);
    let (_, exceptions) = cluster.rest.get(&format!("/jobs/{job}/exceptions")).await;
    assert!(
        exceptions["root-exception"].as_str().unwrap().contains("committing the results failed"),
        "{exceptions}"
    );
}

#[tokio::test]
async fn a_commit_that_can_never_work_fails_the_job() {
    let cluster = Cluster::start(&[]).await;
    cluster.log.fail(&[Code::InvalidArgument]);
    let mut manager = Fake::join(cluster.handle.rpc_address(), 1).await;
    let job = cluster.submit("JOB 1 1").await;
    let deploy = manager.deployment().await;
    manager.report_all(&deploy, TaskState::Finished).await;
    cluster.until(&job, "FAILED").await;
    assert!(cluster.log.told().is_empty(), "what is prepared stays, as part of it may be visible");
}

#[tokio::test]
async fn a_silent_task_manager_is_lost_and_a_talking_one_is_not() {
    let cluster = Cluster::start(&[("heartbeat.interval", "50 ms"), ("heartbeat.timeout", "300 ms")]).await;
    let mut silent = Fake::join(cluster.handle.rpc_address(), 1).await;
    let talking = Fake::join(cluster.handle.rpc_address(), 1).await;
    let start = std::time::Instant::now();
    loop {
        talking.beat().await;
        let (_, overview) = cluster.rest.get("/overview").await;
        if overview["taskmanagers"] == 1 {
            break;
        }
        assert!(start.elapsed().as_secs() < 20, "{overview}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (_, managers) = cluster.rest.get("/taskmanagers").await;
    assert_eq!(managers["taskmanagers"][0]["id"], talking.id);
    while silent.next().await.is_some() {}
}

#[tokio::test]
async fn whoever_registers_again_takes_the_place_of_its_dead_session() {
    let cluster = Cluster::start(&[]).await;
    let mut before = Fake::join(cluster.handle.rpc_address(), 2).await;
    let same = registration(&before.id, 2);
    let mut after =
        Fake::join_as(cluster.handle.rpc_address(), same.clone()).await.expect("the same process");
    assert!(matches!(before.command().await, Some(weir_proto::v1::job_manager_message::Body::Refused(_))));
    assert!(before.next().await.is_none(), "the older session has ended");

    let mut other = same;
    other.data_address = "elsewhere:1".to_owned();
    let refusal = Fake::join_as(cluster.handle.rpc_address(), other).await.err().expect("another process");
    assert!(refusal.contains("resource-id"), "{refusal}");
    let job = cluster.submit("JOB 1 1").await;
    let deploy = after.deployment().await;
    after.report_all(&deploy, TaskState::Finished).await;
    cluster.until(&job, "FINISHED").await;
}
