//! Whose a snapshot is that a job goes on from: NO_CLAIM leaves it to the user, CLAIM makes it the job's.

use std::path::Path;

use super::{LIMIT, Query, Stage};

fn folder(place: &str) -> &Path {
    Path::new(place.strip_prefix("file://").expect("a file's URL"))
}

#[test]
fn a_savepoint_stays_the_users_unless_the_job_claims_it() {
    let mut stage = Stage::start(2, &["heartbeat.timeout=5 s"]);
    let file = stage.job("job.sql", &Query::default());
    let job = stage.run(&file, &["-p", "2"]);
    stage.wait_for_checkpoints(&job, 2);
    let kept = stage.stop(&job);
    stage.weir(&["stop", &job]).fails(1, &["a savepoint needs a folder"]);
    stage.weir(&["stop", &job, "-p", &stage.url("savepoints")]).fails(1, &["it is FINISHED already"]);
    stage.weir(&["checkpoint", &job]).fails(1, &["it is FINISHED already"]);

    let job = stage.run(&file, &["-p", "2", "-s", &kept, "--claim-mode", "NO_CLAIM"]);
    stage.wait_for_checkpoints(&job, 3);
    let claimed = stage.stop(&job);
    stage.weir(&["state", "verify", &kept]).ok();

    let job = stage.run(&file, &["-p", "2", "-s", &claimed, "--claim-mode", "CLAIM"]);
    stage.weir(&["savepoint", "--dispose", &claimed]).fails(1, &["isn't deleted", &job]);
    stage.wait_for_checkpoints(&job, 3);
    stage.cluster.wait_until("what was claimed and replaced is deleted", LIMIT, || {
        !folder(&claimed).join("_metadata").exists()
    });
    // What the job goes on from doesn't need what was deleted.
    stage.cluster.taskmanagers[0].kill();
    stage.cluster.add_taskmanager();
    stage.cluster.wait_until("the job goes on", LIMIT, || {
        stage.checkpoints(&job)["counts"]["restored"].as_u64() == Some(2)
    });
    assert_eq!(stage.cluster.wait_for_end(&job, LIMIT), "FINISHED");
    stage.assert_exact("through NO_CLAIM and CLAIM");

    let said = stage.weir(&["savepoint", "--dispose", &format!("{kept}/_metadata")]).ok();
    assert!(said.contains("is deleted"), "{said}");
    assert!(!folder(&kept).exists());
    stage.weir(&["savepoint", "--dispose", &kept]).fails(1, &["isn't a completed snapshot"]);
    stage.weir(&["run", "-d", &file, "-s", &kept]).fails(1, &["isn't a completed snapshot"]);
}
