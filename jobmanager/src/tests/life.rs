//! A job from submission to its end, and cancellations on the way.

use serde_json::json;
use weir_api::id::Attempt;
use weir_proto::v1::{SubtaskMetrics, TaskState};

use super::connector::Told;
use super::fake::Fake;
use super::{Cluster, Log, options};

#[tokio::test]
async fn a_job_waits_runs_finishes_and_commits_once() {
    let cluster = Cluster::start(&[]).await;
    let job = cluster.submit("JOB 2 3").await;
    let (_, details) = cluster.rest.get(&format!("/v1/jobs/{job}")).await;
    assert_eq!(details["state"], "CREATED");
    assert_eq!(
        details["status-reason"],
        "waits for slots: 3 slots are needed; 0 of 0 on 0 TaskManagers are free"
    );

    let mut one = Fake::join(cluster.handle.rpc_address(), 2).await;
    let mut two = Fake::join(cluster.handle.rpc_address(), 2).await;
    let (first, second) = (one.deployment().await, two.deployment().await);
    assert_eq!((first.attempt, second.attempt), (1, 1));
    assert_eq!(first.placement, second.placement);
    assert_eq!(first.placement.len(), 3);
    assert!(
        first
            .placement
            .iter()
            .all(|place| place.data_address == format!("{}.example:4711", place.task_manager_id))
    );
    assert_eq!(one.tasks(&first).len() + two.tasks(&second).len(), 5, "every subtask is placed once");
    let splits: usize = first.splits.iter().chain(&second.splits).map(|share| share.splits.len()).sum();
    assert_eq!(splits, 4, "each source subtask has its two splits, sent only to where it runs");

    one.report_all(&first, TaskState::Running).await;
    two.report_all(&second, TaskState::Running).await;
    cluster.until(&job, "RUNNING").await;
    let task = one.tasks(&first)[0].clone();
    one.measure(SubtaskMetrics {
        task: Some(task),
        num_records_in: 7,
        num_bytes_in: 70,
        ..Default::default()
    })
    .await;
    one.report_all(&first, TaskState::Finished).await;
    two.report_all(&second, TaskState::Finished).await;
    cluster.until(&job, "FINISHED").await;

    let mut commits = cluster.log.commits();
    assert_eq!(commits.len(), 1);
    commits[0].sort();
    assert_eq!(commits[0], [b"1/0", b"1/1", b"1/2"]);
    let (_, details) = cluster.rest.get(&format!("/jobs/{job}")).await;
    assert_eq!(details["vertices"][0]["metrics"]["read-records"], 7);
    assert_eq!(details["vertices"][0]["tasks"]["FINISHED"], 2);
    assert_eq!(details["status-counts"]["FINISHED"], 2);
    let (_, overview) = cluster.rest.get("/overview").await;
    assert_eq!((&overview["slots-total"], &overview["slots-available"]), (&json!(4), &json!(4)));
    assert_eq!((&overview["jobs-finished"], &overview["jobs-running"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn cancelling_stops_the_tasks_first() {
    let cluster = Cluster::start(&[]).await;
    let mut manager = Fake::join(cluster.handle.rpc_address(), 2).await;
    let job = cluster.submit("JOB 2 2").await;
    let deploy = manager.deployment().await;
    manager.report_all(&deploy, TaskState::Running).await;
    cluster.until(&job, "RUNNING").await;

    let (status, body) = cluster.rest.patch(&format!("/jobs/{job}?mode=cancel")).await;
    assert_eq!((status, body), (202, json!({})));
    let cancel = manager.cancellation().await;
    assert_eq!((cancel.job_id, cancel.attempt), (deploy.job_id.clone(), 1));
    cluster.until(&job, "CANCELLING").await;
    let (_, overview) = cluster.rest.get("/overview").await;
    assert_eq!(overview["slots-available"], 0, "its tasks still run");
    manager.report_all(&deploy, TaskState::Canceled).await;
    cluster.until(&job, "CANCELED").await;
    assert_eq!(cluster.log.told(), [Told::Fence(Attempt(1)), Told::Abort(Attempt(1))]);
    let (_, overview) = cluster.rest.get("/overview").await;
    assert_eq!((&overview["slots-available"], &overview["jobs-cancelled"]), (&json!(2), &json!(1)));
    assert_eq!(cluster.rest.patch(&format!("/jobs/{job}")).await.0, 202, "cancelling twice is no error");
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_at_once_and_a_finished_one_not_at_all() {
    let cluster = Cluster::start(&[]).await;
    let waiting = cluster.submit("JOB 4 4").await;
    assert_eq!(cluster.rest.patch(&format!("/jobs/{waiting}?mode=cancel")).await.0, 202);
    cluster.until(&waiting, "CANCELED").await;

    let mut manager = Fake::join(cluster.handle.rpc_address(), 1).await;
    let job = cluster.submit("JOB 1 1").await;
    let deploy = manager.deployment().await;
    manager.report_all(&deploy, TaskState::Finished).await;
    cluster.until(&job, "FINISHED").await;
    let (status, body) = cluster.rest.patch(&format!("/jobs/{job}?mode=cancel")).await;
    assert_eq!(status, 409);
    assert!(body["errors"][0].as_str().unwrap().contains("FINISHED"), "{body}");
    let (status, _) = cluster.rest.patch(&format!("/jobs/{job}?mode=stop")).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_job_that_finds_no_slots_in_time_fails_and_says_so() {
    let cluster = Cluster::start(&[("slot.request.timeout", "100 ms")]).await;
    let job = cluster.submit("JOB 2 2").await;
    cluster.until(&job, "FAILED").await;
    let (_, exceptions) = cluster.rest.get(&format!("/jobs/{job}/exceptions")).await;
    let root = exceptions["root-exception"].as_str().unwrap();
    assert!(root.contains("WEIR-3005") && root.contains("2 slots are needed"), "{root}");
}

#[tokio::test]
async fn jobs_share_the_cluster_and_wait_in_turn() {
    let cluster = Cluster::start(&[]).await;
    let mut manager = Fake::join(cluster.handle.rpc_address(), 2).await;
    let first = cluster.submit("JOB 2 2").await;
    let deploy = manager.deployment().await;
    let second = cluster.submit("JOB 1 1").await;
    let (_, details) = cluster.rest.get(&format!("/jobs/{second}")).await;
    assert_eq!(
        details["status-reason"],
        "waits for slots: 1 slots are needed; 0 of 2 on 1 TaskManagers are free"
    );
    manager.report_all(&deploy, TaskState::Finished).await;
    cluster.until(&first, "FINISHED").await;
    let deploy = manager.deployment().await;
    assert_eq!(deploy.graph.as_ref().unwrap().name, "test job");
    manager.report_all(&deploy, TaskState::Finished).await;
    cluster.until(&second, "FINISHED").await;
    let (_, jobs) = cluster.rest.get("/jobs").await;
    assert_eq!(jobs["jobs"][0], json!({ "id": first, "status": "FINISHED" }));
    assert_eq!(jobs["jobs"][1], json!({ "id": second, "status": "FINISHED" }));
}

#[tokio::test]
async fn ended_jobs_are_forgotten_beyond_the_capacity() {
    let cluster =
        Cluster::start_with(options(&[("jobstore.max-capacity", "2")]), Log::default()).await.unwrap();
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let job = cluster.submit("JOB 1 1").await;
        cluster.rest.patch(&format!("/jobs/{job}")).await;
        cluster.until(&job, "CANCELED").await;
        jobs.push(job);
    }
    assert_eq!(cluster.rest.get(&format!("/jobs/{}", jobs[0])).await.0, 404);
    assert_eq!(cluster.rest.get(&format!("/jobs/{}", jobs[2])).await.0, 200);
}
