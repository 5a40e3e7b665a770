//! Ten thousand connections with garbage to each port of a running cluster: connections end, processes live, memory stays bounded,
//! and the job that runs meanwhile doesn't notice.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::job::{events_table, nexmark_options, table};

const CONNECTIONS: usize = 10_000;
const LIMIT: Duration = Duration::from_secs(60);
/// What a single hostile message may cost at most, and some room for the job beside it.
const MEMORY: u64 = (16 << 20) + (64 << 20);

/// A small generator of its own, so that the same garbage is sent in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 11
    }
}

/// Openings that get past the first check of some protocol: HTTP/2, HTTP/1, and the data plane's own magic.
const OPENINGS: &[&[u8]] = &[
    b"",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"POST /weir.v1.JobManager/Session HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /jobs/%00 HTTP/1.1\r\n\r\n",
    b"WEIR",
    b"WEIR\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",
];

fn attack(address: &str, seed: u64) {
    let mut random = Random(seed);
    for _ in 0..CONNECTIONS {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        let opening = OPENINGS[random.next() as usize % OPENINGS.len()];
        let length = random.next() as usize % 2048;
        let mut bytes = opening.to_vec();
        bytes.extend((0..length).map(|_| random.next() as u8));
        // The other side may hang up at any byte.
        let _ = stream.set_write_timeout(Some(Duration::from_secs(5)));
        let _ = stream.write_all(&bytes);
        if random.next().is_multiple_of(64) {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
            let _ = stream.read(&mut [0; 256]);
        }
    }
}

#[test]
fn garbage_on_every_port_hurts_nobody() {
    let mut cluster = Cluster::start(2, 2, &[]);
    let sql =
        events_table("'connector' = 'nexmark', 'first-event.rate' = '1000', 'next-event.rate' = '1000'")
            + &table("nothing", "auction BIGINT", "'connector' = 'blackhole', 'sink.parallelism' = '2'")
            + "INSERT INTO nothing SELECT bid.auction FROM events WHERE event_type = 2";
    let job = cluster.submit(&sql, 4).expect("the job is accepted");
    cluster.wait_until("records flow", LIMIT, || cluster.vertex_metric(&job, "read-records") > 0);

    let mut addresses = vec![cluster.rest.trim_start_matches("http://").to_owned(), cluster.rpc().to_owned()];
    let taskmanagers = cluster.get("/taskmanagers");
    for taskmanager in taskmanagers["taskmanagers"].as_array().expect("a list") {
        addresses.push(taskmanager["path"].as_str().expect("an address").to_owned());
        addresses.push(taskmanager["metricsAddress"].as_str().expect("an address").to_owned());
    }
    let before: Vec<u64> = cluster.processes().map(|process| process.resident_bytes()).collect();
    std::thread::scope(|scope| {
        for (seed, address) in addresses.iter().enumerate() {
            scope.spawn(move || attack(address, seed as u64));
        }
    });
    for (process, before) in cluster.processes().zip(before) {
        assert!(process.is_alive(), "a process has died");
        let after = process.resident_bytes();
        assert!(after < before + MEMORY, "{before} bytes before, {after} after");
    }
    assert_eq!(cluster.state(&job), "RUNNING");
    assert!(
        cluster.get(&format!("/jobs/{job}/exceptions"))["root-exception"].is_null(),
        "the job didn't notice"
    );
    cluster.cancel(&job);
    let sql = events_table(&nexmark_options(1000))
        + &table("nothing", "auction BIGINT", "'connector' = 'blackhole'")
        + "INSERT INTO nothing SELECT bid.auction FROM events WHERE event_type = 2";
    cluster.run(&sql, 2, LIMIT);
}
