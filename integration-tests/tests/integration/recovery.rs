//! Jobs with checkpoints whose processes are killed in mid-job: each goes on from its last checkpoint, and its answer is as if nothing
//! had happened.

use std::path::Path;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::job::{events_table, file_options, table};
use crate::judge;
use crate::process::Process;

const LIMIT: Duration = Duration::from_secs(120);
const EVENTS: u64 = 200_000;
/// Paced, so that it is in mid-job when a process dies.
const PACE: &str = "'first-event.rate' = '15000', 'next-event.rate' = '15000', 'max-emit-speed' = 'false'";

fn source(more: &str) -> String {
    format!("'connector' = 'nexmark', 'events.num' = '{EVENTS}', {more}")
}

/// Bids by auction and second, out of the paced generator into files.
fn counts(output: &Path, format: &str) -> String {
    events_table(&source(PACE))
        + "CREATE VIEW bid AS SELECT bid.auction, bid.price, `dateTime` FROM events WHERE event_type = 2;\n"
        + &table(
            "counts",
            "auction BIGINT, window_end TIMESTAMP(3), bids BIGINT, total BIGINT",
            &file_options(output, format),
        )
        + "INSERT INTO counts SELECT auction, window_end, COUNT(*), SUM(price)
           FROM TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' SECOND) GROUP BY auction, window_start, window_end"
}

/// The bids themselves: the generator is a pure function of the event's number, so the unpaced one makes the same.
fn bids(cluster: &Cluster, output: &Path) {
    let sql = events_table(&source(&PACE.replace("'false'", "'true'")))
        + &table(
            "bids",
            "auction BIGINT, price BIGINT, `dateTime` TIMESTAMP(3)",
            &file_options(output, "parquet"),
        )
        + "INSERT INTO bids SELECT bid.auction, bid.price, bid.`dateTime` FROM events WHERE event_type = 2";
    cluster.run(&sql, 1, LIMIT);
}

fn assert_exact(cluster: &Cluster, output: &Path) {
    let events = tempfile::tempdir().expect("a temporary folder");
    bids(cluster, events.path());
    judge::assert_same(
        "counts after restarts",
        &[],
        &format!(
            "SELECT auction, time_bucket(INTERVAL 1 SECOND, \"dateTime\", TIMESTAMP '1970-01-01') + INTERVAL 1 SECOND AS window_end,
                    count(*) AS bids, CAST(sum(price) AS BIGINT) AS total
             FROM read_parquet('{}/*.parquet') GROUP BY ALL",
            events.path().display()
        ),
        &format!("FROM read_parquet('{}/*.parquet')", output.display()),
    );
}

/// Two pipelines that share nothing: the counts, and beside them the bids of another generator.
fn counts_and_bids(counted: &Path, copied: &Path) -> String {
    let options = file_options(copied, "parquet");
    format!(
        "{};\n{}{}INSERT INTO copies SELECT bid.auction, bid.price, bid.`dateTime` FROM other_events WHERE event_type = 2",
        counts(counted, "parquet"),
        events_table(&source(PACE)).replace("CREATE TABLE events", "CREATE TABLE other_events"),
        table("copies", "auction BIGINT, price BIGINT, `dateTime` TIMESTAMP(3)", &options),
    )
}

fn completed(cluster: &Cluster, job: &str) -> u64 {
    cluster.get(&format!("/jobs/{job}/checkpoints"))["counts"]["completed"].as_u64().unwrap_or(0)
}

/// The TaskManager that runs subtask 1 of the first vertex.
fn busy(cluster: &Cluster, job: &str) -> usize {
    let details = cluster.get(&format!("/jobs/{job}"));
    let vertex = details["vertices"][0]["id"].as_str().expect("a vertex");
    let subtasks = cluster.get(&format!("/jobs/{job}/vertices/{vertex}"));
    let used = subtasks["subtasks"][1]["taskmanager-id"].as_str().expect("a TaskManager").to_owned();
    used.trim_start_matches("tm-").parse().expect("tm-N")
}

fn options(folder: &Path) -> Vec<String> {
    vec![
        "execution.checkpointing.interval=200 ms".to_owned(),
        format!("execution.checkpointing.dir=file://{}/checkpoints", folder.display()),
        format!("execution.checkpointing.local-backup.dirs={}/copies", folder.display()),
        format!("jobmanager.metadata.dir={}/metadata", folder.display()),
    ]
}

/// Checkpoints, kills a TaskManager and waits until the job runs again, so many times.
#[test]
fn killed_taskmanagers_cost_no_row_and_double_none() {
    let (folder, output) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let options = options(folder.path());
    let mut cluster = Cluster::start(3, 1, &options.iter().map(String::as_str).collect::<Vec<_>>());
    let job = cluster.submit(&counts(output.path(), "parquet"), 2).expect("the job is accepted");
    for round in 0..2 {
        let before = completed(&cluster, &job);
        cluster.wait_until("checkpoints are complete", LIMIT, || completed(&cluster, &job) >= before + 3);
        let victim = busy(&cluster, &job);
        cluster.taskmanagers[victim].kill();
        cluster.add_taskmanager();
        cluster.wait_until("the job goes on from a checkpoint", LIMIT, || {
            cluster.get(&format!("/jobs/{job}/checkpoints"))["counts"]["restored"].as_u64() == Some(round + 1)
        });
    }
    assert_eq!(cluster.wait_for_end(&job, LIMIT), "FINISHED");
    assert_exact(&cluster, output.path());
}

/// A task: its vertex' name and its number, the attempt that it runs under, when that began, and its state.
type Task = (String, u64, i64, String);

fn tasks(cluster: &Cluster, job: &str) -> Vec<Task> {
    let details = cluster.get(&format!("/jobs/{job}"));
    let mut tasks = Vec::new();
    for vertex in details["vertices"].as_array().expect("vertices") {
        let id = vertex["id"].as_str().expect("an id");
        let found = cluster.get(&format!("/jobs/{job}/vertices/{id}"));
        for subtask in found["subtasks"].as_array().expect("subtasks") {
            tasks.push((
                format!("{} {}", found["name"], subtask["subtask"]),
                subtask["attempt"].as_u64().expect("a number"),
                subtask["start-time"].as_i64().expect("a time"),
                subtask["status"].as_str().expect("a state").to_owned(),
            ));
        }
    }
    tasks
}

/// A TaskManager one of whose tasks fails at a barrier of about the third checkpoint.
fn add_failing_taskmanager(cluster: &mut Cluster, options: &[String], log: &Path) {
    let (host, port) = cluster.rpc().rsplit_once(':').expect("host:port");
    let mut arguments = vec![
        "taskmanager".to_owned(),
        format!("-Djobmanager.rpc.address={host}"),
        format!("-Djobmanager.rpc.port={port}"),
        "-Dmetrics.reporter.prom.port=0".to_owned(),
        "-Dtaskmanager.numberOfTaskSlots=2".to_owned(),
    ];
    arguments.extend(options.iter().map(|option| format!("-D{option}")));
    let variables = [("WEIR_FAIL_POINTS", "barrier.received=error@14")];
    cluster.taskmanagers.push(Process::weir_logging(&arguments, &variables, log));
    cluster.wait_for_taskmanagers(1);
}

#[test]
fn a_pipeline_goes_on_while_another_one_restarts() {
    let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
    let [folder, counted, copied] = &folders;
    let options = options(folder.path());
    let mut cluster = Cluster::start(0, 2, &options.iter().map(String::as_str).collect::<Vec<_>>());
    add_failing_taskmanager(&mut cluster, &options, &folder.path().join("log"));
    let sql = counts_and_bids(counted.path(), copied.path());
    let job = cluster.submit(&sql, 2).expect("the job is accepted");
    let mut before = Vec::new();
    cluster.wait_until("all tasks run", LIMIT, || {
        before = tasks(&cluster, &job);
        before.iter().all(|(_, _, _, status)| status == "RUNNING")
    });
    let mut after = Vec::new();
    cluster.wait_until("one of the pipelines has restarted", LIMIT, || {
        after = tasks(&cluster, &job);
        after.iter().any(|(_, attempt, ..)| *attempt > 0)
            && after.iter().all(|(_, _, _, status)| status == "RUNNING")
    });
    // What runs under its first attempt has noticed nothing.
    let survivors: Vec<_> = after.iter().filter(|(_, attempt, ..)| *attempt == 0).collect();
    assert!(!survivors.is_empty(), "all have restarted: {after:?}");
    assert!(survivors.iter().all(|task| before.contains(task)), "from {before:?} to {after:?}");
    let known = completed(&cluster, &job);
    cluster.wait_until("checkpoints of both are complete", LIMIT, || completed(&cluster, &job) > known);
    assert_eq!(cluster.wait_for_end(&job, LIMIT), "FINISHED");
    let history = cluster.get(&format!("/jobs/{job}/exceptions"));
    let entries = history["exceptionHistory"]["entries"].as_array().map(Vec::len);
    assert_eq!(entries, Some(1), "one failure: {history}");
    assert_exact(&cluster, counted.path());
    let events = tempfile::tempdir().expect("a temporary folder");
    bids(&cluster, events.path());
    judge::assert_same(
        "bids beside counts",
        &[],
        &format!("FROM read_parquet('{}/*.parquet')", events.path().display()),
        &format!("FROM read_parquet('{}/*.parquet')", copied.path().display()),
    );
}
