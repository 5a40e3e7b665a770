//! Which files the retained snapshots reach, and what may go when one of them does.
//!
//! Invariant: a file that a retained or foreign snapshot references, or that is pinned, is in no [`Release`]; a file of ours that
//! nothing references any more is in exactly one. Counts are derived from manifests alone, so a new leader that reads the retained
//! manifests knows what the old one knew. Does no I/O: whoever calls deletes, manifests first.

use std::collections::{BTreeMap, BTreeSet};

use object_store::path::Path;
use weir_api::id::CheckpointId;

use crate::layout::{JobFolder, SnapshotFolder};
use crate::manifest::Manifest;

/// Whose a snapshot is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The job's: its own checkpoints, and what it was restored from in claim mode.
    Job,
    /// Somebody else's: what the job was restored from in no-claim mode. Nothing of it is ever deleted.
    Other,
}

/// What may be deleted, in this order: no manifest ever names a file that is gone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Release {
    /// Manifests of snapshots that aren't retained any more.
    pub manifests: Vec<Path>,
    /// Files that no retained snapshot reaches.
    pub files: Vec<Path>,
}

/// The snapshots that one job goes by.
#[derive(Debug)]
pub struct Registry {
    job: JobFolder,
    retained: BTreeMap<SnapshotFolder, Retained>,
    /// How many retained snapshots of ours reach a file.
    references: BTreeMap<Path, usize>,
    /// Files of snapshots that aren't ours, for good.
    foreign: BTreeSet<Path>,
    /// Files outside the job's folder that became ours by claim.
    claimed: BTreeSet<Path>,
    /// Files that no manifest names yet.
    pinned: BTreeSet<Path>,
}

#[derive(Debug)]
struct Retained {
    checkpoint: CheckpointId,
    files: BTreeSet<Path>,
}

impl Registry {
    /// The registry of a job without snapshots.
    #[must_use]
    pub fn new(job: JobFolder) -> Self {
        Self {
            job,
            retained: BTreeMap::new(),
            references: BTreeMap::new(),
            foreign: BTreeSet::new(),
            claimed: BTreeSet::new(),
            pinned: BTreeSet::new(),
        }
    }

    /// Takes a complete snapshot up. Its files are no longer pinned. Twice is once.
    pub fn add(&mut self, folder: SnapshotFolder, manifest: &Manifest, owner: Owner) {
        let mut files: BTreeSet<Path> = manifest.files().map(|file| folder.file(file)).collect();
        let blobs = folder.blobs(manifest.kind);
        files.extend(manifest.blobs().map(|blob| blobs.clone().join(blob.name.as_str())));
        if owner == Owner::Other {
            self.foreign.extend(files);
            self.foreign.insert(folder.metadata());
            return;
        }
        if self.retained.contains_key(&folder) {
            return;
        }
        if !folder.path().prefix_matches(self.job.path()) {
            self.claimed.extend(files.iter().filter(|file| !self.foreign.contains(*file)).cloned());
        }
        for file in &files {
            self.pinned.remove(file);
            *self.references.entry(file.clone()).or_default() += 1;
        }
        self.retained.insert(folder, Retained { checkpoint: manifest.checkpoint, files });
    }

    /// Keeps a file that is written before a manifest names it (a merged layer), until one does or it is [let go](Self::unpin).
    pub fn pin(&mut self, file: Path) {
        self.pinned.insert(file);
    }

    /// Lets a pinned file go, to be collected unless a snapshot names it.
    pub fn unpin(&mut self, file: &Path) {
        self.pinned.remove(file);
    }

    /// Retains the `keep` newest snapshots (at least one).
    pub fn subsume(&mut self, keep: usize) -> Release {
        let mut newest: Vec<_> =
            self.retained.iter().map(|(folder, one)| (one.checkpoint, folder.clone())).collect();
        newest.sort();
        newest.truncate(newest.len().saturating_sub(keep.max(1)));
        let folders: Vec<_> = newest.into_iter().map(|(_, folder)| folder).collect();
        self.release(&folders)
    }

    /// Lets snapshots go.
    pub fn release(&mut self, folders: &[SnapshotFolder]) -> Release {
        let mut release = Release::default();
        for folder in folders {
            let Some(gone) = self.retained.remove(folder) else { continue };
            if !self.foreign.contains(&folder.metadata()) {
                release.manifests.push(folder.metadata());
            }
            for file in gone.files {
                let left = self.references.get_mut(&file).map_or(0, |count| {
                    *count -= 1;
                    *count
                });
                if left > 0 {
                    continue;
                }
                self.references.remove(&file);
                let ours = file.prefix_matches(self.job.path()) || self.claimed.remove(&file);
                if ours && !self.foreign.contains(&file) && !self.pinned.contains(&file) {
                    release.files.push(file);
                }
            }
        }
        release
    }

    /// Lets snapshots go that never completed: their manifests may be deleted. Their files stay for [`collect`](crate::collect), as
    /// a later one that is on its way may build on them.
    pub fn forget(&mut self, folders: &[SnapshotFolder]) -> Release {
        Release { files: Vec::new(), ..self.release(folders) }
    }

    /// Everything that must stay: manifests and files.
    #[must_use]
    pub fn reachable(&self) -> BTreeSet<Path> {
        let manifests = self.retained.keys().map(SnapshotFolder::metadata);
        let files = self.references.keys().chain(&self.foreign).chain(&self.pinned).cloned();
        manifests.chain(files).collect()
    }

    /// The newest retained checkpoint.
    #[must_use]
    pub fn newest(&self) -> Option<CheckpointId> {
        self.retained.values().map(|one| one.checkpoint).max()
    }
}
