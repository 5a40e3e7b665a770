//! A store that takes files and never says that it has them: checkpoints run out of time and leave nothing behind, neither requests
//! that the next ones must wait for nor memory.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_chaos::proxy::Rules;

use super::{Bucket, LIMIT, assert_undisturbed, cluster, complete, count, counts, fail};
use crate::cluster::Cluster;
use crate::process::Process;

/// How long the store is silent in `make test`, in seconds; `WEIR_SILENT_FOR` says another number.
const SILENT_FOR: u64 = 8;
/// What each process' memory may grow by meanwhile: 64 MiB of changes are kept for the checkpoint that comes through, and the state
/// itself grows.
const GROWTH: u64 = 96 << 20;
/// More `_metadata` than a process may have on its way to a bucket at once.
const METADATA: u64 = 10;
/// The first checkpoints after it. A request that was never answered is given up after two minutes only.
const SOON: Duration = Duration::from_secs(20);

/// Lifts the rule: soon checkpoints complete again.
fn heals(bucket: &Bucket, cluster: &Cluster, job: &str) {
    bucket.proxy.heal();
    let before = count(cluster, job, "completed");
    let reached = || count(cluster, job, "completed") >= before + 3;
    cluster.wait_until("checkpoints are complete soon", SOON, reached);
    assert_undisturbed(cluster, job);
}

#[test]
fn a_store_that_never_answers_costs_checkpoints_and_holds_nothing_up() {
    let silent_for = std::env::var("WEIR_SILENT_FOR").ok().and_then(|text| text.parse().ok());
    let silent_for: u64 = silent_for.unwrap_or(SILENT_FOR);
    let bucket = Bucket::new("silence", 12);
    let options =
        bucket.options(&["execution.checkpointing.interval=200 ms", "execution.checkpointing.timeout=1 s"]);
    let mut cluster = cluster(1, 2, &bucket.url, &options.iter().map(String::as_str).collect::<Vec<_>>());
    let output = tempfile::tempdir().expect("a folder");
    let job = cluster.submit(&counts(output.path(), 20_000, &[]), 2).expect("the job is accepted");
    complete(&cluster, &job, 3);

    let (records, completed) =
        (cluster.vertex_metric(&job, "read-records"), count(&cluster, &job, "completed"));
    let resident: Vec<u64> = cluster.processes().map(|process| process.resident_bytes()).collect();
    bucket.proxy.set(Rules { hangs_puts: Some(""), ..Rules::default() });
    let (started, before) = (Instant::now(), count(&cluster, &job, "failed"));
    let mut largest = resident.clone();
    while started.elapsed() < Duration::from_secs(silent_for) {
        std::thread::sleep(Duration::from_millis(100));
        for (largest, process) in largest.iter_mut().zip(cluster.processes()) {
            *largest = (*largest).max(Process::resident_bytes(process));
        }
    }
    let reason = fail(&cluster, &job, 1);
    let failed = count(&cluster, &job, "failed") - before;
    let hung = bucket.proxy.counters().hung.load(Ordering::Relaxed);
    println!(
        "{hung} requests hung, {failed} checkpoints failed: {reason}; from {resident:?} to {largest:?} bytes"
    );
    assert!(failed >= silent_for / 2 && hung >= failed, "{failed} checkpoints failed, {hung} requests hung");
    assert!(reason.contains("complete after 1000 ms"), "{reason}");
    // One may have had all its files when the silence began.
    assert!(count(&cluster, &job, "completed") <= completed + 1, "what completes without a store?");
    assert!(cluster.vertex_metric(&job, "read-records") > records + 1_000 * silent_for, "the job goes on");
    for (before, after) in resident.iter().zip(&largest) {
        assert!(*after <= before + GROWTH, "memory grows: from {resident:?} to {largest:?} bytes");
    }

    heals(&bucket, &cluster, &job);

    // The same with the last step alone, which is the JobManager's.
    let completed = count(&cluster, &job, "completed");
    bucket.proxy.set(Rules { hangs_puts: Some("_metadata"), ..Rules::default() });
    let reason = fail(&cluster, &job, METADATA);
    assert!(reason.contains("its metadata to be written"), "{reason}");
    assert!(count(&cluster, &job, "completed") <= completed + 1, "what completes without its metadata?");
    heals(&bucket, &cluster, &job);
    // What was completed without those that failed is whole.
    cluster.taskmanagers[0].kill();
    cluster.add_taskmanager();
    cluster.wait_until("the job goes on from it", LIMIT, || count(&cluster, &job, "restored") == 1);
    complete(&cluster, &job, 2);
    cluster.cancel(&job);
}
