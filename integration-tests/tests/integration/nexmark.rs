//! Nexmark's queries from the generator, from JSON and from Parquet, at several parallelisms, on one and on three processes:
//! every answer equals DuckDB's on the same events.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::job::{EVENT_COLUMNS, events_table, file_options, nexmark_options, table};
use crate::judge;

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

/// The events as Parquet and JSON files, made once.
struct Events {
    _folder: tempfile::TempDir,
    parquet: PathBuf,
    json: PathBuf,
}

static EVENTS_ON_DISK: OnceLock<Events> = OnceLock::new();

fn events(cluster: &Cluster) -> &'static Events {
    EVENTS_ON_DISK.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (parquet, json) = (folder.path().join("parquet"), folder.path().join("json"));
        for (path, format) in [(&parquet, "parquet"), (&json, "json")] {
            let sql = events_table(&nexmark_options(EVENTS))
                + &table("files", EVENT_COLUMNS, &file_options(path, format))
                + "INSERT INTO files SELECT event_type, person, auction, bid FROM events;";
            cluster.run(&sql, 2, LIMIT);
        }
        Events { _folder: folder, parquet, json }
    })
}

fn text(name: &str) -> String {
    let path = format!("{}/nexmark/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// DuckDB's views over the Parquet events.
fn judge_setup(parquet: &Path) -> Vec<String> {
    vec![format!(
        "CREATE VIEW bid AS SELECT bid.auction, bid.bidder, bid.price, bid.channel, bid.url, bid.\"dateTime\", bid.extra
         FROM read_parquet('{}/*.parquet') WHERE event_type = 2",
        parquet.display()
    )]
}

fn run_matrix(cluster: &Cluster, inputs: &[&str], parallelisms: &[u32]) {
    let events = events(cluster);
    let setup = judge_setup(&events.parquet);
    for query in QUERIES {
        for input in inputs {
            for &parallelism in parallelisms {
                let source = match *input {
                    "generator" => nexmark_options(EVENTS),
                    "json" => file_options(&events.json, "json"),
                    _ => file_options(&events.parquet, "parquet"),
                };
                let output = tempfile::tempdir().expect("a temporary folder");
                let sql = events_table(&source)
                    + &text("tables.sql")
                    + &table(
                        "results",
                        &text(&format!("{query}.sink")),
                        &file_options(output.path(), "parquet"),
                    )
                    + "INSERT INTO results\n"
                    + &text(&format!("{query}.sql"));
                cluster.run(&sql, parallelism, LIMIT);
                let what = format!("{query} from {input} at parallelism {parallelism}");
                let actual = format!("FROM read_parquet('{}/*.parquet')", output.path().display());
                judge::assert_same(&what, &setup, &text(&format!("{query}.duckdb.sql")), &actual);
            }
        }
    }
}

#[test]
fn queries_on_one_process_equal_duckdb() {
    let cluster = Cluster::start(1, 4, &[]);
    run_matrix(&cluster, &["generator", "json", "parquet"], &[1, 2, 4]);
}

#[test]
fn queries_on_three_processes_equal_duckdb() {
    let cluster = Cluster::start(3, 2, &[]);
    run_matrix(&cluster, &["generator", "json", "parquet"], &[1, 2, 4]);
}

#[test]
fn the_events_hold_nexmarks_proportions() {
    let cluster = Cluster::start(1, 2, &[]);
    let parquet = &events(&cluster).parquet;
    judge::assert_same(
        "1 : 3 : 46",
        &[],
        "SELECT * FROM (VALUES (0, 2000), (1, 6000), (2, 92000)) AS t(event_type, events)",
        &format!(
            "SELECT event_type, count(*) AS events FROM read_parquet('{}/*.parquet') GROUP BY event_type",
            parquet.display()
        ),
    );
}
