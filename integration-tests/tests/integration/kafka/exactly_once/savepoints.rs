//! Savepoints of a job whose output waits to be committed and is too large for a manifest: it lies in blobs, which a savepoint has of
//! its own, so that it comes out once whatever becomes of the job that wrote it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use weir_chaos::process::weir;
use weir_chaos::servers::{Kafka, Topic};

use super::super::{number, table};
use super::{all, numbers};
use crate::cluster::Cluster;

const LIMIT: Duration = Duration::from_secs(90);
/// Records of so many bytes each: two thousand go to more than one blob.
const BYTES: usize = 8 << 10;

struct Stage<'a> {
    kafka: &'a Kafka,
    cluster: Cluster,
    folder: &'a Path,
    from: Topic<'a>,
    to: Topic<'a>,
    fed: i64,
}

impl Stage<'_> {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What a command says as JSON; it has worked.
    fn weir(&self, arguments: &[&str]) -> serde_json::Value {
        let mut command = Command::new(weir());
        let address = self.cluster.rest.trim_start_matches("http://");
        let output = command.args(arguments).args(["-o", "json"]).env("WEIR_JOBMANAGER", address).output();
        let output = output.expect("weir starts");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{arguments:?}: {}{}", text[0], text[1]);
        serde_json::from_str(&text[0]).unwrap_or_else(|error| panic!("{error}: {}", text[0]))
    }

    fn run(&self, more: &[&str]) -> String {
        let sql = table(
            "source",
            "n BIGINT",
            self.kafka.bootstrap(),
            &self.from.name,
            "'format' = 'json', 'scan.startup.mode' = 'earliest-offset'",
        ) + &table(
            "target",
            "n BIGINT, text STRING",
            self.kafka.bootstrap(),
            &self.to.name,
            "'format' = 'json', 'sink.delivery-guarantee' = 'exactly-once'",
        ) + &format!("INSERT INTO target SELECT n, REPEAT('x', {BYTES}) FROM source");
        let path = self.at("job.sql");
        std::fs::write(&path, sql).unwrap();
        let arguments = [&["run", "-d", path.to_str().unwrap()], more].concat();
        self.weir(&arguments)["jobid"].as_str().unwrap().to_owned()
    }

    fn feed(&mut self, count: i64) {
        let first = self.fed;
        self.from.produce((first..first + count).map(|n| number(n, i32::try_from(n % 2).unwrap())));
        self.fed += count;
    }

    /// Waits until a job, in its first attempt, has written all that was fed behind its `start`.
    fn write_from(&self, job: &str, start: i64) {
        let wanted = u64::try_from(self.fed - start).unwrap();
        let written = || self.cluster.vertex_metric(job, "write-records");
        self.cluster.wait_until("all is written", LIMIT, || written() >= wanted);
    }

    /// The blobs of a job's checkpoints.
    fn blobs(&self, job: &str) -> BTreeSet<PathBuf> {
        blobs(&self.at("checkpoints").join(job))
    }

    fn savepoint(&self, verb: &[&str]) -> (String, BTreeSet<PathBuf>) {
        let target = format!("file://{}", self.at("savepoints").display());
        let place = self.weir(&[verb, &[&target]].concat())["location"].as_str().unwrap().to_owned();
        let own = blobs(Path::new(place.strip_prefix("file://").unwrap()));
        (place, own)
    }

    /// Waits until the records below `count` are visible, and no other.
    fn reach(&self, count: i64) {
        let wanted = usize::try_from(count).unwrap();
        self.cluster.wait_until("records are visible", LIMIT, || self.to.read().len() >= wanted);
        assert_eq!(numbers(&self.to), all(0..count));
    }
}

/// Blobs below a folder.
fn blobs(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let own = files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "blob"));
    own.chain(folders.iter().flat_map(|folder| blobs(folder))).collect()
}

#[test]
fn a_savepoint_brings_its_pending_blobs_along_whatever_becomes_of_the_job() {
    let kafka = Kafka::one();
    let folder = tempfile::tempdir().unwrap();
    let options = [
        "execution.checkpointing.interval=1 h".to_owned(),
        format!("execution.checkpointing.dir=file://{}/checkpoints", folder.path().display()),
        format!("execution.checkpointing.local-backup.dirs={}/backup", folder.path().display()),
    ];
    let cluster = Cluster::start(2, 2, &options.each_ref().map(String::as_str));
    let (from, to) = (Topic::create(kafka, "saved", 2), Topic::create(kafka, "saved-copies", 2));
    let mut stage = Stage { kafka, cluster, folder: folder.path(), from, to, fed: 0 };

    let job = stage.run(&["-p", "2"]);
    stage.feed(4000);
    stage.write_from(&job, 0);
    stage.cluster.wait_until("memory doesn't hold it", LIMIT, || stage.blobs(&job).len() >= 2);
    let (saved, own) = stage.savepoint(&["savepoint", &job]);
    assert!(own.len() >= 4, "each of two writers has more than one: {own:?}");
    // It commits nothing, and what comes behind it isn't in it.
    stage.feed(500);
    stage.write_from(&job, 0);
    assert_eq!(numbers(&stage.to), all(0..0));
    stage.cluster.cancel(&job);
    stage.cluster.wait_until("the job's files are gone", LIMIT, || stage.blobs(&job).is_empty());

    // At another parallelism, before any checkpoint of its own.
    let job = stage.run(&["-p", "1", "-s", &saved]);
    stage.reach(4000);
    stage.feed(2000);
    stage.write_from(&job, 4000);
    // A failure before the first checkpoint goes back to the savepoint, whose output is there already.
    let before = stage.blobs(&job);
    for manager in &mut stage.cluster.taskmanagers {
        manager.kill();
    }
    stage.cluster.add_taskmanager();
    stage.cluster.add_taskmanager();
    stage
        .cluster
        .wait_until("what was lost is written again", LIMIT, || !stage.blobs(&job).is_subset(&before));
    assert_eq!((stage.cluster.restarts(&job), numbers(&stage.to)), (1, all(0..4000)));

    // A stop commits what waits, and what goes on from its savepoint doesn't once more.
    let (saved, own) = stage.savepoint(&["stop", &job, "-p"]);
    assert!(!own.is_empty(), "its output waited in blobs");
    let visible = numbers(&stage.to);
    assert!(visible.len() > 4000, "{} records", visible.len());
    let job = stage.run(&["-p", "3", "-s", &saved, "-Dexecution.checkpointing.interval=300 ms"]);
    stage.feed(2500);
    stage.reach(9000);
    stage.cluster.cancel(&job);
    assert_eq!(numbers(&stage.to), all(0..9000));
}
