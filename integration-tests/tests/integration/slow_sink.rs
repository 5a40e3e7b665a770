//! A sink a hundred times slower than its source for a minute: memory stays flat, the source slows down, and REST says who is
//! held back by whom.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::job::events_table;

const LIMIT: Duration = Duration::from_secs(60);
const SLOW_FOR: Duration = Duration::from_secs(60);
/// Rows a second that the sink may write while it is slow; unhindered it writes hundreds of thousands.
const SLOW_ROWS_PER_SECOND: u64 = 2_000;

#[test]
fn a_slow_sink_slows_the_source_and_memory_stays_flat() {
    let cluster = Cluster::start(2, 2, &["taskmanager.memory.network.max=8mb"]);
    let sql = events_table("'connector' = 'nexmark'")
        + "CREATE TABLE console (auction BIGINT, bidder BIGINT, url STRING, extra STRING)
           WITH ('connector' = 'print', 'sink.parallelism' = '1');
           INSERT INTO console SELECT bid.auction, bid.bidder, bid.url, bid.extra FROM events WHERE event_type = 2";
    let job = cluster.submit(&sql, 2).expect("the job is accepted");
    let written = || cluster.vertex_metric(&job, "write-records");
    cluster.wait_until("records flow", LIMIT, || written() > 200_000);
    let (before, at) = (written(), Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let fast = (written() - before) as f64 / at.elapsed().as_secs_f64();

    cluster.taskmanagers.iter().for_each(|process| process.limit_output(SLOW_ROWS_PER_SECOND));
    // The pipe and the buffers fill up first.
    std::thread::sleep(Duration::from_secs(5));
    let (before, at) = (written(), Instant::now());
    let start: Vec<u64> = cluster.taskmanagers.iter().map(crate::process::Process::resident_bytes).collect();
    let mut largest = start.clone();
    let mut seen_backpressure = false;
    while at.elapsed() < SLOW_FOR {
        std::thread::sleep(Duration::from_secs(1));
        for (largest, process) in largest.iter_mut().zip(&cluster.taskmanagers) {
            *largest = (*largest).max(process.resident_bytes());
        }
        seen_backpressure |= source_is_back_pressured(&cluster, &job);
    }
    let slow = (written() - before) as f64 / at.elapsed().as_secs_f64();
    assert!(slow * 20.0 < fast, "the source slows down: {fast:.0} records/s, then {slow:.0}");
    assert!(seen_backpressure, "REST shows the source as back-pressured");
    for (start, largest) in start.iter().zip(&largest) {
        assert!(
            *largest as f64 <= *start as f64 * 1.1,
            "memory stays flat: {start} bytes, then up to {largest}"
        );
    }
    cluster.taskmanagers.iter().for_each(|process| process.limit_output(u64::MAX));
    cluster.wait_until("the source is fast again", LIMIT, || {
        let before = written();
        std::thread::sleep(Duration::from_secs(1));
        (written() - before) as f64 > slow * 20.0
    });
    cluster.cancel(&job);
}

fn source_is_back_pressured(cluster: &Cluster, job: &str) -> bool {
    let details = cluster.get(&format!("/jobs/{job}"));
    let source = details["vertices"][0]["id"].as_str().expect("a vertex");
    let answer = cluster.get(&format!("/jobs/{job}/vertices/{source}/backpressure"));
    answer["backpressureLevel"] == "high" || answer["backpressure-level"] == "high"
}
