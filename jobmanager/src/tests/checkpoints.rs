//! Checkpoints, restarts from them, savepoints and stops, with real files.

use std::path::Path;

use weir_api::id::{Attempt, JobId};
use weir_proto::v1::trigger_checkpoint::Purpose;
use weir_proto::v1::{DeployTasks, TaskState};

use super::connector::{Log, Told};
use super::fake::Fake;
use super::{Cluster, options};
use crate::control::checkpoint::{Kind, Savepoint, Stop};

const REQUEST: u128 = 77;

/// The configuration of a job whose checkpoints lie in `directory`.
fn config(directory: &Path) -> [(&'static str, String); 2] {
    let place = format!("file://{}", directory.join("checkpoints").display());
    [("execution.checkpointing.interval", "20 ms".to_owned()), ("execution.checkpointing.dir", place)]
}

/// A running job with checkpoints: sources and sinks of parallelism 2 on one TaskManager.
pub(super) async fn running(directory: &Path, more: &[(&str, &str)]) -> (Cluster, Fake, String, DeployTasks) {
    let cluster = Cluster::start(&[]).await;
    let (manager, job, deploy) = running_on(&cluster, "JOB 2 2", directory, more).await;
    (cluster, manager, job, deploy)
}

/// The same of any job, on any cluster.
async fn running_on(
    cluster: &Cluster,
    sql: &str,
    directory: &Path,
    more: &[(&str, &str)],
) -> (Fake, String, DeployTasks) {
    let mut manager = Fake::join(cluster.handle.rpc_address(), 2).await;
    let config = config(directory);
    let mut all: Vec<(&str, &str)> = config.iter().map(|(key, value)| (*key, value.as_str())).collect();
    all.extend_from_slice(more);
    let job = cluster.submit_with(sql, &all).await;
    let deploy = manager.deployment().await;
    assert_eq!((deploy.restore.as_ref(), &deploy.checkpoint_location), (None, &config[1].1));
    manager.report_all(&deploy, TaskState::Running).await;
    (manager, job, deploy)
}

fn files(directory: &Path) -> Vec<String> {
    fn below(directory: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => below(&path, found),
                false => found.push(path.display().to_string()),
            }
        }
    }
    let mut found = Vec::new();
    below(directory, &mut found);
    found.sort();
    found
}

/// The positions of the splits of a deployment.
fn positions(deploy: &DeployTasks) -> Vec<(&str, Option<u64>)> {
    let mut all: Vec<_> = (deploy.splits.iter().flat_map(|share| &share.splits))
        .map(|split| (split.id.as_str(), split.position))
        .collect();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn a_checkpoint_is_durable_and_committed_before_the_tasks_hear_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let (cluster, mut manager, job, deploy) = running(directory.path(), &[]).await;
    let first = manager.trigger().await;
    assert_eq!(first.purpose(), Purpose::Checkpoint);
    manager.acknowledge_all(&deploy, first.checkpoint_id, 10).await;
    assert_eq!(manager.complete().await, first.checkpoint_id);
    let metadata = format!("{job}/chk-{}/_metadata", first.checkpoint_id);
    assert!(files(directory.path()).iter().any(|file| file.ends_with(&metadata)), "{metadata}");
    let payload = |subtask| format!("1/{subtask}/{}", first.checkpoint_id).into_bytes();
    assert_eq!(cluster.log.told(), [Told::Commit(vec![payload(0), payload(1)])]);

    // The next one subsumes it.
    let second = manager.trigger().await;
    manager.acknowledge_all(&deploy, second.checkpoint_id, 20).await;
    assert_eq!(manager.complete().await, second.checkpoint_id);
    let metadata = format!("{job}/chk-{}/_metadata", second.checkpoint_id);
    for _ in 0..500 {
        if files(directory.path()).len() == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let left = files(directory.path());
    assert!(left.len() == 1 && left[0].ends_with(&metadata), "{left:?}");
}

/// One subtask of each vertex ends; the others go on.
#[tokio::test]
async fn what_finished_tasks_left_is_committed_with_the_next_checkpoint_and_once() {
    let directory = tempfile::tempdir().unwrap();
    let (cluster, mut manager, _, deploy) = running(directory.path(), &[]).await;
    let (ended, living): (Vec<_>, Vec<_>) =
        manager.tasks(&deploy).into_iter().partition(|task| task.subtask == 0);
    for task in &ended {
        manager.report(task, TaskState::Finished).await;
    }
    let of_living = |checkpoint| format!("1/1/{checkpoint}").into_bytes();
    let mut expected = Vec::new();
    for round in 0..3 {
        let trigger = manager.trigger().await;
        for task in &living {
            manager.acknowledge(&deploy, task, trigger.checkpoint_id, 10).await;
        }
        assert_eq!(manager.complete().await, trigger.checkpoint_id);
        let left = (round == 0).then(|| b"1/0".to_vec());
        expected.push(Told::Commit(left.into_iter().chain([of_living(trigger.checkpoint_id)]).collect()));
        assert_eq!(cluster.log.told(), expected);
    }
}

#[tokio::test]
async fn a_restart_goes_on_from_the_last_checkpoint_at_once_after_a_loss() {
    let directory = tempfile::tempdir().unwrap();
    let (cluster, mut manager, job, deploy) = running(directory.path(), &[]).await;
    let trigger = manager.trigger().await;
    manager.acknowledge_all(&deploy, trigger.checkpoint_id, 10).await;
    manager.complete().await;
    // Of this one a part is missing.
    let unfinished = manager.trigger().await;
    let mut spare = Fake::join(cluster.handle.rpc_address(), 2).await;
    let start = std::time::Instant::now();
    drop(manager);
    let again = spare.deployment().await;
    let took = start.elapsed();
    assert!(took < std::time::Duration::from_millis(300), "{took:?}");
    let restore = again.restore.clone().expect("from the checkpoint");
    assert_eq!((restore.checkpoint_id, restore.owned, again.attempt), (trigger.checkpoint_id, true, 2));
    assert!(restore.path.ends_with(&format!("{job}/chk-{}", trigger.checkpoint_id)), "{}", restore.path);
    let all = ["0", "1", "2", "3"].map(|id| (id, Some(10)));
    assert_eq!(positions(&again), all);
    let told = cluster.log.told();
    let payload = |subtask| format!("1/{subtask}/{}", trigger.checkpoint_id).into_bytes();
    let committed = Told::Commit(vec![payload(0), payload(1)]);
    assert_eq!(
        told,
        [committed.clone(), committed, Told::Abort(Attempt(1))],
        "again, as nobody knows that it was"
    );

    // The next attempt's checkpoints have other ids.
    spare.report_all(&again, TaskState::Running).await;
    let next = spare.trigger().await;
    assert!(next.checkpoint_id > unfinished.checkpoint_id);
}

#[tokio::test]
async fn the_next_leader_goes_on_from_the_last_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let mut with_directory = options(&[]);
    with_directory.metadata = Some(directory.path().join("metadata"));
    let log = Log::default();
    let first = Cluster::start_with(with_directory.clone(), log.clone()).await.unwrap();
    let (mut manager, job, deploy) = running_on(&first, "JOB 1 1", directory.path(), &[]).await;
    let trigger = manager.trigger().await;
    manager.acknowledge_all(&deploy, trigger.checkpoint_id, 33).await;
    manager.complete().await;
    let used = manager.trigger().await.checkpoint_id;
    first.handle.shutdown().await.unwrap();

    let second = Cluster::start_with(with_directory, log.clone()).await.unwrap();
    let mut manager = Fake::join(second.handle.rpc_address(), 2).await;
    let deploy = manager.deployment().await;
    assert_eq!(deploy.attempt, 2);
    assert_eq!(deploy.restore.clone().map(|restore| restore.checkpoint_id), Some(trigger.checkpoint_id));
    assert_eq!(positions(&deploy), [("0", Some(33)), ("1", Some(33))]);
    manager.report_all(&deploy, TaskState::Running).await;
    let next = manager.trigger().await;
    assert!(next.checkpoint_id > used, "an id is used once, whoever leads");
    manager.acknowledge_all(&deploy, next.checkpoint_id, 44).await;
    assert_eq!(manager.complete().await, next.checkpoint_id);

    // A bounded job ends: what is left is committed once more, and its checkpoints go.
    manager.report_all(&deploy, TaskState::Finished).await;
    second.until(&job, "FINISHED").await;
    for _ in 0..500 {
        if files(&directory.path().join("checkpoints")).is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{:?} stay", files(&directory.path().join("checkpoints")));
}

#[tokio::test]
async fn the_next_leader_clears_up_behind_a_job_that_had_ended() {
    for retention in ["RETAIN_ON_CANCELLATION", "DELETE_ON_CANCELLATION"] {
        let directory = tempfile::tempdir().unwrap();
        let mut with_directory = options(&[]);
        with_directory.metadata = Some(directory.path().join("metadata"));
        let first = Cluster::start_with(with_directory.clone(), Log::default()).await.unwrap();
        let retained = ("execution.checkpointing.externalized-checkpoint-retention", retention);
        let (mut manager, job, deploy) = running_on(&first, "JOB 2 2", directory.path(), &[retained]).await;
        let trigger = manager.trigger().await;
        manager.acknowledge_all(&deploy, trigger.checkpoint_id, 10).await;
        manager.complete().await;
        first.rest.patch(&format!("/jobs/{job}")).await;
        manager.cancellation().await;
        manager.report_all(&deploy, TaskState::Canceled).await;
        first.until(&job, "CANCELED").await;
        first.handle.shutdown().await.unwrap();

        // What it hadn't come to, or what came behind it.
        let folder = directory.path().join("checkpoints").join(&job);
        for (place, kind) in [("shared", "arrow"), ("taskowned", "blob"), ("chk-9", "arrow")] {
            std::fs::create_dir_all(folder.join(place)).unwrap();
            std::fs::write(folder.join(place).join(format!("1-9-{:032x}.{kind}", 7)), b"late").unwrap();
        }
        let _second = Cluster::start_with(with_directory, Log::default()).await.unwrap();
        let stays = usize::from(retention.starts_with("RETAIN"));
        let start = std::time::Instant::now();
        while files(&folder).len() > stays {
            let left = files(&folder);
            assert!(start.elapsed() < std::time::Duration::from_secs(20), "{retention}: {left:?} stay");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let left = files(&folder);
        let metadata = format!("chk-{}/_metadata", trigger.checkpoint_id);
        assert!(left.len() == stays && left.iter().all(|file| file.ends_with(&metadata)), "{left:?}");
    }
}

#[tokio::test]
async fn a_damaged_checkpoint_stops_the_job_unless_duplicates_are_allowed() {
    for allowed in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let more = [
            ("execution.checkpointing.num-retained", "2"),
            ("execution.state-recovery.allow-older-checkpoint", if allowed { "true" } else { "false" }),
        ];
        let (cluster, mut manager, job, deploy) = running(directory.path(), &more).await;
        let mut ids = Vec::new();
        for position in [10, 20] {
            let trigger = manager.trigger().await;
            manager.acknowledge_all(&deploy, trigger.checkpoint_id, position).await;
            ids.push(manager.complete().await);
        }
        let newest = format!("chk-{}/_metadata", ids[1]);
        let file = files(directory.path()).into_iter().find(|file| file.ends_with(&newest)).unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let mut spare = Fake::join(cluster.handle.rpc_address(), 2).await;
        drop(manager);
        if allowed {
            let again = spare.deployment().await;
            assert_eq!(again.restore.clone().map(|restore| restore.checkpoint_id), Some(ids[0]));
            assert!(positions(&again).iter().all(|(_, position)| *position == Some(10)));
        } else {
            cluster.until(&job, "FAILED").await;
            let (_, exceptions) = cluster.rest.get(&format!("/jobs/{job}/exceptions")).await;
            let text = exceptions.to_string();
            for part in ["_metadata", "allow-older-checkpoint", "WEIR-4001"] {
                assert!(text.contains(part), "{part} isn't in {text}");
            }
            assert!(files(directory.path()).len() >= 2, "a failed job's checkpoints stay");
        }
    }
}

async fn answer(cluster: &Cluster, job: &str) -> Result<String, String> {
    let job: JobId = job.parse().unwrap();
    for _ in 0..500 {
        let asked = cluster.handle.client.ask(move |core, _| {
            let operation = core.job(job).ok()?.operation(REQUEST)?;
            operation.result.clone()
        });
        if let Some(result) = asked.await.unwrap() {
            return result;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("nobody answers");
}

fn savepoint(directory: &Path, stop: Option<Stop>) -> Kind {
    let target = format!("file://{}", directory.join("savepoints").display());
    Kind::Savepoint(Savepoint { request: REQUEST, target, stop })
}

/// Passes over periodic checkpoints.
pub(super) async fn trigger_of(manager: &mut Fake, purpose: Purpose) -> weir_proto::v1::TriggerCheckpoint {
    loop {
        let trigger = manager.trigger().await;
        if trigger.purpose() == purpose {
            return trigger;
        }
    }
}

#[tokio::test]
async fn a_savepoint_beside_a_running_job_commits_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (cluster, mut manager, job, deploy) =
        running(directory.path(), &[("execution.checkpointing.interval", "1 h")]).await;
    cluster.until(&job, "RUNNING").await;
    let kind = savepoint(directory.path(), None);
    while cluster.handle.client.request(job.parse().unwrap(), kind.clone()).await.is_err() {}
    let trigger = trigger_of(&mut manager, Purpose::Savepoint).await;
    assert!(trigger.location.contains("/savepoints/savepoint-"), "{}", trigger.location);
    manager.acknowledge_all(&deploy, trigger.checkpoint_id, 5).await;
    let path = answer(&cluster, &job).await.unwrap();
    assert_eq!(path, trigger.location);
    assert!(Path::new(path.strip_prefix("file://").unwrap()).join("_metadata").exists());
    assert!(cluster.log.told().is_empty(), "{:?}", cluster.log.told());
}

#[tokio::test]
async fn a_stop_commits_its_savepoint_and_finishes_the_job() {
    for stop in [Stop::Suspend, Stop::Drain] {
        let directory = tempfile::tempdir().unwrap();
        let (cluster, mut manager, job, deploy) = running(directory.path(), &[]).await;
        cluster.until(&job, "RUNNING").await;
        let kind = savepoint(directory.path(), Some(stop));
        while cluster.handle.client.request(job.parse().unwrap(), kind.clone()).await.is_err() {}
        let purpose = if stop == Stop::Drain { Purpose::Drain } else { Purpose::Suspend };
        let trigger = trigger_of(&mut manager, purpose).await;
        manager.acknowledge_all(&deploy, trigger.checkpoint_id, 5).await;
        manager.cancellation().await;
        manager.report_all(&deploy, TaskState::Canceled).await;
        cluster.until(&job, "FINISHED").await;
        let path = answer(&cluster, &job).await.unwrap();
        assert!(
            Path::new(path.strip_prefix("file://").unwrap()).join("_metadata").exists(),
            "it is the user's"
        );
        let payload = |subtask| format!("1/{subtask}/{}", trigger.checkpoint_id).into_bytes();
        assert_eq!(cluster.log.told(), [Told::Commit(vec![payload(0), payload(1)])]);
    }
}

#[tokio::test]
async fn what_is_declined_is_given_up_and_the_job_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (cluster, mut manager, job, deploy) = running(directory.path(), &[]).await;
    let trigger = manager.trigger().await;
    let declined = weir_proto::v1::CheckpointDeclined {
        task: Some(manager.tasks(&deploy)[0].clone()),
        checkpoint_id: trigger.checkpoint_id,
        reason: "the disk is full".to_owned(),
    };
    manager.say(weir_proto::v1::task_manager_message::Body::CheckpointDeclined(declined)).await;
    match manager.command().await {
        Some(weir_proto::v1::job_manager_message::Body::AbortCheckpoint(abort)) => {
            assert_eq!(abort.checkpoint_id, trigger.checkpoint_id);
        }
        other => panic!("{other:?}"),
    }
    let next = manager.trigger().await;
    assert!(next.checkpoint_id > trigger.checkpoint_id);
    manager.acknowledge_all(&deploy, next.checkpoint_id, 1).await;
    assert_eq!(manager.complete().await, next.checkpoint_id);
    cluster.until(&job, "RUNNING").await;
}

/// A stopped job's savepoint, its sources at `position`.
async fn stopped(directory: &Path, position: u64) -> String {
    let (cluster, mut manager, job, deploy) = running(directory, &[]).await;
    let kind = savepoint(directory, Some(Stop::Suspend));
    while cluster.handle.client.request(job.parse().unwrap(), kind.clone()).await.is_err() {}
    let trigger = trigger_of(&mut manager, Purpose::Suspend).await;
    manager.acknowledge_all(&deploy, trigger.checkpoint_id, position).await;
    manager.cancellation().await;
    manager.report_all(&deploy, TaskState::Canceled).await;
    answer(&cluster, &job).await.unwrap()
}

#[tokio::test]
async fn another_job_goes_on_from_a_savepoint_at_another_parallelism() {
    let directory = tempfile::tempdir().unwrap();
    let path = stopped(directory.path(), 6).await;
    for parallelism in [2, 3] {
        let cluster = Cluster::start(&[]).await;
        let mut manager = Fake::join(cluster.handle.rpc_address(), 3).await;
        let config = config(directory.path());
        let body = serde_json::json!({
            "sql": format!("JOB {parallelism} {parallelism}"),
            "config": std::collections::BTreeMap::from(config),
            "savepointPath": path,
        });
        let (status, answer) = cluster.rest.post("/jobs", &body).await;
        assert_eq!(status, 202, "{answer}");
        let deploy = manager.deployment().await;
        let restore = deploy.restore.clone().expect("from the savepoint");
        assert_eq!((restore.path.as_str(), restore.owned), (path.as_str(), false));
        assert_eq!(
            positions(&deploy),
            ["0", "1", "2", "3"].map(|id| (id, Some(6))),
            "the savepoint's splits, once"
        );
        assert!(
            matches!(&cluster.log.told()[..], [Told::Commit(all)] if all.len() == 2),
            "in the old job's name"
        );
        manager.report_all(&deploy, TaskState::Running).await;
        let trigger = manager.trigger().await;
        assert!(trigger.checkpoint_id > restore.checkpoint_id);
        manager.acknowledge_all(&deploy, trigger.checkpoint_id, 7).await;
        manager.complete().await;
    }
    assert!(Path::new(path.strip_prefix("file://").unwrap()).join("_metadata").exists(), "not claimed");
}

#[tokio::test]
async fn what_a_job_cant_start_from_is_refused_at_its_submission() {
    let directory = tempfile::tempdir().unwrap();
    let path = stopped(directory.path(), 6).await;
    let cluster = Cluster::start(&[]).await;
    let submit = async |sql: &str, path: &str, more: bool| {
        let body = serde_json::json!({
            "sql": sql, "savepointPath": path, "allowNonRestoredState": more,
        });
        let (status, answer) = cluster.rest.post("/jobs", &body).await;
        (status, answer.to_string())
    };
    let (status, answer) = submit("JOB 1 1", &format!("{path}x"), false).await;
    assert!(status >= 400 && answer.contains("isn't a completed snapshot"), "{status} {answer}");
    let (status, answer) = submit("OTHER 1 1", &path, false).await;
    assert!(status == 400 && answer.contains("uid source") && answer.contains("-n"), "{status} {answer}");
    assert_eq!(submit("OTHER 1 1", &path, true).await.0, 202);
    let body =
        serde_json::json!({ "sql": "JOB 1 1", "config": { "execution.checkpointing.interval": "1 s" } });
    let (status, answer) = cluster.rest.post("/jobs", &body).await;
    assert!(status == 400 && answer.to_string().contains("execution.checkpointing.dir"), "{status} {answer}");
}
