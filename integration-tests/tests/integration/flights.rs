//! Three million real flights, hours out of order: delays per origin over hopping windows equal DuckDB's, late rows included.

use std::path::PathBuf;
use std::time::Duration;

use crate::cluster::{Cluster, sql_path};
use crate::job::{file_options, table};
use crate::judge;

const LIMIT: Duration = Duration::from_secs(180);
/// How many rows a source's batch has; a row group's last one is shorter.
const BATCH_ROWS: u64 = 8192;

fn flights() -> PathBuf {
    let cache = std::env::var("WEIR_CACHE")
        .unwrap_or_else(|_| format!("{}/.cache/weir", std::env::var("HOME").expect("HOME is set")));
    let path = PathBuf::from(cache).join("vega-datasets-3.2.1/flights-3m.parquet");
    assert!(path.exists(), "{} isn't there: `make setup` installs it", path.display());
    path
}

fn job(output: &std::path::Path, watermark_delay: &str, source_options: &str) -> String {
    format!(
        "CREATE TABLE flights (
    `date` TIMESTAMP(3), delay BIGINT, distance BIGINT, origin STRING, destination STRING,
    departure AS TIMESTAMPADD(MINUTE, CAST(delay AS INT), `date`),
    WATERMARK FOR departure AS departure - INTERVAL {watermark_delay}
) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'parquet'{source_options});\n",
        sql_path(&flights())
    ) + &table(
        "delays",
        "origin STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), flights BIGINT, total BIGINT, worst BIGINT",
        &file_options(output, "parquet"),
    ) + "INSERT INTO delays
SELECT origin, window_start, window_end, COUNT(*), SUM(delay), MAX(delay)
FROM TABLE(HOP(TABLE flights, DESCRIPTOR(departure), INTERVAL '1' HOUR, INTERVAL '3' HOUR))
GROUP BY origin, window_start, window_end"
}

/// Every flight with its window, its batch and its row group.
fn windows() -> String {
    format!(
        "SELECT *, time_bucket(INTERVAL 1 HOUR, departure, TIMESTAMP '1970-01-01') - to_hours(k) + INTERVAL 3 HOUR AS window_end
         FROM (
             SELECT *, \"date\" + to_minutes(delay) AS departure,
                    row_number // 272727 - (row_number // 2999997) AS row_group
             FROM (SELECT *, file_row_number AS row_number FROM read_parquet('{}', file_row_number = true))
         ), range(3) AS hops(k)",
        flights().display()
    )
}

const RESULT: &str = "origin, window_end - INTERVAL 3 HOUR AS window_start, window_end, count(*) AS flights,
    CAST(sum(delay) AS BIGINT) AS total, max(delay) AS worst";

#[test]
fn delays_per_origin_equal_duckdb() {
    let cluster = Cluster::start(3, 1, &[]);
    let output = tempfile::tempdir().expect("a temporary folder");
    // The latest flight comes 28.5 hours behind the latest departure seen before it.
    let job = cluster.run(&job(output.path(), "'30' HOUR", ""), 3, LIMIT);
    let rows = judge::assert_same(
        "delays",
        &[],
        &format!("SELECT {RESULT} FROM ({}) GROUP BY origin, window_end", windows()),
        &format!("FROM read_parquet('{}/*.parquet')", output.path().display()),
    );
    assert!(rows > 500_000, "{rows} rows");
    assert_eq!(cluster.subtask_metric(&job, "numLateRecordsDropped"), 0);
}

#[test]
fn late_flights_are_dropped_and_counted_exactly() {
    let cluster = Cluster::start(3, 1, &[]);
    let output = tempfile::tempdir().expect("a temporary folder");
    // One reader in one order, so that what is late is a matter of arithmetic: the watermark after each batch is the latest
    // departure so far, less the delay.
    let job = cluster.run(&job(output.path(), "'2' HOUR", ", 'scan.parallelism' = '1'"), 3, LIMIT);
    let setup = [
        format!("CREATE TEMP TABLE windows AS {}", windows()),
        format!(
            "CREATE TEMP TABLE batches AS
             SELECT row_group, (row_number - row_group * 272727) // {BATCH_ROWS} AS batch, max(departure) AS latest
             FROM windows GROUP BY ALL"
        ),
        "CREATE TEMP TABLE watermarks AS
         SELECT row_group, batch, coalesce(
             max(latest) OVER (ORDER BY row_group, batch ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) - INTERVAL 2 HOUR,
             TIMESTAMP '1900-01-01') AS watermark
         FROM batches"
            .to_owned(),
        format!(
            "CREATE TEMP TABLE judged AS
             SELECT w.*, window_end - INTERVAL 1 MILLISECOND > watermark AS in_time
             FROM windows AS w JOIN watermarks AS m
               ON w.row_group = m.row_group AND (w.row_number - w.row_group * 272727) // {BATCH_ROWS} = m.batch"
        ),
    ];
    judge::assert_same(
        "delays without the late ones",
        &setup,
        &format!("SELECT {RESULT} FROM judged WHERE in_time GROUP BY origin, window_end"),
        &format!("FROM read_parquet('{}/*.parquet')", output.path().display()),
    );
    // A row is late when none of its windows is open any more.
    let late = cluster.subtask_metric(&job, "numLateRecordsDropped");
    assert!(late > 0, "the delay is chosen so that some are late");
    judge::assert_same(
        "late flights",
        &setup,
        "SELECT count(*) AS late FROM (SELECT row_number FROM judged GROUP BY row_number HAVING NOT bool_or(in_time))",
        &format!("SELECT {late} AS late"),
    );
}
