//! Snapshots at rest on real storage: what `weir_snapshots` relies on holds on a real S3 service, also when it misbehaves; what a real
//! job leaves there is what it needs; damage is told before it does harm; ten thousand checkpoints cost what one does.

mod arrow;
mod damage;
mod orphans;
mod refusals;
mod series;
mod silence;
mod store;
mod trouble;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use weir_api::config::Configuration;
use weir_api::storage::FileSystems;
use weir_chaos::proxy::Proxy;
use weir_chaos::servers::S3;
use weir_snapshots::storage::{Limits, Storage, StorePath};

use crate::cluster::Cluster;
use crate::job::{events_table, file_options, table};

const LIMIT: Duration = Duration::from_secs(120);

/// The store behind a URL, as one process with these options sees it.
fn open(url: &str, options: &[String], writer: &str, limits: Limits) -> (Storage, StorePath) {
    // The last one of a name counts.
    let pairs: BTreeMap<_, _> = options.iter().filter_map(|option| option.split_once('=')).collect();
    let (configuration, _) = Configuration::from_pairs(pairs).expect("valid options");
    let location = FileSystems::new(&configuration).resolve(url).expect("a location");
    Storage::at(&location, writer, limits).expect("a store")
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// Bids by bidder in long windows, out of a generator with this pace that doesn't end in time: state that grows, and files that show what
/// checkpoints have committed.
fn counts(output: &Path, rate: u32, settings: &[(&str, &str)]) -> String {
    let source = format!(
        "'connector' = 'nexmark', 'events.num' = '1000000000', 'first-event.rate' = '{rate}', 'next-event.rate' = '{rate}', \
         'max-emit-speed' = 'false'"
    );
    let settings: String =
        settings.iter().map(|(key, value)| format!("SET '{key}' = '{value}';\n")).collect();
    settings
        + &events_table(&source)
        + "CREATE VIEW bid AS SELECT bid.bidder, bid.price, `dateTime` FROM events WHERE event_type = 2;\n"
        + &table(
            "counts",
            "bidder BIGINT, window_start TIMESTAMP(3), bids BIGINT, total BIGINT",
            &file_options(output, "parquet"),
        )
        + "INSERT INTO counts SELECT bidder, window_start, COUNT(*), SUM(price)
           FROM TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' MINUTE) GROUP BY bidder, window_start, window_end"
}

/// Starts a cluster with these options over the common ones.
fn cluster(taskmanagers: usize, slots: u32, checkpoints: &str, options: &[&str]) -> Cluster {
    let dir = format!("execution.checkpointing.dir={checkpoints}");
    let common = ["execution.checkpointing.local-backup.enabled=false", &dir];
    let options: Vec<&str> = common.into_iter().chain(options.iter().copied()).collect();
    Cluster::start(taskmanagers, slots, &options)
}

fn checkpoints(cluster: &Cluster, job: &str) -> Value {
    cluster.get(&format!("/jobs/{job}/checkpoints"))
}

fn count(cluster: &Cluster, job: &str, what: &str) -> u64 {
    checkpoints(cluster, job)["counts"][what].as_u64().expect("a count")
}

/// Waits for so many more completed checkpoints.
fn complete(cluster: &Cluster, job: &str, more: u64) {
    let before = count(cluster, job, "completed");
    let reached = || count(cluster, job, "completed") >= before + more;
    cluster.wait_until("checkpoints are complete", LIMIT, reached);
}

/// Until so many more checkpoints have failed; answers the reason of the last.
fn fail(cluster: &Cluster, job: &str, more: u64) -> String {
    let before = count(cluster, job, "failed");
    cluster.wait_until("checkpoints fail", LIMIT, || count(cluster, job, "failed") >= before + more);
    checkpoints(cluster, job)["latest"]["failed"]["failure_message"].as_str().expect("a reason").to_owned()
}

/// Nothing of it restarted the job.
fn assert_undisturbed(cluster: &Cluster, job: &str) {
    assert_eq!(cluster.state(job), "RUNNING");
    assert_calm(cluster, job);
}

/// Nothing has failed but checkpoints.
fn assert_calm(cluster: &Cluster, job: &str) {
    assert_eq!((cluster.restarts(job), count(cluster, job, "restored")), (0, 0));
    let exceptions = cluster.get(&format!("/jobs/{job}/exceptions"));
    assert_eq!(exceptions["exceptionHistory"]["entries"].as_array().map(Vec::len), Some(0), "{exceptions}");
}

/// A prefix of the bucket that processes reach by way of a proxy.
struct Bucket {
    url: String,
    /// What lies behind it.
    folder: PathBuf,
    proxy: Proxy,
}

impl Bucket {
    fn new(name: &str, seed: u64) -> Self {
        let s3 = S3::shared();
        let (url, folder) = s3.fresh(name);
        let server = s3.endpoint().trim_start_matches("http://").parse().expect("host:port");
        let proxy = Proxy::start((Ipv4Addr::LOCALHOST, 0).into(), server, seed).expect("a free port");
        Self { url, folder, proxy }
    }

    /// A cluster's options that lead there, and these.
    fn options(&self, more: &[&str]) -> Vec<String> {
        let mut options = S3::shared().options();
        options.retain(|option| !option.starts_with("s3.endpoint="));
        options.push(format!("s3.endpoint=http://{}", self.proxy.address()));
        options.extend(more.iter().map(|option| (*option).to_owned()));
        options
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // What vanishes meanwhile isn't there.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found
}

/// The number of the newest completed checkpoint in a job's folder.
fn newest(job: &Path) -> Option<u64> {
    let ids = std::fs::read_dir(job).into_iter().flatten().flatten().filter_map(|entry| {
        let id = entry.file_name().to_str()?.strip_prefix("chk-")?.parse().ok()?;
        entry.path().join("_metadata").exists().then_some(id)
    });
    ids.max()
}
