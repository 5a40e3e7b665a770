//! Snapshots in a bucket, looked into and checked from outside, whole and damaged.

use std::path::{Path, PathBuf};

use super::{Query, Stage};
use crate::servers::S3;

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<_> = entries.filter(|path| path.is_file()).collect();
    all.sort();
    all
}

#[test]
fn snapshots_in_a_bucket_are_listed_shown_and_verified() {
    let s3 = S3::shared();
    let (url, folder) = s3.fresh("operations");
    let mut options = s3.options();
    options.push(format!("execution.checkpointing.dir={url}/checkpoints"));
    options.push(format!("execution.checkpointing.savepoint-dir={url}/savepoints"));
    let defines: Vec<String> = s3.options().iter().map(|option| format!("-D{option}")).collect();
    let stage = Stage::start(1, &options.iter().map(String::as_str).collect::<Vec<_>>());
    let state = |arguments: &[&str]| {
        let all: Vec<&str> =
            ["state"].iter().chain(arguments).copied().chain(defines.iter().map(String::as_str)).collect();
        stage.weir(&all)
    };
    let job = stage.run(&stage.job("job.sql", &Query::default()), &["-p", "2"]);
    stage.wait_for_checkpoints(&job, 2);
    let said = stage.weir(&["checkpoint", &job[..8], "-o", "json"]).json();
    assert!(said["location"].as_str().is_some_and(|place| place.starts_with(&url)), "{said}");
    let said = stage.weir(&["savepoint", &job, "-o", "json"]).json();
    let place = said["location"].as_str().expect("a place");
    assert!(place.starts_with(&format!("{url}/savepoints/savepoint-{}-", &job[..6])), "{said}");
    stage.cluster.cancel(&job);

    let saved = state(&["ls", &format!("{url}/savepoints"), "-o", "json"]).json();
    assert_eq!(
        (saved[0]["path"].as_str(), saved[0]["job"].as_str()),
        (Some(place), Some(job.as_str())),
        "{saved}"
    );
    let of_jobs = state(&["ls", &format!("{url}/checkpoints")]).ok();
    assert!(of_jobs.contains(&format!("{url}/checkpoints/{job}/chk-")), "{of_jobs}");
    assert!(state(&["ls", &format!("{url}/nothing")]).ok().contains("No snapshots below"));
    let shown = state(&["show", place]).ok();
    for part in ["panes", "auction Int64 KEY", "global-aggregate-", "source-", "128 key groups"] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(state(&["verify", place]).ok().contains("Every byte is as it was written"));
    state(&["verify", &format!("{url}/savepoints")]).fails(1, &["there is no snapshot at", "weir state ls"]);

    let own = folder.join("savepoints").join(place.rsplit('/').next().expect("a name"));
    let victims: Vec<_> = files(&own).into_iter().filter(|path| !path.ends_with("_metadata")).collect();
    let [flipped, missing, ..] = victims.as_slice() else { panic!("{victims:?}") };
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let mut bytes = std::fs::read(flipped).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(flipped, bytes).expect("the folder is writable");
    state(&["verify", place]).fails(1, &["DAMAGED: 1 of", &name(flipped), "offset"]);
    std::fs::remove_file(missing).expect("the folder is writable");
    state(&["verify", place]).fails(1, &["DAMAGED: 2 of", &name(flipped), &name(missing)]);

    let metadata = own.join("_metadata");
    let mut bytes = std::fs::read(&metadata).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&metadata, bytes).expect("the folder is writable");
    state(&["verify", place]).fails(1, &["_metadata", "offset"]);
    state(&["ls", &format!("{url}/savepoints")]).fails(1, &["_metadata"]);
    stage
        .weir(&["run", "-d", &stage.job("job.sql", &Query::default()), "-s", place])
        .fails(1, &["_metadata", "offset"]);
    stage.weir(&["savepoint", "--dispose", place]).fails(1, &["_metadata"]);
}
