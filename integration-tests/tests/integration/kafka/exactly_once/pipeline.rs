//! The job that tests of whole jobs run: from a topic to copies of its records in one topic, and over keyed windows to another.
//!
//! Records are a pure function of their number, so what must come out is known from how many went in.

use std::collections::{BTreeMap, BTreeSet};

use weir_chaos::servers::{Kafka, Record, Topic};

use super::super::{json, table};
use super::all;

/// Records a second of event time.
pub const PER_SECOND: i64 = 100;
/// Records' keys are the numbers below.
pub const KEYS: i64 = 7;

/// Record `n` is of key `n % KEYS`, at `n` hundredths of a second.
pub fn record(n: i64, partitions: i64) -> Record {
    let (seconds, hundredths) = (n / PER_SECOND, n % PER_SECOND);
    let at = format!(
        "2026-01-01 {:02}:{:02}:{:02}.{hundredths:02}0",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    Record::of(format!("{{\"n\":{n},\"k\":{},\"at\":\"{at}\"}}", n % KEYS))
        .into_partition(i32::try_from(n % partitions).unwrap())
}

/// Reads from the first of these topics; writes what it reads to the second, what it counts to the third.
pub fn sql(kafka: &Kafka, [from, copies, windows]: [&str; 3], checkpoints: &str) -> String {
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

/// How many windows `records` fill.
pub fn windows_of(records: i64) -> usize {
    usize::try_from(records / PER_SECOND * KEYS).unwrap()
}

/// Of so many records each is copied once, and each window of the first `complete` ones is there once and right.
pub fn assert_exact(copies: &Topic<'_>, windows: &Topic<'_>, total: i64, complete: i64) {
    let mut numbers: Vec<i64> =
        copies.read().iter().map(|record| json(record)["n"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    let doubled: BTreeSet<i64> =
        numbers.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
    let lost: Vec<i64> = (0..total).filter(|n| numbers.binary_search(n).is_err()).collect();
    assert!(numbers == all(0..total), "of {total} records lost: {lost:?}, doubled: {doubled:?}");
    let mut seen = BTreeMap::new();
    for record in windows.read() {
        let row = json(&record);
        let key = (row["start"].as_str().unwrap().to_owned(), row["k"].as_i64().unwrap());
        let before =
            seen.insert(key.clone(), (row["records"].as_i64().unwrap(), row["total"].as_i64().unwrap()));
        assert_eq!(before, None, "{key:?} is there twice");
    }
    assert!(seen.len() >= windows_of(complete), "{} windows of {}", seen.len(), windows_of(complete));
    // Numbers grow with time, so the windows in order hold the numbers in order.
    for (second, window) in
        (0..complete / PER_SECOND).zip(seen.iter().collect::<Vec<_>>().chunks(usize::try_from(KEYS).unwrap()))
    {
        for (key, ((start, k), sums)) in (0..KEYS).zip(window) {
            let numbers: Vec<i64> =
                (second * PER_SECOND..(second + 1) * PER_SECOND).filter(|n| n % KEYS == key).collect();
            let expected = (i64::try_from(numbers.len()).unwrap(), numbers.iter().sum());
            assert_eq!((*k, **sums), (key, expected), "{start}");
        }
    }
}
