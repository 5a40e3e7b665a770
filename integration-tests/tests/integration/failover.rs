//! A TaskManager killed in mid-job: the job restarts on the others and its answer is right.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::job::{events_table, file_options, table};
use crate::judge;

const LIMIT: Duration = Duration::from_secs(120);
const EVENTS: u64 = 200_000;

#[test]
fn a_killed_taskmanager_costs_a_restart_and_nothing_else() {
    let mut cluster = Cluster::start(
        3,
        1,
        &[
            "restart-strategy.type=fixed-delay",
            "restart-strategy.fixed-delay.attempts=3",
            "restart-strategy.fixed-delay.delay=200 ms",
        ],
    );
    let output = tempfile::tempdir().expect("a temporary folder");
    // Paced, so that it is in mid-job when the process dies.
    let source = format!(
        "'connector' = 'nexmark', 'events.num' = '{EVENTS}', 'first-event.rate' = '40000', 'next-event.rate' = '40000', \
         'max-emit-speed' = 'false'"
    );
    let sql = events_table(&source)
        + "CREATE VIEW bid AS SELECT bid.auction, bid.price, `dateTime` FROM events WHERE event_type = 2;\n"
        + &table(
            "counts",
            "auction BIGINT, window_end TIMESTAMP(3), bids BIGINT, total BIGINT",
            &file_options(output.path(), "parquet"),
        )
        + "INSERT INTO counts SELECT auction, window_end, COUNT(*), SUM(price)
           FROM TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' SECOND) GROUP BY auction, window_start, window_end";
    let job = cluster.submit(&sql, 2).expect("the job is accepted");
    cluster.wait_until("records flow", LIMIT, || cluster.vertex_metric(&job, "read-records") > 20_000);

    let details = cluster.get(&format!("/jobs/{job}"));
    let vertex = details["vertices"][0]["id"].as_str().expect("a vertex");
    let subtasks = cluster.get(&format!("/jobs/{job}/vertices/{vertex}"));
    let used = subtasks["subtasks"][1]["taskmanager-id"].as_str().expect("a TaskManager").to_owned();
    let victim: usize = used.trim_start_matches("tm-").parse().expect("tm-N");
    cluster.taskmanagers[victim].kill();

    assert_eq!(cluster.wait_for_end(&job, LIMIT), "FINISHED");
    let exceptions = cluster.get(&format!("/jobs/{job}/exceptions"));
    let history = exceptions["exceptionHistory"]["entries"].as_array().expect("a history");
    assert!(!history.is_empty(), "the failure is remembered: {exceptions}");
    // The generator is a pure function of the event's number: the unpaced one makes the same events.
    let events = tempfile::tempdir().expect("a temporary folder");
    let sql = events_table(&source.replace("'max-emit-speed' = 'false'", "'max-emit-speed' = 'true'"))
        + &table(
            "bids",
            "auction BIGINT, price BIGINT, `dateTime` TIMESTAMP(3)",
            &file_options(events.path(), "parquet"),
        )
        + "INSERT INTO bids SELECT bid.auction, bid.price, bid.`dateTime` FROM events WHERE event_type = 2";
    cluster.run(&sql, 1, LIMIT);
    judge::assert_same(
        "counts after a restart",
        &[],
        &format!(
            "SELECT auction, time_bucket(INTERVAL 1 SECOND, \"dateTime\", TIMESTAMP '1970-01-01') + INTERVAL 1 SECOND AS window_end,
                    count(*) AS bids, CAST(sum(price) AS BIGINT) AS total
             FROM read_parquet('{}/*.parquet') GROUP BY ALL",
            events.path().display()
        ),
        &format!("FROM read_parquet('{}/*.parquet')", output.path().display()),
    );
}
