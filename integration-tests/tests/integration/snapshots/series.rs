//! Many checkpoints in a row: the last ones take as long as the first, and neither files nor memory grow.

use std::path::Path;

use super::{LIMIT, checkpoints, cluster, count, counts, files};
use crate::cluster::Cluster;

/// How many checkpoints `make test` takes; `WEIR_CHECKPOINTS` says another number.
const CHECKPOINTS: u64 = 300;
/// Memory may grow by this much after the first tenth: caches and history fill.
const GROWTH: u64 = 48 << 20;

#[derive(Debug)]
struct Look {
    resident: Vec<u64>,
    open: Vec<usize>,
    files: usize,
    millis: f64,
}

fn look(cluster: &mut Cluster, job: &str, folder: &Path) -> Look {
    let history = checkpoints(cluster, job);
    let ended = history["history"].as_array().expect("a history").iter();
    let mut millis: Vec<f64> = ended
        .filter(|checkpoint| checkpoint["status"] == "COMPLETED")
        .filter_map(|checkpoint| checkpoint["end_to_end_duration"].as_f64())
        .collect();
    millis.sort_by(f64::total_cmp);
    let open = |id: u32| std::fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().count();
    Look {
        resident: cluster.processes().map(|process| process.resident_bytes()).collect(),
        open: cluster.processes().map(|process| open(process.id())).collect(),
        files: files(folder).len(),
        millis: millis.get(millis.len() / 2).copied().unwrap_or_default(),
    }
}

#[test]
fn the_last_of_many_checkpoints_costs_what_the_first_did() {
    let wanted = std::env::var("WEIR_CHECKPOINTS").ok().and_then(|text| text.parse().ok());
    let wanted: u64 = wanted.unwrap_or(CHECKPOINTS);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoints");
    let copies = format!("execution.checkpointing.local-backup.dirs={}/copies", folder.path().display());
    let options = [
        "execution.checkpointing.interval=10 ms",
        "execution.checkpointing.local-backup.enabled=true",
        &copies,
    ];
    let mut cluster = cluster(1, 1, &format!("file://{}", path.display()), &options);
    let output = folder.path().join("output");
    let job = cluster.submit(&counts(&output, 50, &[]), 1).expect("the job is accepted");
    let mut looks = Vec::new();
    for tenth in 1..=10 {
        let reached = |cluster: &Cluster| count(cluster, &job, "completed") >= wanted * tenth / 10;
        cluster.wait_until("checkpoints are complete", LIMIT * 20, || reached(&cluster));
        looks.push(look(&mut cluster, &job, &path));
        println!("{} checkpoints: {:?}", wanted * tenth / 10, looks[looks.len() - 1]);
    }
    assert_eq!(count(&cluster, &job, "failed"), 0);
    assert_eq!(count(&cluster, &job, "restored"), 0);
    let (first, last) = (&looks[0], &looks[9]);
    for (before, after) in first.resident.iter().zip(&last.resident) {
        assert!(*after <= before + GROWTH, "memory grows: {looks:#?}");
    }
    for (before, after) in first.open.iter().zip(&last.open) {
        assert!(*after <= before + 10, "open files grow: {looks:#?}");
    }
    // What is printed is the measurement: here the machine may be busy with other tests.
    assert!(last.millis <= first.millis * 2.0 + 20.0, "checkpoints take longer: {looks:#?}");
    // A chain of layers is merged before it has more.
    assert!(looks.iter().all(|look| look.files < 100), "files stay: {looks:#?}");
    let copies = files(&folder.path().join("copies")).len();
    // One or two more are just being written.
    assert!(copies <= 8_200, "{copies} copies");
    cluster.cancel(&job);
    cluster.wait_until("its files are gone", LIMIT, || files(&path).is_empty());
}
