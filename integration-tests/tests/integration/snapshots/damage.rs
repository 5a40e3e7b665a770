//! A real job's checkpoint, damaged and gone on from: each damage is refused by file and offset before anything is written.

use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weir_snapshots::layout::SnapshotFolder;
use weir_snapshots::restore::Source;
use weir_snapshots::storage::{Limits, StorePath};

use super::{LIMIT, cluster, complete, count, counts, files, newest, open, run};
use crate::cluster::Cluster;

/// How many restores `make test` tries; `WEIR_RESTORES` says another number.
const RESTORES: usize = 10;
const PAGE: usize = 4096;

/// A cancelled job's last checkpoint: its job's folder, its number, and the files that it is made of, `_metadata` first.
struct Checkpoint {
    job: PathBuf,
    id: u64,
    files: Vec<PathBuf>,
}

fn take(cluster: &Cluster, base: &Path) -> Checkpoint {
    let output = tempfile::tempdir().expect("a folder");
    let retain = ("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
    let sql = counts(output.path(), 20_000, &[("execution.checkpointing.interval", "300 ms"), retain]);
    let job = cluster.submit(&sql, 2).expect("the job is accepted");
    complete(cluster, &job, 5);
    cluster.cancel(&job);
    let job = base.join(job);
    let id = newest(&job).expect("a checkpoint is retained");
    let (storage, path) = open(&format!("file://{}", job.display()), &[], "test", Limits::default());
    let folder = SnapshotFolder::named(&path.join(format!("chk-{id}")));
    let source = Source { storage, copies: None, folder: folder.clone() };
    let manifest = run(source.manifest()).expect("the manifest is read");
    let local = |path: StorePath| {
        let inside = path.as_ref().split_once(&format!("{}/", job.file_name().unwrap().to_str().unwrap()));
        PathBuf::from(inside.expect("a file of the job").1)
    };
    let mut files: Vec<_> = manifest.files().map(|file| local(folder.file(file))).collect();
    files.sort();
    files.dedup();
    files.insert(0, local(folder.metadata()));
    Checkpoint { job, id, files }
}

impl Checkpoint {
    /// A copy of the job's folder below `base`; answers the copy.
    fn copy(&self, base: &Path) -> PathBuf {
        let copy = base.join(self.job.file_name().expect("a name"));
        for file in files(&self.job) {
            let to = copy.join(file.strip_prefix(&self.job).expect("a file in the folder"));
            std::fs::create_dir_all(to.parent().expect("a folder")).expect("the folder is writable");
            std::fs::copy(&file, to).expect("the file is copied");
        }
        copy
    }
}

/// What was done, the file that it was done to, and whether an offset can be told.
fn damage(checkpoint: &Checkpoint, copy: &Path, round: usize, random: &mut StdRng) -> (String, Vec<String>) {
    let pick = random.random_range(0..checkpoint.files.len());
    // Every kind meets state files; the manifest is met by flips, cuts and swaps.
    let relative = &checkpoint.files[if round % 5 == 4 { pick.max(1) } else { pick }];
    let path = copy.join(relative);
    let mut bytes = std::fs::read(&path).expect("the file is there");
    let name = relative.display().to_string();
    match round % 5 {
        0 => {
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8);
            std::fs::write(&path, bytes).expect("the file is writable");
            (format!("a bit of byte {at} of {name} flipped"), vec![name])
        }
        1 => {
            let length = random.random_range(0..bytes.len());
            std::fs::write(&path, &bytes[..length]).expect("the file is writable");
            (format!("{name} cut to {length} bytes"), vec![name])
        }
        2 => {
            std::fs::remove_file(&path).expect("the file is removed");
            (format!("{name} deleted"), vec![name])
        }
        3 => {
            let other = &checkpoint.files[(pick + 1) % checkpoint.files.len()];
            std::fs::copy(copy.join(other), &path).expect("the file is copied");
            std::fs::write(copy.join(other), bytes).expect("the file is writable");
            (format!("{name} swapped with {}", other.display()), vec![name, other.display().to_string()])
        }
        _ => {
            let full: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
            let at = full[random.random_range(0..full.len())] / PAGE * PAGE;
            let end = (at + PAGE).min(bytes.len());
            bytes[at..end].fill(0);
            std::fs::write(&path, bytes).expect("the file is writable");
            (format!("{name} zeroed from {at} to {end}"), vec![name])
        }
    }
}

#[test]
fn a_damaged_checkpoint_is_refused_by_file_and_offset_before_any_output() {
    let restores = std::env::var("WEIR_RESTORES").ok().and_then(|text| text.parse().ok()).unwrap_or(RESTORES);
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("checkpoints");
    let cluster = cluster(1, 2, &format!("file://{}", base.display()), &["restart-strategy.type=none"]);
    let checkpoint = take(&cluster, &base);
    assert!(checkpoint.files.len() > 3, "{:?}", checkpoint.files);
    let start = |copy: &Path, output: &Path| {
        let from = format!("file://{}", copy.join(format!("chk-{}", checkpoint.id)).display());
        let path = ("execution.state-recovery.path", from.as_str());
        cluster.submit(&counts(output, 20_000, &[path, ("execution.checkpointing.interval", "300 ms")]), 2)
    };
    // What is whole is gone on from.
    let (copies, output) = (folder.path().join("whole"), folder.path().join("output"));
    let job = start(&checkpoint.copy(&copies), &output).expect("the job is accepted");
    complete(&cluster, &job, 2);
    assert_eq!(count(&cluster, &job, "restored"), 1);
    cluster.cancel(&job);

    let mut random = StdRng::seed_from_u64(5);
    for round in 0..restores {
        let (copies, output) = (folder.path().join("damaged"), folder.path().join(format!("output-{round}")));
        let copy = checkpoint.copy(&copies);
        let (done, names) = damage(&checkpoint, &copy, round, &mut random);
        println!("{done}");
        let refusal = match start(&copy, &output) {
            Err(refusal) => refusal,
            Ok(job) => {
                cluster.wait_until(&format!("{done}: the job ends"), LIMIT, || {
                    let checkpoints = count(&cluster, &job, "completed");
                    assert_eq!(checkpoints, 0, "{done}: the job runs");
                    cluster.state(&job) == "FAILED"
                });
                cluster.get(&format!("/jobs/{job}/exceptions"))["root-exception"].to_string()
            }
        };
        assert!(names.iter().any(|name| refusal.contains(name)), "{done}: {refusal}");
        let is_gone = done.ends_with("_metadata deleted") && refusal.contains("isn't a completed snapshot");
        assert!(is_gone || refusal.contains("at offset "), "{done}: {refusal}");
        assert_eq!(files(&output), Vec::<PathBuf>::new(), "{done}: there is output");
        std::fs::remove_dir_all(&copies).expect("the copy is removed");
    }
    println!("{restores} restores refused");
}
