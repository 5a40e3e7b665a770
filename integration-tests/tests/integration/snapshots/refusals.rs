//! A store that refuses one request in five, from a job's start to its end, and holds its checkpoints as well as its output: that
//! costs time, and no restart.

use std::sync::atomic::Ordering;

use weir_chaos::proxy::Rules;

use super::{Bucket, LIMIT, assert_calm, cluster, count};
use crate::job::{events_table, file_options, path_options, table};
use crate::judge;

/// How long the job takes in `make test`, in seconds; `WEIR_REFUSED_FOR` says another number.
const REFUSED_FOR: u64 = 15;
/// Events a second.
const RATE: u64 = 3_000;
const REFUSED_ONE_IN: u64 = 5;
const MOST_FAILED_PERCENT: u64 = 5;
const BID: &str = "auction BIGINT, price BIGINT, `dateTime` TIMESTAMP(3)";

/// Bids, in the generator's order; it is a pure function of the event's number, paced or not.
fn source(events: u64, is_fast: bool) -> String {
    events_table(&format!(
        "'connector' = 'nexmark', 'events.num' = '{events}', 'first-event.rate' = '{RATE}', 'next-event.rate' = '{RATE}', \
         'max-emit-speed' = '{is_fast}'"
    )) + "CREATE VIEW bid AS SELECT bid.auction, bid.price, `dateTime` FROM events WHERE event_type = 2;\n"
}

#[test]
fn a_store_that_refuses_one_request_in_five_costs_few_checkpoints_and_no_restart() {
    let refused_for = std::env::var("WEIR_REFUSED_FOR").ok().and_then(|text| text.parse().ok());
    let seconds = refused_for.unwrap_or(REFUSED_FOR);
    let bucket = Bucket::new("refusals", 11);
    let options =
        bucket.options(&["execution.checkpointing.interval=500 ms", "execution.checkpointing.timeout=10 s"]);
    let checkpoints = format!("{}/checkpoints", bucket.url);
    let cluster = cluster(2, 1, &checkpoints, &options.iter().map(String::as_str).collect::<Vec<_>>());
    bucket.proxy.set(Rules { unavailable_one_in: REFUSED_ONE_IN, ..Rules::default() });
    let output = |name: &str| path_options(&format!("{}/{name}", bucket.url), "parquet");
    let sql = source(RATE * seconds, false)
        + &table("bids", BID, &output("bids"))
        + &table("counts", "auction BIGINT, at TIMESTAMP(3), bids BIGINT, total BIGINT", &output("counts"))
        + "EXECUTE STATEMENT SET BEGIN
           INSERT INTO bids SELECT * FROM bid;
           INSERT INTO counts SELECT auction, window_start, COUNT(*), SUM(price)
           FROM TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' SECOND)
           GROUP BY auction, window_start, window_end;
           END";
    let job = cluster.submit(&sql, 2).expect("the job is accepted");
    let state = cluster.wait_for_end(&job, LIMIT + std::time::Duration::from_secs(seconds));
    let exceptions = cluster.get(&format!("/jobs/{job}/exceptions"));
    assert_eq!(state, "FINISHED", "{exceptions}");
    let (completed, failed) = (count(&cluster, &job, "completed"), count(&cluster, &job, "failed"));
    let refused = bucket.proxy.counters().refused.load(Ordering::Relaxed);
    println!("{refused} requests refused in {seconds} s; {completed} checkpoints, {failed} more failed");
    assert_calm(&cluster, &job);
    assert!(completed >= seconds / 2 && refused >= completed, "{completed} checkpoints, {refused} refusals");
    assert!(
        failed * 100 <= (completed + failed) * MOST_FAILED_PERCENT,
        "{failed} of {} failed: {}",
        completed + failed,
        super::checkpoints(&cluster, &job)["latest"]["failed"]
    );

    bucket.proxy.heal();
    let folder = tempfile::tempdir().expect("a folder");
    let sql = source(RATE * seconds, true)
        + &table("bids", BID, &file_options(folder.path(), "parquet"))
        + "INSERT INTO bids SELECT * FROM bid";
    cluster.run(&sql, 1, LIMIT);
    let written =
        |name: &str| format!("FROM read_parquet('{}/*.parquet')", bucket.folder.join(name).display());
    let reference = format!("FROM read_parquet('{}/*.parquet')", folder.path().display());
    judge::assert_same("bids", &[], &reference, &written("bids"));
    let counts = format!(
        "SELECT auction, time_bucket(INTERVAL 1 SECOND, \"dateTime\", TIMESTAMP '1970-01-01') AS at,
                count(*) AS bids, CAST(sum(price) AS BIGINT) AS total
         {reference} GROUP BY ALL"
    );
    judge::assert_same("counts", &[], &counts, &written("counts"));
}
