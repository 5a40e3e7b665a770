//! Storage that is slow, away or full under a running job: checkpoints fail with a reason, nothing piles up, the job goes on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use weir_chaos::proxy::Rules;
use weir_snapshots::layout::SnapshotFolder;
use weir_snapshots::storage::Limits;
use weir_snapshots::verify::verify;

use super::{Bucket, LIMIT, assert_undisturbed, cluster, complete, count, counts, fail, newest, open, run};

/// How long storage is away in `make test`, in seconds; `WEIR_AWAY` says another number.
const AWAY: u64 = 4;
/// The most connections that two processes may open to a store that doesn't answer, for a second of it.
const CONNECTIONS: u64 = 25;

fn away() -> u64 {
    std::env::var("WEIR_AWAY").ok().and_then(|text| text.parse().ok()).unwrap_or(AWAY)
}

#[test]
fn a_bucket_that_is_slow_or_away_costs_checkpoints_and_nothing_else() {
    let bucket = Bucket::new("trouble", 3);
    let (proxy, folder) = (&bucket.proxy, &bucket.folder);
    let options =
        bucket.options(&["execution.checkpointing.interval=200 ms", "execution.checkpointing.timeout=1 s"]);
    let cluster = cluster(1, 2, &bucket.url, &options.iter().map(String::as_str).collect::<Vec<_>>());
    let output = tempfile::tempdir().expect("a folder");
    let job = cluster.submit(&counts(output.path(), 5_000, &[]), 2).expect("the job is accepted");
    complete(&cluster, &job, 3);

    // Each chunk takes half a minute: no checkpoint comes through.
    let records = cluster.vertex_metric(&job, "read-records");
    let connections = || proxy.counters().connections.load(Ordering::Relaxed);
    let before = connections();
    proxy.set(Rules { latency: Duration::from_secs(30), ..Rules::default() });
    let reason = fail(&cluster, &job, away() / 2);
    println!("slow: {reason}; {} connections", connections() - before);
    assert!(
        reason.contains("complete after 1000 ms") || reason.contains("timeout") || reason.contains("within"),
        "{reason}"
    );
    assert!(connections() - before < CONNECTIONS * away(), "{} connections", connections() - before);
    assert!(cluster.vertex_metric(&job, "read-records") > records, "the job goes on");
    proxy.heal();
    // What was asked while it was slow still hangs; what is asked now doesn't wait for it.
    complete(&cluster, &job, 2);
    assert_undisturbed(&cluster, &job);

    let records = cluster.vertex_metric(&job, "read-records");
    proxy.set(Rules::cut());
    std::thread::sleep(Duration::from_secs(away()));
    let reason = fail(&cluster, &job, 1);
    println!("away: {reason}");
    assert!(cluster.vertex_metric(&job, "read-records") > records, "the job goes on");
    proxy.heal();
    complete(&cluster, &job, 2);
    assert_undisturbed(&cluster, &job);
    assert!(newest(&folder.join(&job)).is_some());
    cluster.cancel(&job);
}

/// A small disk; only root has one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("the folder is writable");
        let size = format!("size={size}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "weir-test"]).arg(folder).output();
        mount.is_ok_and(|mount| mount.status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_costs_checkpoints_until_there_is_room_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk");
    let Some(_disk) = SmallDisk::mount(&path, "8m") else {
        println!("only root can mount a small disk: nothing was tested");
        return;
    };
    let options = [
        "execution.checkpointing.interval=200 ms",
        "restart-strategy.type=fixed-delay",
        "restart-strategy.fixed-delay.attempts=100",
        "restart-strategy.fixed-delay.delay=200 ms",
    ];
    let mut cluster = cluster(1, 2, &format!("file://{}", path.display()), &options);
    let output = folder.path().join("output");
    let job = cluster.submit(&counts(&output, 5_000, &[]), 2).expect("the job is accepted");
    complete(&cluster, &job, 3);

    let filler = path.join("filler");
    // Until not a byte is left.
    let full = std::io::copy(&mut std::io::repeat(7), &mut std::fs::File::create(&filler).expect("a file"));
    assert_eq!(full.expect_err("the disk is small").kind(), std::io::ErrorKind::StorageFull);
    let reason = fail(&cluster, &job, 3);
    println!("full: {reason}");
    assert!(reason.contains("No space left on device"), "{reason}");
    assert_undisturbed(&cluster, &job);
    let retained = newest(&path.join(&job)).expect("a checkpoint is retained");
    let (storage, base) =
        open(&format!("file://{}", path.join(&job).display()), &[], "test", Limits::default());
    let report = run(verify(&storage, &SnapshotFolder::named(&base.join(format!("chk-{retained}")))));
    assert!(report.as_ref().is_ok_and(weir_snapshots::verify::Report::is_whole), "{report:?}");

    std::fs::remove_file(filler).expect("the filler is removed");
    complete(&cluster, &job, 2);
    assert_undisturbed(&cluster, &job);
    cluster.taskmanagers[0].kill();
    cluster.add_taskmanager();
    cluster.wait_until("the job goes on", LIMIT, || count(&cluster, &job, "restored") == 1);
    complete(&cluster, &job, 2);
    cluster.cancel(&job);
}
