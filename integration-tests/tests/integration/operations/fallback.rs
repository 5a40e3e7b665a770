//! The newest checkpoint is damaged: an older one is taken where nobody can have seen the newer one's output, else when an operator
//! says so.

use std::path::Path;

use super::{BIDS, LIMIT, PACE, Query, Stage, source};
use crate::job::{events_table, table};

/// Checkpoints are taken when they are asked for, so that it is known which one is the newest.
const ON_DEMAND: [&str; 2] =
    ["execution.checkpointing.interval=1 h", "execution.checkpointing.num-retained=3"];

/// Takes two checkpoints of a job that reads, damages the newer one and kills a TaskManager; the numbers of both.
fn damage(stage: &mut Stage, job: &str) -> [u64; 2] {
    let read = |stage: &Stage| stage.cluster.vertex_metric(job, "read-records");
    let taken = [2_000, 4_000].map(|more| {
        let before = read(stage);
        stage.cluster.wait_until("records flow", LIMIT, || read(stage) > before + more);
        let said = stage.weir(&["checkpoint", job, "-o", "json"]).json();
        let place = said["location"].as_str().expect("a place").to_owned();
        let id = place.rsplit_once("/chk-").expect("a checkpoint's folder").1.parse().expect("a number");
        (place, id)
    });
    let newest = Path::new(taken[1].0.strip_prefix("file://").expect("a file's URL")).join("_metadata");
    let mut bytes = std::fs::read(&newest).expect("a manifest");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).expect("the folder is writable");
    stage.cluster.taskmanagers.remove(0).kill();
    stage.cluster.add_taskmanager();
    taken.map(|(_, id)| id)
}

fn restored(stage: &Stage, job: &str) -> Option<u64> {
    stage.checkpoints(job)["latest"]["restored"]["id"].as_u64()
}

#[test]
fn what_is_visible_stops_the_job_until_an_operator_allows_to_go_back() {
    let mut stage = Stage::start(1, &ON_DEMAND);
    let file = stage.job("job.sql", &Query::default());
    let job = stage.run(&file, &["-p", "2"]);
    let [older, newer] = damage(&mut stage, &job);
    assert_eq!(stage.cluster.wait_for_end(&job, LIMIT), "FAILED");
    let said = stage.weir(&["info", &job]).ok();
    let newer = format!("chk-{newer}");
    for part in ["_metadata", "offset", &newer, "execution.state-recovery.allow-older-checkpoint"] {
        assert!(said.contains(part), "{said}");
    }

    // The older one is still there for who asks for it by name.
    let place = format!("{}/{job}/chk-{older}", stage.url("checkpoints"));
    let job = stage.run(&file, &["-p", "2", "-s", &place]);
    stage
        .cluster
        .wait_until("it goes on from the older one", LIMIT, || restored(&stage, &job) == Some(older));
    stage.cluster.cancel(&job);
    let allowed = "-Dexecution.state-recovery.allow-older-checkpoint=true";
    let job = stage.run(&file, &["-p", "2", allowed]);
    let [older, _] = damage(&mut stage, &job);
    stage.cluster.wait_until("it goes back by itself", LIMIT, || restored(&stage, &job) == Some(older));
    stage.cluster.cancel(&job);
}

#[test]
fn where_nothing_was_committed_an_older_checkpoint_is_taken() {
    let mut stage = Stage::start(1, &ON_DEMAND);
    let sql = events_table(&source(PACE))
        + BIDS
        + &table("nowhere", "auction BIGINT, window_end TIMESTAMP(3), bids BIGINT", "'connector' = 'blackhole'")
        + "INSERT INTO nowhere SELECT auction, window_end, COUNT(*)
           FROM TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' SECOND) GROUP BY auction, window_start, window_end";
    let path = stage.at("nowhere.sql");
    std::fs::write(&path, sql).expect("the folder is writable");
    let job = stage.run(&path.display().to_string(), &["-p", "2"]);
    let [older, _] = damage(&mut stage, &job);
    stage.cluster.wait_until("it goes back by itself", LIMIT, || restored(&stage, &job) == Some(older));
    stage.cluster.cancel(&job);
}
