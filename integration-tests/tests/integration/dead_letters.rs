//! A million records, half of them broken, through Kafka and through a file: what can be decoded comes through, each of the others is
//! one dead letter, and nothing restarts.

mod fuzz;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use fuzz::{Fuzz, Verdict};

use crate::cluster::Cluster;
use crate::job::{file_options, kafka_options, table};
use crate::judge;
use crate::servers::{Kafka, Record, Topic};

const RECORDS: u64 = 1_000_000;
const SEED: u64 = 20_240_501;
const LIMIT: Duration = Duration::from_secs(300);
const PARTITIONS: i32 = 4;

/// Runs the records out of a source with these options through a job; `expected` holds what it should make of them.
fn check(what: &str, source: &str, expected: &Path) {
    // The first failure ends the job.
    let mut cluster = Cluster::start(2, 2, &["restart-strategy.type=none"]);
    let output = tempfile::tempdir().expect("a temporary folder");
    let folder = |name: &str| output.path().join(name);
    let sql = table(
        "records",
        fuzz::COLUMNS,
        &format!("{source}, 'on-error' = 'dlq', 'on-error.dlq-table' = 'dead'"),
    ) + &table(
        "dead",
        "source STRING, `position` STRING, raw BYTES, error STRING, ts TIMESTAMP_LTZ(3)",
        &file_options(&folder("dead"), "parquet"),
    ) + &table("rows", fuzz::COLUMNS, &file_options(&folder("rows"), "parquet"))
        + "INSERT INTO rows SELECT * FROM records;";
    let job = cluster.run(&sql, 2, LIMIT);

    let (good, bad) = (expected.join("good.csv"), expected.join("bad.csv"));
    let good_rows = judge::assert_same(
        &format!("rows from {what}"),
        &[],
        &format!(
            "FROM read_csv('{}', columns = {{'id': 'BIGINT', 'length': 'BIGINT', 'cents': 'BIGINT'}})",
            good.display()
        ),
        &format!(
            "SELECT id, length(name) AS length, CAST(amount * 100 AS BIGINT) AS cents FROM read_parquet('{}/*.parquet')",
            folder("rows").display()
        ),
    );
    let dead_letters = judge::assert_same(
        &format!("dead letters from {what}"),
        &[],
        &format!("FROM read_csv('{}', columns = {{'length': 'BIGINT'}})", bad.display()),
        &format!(
            "SELECT coalesce(octet_length(raw), -1) AS length FROM read_parquet('{}/*.parquet')
             WHERE source LIKE '%records' AND \"position\" <> '' AND error <> '' AND ts IS NOT NULL",
            folder("dead").display()
        ),
    );
    assert_eq!(good_rows + dead_letters, RECORDS);
    assert_eq!(cluster.subtask_metric(&job, "numRecordsInErrors"), dead_letters, "{what}");
    for process in cluster.processes() {
        assert!(process.is_alive(), "a process has died");
    }
}

/// What the job should make of the records, for DuckDB: `good.csv` and `bad.csv`.
fn write_expected(folder: &Path) {
    let open = |name| BufWriter::new(File::create(folder.join(name)).expect("the folder is writable"));
    let (mut good, mut bad) = (open("good.csv"), open("bad.csv"));
    for (_, verdict) in Fuzz::new(SEED, RECORDS) {
        let written = match verdict {
            Verdict::Good { id, name_length, amount_in_cents } => {
                writeln!(good, "{id},{name_length},{amount_in_cents}")
            }
            Verdict::Bad { length: Some(length) } => writeln!(bad, "{length}"),
            // Without its bytes.
            Verdict::Bad { length: None } => writeln!(bad, "-1"),
        };
        written.expect("the folder is writable");
    }
    good.flush().and_then(|()| bad.flush()).expect("the folder is writable");
}

#[test]
fn a_million_fuzzed_lines_of_a_file_give_exactly_the_dead_letters() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_expected(folder.path());
    let input = folder.path().join("input");
    std::fs::create_dir(&input).expect("the folder is writable");
    let mut lines = BufWriter::new(File::create(input.join("records.json")).expect("the folder is writable"));
    for (record, _) in Fuzz::new(SEED, RECORDS) {
        lines.write_all(&record).and_then(|()| lines.write_all(b"\n")).expect("the folder is writable");
    }
    lines.flush().expect("the folder is writable");
    check("a file", &file_options(&input, "json"), folder.path());
}

#[test]
fn a_million_fuzzed_records_of_a_topic_give_exactly_the_dead_letters() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_expected(folder.path());
    let topic = Topic::create(Kafka::one(), "fuzz", PARTITIONS);
    let records = Fuzz::new(SEED, RECORDS).zip((0..PARTITIONS).cycle());
    topic.produce(records.map(|((record, _), partition)| Record::of(record).into_partition(partition)));
    assert_eq!(topic.count(), RECORDS);
    check("a topic", &kafka_options(Kafka::one(), &topic.name, "json"), folder.path());
    topic.delete();
}
