//! What jobs whose processes died leave in a bucket: what can be gone on from, whole, and nothing else.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use weir_chaos::deployment::Deployment;
use weir_chaos::servers::S3;
use weir_snapshots::layout::SnapshotFolder;
use weir_snapshots::storage::{Limits, Storage, StorePath};
use weir_snapshots::verify::{Report, verify};

use super::{LIMIT, counts, files, newest, open, run};

const RETENTION: &str = "execution.checkpointing.externalized-checkpoint-retention";

/// A job's folder in the bucket: by way of the gateway, and on its disk.
struct Bucket {
    storage: Storage,
    base: StorePath,
    folder: PathBuf,
}

impl Bucket {
    fn checkpoint(&self, job: &str, id: u64) -> SnapshotFolder {
        SnapshotFolder::named(&self.base.clone().join(job).join(format!("chk-{id}")))
    }

    /// The newest checkpoint is whole, unless a newer one has replaced it meanwhile.
    fn check_newest(&self, job: &str) -> u64 {
        for _ in 0..20 {
            let Some(id) = newest(&self.folder.join(job)) else { continue };
            match run(verify(&self.storage, &self.checkpoint(job, id))) {
                Ok(report) if report.is_whole() => return id,
                outcome => {
                    let is_replaced = newest(&self.folder.join(job)).is_some_and(|newer| newer > id);
                    assert!(is_replaced, "checkpoint {id} of {job} is retained: {outcome:?}");
                }
            }
        }
        panic!("no checkpoint of {job} stayed long enough to be read");
    }

    /// What the retained checkpoints of a job are made of; `None`: one of them is just going.
    fn needed(&self, job: &str) -> Option<BTreeSet<PathBuf>> {
        let mut needed = BTreeSet::new();
        for file in files(&self.folder.join(job)).into_iter().filter(|file| file.ends_with("_metadata")) {
            let name = file.parent()?.file_name()?.to_str()?.to_owned();
            let folder = self.checkpoint(job, name.strip_prefix("chk-")?.parse().ok()?);
            let report = run(verify(&self.storage, &folder)).ok().filter(Report::is_whole)?;
            let blobs = folder.blobs(report.manifest.kind);
            needed.extend(
                report.manifest.blobs().map(|blob| self.on_disk(&blobs.clone().join(blob.name.as_str()))),
            );
            needed.extend(report.manifest.files().map(|file| self.on_disk(&folder.file(file))));
            needed.insert(file);
        }
        Some(needed)
    }

    fn on_disk(&self, path: &StorePath) -> PathBuf {
        let below = path.as_ref().strip_prefix(self.base.as_ref()).expect("a path below the base");
        self.folder.join(below.trim_start_matches('/'))
    }

    fn there(&self, job: &str) -> BTreeSet<PathBuf> {
        files(&self.folder.join(job)).into_iter().collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's deadline")]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One job is cancelled and keeps its checkpoints, one is cancelled and doesn't. Before, a TaskManager dies with files that it wrote and
/// nobody heard of, and the JobManager when all parts are there and no manifest, and when a manifest is there and nobody points to it.
#[test]
fn jobs_whose_processes_died_leave_what_is_needed_and_nothing_else() {
    let s3 = S3::shared();
    let (url, folder) = s3.fresh("orphans");
    let mut options = s3.options();
    let (storage, base) = open(&url, &options, "test", Limits::default());
    let bucket = Bucket { storage, base, folder };
    options.extend([
        format!("execution.checkpointing.dir={url}"),
        "execution.checkpointing.interval=300 ms".to_owned(),
        "execution.checkpointing.num-retained=2".to_owned(),
        "execution.checkpointing.local-backup.enabled=false".to_owned(),
        "restart-strategy.type=fixed-delay".to_owned(),
        "restart-strategy.fixed-delay.attempts=1000".to_owned(),
        "restart-strategy.fixed-delay.delay=200 ms".to_owned(),
        "heartbeat.timeout=3 s".to_owned(),
    ]);
    let work = tempfile::tempdir().expect("a folder");
    let mut deployment = Deployment::start(work.path(), 2, 2, &options, 1, None);
    let outputs = [work.path().join("kept"), work.path().join("deleted")];
    let [kept, deleted] = ["RETAIN_ON_CANCELLATION", "DELETE_ON_CANCELLATION"].map(|retention| {
        let output = &outputs[usize::from(retention.starts_with("DELETE"))];
        deployment.submit(&counts(output, 5_000, &[(RETENTION, retention)]), 2)
    });
    let jobs = [&kept, &deleted];
    let go_on = || {
        for job in jobs {
            let before = newest(&bucket.folder.join(job)).unwrap_or(0);
            until("checkpoints are complete", || {
                newest(&bucket.folder.join(job)).is_some_and(|id| id >= before + 2)
            });
            bucket.check_newest(job);
        }
    };
    go_on();
    for points in ["upload.before-acknowledge=kill@3", "upload.between-files=kill@3"] {
        deployment.kill_taskmanager(0);
        deployment.start_taskmanager(0, points);
        until("the point is reached", || !deployment.is_taskmanager_alive(0));
        deployment.start_taskmanager(0, "");
        go_on();
    }
    for points in ["metadata.before=kill@3", "pointer.before=kill@3", "discard.before=kill@3"] {
        deployment.kill_jobmanager();
        deployment.start_jobmanager(points);
        until("the point is reached", || !deployment.is_jobmanager_alive());
        deployment.start_jobmanager("");
        deployment.wait_for_rest();
        go_on();
    }
    for job in jobs {
        assert!(deployment.cancel(job, LIMIT), "{job} ends");
    }
    until("what isn't needed is gone", || {
        bucket.there(&deleted).is_empty() && Some(bucket.there(&kept)) == bucket.needed(&kept)
    });
    let needed = bucket.needed(&kept).expect("nothing goes any more");
    assert!(needed.iter().filter(|file| file.ends_with("_metadata")).count() == 2, "{needed:?}");
    assert!(needed.len() > 4, "{needed:?}");
}
