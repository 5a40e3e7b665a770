//! A million events from one topic to another: a hopping count over four partitions answers exactly what DuckDB does.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::job::{EVENT_COLUMNS, events_table, file_options, kafka_options, nexmark_options, table};
use crate::judge;
use crate::servers::{Kafka, Topic};

const EVENTS: u64 = 1_000_000;
const LIMIT: Duration = Duration::from_secs(300);

#[test]
fn a_hopping_count_from_topic_to_topic_is_exact() {
    let kafka = Kafka::one();
    let (events, counts) = (Topic::create(kafka, "events", 4), Topic::create(kafka, "counts", 2));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (parquet, lines) = (folder.path().join("events"), folder.path().join("counts.json"));
    let cluster = Cluster::start(2, 2, &[]);
    // One subtask makes the events, so that they stand in each partition in the order of their times.
    let generator = events_table(&format!("{}, 'scan.parallelism' = '1'", nexmark_options(EVENTS)));
    for (name, options) in [
        ("topic", format!("{}, 'sink.parallelism' = '1'", kafka_options(kafka, &events.name, "json"))),
        ("files", file_options(&parquet, "parquet")),
    ] {
        let sql = generator.clone()
            + &table(name, EVENT_COLUMNS, &options)
            + &format!("INSERT INTO {name} SELECT event_type, person, auction, bid FROM events;");
        cluster.run(&sql, 2, LIMIT);
    }
    assert_eq!(events.count(), EVENTS);
    assert!(
        events.offsets().iter().all(|(_, next)| *next > 0),
        "every partition has some: {:?}",
        events.offsets()
    );

    let sql = events_table(&kafka_options(kafka, &events.name, "json"))
        + &crate::nexmark::text("tables.sql")
        + &table(
            "counts",
            &crate::nexmark::text("q5_counts.sink"),
            &kafka_options(kafka, &counts.name, "json"),
        )
        + "INSERT INTO counts\n"
        + &crate::nexmark::text("q5_counts.sql");
    let job = cluster.run(&sql, 2, LIMIT);
    assert_eq!(cluster.subtask_metric(&job, "numLateRecordsDropped"), 0);

    let mut output = BufWriter::new(File::create(&lines).expect("the folder is writable"));
    let written = counts.write_lines(&mut output);
    output.flush().expect("the folder is writable");
    let rows = judge::assert_same(
        "counts from topic to topic",
        &[crate::nexmark::bids_view(&parquet)],
        &crate::nexmark::text("q5_counts.duckdb.sql"),
        &format!("FROM read_json('{}', format = 'newline_delimited')", lines.display()),
    );
    assert_eq!(rows, written);
    events.delete();
    counts.delete();
}
