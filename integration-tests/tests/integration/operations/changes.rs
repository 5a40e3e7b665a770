//! A query that changes between two runs: what it takes over, what it must be allowed to leave behind, and what drains.

use std::path::Path;

use serde_json::Value;

use super::{LIMIT, Query, Stage, counts_of, parquet};
use crate::judge;

/// Whether a sink has shown anything in its folder.
fn has_files(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']));
        !is_hidden && path.extension().is_some_and(|extension| extension == "parquet")
    })
}

/// Kind and uid of what a comparison says is dropped.
fn dropped(told: &Value) -> Vec<(&str, &str)> {
    let all = told["operators"].as_array().expect("operators").iter();
    let dropped = all.filter(|operator| operator["state"] == "dropped");
    dropped.filter_map(|operator| Some((operator["kind"].as_str()?, operator["uid"].as_str()?))).collect()
}

/// What becomes of the one operator of this kind.
fn fate<'a>(told: &'a Value, kind: &str) -> Option<&'a str> {
    let mut all = told["operators"].as_array().expect("operators").iter();
    all.find(|operator| operator["kind"] == kind)?["state"].as_str()
}

#[test]
fn a_changed_query_goes_on_with_the_state_that_it_knows() {
    let stage = Stage::start(2, &[]);
    let file = stage.job("job.sql", &Query::default());
    let job = stage.run(&file, &["-p", "2"]);
    stage.cluster.wait_until("windows have fired", LIMIT, || has_files(&stage.at("counts")));
    stage.wait_for_checkpoints(&job, 2);
    let place = stage.stop(&job);

    // Another aggregate is another operator, and what stands behind it writes something else.
    let other = stage.job("other.sql", &Query { total: "MAX(price)", ..Query::default() });
    let told = stage.weir(&["job", "diff", "-s", &place, &other, "-o", "json"]).json();
    let gone = dropped(&told);
    let window = gone.iter().find(|(kind, _)| *kind == "window aggregate").expect("it is dropped");
    assert!(gone.iter().all(|(kind, _)| *kind == "sink" || *kind == window.0), "{told}");
    let refused = stage.weir(&["run", "-d", &other, "-s", &place]);
    refused.fails(1, &["GlobalWindowAggregate", window.1, "-n", "job diff -s"]);
    let groups = "-Dpipeline.max-parallelism=64";
    stage.weir(&["run", "-d", &file, "-s", &place, groups]).fails(1, &["128 key groups", "to 128"]);
    let told = stage.weir(&["job", "diff", "-s", &place, &file, groups]).ok();
    assert!(told.contains("set pipeline.max-parallelism to 128"), "{told}");

    // What stands behind a window leaves it alone.
    let having = Query { counts: "busy", having: "HAVING COUNT(*) > 20", ..Query::default() };
    let changed = stage.job("changed.sql", &having);
    let told = stage.weir(&["job", "diff", "-s", &place, &changed, "-o", "json"]).json();
    let kept = ["source", "window aggregate"].map(|kind| fate(&told, kind));
    assert_eq!(kept, [Some("kept"); 2], "{told}");
    // Only what a sink held may go, which has become visible with the stop.
    assert!(dropped(&told).iter().all(|(kind, _)| *kind == "sink") && told["migrated"] == 0, "{told}");
    let job = stage.run(&changed, &["-p", "3", "-s", &place, "-n"]);
    assert_eq!(stage.cluster.wait_for_end(&job, LIMIT), "FINISHED");
    let reference = stage.reference();
    let bids = format!("FROM {}", parquet(&stage.at("bids")));
    judge::assert_same("bids of both", &[], &format!("FROM {reference}"), &bids);
    let (counts, busy) = (parquet(&stage.at("counts")), parquet(&stage.at("busy")));
    judge::assert_same(
        "counts of the changed query",
        &[],
        &format!("SELECT * FROM (({}) EXCEPT FROM {counts}) WHERE bids > 20", counts_of(&reference)),
        &format!("FROM {busy}"),
    );
    let before = format!(
        "SELECT * FROM {counts} SEMI JOIN ({}) USING (auction, window_end, bids, total)",
        counts_of(&reference)
    );
    judge::assert_same("counts of the first query", &[], &before, &format!("FROM {counts}"));

    let job = stage.run(&other, &["-p", "2", "-s", &place, "-n"]);
    stage.wait_for_checkpoints(&job, 1);
    stage.cluster.cancel(&job);
}

#[test]
fn a_drained_job_has_counted_all_that_it_read() {
    let stage = Stage::start(1, &[]);
    let file = stage.job("job.sql", &Query::default());
    let job = stage.run(&file, &["-p", "2"]);
    stage.wait_for_checkpoints(&job, 4);
    let target = stage.url("savepoints");
    let said = stage.weir(&["stop", "--drain", &job, "-p", &target]).ok();
    assert!(said.contains("has stopped") && said.contains(&target), "{said}");
    assert_eq!(stage.cluster.state(&job), "FINISHED");
    let bids = parquet(&stage.at("bids"));
    let read = judge::assert_same(
        "counts of what was read",
        &[],
        &counts_of(&bids),
        &format!("FROM {}", parquet(&stage.at("counts"))),
    );
    let all = judge::compare(&[], &counts_of(&stage.reference()), &counts_of(&bids));
    assert!(read < all.expected_rows, "it was stopped in mid-job");
}
