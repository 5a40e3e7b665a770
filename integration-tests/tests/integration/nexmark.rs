//! Nexmark's queries from every kind of input, at several parallelisms, on one and on three processes: every answer equals DuckDB's on
//! the same events.

mod inputs;

use std::path::Path;
use std::time::Duration;

use inputs::Input;

use crate::cluster::Cluster;
use crate::job::{events_table, file_options, nexmark_options, table};
use crate::judge;
use crate::servers::S3;

const EVENTS: u64 = 100_000;
const LIMIT: Duration = Duration::from_secs(120);
const QUERIES: &[&str] = &[
    "q0",
    "q1",
    "q2",
    "q14",
    "q21",
    "q22",
    "q5_counts",
    "q5_max",
    "q7_max",
    "tumble_auction",
    "tumble_bidder",
    "tumble_distinct",
];

/// A file of the folder `nexmark`.
pub fn text(name: &str) -> String {
    let path = format!("nexmark/{name}");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// DuckDB's view of the bids among Parquet events.
pub fn bids_view(parquet: &Path) -> String {
    format!(
        "CREATE VIEW bid AS SELECT bid.auction, bid.bidder, bid.price, bid.channel, bid.url, bid.\"dateTime\", bid.extra
         FROM read_parquet('{}/*.parquet') WHERE event_type = 2",
        parquet.display()
    )
}

/// Runs every query on one cluster of this shape.
fn run_matrix(taskmanagers: usize, slots: u32) {
    let options = S3::shared().options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let cluster = Cluster::start(taskmanagers, slots, &options);
    let events = inputs::shared(&cluster, EVENTS);
    let setup = [bids_view(&events.parquet)];
    for query in QUERIES {
        for input in Input::ALL {
            for parallelism in [1, 2, 4] {
                let output = tempfile::tempdir().expect("a temporary folder");
                let sql = events.declare(input)
                    + &table(
                        "results",
                        &text(&format!("{query}.sink")),
                        &file_options(output.path(), "parquet"),
                    )
                    + "INSERT INTO results\n"
                    + &text(&format!("{query}.sql"));
                cluster.run(&sql, parallelism, LIMIT);
                let what = format!("{query} from {input:?} at parallelism {parallelism}");
                let actual = format!("FROM read_parquet('{}/*.parquet')", output.path().display());
                judge::assert_same(&what, &setup, &text(&format!("{query}.duckdb.sql")), &actual);
            }
        }
    }
}

#[test]
fn queries_on_one_process_equal_duckdb() {
    run_matrix(1, 4);
}

#[test]
fn queries_on_three_processes_equal_duckdb() {
    run_matrix(3, 2);
}

#[test]
fn the_events_hold_nexmarks_proportions() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cluster = Cluster::start(1, 2, &[]);
    let sql = events_table(&nexmark_options(EVENTS))
        + &table("kinds", "event_type INT", &file_options(folder.path(), "parquet"))
        + "INSERT INTO kinds SELECT event_type FROM events;";
    cluster.run(&sql, 2, LIMIT);
    judge::assert_same(
        "1 : 3 : 46",
        &[],
        "SELECT * FROM (VALUES (0, 2000), (1, 6000), (2, 92000)) AS t(event_type, events)",
        &format!(
            "SELECT event_type, count(*) AS events FROM read_parquet('{}/*.parquet') GROUP BY event_type",
            folder.path().display()
        ),
    );
}
