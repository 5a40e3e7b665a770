//! A job that goes on at other parallelisms while it has work to do, from savepoints and from checkpoints that outlived it.

use super::{LIMIT, Query, Stage};

/// Runs at one, then at these; `leave` ends a run and says what the next one goes on from.
fn carried_over(what: &str, leave: impl Fn(&Stage, &str) -> String) {
    let stage = Stage::start(2, &[]);
    let file = stage.job("job.sql", &Query::default());
    let mut job = stage.run(&file, &["-p", "1"]);
    for parallelism in ["4", "2", "3"] {
        stage.wait_for_checkpoints(&job, 3);
        let place = leave(&stage, &job);
        let next = stage.run(&file, &["-p", parallelism, "-s", &place]);
        assert_ne!(next, job);
        job = next;
        stage.cluster.wait_until("it goes on from there", LIMIT, || {
            let restored = &stage.checkpoints(&job)["latest"]["restored"];
            restored["external_path"].as_str().is_some_and(|path| path.trim_end_matches('/') == place)
        });
    }
    stage.wait_for_checkpoints(&job, 1);
    assert_eq!(stage.cluster.wait_for_end(&job, LIMIT), "FINISHED");
    stage.assert_exact(what);
}

#[test]
fn savepoints_carry_a_job_over_other_parallelisms() {
    carried_over("from savepoints", Stage::stop);
}

#[test]
fn retained_checkpoints_carry_a_job_over_other_parallelisms() {
    carried_over("from checkpoints", |stage, job| {
        stage.weir(&["cancel", job]).ok();
        assert_eq!(stage.cluster.wait_for_end(job, LIMIT), "CANCELED");
        let all =
            stage.weir(&["state", "ls", &stage.url(&format!("checkpoints/{job}")), "-o", "json"]).json();
        let newest = all.as_array().expect("a list").iter().max_by_key(|one| one["id"].as_u64());
        newest.expect("a checkpoint has outlived its job")["path"].as_str().expect("a place").to_owned()
    });
}
