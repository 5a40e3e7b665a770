//! REST on checkpoints and savepoints: shapes, and what becomes of requests.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use weir_proto::v1::trigger_checkpoint::Purpose;
use weir_proto::v1::{DeployTasks, TaskState};

use super::Cluster;
use super::checkpoints::{running, trigger_of};
use super::fake::Fake;

const SELDOM: (&str, &str) = ("execution.checkpointing.interval", "1 h");

/// Asks until the job is ready for it; the request's number.
async fn ask(cluster: &Cluster, path: &str, body: &Value) -> String {
    for _ in 0..500 {
        let (status, answer) = cluster.rest.post(path, body).await;
        if status == 202 {
            return answer["request-id"].as_str().unwrap().to_owned();
        }
        assert_eq!(status, 409, "{answer}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} stays refused");
}

/// What became of a request.
async fn operation(cluster: &Cluster, path: &str) -> Value {
    for _ in 0..500 {
        let (status, answer) = cluster.rest.get(path).await;
        assert_eq!(status, 200, "{answer}");
        if answer["status"]["id"] == "COMPLETED" {
            return answer["operation"].clone();
        }
        assert_eq!(answer, json!({ "status": { "id": "IN_PROGRESS" } }));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} doesn't end");
}

/// Takes a savepoint by REST; its checkpoint's number and its place.
async fn savepoint(
    cluster: &Cluster,
    manager: &mut Fake,
    (job, deploy): (&str, &DeployTasks),
    directory: &Path,
) -> (u64, String) {
    let target = format!("file://{}", directory.join("savepoints").display());
    let path = format!("/jobs/{job}/savepoints");
    let request = ask(cluster, &path, &json!({ "target-directory": target })).await;
    let trigger = trigger_of(manager, Purpose::Savepoint).await;
    manager.acknowledge_all(deploy, trigger.checkpoint_id, 5).await;
    let done = operation(cluster, &format!("{path}/{request}")).await;
    assert_eq!(done, json!({ "location": trigger.location }));
    (trigger.checkpoint_id, trigger.location)
}

async fn disposal(cluster: &Cluster, path: &str) -> Value {
    let request = ask(cluster, "/savepoint-disposal", &json!({ "savepoint-path": path })).await;
    operation(cluster, &format!("/v1/savepoint-disposal/{request}")).await
}

#[tokio::test]
async fn a_savepoint_is_shown_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let (cluster, mut manager, job, deploy) = running(directory.path(), &[SELDOM]).await;
    cluster.until(&job, "RUNNING").await;
    let rest = &cluster.rest;
    let (_, before) = rest.get(&format!("/jobs/{job}/checkpoints")).await;
    assert_eq!(
        before["latest"],
        json!({ "completed": null, "savepoint": null, "failed": null, "restored": null })
    );
    let (id, place) = savepoint(&cluster, &mut manager, (&job, &deploy), directory.path()).await;

    let (_, all) = rest.get(&format!("/jobs/{job}/checkpoints")).await;
    let shown = &all["latest"]["savepoint"];
    assert_eq!(all["counts"]["completed"], 1, "{all}");
    assert_eq!(
        (&shown["id"], &shown["status"], &shown["is_savepoint"]),
        (&json!(id), &json!("COMPLETED"), &json!(true))
    );
    assert_eq!((&shown["num_subtasks"], &shown["external_path"]), (&json!(4), &json!(place)), "{shown}");
    let (_, details) = rest.get(&format!("/jobs/{job}/checkpoints/details/{id}")).await;
    assert_eq!(details["tasks"].as_object().unwrap().len(), 2, "{details}");
    for (vertex, of_vertex) in details["tasks"].as_object().unwrap() {
        assert_eq!(
            (&of_vertex["status"], &of_vertex["num_acknowledged_subtasks"]),
            (&json!("COMPLETED"), &json!(2))
        );
        let (status, found) =
            rest.get(&format!("/jobs/{job}/checkpoints/details/{id}/subtasks/{vertex}")).await;
        assert_eq!(status, 200, "{found}");
        let subtasks = found["subtasks"].as_array().unwrap();
        assert!(subtasks.len() == 2 && subtasks.iter().all(|one| one["status"] == "completed"), "{found}");
    }
    for path in ["details/999", "00000000000000000000000000000001"] {
        assert_eq!(rest.get(&format!("/jobs/{job}/checkpoints/{path}")).await.0, 404, "{path}");
    }

    let folder = Path::new(place.strip_prefix("file://").unwrap());
    assert!(folder.join("_metadata").exists());
    assert_eq!(disposal(&cluster, &place).await, json!({}));
    assert!(!folder.exists(), "its folder goes, too");
    let again = disposal(&cluster, &place).await;
    let reason = again["failure-cause"]["stack-trace"].as_str().unwrap();
    assert!(reason.contains("isn't a completed snapshot"), "{again}");
}

#[tokio::test]
async fn what_a_job_needs_is_not_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let (cluster, mut manager, job, deploy) = running(directory.path(), &[SELDOM]).await;
    cluster.until(&job, "RUNNING").await;
    let (_, place) = savepoint(&cluster, &mut manager, (&job, &deploy), directory.path()).await;
    // A checkpoint is its job's.
    let request = ask(&cluster, &format!("/jobs/{job}/checkpoints"), &json!({})).await;
    let trigger = trigger_of(&mut manager, Purpose::Checkpoint).await;
    manager.acknowledge_all(&deploy, trigger.checkpoint_id, 6).await;
    let done = operation(&cluster, &format!("/jobs/{job}/checkpoints/{request}")).await;
    let checkpoint = done["location"].as_str().unwrap().to_owned();
    assert_eq!(done["checkpointId"], trigger.checkpoint_id);
    let refused = disposal(&cluster, &checkpoint).await;
    assert!(
        refused["failure-cause"]["stack-trace"].as_str().unwrap().contains("goes on from it"),
        "{refused}"
    );

    // Another job starts from the savepoint.
    let other = Cluster::start(&[]).await;
    let mut manager = Fake::join(other.handle.rpc_address(), 2).await;
    let checkpoints = format!("file://{}", directory.path().join("other").display());
    let config = json!({ SELDOM.0: SELDOM.1, "execution.checkpointing.dir": checkpoints });
    let body = json!({ "sql": "JOB 2 2", "savepointPath": place, "config": config });
    let (status, answer) = other.rest.post("/jobs", &body).await;
    assert_eq!(status, 202, "{answer}");
    manager.deployment().await;
    let refused = disposal(&other, &format!("{place}/_metadata")).await;
    let reason = refused["failure-cause"]["stack-trace"].as_str().unwrap();
    assert!(reason.contains(answer["jobid"].as_str().unwrap()), "{refused}");
    // Nobody there uses the checkpoint, but it is no savepoint.
    let refused = disposal(&other, &checkpoint).await;
    assert!(
        refused["failure-cause"]["stack-trace"].as_str().unwrap().contains("not a savepoint"),
        "{refused}"
    );
    for path in [&place, &checkpoint] {
        assert!(Path::new(path.strip_prefix("file://").unwrap()).join("_metadata").exists(), "{path}");
    }
}

#[tokio::test]
async fn a_stop_by_rest_ends_the_job_behind_its_savepoint() {
    let directory = tempfile::tempdir().unwrap();
    let (cluster, mut manager, job, deploy) = running(directory.path(), &[SELDOM]).await;
    cluster.until(&job, "RUNNING").await;
    let target = format!("file://{}", directory.path().join("savepoints").display());
    let body = json!({ "targetDirectory": target, "drain": true });
    let request = ask(&cluster, &format!("/jobs/{job}/stop"), &body).await;
    let trigger = trigger_of(&mut manager, Purpose::Drain).await;
    manager.acknowledge_all(&deploy, trigger.checkpoint_id, 5).await;
    manager.cancellation().await;
    manager.report_all(&deploy, TaskState::Canceled).await;
    cluster.until(&job, "FINISHED").await;
    let done = operation(&cluster, &format!("/jobs/{job}/savepoints/{request}")).await;
    assert_eq!(done, json!({ "location": trigger.location }));
}

#[tokio::test]
async fn requests_that_cannot_be_are_refused() {
    let cluster = Cluster::start(&[]).await;
    let rest = &cluster.rest;
    let nobody = "/jobs/00000000000000000000000000000000";
    for (path, body, status) in [
        ("/savepoint-disposal", json!({}), 400),
        ("/savepoint-disposal", json!({ "savepoint-path": " " }), 400),
        ("/savepoint-disposal", json!({ "savepoint-path": "file:///x", "triggerId": "7" }), 400),
        (&format!("{nobody}/savepoints"), json!({ "target-directory": "file:///x" }), 404),
        (&format!("{nobody}/savepoints"), json!({ "formatType": "OTHER" }), 400),
        (&format!("{nobody}/checkpoints"), json!({ "checkpointType": "HALF" }), 400),
        (&format!("{nobody}/stop"), json!({ "drian": true }), 400),
    ] {
        let (found, answer) = rest.post(path, &body).await;
        assert_eq!(found, status, "{path} {body}: {answer}");
        assert!(answer["errors"][0].is_string(), "{answer}");
    }
    let unknown = "/savepoint-disposal/00000000000000000000000000000001";
    assert_eq!(rest.get(unknown).await.0, 404);
}
