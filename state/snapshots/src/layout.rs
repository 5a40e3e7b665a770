//! Every path of a snapshot's files, under Flink's names.
//!
//! ```text
//! <base>/<job>/chk-<id>/_metadata        a completed checkpoint; what it alone needs lies beside it
//! <base>/<job>/shared/<file>             files that checkpoints share
//! <base>/<job>/taskowned/<file>          files that tasks delete themselves
//! <base>/<job>/uploads/<record>          uploads that were begun
//! <target>/savepoint-<job's first 6 digits>-<random>/_metadata, <file>
//! ```
//!
//! Invariant: no other module puts a path together. Nothing here looks whether a path exists.

use object_store::path::{Path, PathPart};
use weir_api::id::{CheckpointId, JobId};

use crate::manifest::{FileHandle, Kind, Scope};

/// The file that makes a folder a snapshot; written last.
pub const METADATA: &str = "_metadata";
const CHECKPOINT: &str = "chk-";
const TASK_OWNED: &str = "taskowned";

/// Where a checkpoint of a job lies, in words that every process of the cluster understands: `base` is one, such as `s3://b/p`.
#[must_use]
pub fn checkpoint_location(base: &str, job: JobId, id: CheckpointId) -> String {
    format!("{}/{job}/{CHECKPOINT}{id}", base.trim_end_matches('/'))
}

/// The place of a new savepoint in `target`. `random` tells it from the job's other ones.
#[must_use]
pub fn savepoint_location(target: &str, job: JobId, random: u64) -> String {
    format!("{}/{}", target.trim_end_matches('/'), savepoint_name(job, random))
}

fn savepoint_name(job: JobId, random: u64) -> String {
    let job = job.to_string();
    format!("savepoint-{}-{:012x}", job.get(..6).unwrap_or_default(), random & 0xffff_ffff_ffff)
}

/// The folder of one job's checkpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobFolder(Path);

/// The folder of one checkpoint or savepoint.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SnapshotFolder(Path);

/// What a path in a job's folder is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A checkpoint's `_metadata`.
    Metadata(CheckpointId),
    /// Something that belongs to one checkpoint.
    Exclusive(CheckpointId, String),
    /// Something that checkpoints share.
    Shared(String),
    /// A blob of output that is to be committed.
    TaskOwned(String),
    /// The record of an upload.
    Upload(String),
    /// Nothing that a coordinator looks after: somebody else put it there.
    Other,
}

impl JobFolder {
    /// The job's folder below the configured one.
    #[must_use]
    pub fn new(base: &Path, job: JobId) -> Self {
        Self(base.clone().join(job.to_string()))
    }

    /// The folder itself.
    #[must_use]
    pub const fn path(&self) -> &Path {
        &self.0
    }

    /// The folder of a checkpoint.
    #[must_use]
    pub fn checkpoint(&self, id: CheckpointId) -> SnapshotFolder {
        SnapshotFolder(self.0.clone().join(format!("{CHECKPOINT}{id}")))
    }

    /// A file that checkpoints share.
    #[must_use]
    pub fn shared(&self, name: &str) -> Path {
        self.0.clone().join("shared").join(name)
    }

    /// A file that its task looks after.
    #[must_use]
    pub fn task_owned(&self, name: &str) -> Path {
        self.task_owned_folder().join(name)
    }

    /// The folder of files that tasks look after.
    #[must_use]
    pub fn task_owned_folder(&self) -> Path {
        self.0.clone().join(TASK_OWNED)
    }

    /// The records of uploads.
    #[must_use]
    pub fn uploads(&self) -> Path {
        self.0.clone().join("uploads")
    }

    /// What `path` is.
    #[must_use]
    pub fn place(&self, path: &Path) -> Place {
        let Some(parts) = path.prefix_match(&self.0) else { return Place::Other };
        let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
        let (folder, name) = match parts.as_slice() {
            [folder, name] => (folder.as_str(), name),
            _ => return Place::Other,
        };
        let checkpoint = folder.strip_prefix(CHECKPOINT).and_then(|id| id.parse().ok()).map(CheckpointId);
        match (folder, checkpoint) {
            (_, Some(id)) if name == METADATA => Place::Metadata(id),
            (_, Some(id)) => Place::Exclusive(id, name.clone()),
            ("shared", _) => Place::Shared(name.clone()),
            (TASK_OWNED, _) => Place::TaskOwned(name.clone()),
            ("uploads", _) => Place::Upload(name.clone()),
            _ => Place::Other,
        }
    }
}

impl SnapshotFolder {
    /// A new savepoint's folder in `target`. `random` tells it from the job's other ones.
    #[must_use]
    pub fn savepoint(target: &Path, job: JobId, random: u64) -> Self {
        Self(target.clone().join(savepoint_name(job, random)))
    }

    /// The folder that a user names: itself, or its `_metadata`.
    #[must_use]
    pub fn named(path: &Path) -> Self {
        let parts: Vec<_> = path.parts().collect();
        match parts.split_last() {
            Some((last, folder)) if *last == PathPart::from(METADATA) => {
                Self(folder.iter().cloned().collect())
            }
            _ => Self(path.clone()),
        }
    }

    /// The folder itself.
    #[must_use]
    pub const fn path(&self) -> &Path {
        &self.0
    }

    /// Its manifest.
    #[must_use]
    pub fn metadata(&self) -> Path {
        self.0.clone().join(METADATA)
    }

    /// A file that belongs to this snapshot alone.
    #[must_use]
    pub fn exclusive(&self, name: &str) -> Path {
        self.0.clone().join(name)
    }

    /// Where the blobs of its output lie: a savepoint has its own.
    #[must_use]
    pub fn blobs(&self, kind: Kind) -> Path {
        match kind {
            Kind::Checkpoint => self.job().task_owned_folder(),
            Kind::Savepoint => self.0.clone(),
        }
    }

    /// The job's folder, if this is a checkpoint of it.
    #[must_use]
    pub fn job(&self) -> JobFolder {
        let parts: Vec<_> = self.0.parts().collect();
        JobFolder(parts.iter().take(parts.len().saturating_sub(1)).cloned().collect())
    }

    /// Which checkpoint this is the folder of; `None` for a savepoint's.
    #[must_use]
    pub fn checkpoint_id(&self) -> Option<CheckpointId> {
        let name = self.0.parts().next_back()?;
        name.as_ref().strip_prefix(CHECKPOINT)?.parse().ok().map(CheckpointId)
    }

    /// Where a file of this snapshot's manifest lies.
    #[must_use]
    pub fn file(&self, file: &FileHandle) -> Path {
        let name = file.name.to_string();
        match &file.scope {
            Scope::Shared => self.job().shared(&name),
            Scope::Exclusive => self.exclusive(&name),
            Scope::Folder(folder) => Path::from_iter(folder.split('/').map(PathPart::from)).join(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_flinks_names_and_are_told_apart() {
        let job = JobFolder::new(&Path::from("base/dir"), JobId::from_bytes([0xab; 16]));
        let id = CheckpointId(12);
        let metadata = job.checkpoint(id).metadata();
        assert_eq!(metadata.as_ref(), format!("base/dir/{}/chk-12/_metadata", "ab".repeat(16)));
        assert_eq!(job.place(&metadata), Place::Metadata(id));
        assert_eq!(job.place(&job.checkpoint(id).exclusive("f")), Place::Exclusive(id, "f".to_owned()));
        assert_eq!(job.place(&job.shared("f")), Place::Shared("f".to_owned()));
        assert_eq!(job.place(&job.uploads().join("f")), Place::Upload("f".to_owned()));
        assert_eq!(job.place(&job.task_owned("f")), Place::TaskOwned("f".to_owned()));
        for other in [job.shared("f").join("g"), Path::from("elsewhere/shared/f")] {
            assert_eq!(job.place(&other), Place::Other, "{other}");
        }
        assert_eq!(job.checkpoint(id).job(), job);
        assert_eq!(SnapshotFolder::named(&metadata), job.checkpoint(id));
        assert_eq!(SnapshotFolder::named(job.checkpoint(id).path()), job.checkpoint(id));
        let savepoint = SnapshotFolder::savepoint(
            &Path::from("save"),
            JobId::from_bytes([0xab; 16]),
            0xffff_0123_4567_89ab,
        );
        assert_eq!(savepoint.path().as_ref(), "save/savepoint-ababab-0123456789ab");
    }
}
