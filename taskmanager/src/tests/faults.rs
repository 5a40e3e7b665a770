//! What goes wrong: cancellation, failing and panicking tasks, old commands, lost sessions, garbage.

use std::time::Duration;

use prost::Message;
use tokio::time::{Instant, timeout};
use weir_api::graph::{JobGraph, Partitioning};
use weir_proto::v1::{DeployTasks, TaskState, job_manager_message};

use super::manager::{JobManager, PATIENCE};
use crate::TaskManager;
use crate::tests::fixture::TestClock;
use crate::tests::fixture::connector::TestConnector;
use crate::tests::fixture::graph::{deployment, line, sink, source, union};

/// A job that never ends, whatever it is given: `fault` at the source, or a sink that is never ready.
fn endless(source_options: &[(&str, &str)], sink_options: &[(&str, &str)]) -> JobGraph {
    line(
        vec![(vec![source("s", source_options)], 2), (vec![union("u"), sink("t", sink_options)], 2)],
        &[Partitioning::Rebalance],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_ends_within_a_second_and_another_attempt_runs() {
    let connector = TestConnector::default();
    let mut manager = JobManager::start().await;
    let worker = manager.worker("a", 2, &connector).await;
    let mut session = manager.accept().await;
    let slots = [("a", worker.data_address(), 0), ("a", worker.data_address(), 1)];
    let waiting = endless(&[("fault", "hang")], &[]);
    let blocked = endless(&[("rows", "100000000"), ("step", "8000")], &[("fault", "hang")]);
    for (attempt, graph) in [(1, &waiting), (2, &blocked)] {
        session.deploy(deployment(1, attempt, graph, &slots)).await;
        session.running(4).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let start = Instant::now();
        session.cancel(1, attempt).await;
        let (_, ends) = session.ends(4).await;
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert!(ends.iter().all(|end| end.state() == TaskState::Canceled), "{ends:?}");
    }
    // Old and cancelled attempts are refused; nothing is said of them.
    for attempt in [1, 2] {
        session.deploy(deployment(1, attempt, &waiting, &slots)).await;
    }
    connector.collected.lock().unwrap().clear();
    session.deploy(deployment(1, 3, &endless(&[("rows", "100")], &[]), &slots)).await;
    let (states, ends) = session.ends(4).await;
    assert!(ends.iter().all(|end| end.task.as_ref().unwrap().attempt == 3), "{ends:?}");
    assert!(states.values().all(|states| states.len() == 4), "{states:?}");
    assert_eq!(connector.sorted(), (0..200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_panics_or_fails_says_so_and_its_neighbours_end_when_cancelled() {
    let connector = TestConnector::default();
    let mut manager = JobManager::start().await;
    let worker = manager.worker("a", 2, &connector).await;
    let mut session = manager.accept().await;
    let slots = [("a", worker.data_address(), 0), ("a", worker.data_address(), 1)];
    for (attempt, fault, code, restartable) in
        [(1, "panic", "WEIR-3004", true), (2, "fail", "WEIR-2001", false)]
    {
        session.deploy(deployment(1, attempt, &endless(&[("fault", fault)], &[]), &slots)).await;
        let (_, ends) = session.ends(1).await;
        let failure = ends[0].failure.as_ref().unwrap();
        assert_eq!(ends[0].state(), TaskState::Failed);
        assert_eq!((failure.code.as_str(), failure.restartable), (code, restartable), "{failure:?}");
        assert!(failure.message.contains("as told") && failure.timestamp_millis > 0, "{failure:?}");
        session.cancel(1, attempt).await;
        let (_, ends) = session.ends(3).await;
        assert!(
            ends.iter().all(|end| matches!(end.state(), TaskState::Failed | TaskState::Canceled)),
            "{ends:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_does_not_exist_fails_the_job() {
    let connector = TestConnector::default();
    let mut manager = JobManager::start().await;
    let worker = manager.worker("a", 2, &connector).await;
    let mut session = manager.accept().await;
    let slots = [("a", worker.data_address(), 0), ("a", worker.data_address(), 1)];
    let mut message = deployment(1, 1, &endless(&[], &[]), &slots);
    let spec = message.graph.as_mut().unwrap().vertices[0].chain[0].spec.as_mut().unwrap();
    let Some(weir_proto::v1::operator_spec::Kind::Source(source)) = &mut spec.kind else { panic!() };
    source.table.as_mut().unwrap().connector = "kafka".to_owned();
    session.deploy(message).await;
    let (_, ends) = session.ends(1).await;
    let failure = ends[0].failure.as_ref().unwrap();
    assert!(failure.message.contains("no connector 'kafka'") && !failure.restartable, "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_cancels_everything_and_is_opened_again() {
    let connector = TestConnector::default();
    let mut manager = JobManager::start().await;
    let worker = manager.worker("a", 2, &connector).await;
    let slots = [("a", worker.data_address(), 0), ("a", worker.data_address(), 1)];
    let graph = endless(&[("fault", "hang")], &[]);
    let mut session = manager.accept().await;
    session.deploy(deployment(1, 1, &graph, &slots)).await;
    session.running(4).await;
    drop(session);
    // The slots are free again: another leader starts another attempt on them.
    let mut session = manager.accept_as(2, Duration::from_secs(5)).await;
    session.deploy(deployment(1, 2, &graph, &slots)).await;
    session.running(4).await;
    assert!(session.metrics.values().all(|metrics| metrics.task.as_ref().unwrap().attempt == 2));
    // A leader that is over is not obeyed.
    session.epoch = 1;
    session.cancel(1, 2).await;
    session.epoch = 2;
    assert!(timeout(Duration::from_millis(300), session.ends(1)).await.is_err());
    // A leader that falls silent is lost, though its connection stands.
    drop(session);
    let mut silent = manager.accept_as(3, Duration::from_millis(200)).await;
    let start = Instant::now();
    while silent.next().await.is_some() {}
    assert!(start.elapsed() >= Duration::from_millis(150), "{:?}", start.elapsed());
    let mut session = manager.accept_as(3, Duration::from_secs(5)).await;
    session.deploy(deployment(1, 3, &endless(&[("rows", "100")], &[]), &slots)).await;
    let (_, ends) = session.ends(4).await;
    assert!(ends.iter().all(|end| end.state() == TaskState::Finished), "{ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_hangs_makes_the_process_give_up() {
    let connector = TestConnector::default();
    let mut manager = JobManager::start().await;
    let mut options = manager.options("a", 1);
    options.cancellation_timeout = Duration::from_millis(500);
    let mut worker = TaskManager::start(options, connector.registry(), TestClock::shared()).await.unwrap();
    let mut session = manager.accept().await;
    let graph = line(vec![(vec![source("s", &[("fault", "block")]), sink("t", &[])], 1)], &[]);
    session.deploy(deployment(1, 1, &graph, &[("a", worker.data_address(), 0)])).await;
    session.running(1).await;
    session.cancel(1, 1).await;
    let error = timeout(PATIENCE, worker.wait()).await.expect("it ends").unwrap_err();
    assert!(error.message().contains("hangs"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_ends_the_session_and_nothing_else() {
    let connector = TestConnector::default();
    let mut manager = JobManager::start().await;
    let _worker = manager.worker("a", 1, &connector).await;
    for name in [(15 << 20), (17 << 20)] {
        let mut session = manager.accept().await;
        let graph = weir_proto::v1::JobGraph { name: "x".repeat(name), ..Default::default() };
        session
            .deploy(DeployTasks { job_id: vec![1; 16], attempt: 1, graph: Some(graph), ..Default::default() })
            .await;
        if name < 16 << 20 {
            let (_, ends) = session.ends(1).await;
            assert_eq!(ends[0].failure.as_ref().unwrap().code, "WEIR-3001");
        } else {
            assert!(session.next().await.is_none(), "the session ends");
        }
    }
    manager.accept().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_speak_grpc_is_dialled_again_and_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = crate::Options::new(listener.local_addr().unwrap().to_string());
    options.reconnect = (Duration::from_millis(5), Duration::from_millis(10));
    let connector = TestConnector::default();
    let _worker = TaskManager::start(options, connector.registry(), TestClock::shared()).await.unwrap();
    let mut random = 7;
    for _ in 0..50 {
        let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.expect("it dials again").unwrap();
        let garbage: Vec<u8> = (0..500).map(|_| scramble(&mut random) as u8).collect();
        // It may hang up before it has read everything.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &garbage).await;
    }
}

/// A sequence of numbers that look random, always the same.
fn scramble(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 31)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_malformed_deployments_kill_nothing() {
    let connector = TestConnector::default();
    let mut manager = JobManager::start().await;
    let worker = manager.worker("a", 2, &connector).await;
    let slots = [("a", worker.data_address(), 0), ("a", worker.data_address(), 1)];
    let small = line(vec![(vec![source("s", &[("rows", "1")]), union("u"), sink("t", &[])], 2)], &[]);
    let mut session = manager.accept().await;
    let mut random = 1;
    let mut sent = 0_u32;
    while sent < 10_000 {
        let mut bytes = deployment(1, 1, &small, &slots).encode_to_vec();
        for _ in 0..1 + scramble(&mut random) % 4 {
            let position = (scramble(&mut random) % bytes.len() as u64) as usize;
            bytes[position] = scramble(&mut random) as u8;
        }
        let Ok(message) = DeployTasks::decode(bytes.as_slice()) else { continue };
        sent += 1;
        // The ids are good, so that the rest is looked at; every hundredth keeps its bad ones, which ends the session.
        let message = match sent % 100 {
            0 => DeployTasks { job_id: vec![1; 3], ..message },
            _ => DeployTasks { job_id: vec![1; 16], attempt: sent, ..message },
        };
        session.send(job_manager_message::Body::Deploy(message)).await;
        if sent.is_multiple_of(100) {
            while session.next().await.is_some() {}
            session = manager.accept().await;
        }
    }
    session.cancel(1, sent).await;
    connector.collected.lock().unwrap().clear();
    session.deploy(deployment(2, 1, &endless(&[("rows", "100")], &[]), &slots)).await;
    let finished = async {
        let mut finished = 0;
        while finished < 4 {
            let changed = session.next().await.unwrap();
            let is_second = changed.task.as_ref().unwrap().job_id == vec![2; 16];
            finished += usize::from(is_second && changed.state() == TaskState::Finished);
        }
    };
    timeout(PATIENCE, finished).await.expect("a good job still runs");
    assert_eq!(connector.sorted().len(), 200);
}
