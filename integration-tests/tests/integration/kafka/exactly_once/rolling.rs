//! A whole job on three brokers that are killed one after the other: it goes on with those that are left, and never restarts.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use weir_chaos::servers::{Kafka, Record, Topic};
use weir_chaos::topics::{Watcher, has_open_transaction};

use super::pipeline::{PER_SECOND, assert_exact, record, sql, windows_of};
use crate::cluster::Cluster;

const LIMIT: Duration = Duration::from_secs(120);
/// How many brokers are killed in `make test`; with `WEIR_BROKERS_KILLED_FOR` one each half minute, for so many seconds.
const KILLS: u64 = 2;
const EVERY: Duration = Duration::from_secs(30);
/// A broker is away until so many records have come without it, and in a long run at least so long.
const WITHOUT: u64 = 300;
const AWAY: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);
const PARTITIONS: i32 = 3;

/// Looks at what comes out until it is over; the longest time without a record.
fn watch(copies: &Watcher, quiet_since: &mut Instant, is_over: impl Fn(u64) -> bool) -> Duration {
    let (mut seen, mut gap) = (copies.count(), Duration::ZERO);
    loop {
        std::thread::sleep(LOOK);
        gap = gap.max(quiet_since.elapsed());
        let now = copies.count();
        if now > seen {
            (seen, *quiet_since) = (now, Instant::now());
        }
        if is_over(now) {
            return gap;
        }
        assert!(quiet_since.elapsed() < LIMIT, "nothing comes out any more");
    }
}

/// Kills one broker after the other; answers the longest time without a record for each.
fn kill_in_turn(kafka: &Kafka, copies: &Watcher, kills: u64, [every, away]: [Duration; 2]) -> Vec<Duration> {
    let mut quiet_since = Instant::now();
    let kills = (0..kafka.len()).cycle().take(usize::try_from(kills).unwrap());
    kills
        .map(|node| {
            let (killed, before) = (Instant::now(), copies.count());
            kafka.kill(node);
            let goes_on = |now| killed.elapsed() >= away && now >= before + WITHOUT;
            let without = watch(copies, &mut quiet_since, goes_on);
            kafka.restart(node);
            // Two may never be behind at once: what is acknowledged stands on two.
            kafka.wait_until_in_sync();
            let away = killed.elapsed();
            let gap = watch(copies, &mut quiet_since, |_| killed.elapsed() >= every).max(without);
            println!(
                "broker {node} away for {away:?}: {without:?} without a record, {gap:?} until the next kill"
            );
            gap
        })
        .collect()
}

#[test]
fn brokers_killed_one_after_the_other_cost_a_job_no_record_and_no_restart() {
    let killed_for = std::env::var("WEIR_BROKERS_KILLED_FOR").ok();
    let (kills, pace) = match killed_for.and_then(|text| text.parse::<u64>().ok()) {
        Some(seconds) => (seconds / EVERY.as_secs(), [EVERY, AWAY]),
        None => (KILLS, [Duration::ZERO; 2]),
    };
    let kafka = Kafka::three();
    let topics = ["rolling", "rolling-copies", "rolling-windows"];
    let [from, copies, windows] = topics.map(|stem| Topic::create(&kafka, stem, PARTITIONS));
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let cluster =
        Cluster::start(2, 2, &[&format!("execution.checkpointing.local-backup.dirs={}", at("backup"))]);
    let names = [from.name.as_str(), &copies.name, &windows.name];
    let job = cluster.submit(&sql(&kafka, names, &format!("file://{}", at("checkpoints"))), 2).unwrap();

    let next = AtomicI64::new(0);
    let feed = |count: i64| {
        let first = next.fetch_add(count, Ordering::Relaxed);
        from.produce((first..first + count).map(|n| record(n, i64::from(PARTITIONS))));
    };
    let live = Watcher::start(kafka.bootstrap(), &copies.name);
    let reach = |count: i64| {
        let count = u64::try_from(count).unwrap();
        cluster.wait_until("all is copied", LIMIT, || live.count() >= count);
    };
    feed(10 * PER_SECOND);
    reach(10 * PER_SECOND);
    let gaps = std::thread::scope(|scope| {
        let killer = scope.spawn(|| kill_in_turn(&kafka, &live, kills, pace));
        while !killer.is_finished() {
            feed(PER_SECOND);
            std::thread::sleep(Duration::from_millis(100));
        }
        killer.join().unwrap()
    });
    let end = next.load(Ordering::Relaxed);
    // What ends the windows before it.
    feed(10 * PER_SECOND);
    let total = next.load(Ordering::Relaxed);
    reach(total);
    cluster.wait_until("the windows have ended", LIMIT, || windows.read().len() >= windows_of(end));
    let checkpoints = cluster.get(&format!("/jobs/{job}/checkpoints"))["counts"].clone();
    println!("{kills} kills, {total} records, {:?} without one at most; {checkpoints}", gaps.iter().max());
    let exceptions = cluster.get(&format!("/jobs/{job}/exceptions"));
    assert_eq!((cluster.state(&job).as_str(), cluster.restarts(&job)), ("RUNNING", 0), "{exceptions}");
    assert_eq!(exceptions["exceptionHistory"]["entries"].as_array().map(Vec::len), Some(0), "{exceptions}");
    cluster.cancel(&job);

    assert_exact(&copies, &windows, total, end);
    // Whoever read while it happened has seen what stands there.
    let place = |record: &Record| (record.partition.unwrap(), record.offset.unwrap());
    let mut standing: Vec<(i32, i64)> = copies.read().iter().map(place).collect();
    let seen = live.end(usize::try_from(total).unwrap(), LIMIT);
    let mut seen: Vec<(i32, i64)> = seen.iter().map(|row| (row.partition, row.offset)).collect();
    standing.sort_unstable();
    seen.sort_unstable();
    assert!(standing == seen, "{} records stand there, {} were seen", standing.len(), seen.len());
    for topic in [&copies, &windows] {
        assert!(!has_open_transaction(kafka.bootstrap(), &topic.name), "{}", topic.name);
    }
}
