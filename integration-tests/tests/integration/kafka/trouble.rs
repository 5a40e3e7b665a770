//! Brokers that die or stand still, and tasks that do.

use std::time::Duration;

use super::{LIMIT, copy, number, numbers};
use crate::cluster::Cluster;
use crate::servers::{Kafka, Topic};

const EARLIEST: &str = "'format' = 'json', 'scan.startup.mode' = 'earliest-offset'";
/// How long what stands still does; longer than the timeouts of sessions and polls that are shortened below.
const PAUSE: Duration = Duration::from_secs(20);

fn numbered(range: std::ops::Range<i64>) -> impl Iterator<Item = crate::servers::Record> {
    range.map(|n| number(n, i32::try_from(n % 3).expect("small")))
}

/// One job survives the death of a broker, a cluster that stands still, and a TaskManager that does.
#[test]
fn nothing_is_lost_while_brokers_and_tasks_are_away() {
    let kafka = Kafka::three();
    let (from, to) = (Topic::create(&kafka, "trouble", 3), Topic::create(&kafka, "trouble-target", 3));
    let cluster = Cluster::start(1, 2, &["heartbeat.timeout=120 s"]);
    from.produce(numbered(0..3000));
    let options = format!("{EARLIEST}, 'properties.max.poll.interval.ms' = '5000'");
    let job = cluster
        .submit(&copy(kafka.bootstrap(), &from.name, &to.name, &options), 2)
        .expect("the job is accepted");
    let wait_for = |count: u64| {
        cluster.wait_until("all is copied", LIMIT, || to.count() >= count);
        assert_eq!(cluster.state(&job), "RUNNING", "{}", super::failure(&cluster, &job));
    };
    wait_for(3000);

    kafka.kill(1);
    from.produce(numbered(3000..6000));
    wait_for(6000);
    kafka.restart(1);

    // Half of it is on its way when the brokers stop.
    from.produce(numbered(6000..20_000));
    (0..kafka.len()).for_each(|node| kafka.pause(node));
    std::thread::sleep(PAUSE);
    (0..kafka.len()).for_each(|node| kafka.resume(node));
    wait_for(20_000);

    cluster.taskmanagers[0].pause();
    from.produce(numbered(20_000..30_000));
    std::thread::sleep(PAUSE);
    cluster.taskmanagers[0].resume();
    wait_for(30_000);

    assert_eq!(numbers(&to), (0..30_000).collect::<Vec<_>>(), "each once: the producer is idempotent");
    let exceptions = cluster.get(&format!("/jobs/{job}/exceptions"));
    assert!(exceptions["root-exception"].is_null(), "no restart: {exceptions}");
    cluster.cancel(&job);
}
