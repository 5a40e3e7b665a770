//! The whole JobManager in one process: real gRPC, real HTTP, fake TaskManagers, fake connectors, a planner without SQL.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

mod checkpoints;
mod client;
mod connector;
mod failures;
mod fake;
mod hostile;
mod life;
mod rest;
mod restart;
mod snapshots;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weir_api::clock::Clock;
use weir_api::config::Configuration;
use weir_api::connector::ConnectorRegistry;
use weir_api::error::{Code, Error, Result};

use self::client::Rest;
use self::connector::{Log, TestConnector};
use crate::control::fixtures;
use crate::metadata::Metadata;
use crate::submit::planner::{Explained, Planned, Planner, Request};
use crate::{Handle, JobManager, Options};

/// The time of this process.
struct SystemClock(Instant);

impl Clock for SystemClock {
    fn unix_millis(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
    }

    fn monotonic_millis(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }
}

/// `JOB sources sinks` is all the SQL it knows, and `OTHER sources sinks`, whose operators have other uids.
struct TestPlanner;

impl Planner for TestPlanner {
    fn plan(&self, request: Request) -> Result<Planned> {
        let words: Vec<&str> = request.sql.split_whitespace().collect();
        let syntax =
            || Error::new(Code::SqlSyntax, format!("line 1, column 1: '{}' isn't a job", request.sql));
        let [kind @ ("JOB" | "OTHER"), sources, sinks] = words[..] else { return Err(syntax()) };
        assert_ne!(sources, "13", "a planner with a bug");
        let name = request.name.unwrap_or_else(|| "unnamed".to_owned());
        let parallelism =
            |word: &str| if word == "p" { request.parallelism.unwrap_or(1) } else { word.parse().unwrap() };
        let uids = if kind == "JOB" { ["source", "sink"] } else { ["other source", "other sink"] };
        let graph = fixtures::graph_of(&name, "test", parallelism(sources), parallelism(sinks), uids);
        Ok(Planned {
            graph: Some(graph),
            results: Vec::new(),
            warnings: vec!["planned by a test".to_owned()],
        })
    }

    fn explain(&self, request: Request) -> Result<Explained> {
        self.plan(request).map(|planned| Explained {
            text: format!("{:?}", planned.graph),
            plans: Vec::new(),
            warnings: planned.warnings,
        })
    }
}

/// A running JobManager with what surrounds it.
struct Cluster {
    handle: Handle,
    rest: Rest,
    /// What the sinks were told.
    log: Log,
}

fn options(pairs: &[(&str, &str)]) -> Options {
    let mut all = vec![("rest.port", "0"), ("jobmanager.rpc.port", "0")];
    all.extend_from_slice(pairs);
    let (configuration, _) = Configuration::from_pairs(all).unwrap();
    Options { seed: Some(7), ..Options::from_configuration(configuration, false).unwrap() }
}

impl Cluster {
    async fn start(pairs: &[(&str, &str)]) -> Self {
        Self::start_with(options(pairs), Log::default()).await.unwrap()
    }

    async fn start_with(options: Options, log: Log) -> Result<Self> {
        let registry = ConnectorRegistry::default().with(TestConnector { log: log.clone() });
        let clock = Arc::new(SystemClock(Instant::now()));
        let handle = JobManager::start_with(options, registry, Arc::new(TestPlanner), clock).await?;
        let rest = Rest { base: format!("http://{}", handle.rest_address()) };
        Ok(Self { handle, rest, log })
    }

    async fn start_on(metadata: Arc<dyn Metadata>, log: Log) -> Self {
        let registry = ConnectorRegistry::default().with(TestConnector { log: log.clone() });
        let clock = Arc::new(SystemClock(Instant::now()));
        let planner = Arc::new(TestPlanner);
        let handle = JobManager::start_on(metadata, options(&[]), registry, planner, clock).await.unwrap();
        let rest = Rest { base: format!("http://{}", handle.rest_address()) };
        Self { handle, rest, log }
    }

    /// Submits a job and answers its id.
    async fn submit(&self, sql: &str) -> String {
        let body = serde_json::json!({ "sql": sql, "name": "test job", "config": std::collections::BTreeMap::from(FAST_RESTARTS) });
        let (status, answer) = self.rest.post("/jobs", &body).await;
        assert_eq!(status, 202, "{answer}");
        answer["jobid"].as_str().unwrap().to_owned()
    }

    /// Submits a job with this configuration and answers its id.
    async fn submit_with(&self, sql: &str, config: &[(&str, &str)]) -> String {
        let config: std::collections::BTreeMap<_, _> = FAST_RESTARTS.iter().chain(config).copied().collect();
        let body = serde_json::json!({ "sql": sql, "name": "test job", "config": config });
        let (status, answer) = self.rest.post("/jobs", &body).await;
        assert_eq!(status, 202, "{answer}");
        answer["jobid"].as_str().unwrap().to_owned()
    }

    /// Waits until the job is in this state.
    async fn until(&self, job: &str, status: &str) {
        let path = format!("/jobs/{job}/status");
        let start = Instant::now();
        loop {
            let (_, answer) = self.rest.get(&path).await;
            if answer["status"] == status {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "still {answer}, not {status}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Flink's `fixed-delay` with almost no delay.
const FAST_RESTARTS: [(&str, &str); 3] = [
    ("restart-strategy.type", "fixed-delay"),
    ("restart-strategy.fixed-delay.attempts", "5"),
    ("restart-strategy.fixed-delay.delay", "10 ms"),
];

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A name that no other test has.
fn unique(name: &str) -> String {
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[tokio::test]
async fn it_answers_within_half_a_second_of_its_start() {
    let start = Instant::now();
    let cluster = Cluster::start(&[]).await;
    let (status, overview) = cluster.rest.get("/overview").await;
    assert_eq!((status, &overview["taskmanagers"]), (200, &serde_json::json!(0)));
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    let address = cluster.handle.rest_address();
    cluster.handle.shutdown().await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn other_than_loopback_needs_the_word_insecure() {
    let open = Options { bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED), ..options(&[]) };
    let Err(error) = Cluster::start_with(open.clone(), Log::default()).await else { panic!("it started") };
    assert!(error.message().contains("--insecure"), "{error}");
    Cluster::start_with(Options { insecure: true, ..open }, Log::default()).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_and_impossible_heartbeats_are_named() {
    let cluster = Cluster::start(&[]).await;
    let taken = cluster.handle.rest_address().port().to_string();
    let Err(error) = Cluster::start_with(options(&[("rest.port", &taken)]), Log::default()).await else {
        panic!("it started")
    };
    assert!(error.message().contains("rest.port"), "{error}");
    let Err(error) = Cluster::start_with(options(&[("heartbeat.timeout", "1 s")]), Log::default()).await
    else {
        panic!("it started")
    };
    assert!(error.message().contains("heartbeat.timeout"), "{error}");
}
