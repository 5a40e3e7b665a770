//! Whole jobs, from topic over keys to topic, whose processes are killed in the middle of transactions.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_chaos::deployment::Deployment;
use weir_chaos::servers::{Kafka, Record, Topic};

use super::super::{json, table};
use super::all;

const LIMIT: Duration = Duration::from_secs(120);
/// Records a second of event time.
const PER_SECOND: i64 = 100;
const KEYS: i64 = 7;

/// Record `n` is of key `n % KEYS`, at `n` hundredths of a second.
fn record(n: i64) -> Record {
    let (seconds, hundredths) = (n / PER_SECOND, n % PER_SECOND);
    let at = format!(
        "2026-01-01 {:02}:{:02}:{:02}.{hundredths:02}0",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    Record::of(format!("{{\"n\":{n},\"k\":{},\"at\":\"{at}\"}}", n % KEYS))
        .into_partition(i32::try_from(n % 2).unwrap())
}

fn sql(kafka: &Kafka, [from, copies, windows]: [&str; 3], checkpoints: &str) -> String {
    let once = "'sink.delivery-guarantee' = 'exactly-once', 'format' = 'json'";
    format!(
        "SET 'execution.checkpointing.interval' = '300 ms';
         SET 'execution.checkpointing.dir' = '{checkpoints}';
         SET 'restart-strategy.type' = 'fixed-delay';
         SET 'restart-strategy.fixed-delay.attempts' = '1000';
         SET 'restart-strategy.fixed-delay.delay' = '200 ms';\n"
    ) + &table(
        "source",
        "n BIGINT, k BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '2' SECOND",
        kafka.bootstrap(),
        from,
        "'format' = 'json', 'scan.startup.mode' = 'earliest-offset'",
    ) + &table("copies", "n BIGINT", kafka.bootstrap(), copies, once)
        + &table("windows", "k BIGINT, start TIMESTAMP(3), records BIGINT, total BIGINT", kafka.bootstrap(), windows, once)
        + "EXECUTE STATEMENT SET BEGIN
           INSERT INTO copies SELECT n FROM source;
           INSERT INTO windows SELECT k, window_start, COUNT(*), SUM(n)
           FROM TABLE(TUMBLE(TABLE source, DESCRIPTOR(at), INTERVAL '1' SECOND)) GROUP BY k, window_start, window_end;
           END"
}

#[test]
fn a_job_whose_processes_are_killed_in_mid_transaction_writes_every_record_once() {
    let kafka = Kafka::one();
    let topics: Vec<_> = [("jobs", 2), ("jobs-copies", 2), ("jobs-windows", 1)]
        .map(|(stem, partitions)| Topic::create(kafka, stem, partitions))
        .into();
    let [from, copies, windows] = topics.as_slice() else { unreachable!("three") };
    let folder = tempfile::tempdir().unwrap().keep();
    // Every slot is needed, so each process has tasks.
    let options = [format!("execution.checkpointing.local-backup.dirs={}", folder.join("copies").display())];
    let mut cluster = Deployment::start(&folder, 2, 1, &options, 1, None);
    let checkpoints = format!("file://{}", folder.join("checkpoints").display());
    let names = [from.name.as_str(), &copies.name, &windows.name];
    let job = cluster.submit(&sql(kafka, names, &checkpoints), 2);

    let mut next = 0;
    let mut feed = |count: i64| {
        from.produce((next..next + count).map(record));
        next += count;
        next
    };
    let reach = |cluster: &Deployment, count: i64| {
        cluster.wait_until("all is copied", LIMIT, || copies.read().len() >= usize::try_from(count).unwrap());
    };
    let fed = feed(1000);
    reach(&cluster, fed);
    for point in ["commit.before@2", "commit.mid-transaction@3", "commit.after@3"] {
        let (name, visit) = point.split_once('@').unwrap();
        cluster.kill_taskmanager(1);
        cluster.start_taskmanager(1, &format!("{name}=kill@{visit}"));
        let mut fed = 0;
        let mut rounds = 0;
        while cluster.is_taskmanager_alive(1) {
            fed = feed(200);
            std::thread::sleep(Duration::from_millis(200));
            rounds += 1;
            assert!(rounds < 400, "{point} wasn't reached");
        }
        cluster.start_taskmanager(1, "");
        reach(&cluster, fed);
    }
    // The JobManager dies when a checkpoint is the job's last and nobody has been told, and another time at random.
    cluster.kill_jobmanager();
    cluster.start_jobmanager("pointer.after=kill@3");
    cluster.wait_for_rest();
    let mut fed = 0;
    while cluster.is_jobmanager_alive() {
        fed = feed(200);
        std::thread::sleep(Duration::from_millis(200));
    }
    cluster.start_jobmanager("");
    reach(&cluster, fed);
    feed(1000);
    std::thread::sleep(Duration::from_millis(350));
    cluster.kill_jobmanager();
    cluster.kill_taskmanager(0);
    cluster.heal();
    let end = feed(1000);
    reach(&cluster, end);
    // What ends the windows before it.
    feed(100 * PER_SECOND);
    let complete = usize::try_from(end / PER_SECOND * KEYS).unwrap();
    cluster.wait_until("the windows have ended", LIMIT, || windows.read().len() >= complete);
    let total = end + 100 * PER_SECOND;
    reach(&cluster, total);
    assert!(cluster.cancel(&job, LIMIT), "it ends when it is cancelled");

    let mut numbers: Vec<i64> =
        copies.read().iter().map(|record| json(record)["n"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, all(0..total));
    let mut seen = BTreeMap::new();
    for record in windows.read() {
        let row = json(&record);
        let key = (row["start"].as_str().unwrap().to_owned(), row["k"].as_i64().unwrap());
        let before =
            seen.insert(key.clone(), (row["records"].as_i64().unwrap(), row["total"].as_i64().unwrap()));
        assert_eq!(before, None, "{key:?} is there twice");
    }
    // Numbers grow with time, so the windows in order hold the numbers in order.
    for (second, window) in
        (0..end / PER_SECOND).zip(seen.iter().collect::<Vec<_>>().chunks(usize::try_from(KEYS).unwrap()))
    {
        for (key, ((start, k), sums)) in (0..KEYS).zip(window) {
            let numbers: Vec<i64> =
                (second * PER_SECOND..(second + 1) * PER_SECOND).filter(|n| n % KEYS == key).collect();
            let expected = (i64::try_from(numbers.len()).unwrap(), numbers.iter().sum());
            assert_eq!((*k, **sums), (key, expected), "{start}");
        }
    }
    // The logs of a job that did otherwise stay.
    drop(cluster);
    std::fs::remove_dir_all(&folder).unwrap();
}
