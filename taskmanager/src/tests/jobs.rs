//! Jobs that run to their end: in one TaskManager, and across two.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use weir_api::graph::{JobGraph, Partitioning};
use weir_proto::v1::TaskState;

use super::manager::JobManager;
use crate::tests::fixture::connector::{TestConnector, sorted};
use crate::tests::fixture::graph::{deployment, growing, line, sink, source, union, with_dead_letters};

const LIFE: [TaskState; 4] =
    [TaskState::Deploying, TaskState::Initializing, TaskState::Running, TaskState::Finished];

/// Two sources, 3 operators behind a hash edge, 2 sinks behind a rebalance.
fn pipeline() -> JobGraph {
    line(
        vec![
            (vec![source("s", &[("rows", "20000")])], 2),
            (vec![union("u"), union("v")], 3),
            (vec![union("w"), sink("t", &[])], 2),
        ],
        &[Partitioning::Hash(vec![0]), Partitioning::Rebalance],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_to_its_end_in_one_task_manager() {
    let connector = TestConnector::default();
    let mut manager = JobManager::start().await;
    let worker = manager.worker("a", 3, &connector).await;
    let mut session = manager.accept().await;
    assert_eq!((session.register.task_manager_id.as_str(), session.register.slots), ("a", 3));
    assert_eq!(session.register.data_address, worker.data_address());
    let slots =
        [("a", worker.data_address(), 0), ("a", worker.data_address(), 1), ("a", worker.data_address(), 2)];
    session.deploy(deployment(1, 1, &pipeline(), &slots)).await;
    let (states, ends) = session.ends(7).await;
    assert!(states.values().all(|states| states == &LIFE), "{states:?}");
    assert_eq!(connector.sorted(), (0..40_000).collect::<Vec<_>>());
    let committed: u64 = ends
        .iter()
        .filter_map(|end| end.snapshot.as_ref())
        .flat_map(|part| &part.operators)
        .flat_map(|part| part.subtask.iter().map(|subtask| (part.operator, subtask)))
        .flat_map(|(operator, subtask)| subtask.committables.iter().map(move |pending| (operator, pending)))
        .map(|(operator, pending)| {
            assert_eq!(operator, 1, "the sink's position in its chain");
            u64::from_be_bytes(pending.entries[0].payload.as_slice().try_into().unwrap())
        })
        .sum();
    assert_eq!(committed, 40_000);
    // The last figures come before the last states.
    let sum = |vertex: u32, figure: fn(&weir_proto::v1::SubtaskMetrics) -> u64| -> u64 {
        session.metrics.iter().filter(|((of, _), _)| *of == vertex).map(|(_, metrics)| figure(metrics)).sum()
    };
    for vertex in 0..3 {
        assert_eq!(sum(vertex, |metrics| metrics.num_records_in), 40_000, "vertex {vertex}");
        assert_eq!(sum(vertex, |metrics| metrics.num_records_out), 40_000, "vertex {vertex}");
    }
    assert!(sum(0, |metrics| metrics.num_bytes_out) >= 40_000 * 16);
    assert_eq!(session.metrics[&(1, 0)].current_input_watermark, Some(i64::MAX));
    let start = Instant::now();
    worker.shutdown().await.unwrap();
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "nothing is left to wait for: {:?}",
        start.elapsed()
    );
    assert!(session.next().await.is_none(), "the stream is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_to_its_end_across_two_task_managers() {
    let connector = TestConnector::default();
    let mut manager = JobManager::start().await;
    let workers = [manager.worker("a", 2, &connector).await, manager.worker("b", 1, &connector).await];
    let mut sessions = [manager.accept().await, manager.accept().await];
    sessions.sort_by(|one, two| one.register.task_manager_id.cmp(&two.register.task_manager_id));
    // Subtask 1 of each vertex lives apart from subtasks 0 and 2.
    let [a, b] = workers.each_ref().map(|worker| worker.data_address());
    let slots = [("a", a, 0), ("b", b, 0), ("a", a, 1)];
    for session in &sessions {
        session.deploy(deployment(1, 1, &pipeline(), &slots)).await;
    }
    let [first, second] = &mut sessions;
    let (first, second) = tokio::join!(first.ends(4), second.ends(3));
    for (states, ends) in [first, second] {
        assert!(states.values().all(|states| states == &LIFE), "{ends:?}");
    }
    assert_eq!(connector.sorted(), (0..40_000).collect::<Vec<_>>());
    for worker in workers {
        worker.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_travel_by_the_edges_that_name_their_source_and_rows_by_the_others() {
    let connector = TestConnector::default();
    let mut manager = JobManager::start().await;
    let workers = [manager.worker("a", 1, &connector).await, manager.worker("b", 1, &connector).await];
    let mut sessions = [manager.accept().await, manager.accept().await];
    sessions.sort_by(|one, two| one.register.task_manager_id.cmp(&two.register.task_manager_id));
    let [a, b] = workers.each_ref().map(|worker| worker.data_address());
    let graph = with_dead_letters(source("s", &[("rows", "20000"), ("dead-every", "4")]), 2);
    for session in &sessions {
        session.deploy(deployment(1, 1, &graph, &[("a", a, 0), ("b", b, 0)])).await;
    }
    let [first, second] = &mut sessions;
    let (first, second) = tokio::join!(first.ends(3), second.ends(2));
    for (states, ends) in [first, second] {
        assert!(states.values().all(|states| states == &LIFE), "{ends:?}");
    }
    let (dead, rows): (Vec<_>, Vec<_>) = (0..40_000).partition(|value| value % 4 == 0);
    assert_eq!(connector.sorted(), rows);
    // By both edges.
    let twice: Vec<_> = dead.into_iter().flat_map(|value| [value, value]).collect();
    assert_eq!(sorted(&connector.side_collected), twice);
    let [first, second] = &sessions;
    let sum = |figure: fn(&weir_proto::v1::SubtaskMetrics) -> u64| {
        figure(&first.metrics[&(0, 0)]) + figure(&second.metrics[&(0, 1)])
    };
    assert_eq!(sum(|metrics| metrics.num_records_out), 30_000);
    assert_eq!(sum(|metrics| metrics.num_side_output_records), 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn splits_that_are_found_later_are_read_once_by_the_task_they_are_sent_to() {
    let connector = TestConnector::default();
    let mut manager = JobManager::start().await;
    let worker = manager.worker("a", 2, &connector).await;
    let mut session = manager.accept().await;
    let a = worker.data_address();
    let graph = line(
        vec![(vec![growing("s")], 2), (vec![union("u"), sink("t", &[])], 2)],
        &[Partitioning::Hash(vec![0])],
    );
    let mut deploy = deployment(1, 1, &graph, &[("a", a, 0), ("a", a, 1)]);
    // Subtask 0 begins with one split, subtask 1 with none.
    deploy.splits.truncate(1);
    deploy.splits[0].splits[0].id = "0".to_owned();
    session.deploy(deploy).await;
    session.add_splits((1, 1, 0), 1, &["1", "3"]).await;
    session.add_splits((1, 1, 0), 1, &["1", "3"]).await;
    // Of an attempt that is over, of one that never was, and of a task that isn't there.
    session.add_splits((1, 2, 0), 0, &["7"]).await;
    session.add_splits((2, 1, 0), 0, &["7"]).await;
    session.add_splits((1, 1, 9), 0, &["7"]).await;
    session.running(4).await;
    // Subtask 1 holds nothing back while it has nothing to read.
    let deadline = Instant::now() + Duration::from_secs(10);
    while session.metrics.get(&(1, 0)).and_then(|metrics| metrics.current_input_watermark) != Some(399) {
        assert!(Instant::now() < deadline, "{:?}", session.metrics.get(&(1, 0)));
        session.metrics().await;
    }
    session.add_splits((1, 1, 1), 0, &["2"]).await;
    session.add_splits((1, 1, 1), 1, &["end"]).await;
    session.add_splits((1, 1, 0), 3, &["end"]).await;
    let (_, ends) = session.ends(4).await;
    assert!(ends.iter().all(|end| end.state() == TaskState::Finished), "{ends:?}");
    assert_eq!(connector.sorted(), (0..400).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_manager_that_dies_fails_its_peers_tasks_and_a_restart_on_the_rest_is_right() {
    let connector = TestConnector::default();
    let mut manager = JobManager::start().await;
    let survivor = manager.worker("a", 3, &connector).await;
    let mut session = manager.accept().await;
    let victim = manager.worker("b", 1, &connector).await;
    let doomed = manager.accept().await;
    let a = survivor.data_address();
    let endless = line(
        vec![(vec![source("s", &[("fault", "hang")])], 2), (vec![union("u"), sink("t", &[])], 2)],
        &[Partitioning::Hash(vec![0])],
    );
    let deploy = deployment(1, 1, &endless, &[("a", a, 0), ("b", victim.data_address(), 0)]);
    session.deploy(deploy.clone()).await;
    doomed.deploy(deploy).await;
    session.running(2).await;
    drop(victim);
    let (_, ends) = session.ends(1).await;
    let failure = ends[0].failure.as_ref().unwrap();
    assert!(failure.restartable && failure.code.starts_with("WEIR-30"), "{failure:?}");
    session.cancel(1, 1).await;
    session.ends(1).await;
    connector.collected.lock().unwrap().clear();
    session.deploy(deployment(1, 2, &pipeline(), &[("a", a, 0), ("a", a, 1), ("a", a, 2)])).await;
    session.ends(7).await;
    assert_eq!(connector.sorted(), (0..40_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_served_and_heartbeats_go_both_ways() {
    let connector = TestConnector::default();
    let mut manager = JobManager::start().await;
    let worker = manager.worker("a", 1, &connector).await;
    let mut session = manager.accept().await;
    let graph =
        line(vec![(vec![source("s", &[("rows", "500"), ("fault", "hang")]), sink("t", &[])], 1)], &[]);
    session.deploy(deployment(1, 1, &graph, &[("a", worker.data_address(), 0)])).await;
    session.running(1).await;
    let mut page = String::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !page.contains("} 500\n") {
        assert!(Instant::now() < deadline, "{page}");
        page = get(worker.metrics_address().unwrap(), "/metrics").await;
    }
    let line = page.lines().find(|line| line.starts_with("weir_taskmanager_job_task_numRecordsIn{")).unwrap();
    for label in ["tm_id=\"a\"", "job_name=\"job\"", "task_name=\"s -> t\"", "task_attempt_num=\"1\""] {
        assert!(line.contains(label), "{line}");
    }
    assert!(line.ends_with(" 500"), "{line}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    session.cancel(1, 1).await;
    session.ends(1).await;
    assert!(session.heartbeats >= 3, "one is due every 50 ms");
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    answer
}
