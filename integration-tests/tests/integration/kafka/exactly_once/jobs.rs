//! Whole jobs, from topic over keys to topic, whose processes are killed in the middle of transactions.

use std::time::Duration;

use weir_chaos::deployment::Deployment;
use weir_chaos::servers::{Kafka, Topic};

use super::super::table;
use super::pipeline::{PER_SECOND, assert_exact, record, sql, windows_of};
use super::{all, numbers};

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_job_whose_processes_are_killed_in_mid_transaction_writes_every_record_once() {
    let kafka = Kafka::one();
    let topics: Vec<_> = [("jobs", 2), ("jobs-copies", 2), ("jobs-windows", 1)]
        .map(|(stem, partitions)| Topic::create(kafka, stem, partitions))
        .into();
    let [from, copies, windows] = topics.as_slice() else { unreachable!("three") };
    let folder = tempfile::tempdir().unwrap().keep();
    // Every slot is needed, so each process has tasks.
    let options = [format!("execution.checkpointing.local-backup.dirs={}", folder.join("copies").display())];
    let mut cluster = Deployment::start(&folder, 2, 1, &options, 1, None);
    let checkpoints = format!("file://{}", folder.join("checkpoints").display());
    let names = [from.name.as_str(), &copies.name, &windows.name];
    let job = cluster.submit(&sql(kafka, names, &checkpoints), 2);

    let mut next = 0;
    let mut feed = |count: i64| {
        from.produce((next..next + count).map(|n| record(n, 2)));
        next += count;
        next
    };
    let reach = |cluster: &Deployment, count: i64| {
        cluster.wait_until("all is copied", LIMIT, || copies.read().len() >= usize::try_from(count).unwrap());
    };
    let fed = feed(1000);
    reach(&cluster, fed);
    for point in ["commit.before@2", "commit.mid-transaction@3", "commit.after@3"] {
        let (name, visit) = point.split_once('@').unwrap();
        cluster.kill_taskmanager(1);
        cluster.start_taskmanager(1, &format!("{name}=kill@{visit}"));
        let mut fed = 0;
        let mut rounds = 0;
        while cluster.is_taskmanager_alive(1) {
            fed = feed(200);
            std::thread::sleep(Duration::from_millis(200));
            rounds += 1;
            assert!(rounds < 400, "{point} wasn't reached");
        }
        cluster.start_taskmanager(1, "");
        reach(&cluster, fed);
    }
    // The JobManager dies when a checkpoint is the job's last and nobody has been told, and another time at random.
    cluster.kill_jobmanager();
    cluster.start_jobmanager("pointer.after=kill@3");
    cluster.wait_for_rest();
    let mut fed = 0;
    while cluster.is_jobmanager_alive() {
        fed = feed(200);
        std::thread::sleep(Duration::from_millis(200));
    }
    cluster.start_jobmanager("");
    reach(&cluster, fed);
    feed(1000);
    std::thread::sleep(Duration::from_millis(350));
    cluster.kill_jobmanager();
    cluster.kill_taskmanager(0);
    cluster.heal();
    let end = feed(1000);
    reach(&cluster, end);
    // What ends the windows before it.
    feed(100 * PER_SECOND);
    cluster.wait_until("the windows have ended", LIMIT, || windows.read().len() >= windows_of(end));
    let total = end + 100 * PER_SECOND;
    reach(&cluster, total);
    assert!(cluster.cancel(&job, LIMIT), "it ends when it is cancelled");

    assert_exact(copies, windows, total, end);
    // The logs of a job that did otherwise stay.
    drop(cluster);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Of two pipelines one comes to its end: its last output, for which no writer lives, doesn't wait for the other's.
#[test]
fn what_a_pipeline_wrote_last_is_visible_while_others_go_on() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "ended", 2);
    let folder = tempfile::tempdir().unwrap();
    let cluster = Deployment::start(folder.path(), 1, 1, &[], 1, None);
    let once = "'sink.delivery-guarantee' = 'exactly-once', 'format' = 'json'";
    let sql = format!(
        "SET 'execution.checkpointing.interval' = '300 ms';
         SET 'execution.checkpointing.dir' = 'file://{}/checkpoints';
         CREATE TABLE few (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000', 'number-of-rows' = '1500',
           'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '1499');
         CREATE TABLE many (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10');
         CREATE TABLE nowhere (n BIGINT) WITH ('connector' = 'blackhole');\n",
        folder.path().display()
    ) + &table("ended", "n BIGINT", kafka.bootstrap(), &topic.name, once)
        + "EXECUTE STATEMENT SET BEGIN
             INSERT INTO ended SELECT n FROM few;
             INSERT INTO nowhere SELECT n FROM many;
           END";
    let job = cluster.submit(&sql, 1);
    cluster.wait_until("all is visible", LIMIT, || topic.read().len() >= 1500);
    assert_eq!(cluster.state(&job).as_deref(), Some("RUNNING"));
    assert_eq!(numbers(&topic), all(0..1500));
    assert!(cluster.cancel(&job, LIMIT));
    assert_eq!(numbers(&topic), all(0..1500));
}
