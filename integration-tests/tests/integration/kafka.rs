//! Jobs that read and write topics of real brokers: what is read, what is written, and what happens when brokers, topics or
//! records go away.

mod bounds;
mod changes;
mod exactly_once;
mod records;
mod restores;
mod security;
mod trouble;

use std::sync::OnceLock;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::servers::{Record, Topic};

/// The longest that a job of these tests may take.
const LIMIT: Duration = Duration::from_secs(60);

/// One cluster for all tests that don't harm it.
fn cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(1, 8, &[]))
}

/// A table over topics; `options` in SQL, after the ones that all have.
fn table(name: &str, columns: &str, brokers: &str, topic: &str, options: &str) -> String {
    let separator = if options.is_empty() { "" } else { ", " };
    format!(
        "CREATE TABLE {name} ({columns}) WITH ('connector' = 'kafka', 'topic' = '{topic}',
           'properties.bootstrap.servers' = '{brokers}'{separator}{options});\n"
    )
}

/// A record `{"n":…}` in a partition.
fn number(n: i64, partition: i32) -> Record {
    Record::of(format!("{{\"n\":{n}}}")).into_partition(partition)
}

/// The numbers in a topic of such records, in order.
fn numbers(topic: &Topic<'_>) -> Vec<i64> {
    let mut numbers: Vec<i64> =
        topic.read().iter().map(|record| json(record)["n"].as_i64().expect("n")).collect();
    numbers.sort_unstable();
    numbers
}

fn json(record: &Record) -> serde_json::Value {
    serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON")
}

/// A job that copies `{"n":…}` from one topic to another; `options` are the source's.
fn copy(brokers: &str, from: &str, to: &str, options: &str) -> String {
    table("source", "n BIGINT", brokers, from, options)
        + &table("target", "n BIGINT", brokers, to, "'format' = 'json'")
        + "INSERT INTO target SELECT n FROM source"
}

/// What the job's last failure says.
fn failure(cluster: &Cluster, job: &str) -> String {
    cluster.get(&format!("/jobs/{job}/exceptions"))["root-exception"].as_str().unwrap_or_default().to_owned()
}
