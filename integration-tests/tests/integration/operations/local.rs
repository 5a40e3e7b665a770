//! `weir run -t local -s`: a cluster's job goes on in the process of the command that asks for it.

use super::{Query, Stage};
use crate::servers::S3;

#[test]
fn a_job_goes_on_from_a_savepoint_in_the_process_of_the_command() {
    let options = S3::shared().options();
    let stage = Stage::start(1, &options.iter().map(String::as_str).collect::<Vec<_>>());
    let (bucket, _) = S3::shared().fresh("local");
    let file = stage.job("job.sql", &Query::default());
    let job = stage.run(&file, &["-p", "2"]);
    stage.wait_for_checkpoints(&job, 3);
    let said = stage.weir(&["stop", &job, "-p", &bucket, "-o", "json"]).json();
    let place = said["location"].as_str().expect("a place").to_owned();
    assert!(place.starts_with(&bucket), "{place}");

    let local = ["run", "-t", "local", "-o", "json", "-p", "3", &file, "-s"];
    stage.weir(&[&local[..], &[&stage.url("nowhere")]].concat()).fails(1, &["nowhere"]);
    // How the bucket is reached is for the processes to know, how checkpoints are taken for the job.
    let checkpoints = format!("-Dexecution.checkpointing.dir={}", stage.url("local"));
    let own: Vec<String> = options.iter().map(|option| format!("-D{option}")).collect();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let more = [&place, "-Dexecution.checkpointing.interval=300 ms", &checkpoints];
    let said = stage.weir(&[&local[..], &more, &own].concat()).json();
    assert_eq!((said["state"].as_str(), &said["failure"]), (Some("FINISHED"), &serde_json::Value::Null));
    let went_on = said["jobid"].as_str().expect("a job id");
    assert_ne!(went_on, job);
    stage.assert_exact("from a savepoint in the command's process");
    // What they leave of a job that has finished is an empty folder.
    assert!(stage.at("local").exists(), "it took checkpoints");
}
