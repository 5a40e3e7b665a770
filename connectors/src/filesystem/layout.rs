//! Every name that the sink gives to a file, folder or object. The one place that knows them.
//!
//! Files: `<path>/.weir-<job>-<attempt>/part-<uid>-<subtask>-<n>.<ext>` while they are written,
//! `<path>/<partition>/part-<uid>-<subtask>-<n>.<ext>` once committed. Objects have the second name alone, as an upload can't be
//! seen; a marker `<path>/.weir-<job>-<attempt>/<name>.upload` names each upload that isn't complete. A hidden file that a savepoint
//! holds has an empty one beside it, `<name>.kept`. `<path>/.weir-<job>.<operator>.committed` notes what a job that takes checkpoints
//! has committed. `<uid>` comes from job,
//! attempt and operator, so that no two runs, and no two sinks of one job, ever give the same name.

use std::path::{Path, PathBuf};

use weir_api::error::Result;
use weir_api::id::{Attempt, JobId};
use weir_api::storage::failed;
use weir_api::storage::object_store::path::Path as Key;

use crate::random::mix;

const PREFIX: &str = ".weir-";
const KEPT: &str = ".kept";

/// The names of one subtask's files.
#[derive(Clone, Debug)]
pub struct Names {
    /// The job.
    pub job: JobId,
    /// Its attempt.
    pub attempt: Attempt,
    /// The sink operator's uid.
    pub uid: String,
    /// Which parallel instance it is.
    pub subtask: u32,
    /// What stands behind the point.
    pub extension: &'static str,
}

impl Names {
    /// The name of file `n`.
    #[must_use]
    pub fn part(&self, n: u32) -> String {
        let hash = folded(folded(u64::from(self.attempt.0), self.job.as_bytes()), self.uid.as_bytes());
        format!("part-{hash:016x}-{}-{n}.{}", self.subtask, self.extension)
    }

    /// The hidden folder of the attempt.
    #[must_use]
    pub fn hidden_folder(&self, path: &Path) -> PathBuf {
        path.join(self.hidden())
    }

    fn hidden(&self) -> String {
        format!("{PREFIX}{}-{}", self.job, self.attempt)
    }

    /// The key of a committed object; `folder` is a partition's, or empty.
    pub fn object(&self, root: &Key, folder: &str, name: &str) -> Result<Key> {
        key(&format!("{root}/{folder}{name}"))
    }

    /// The key of an upload's marker.
    pub fn marker(&self, root: &Key, name: &str) -> Result<Key> {
        key(&format!("{root}/{}/{name}.upload", self.hidden()))
    }
}

/// The file beside a hidden one that says that a savepoint holds it.
#[must_use]
pub fn kept(hidden: &Path) -> PathBuf {
    let mut name = hidden.as_os_str().to_owned();
    name.push(KEPT);
    name.into()
}

/// The hidden file that this one says is held, if it says so.
#[must_use]
pub fn kept_file(path: &Path) -> Option<PathBuf> {
    path.to_str()?.strip_suffix(KEPT).map(PathBuf::from)
}

fn key(text: &str) -> Result<Key> {
    Key::parse(text.trim_start_matches('/')).map_err(|error| failed("name", &text, error.into()))
}

/// The name of the note of what a job's sink has committed.
#[must_use]
pub fn ledger(job: JobId, uid: &str) -> String {
    format!("{PREFIX}{job}.{:016x}.committed", folded(0, uid.as_bytes()))
}

/// Whose hidden folder has this name.
#[must_use]
pub fn owner(name: &str) -> Option<(JobId, Attempt)> {
    let (job, attempt) = name.strip_prefix(PREFIX)?.rsplit_once('-')?;
    Some((job.parse().ok()?, Attempt(attempt.parse().ok()?)))
}

fn folded(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| mix(hash ^ u64::from(*byte)))
}

/// The attempt whose hidden folder has this name, if it is one of this job.
#[must_use]
pub fn attempt_of(name: &str, job: JobId) -> Option<Attempt> {
    owner(name).filter(|(owner, _)| *owner == job).map(|(_, attempt)| attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(job: JobId, attempt: u32, uid: &str) -> Names {
        Names { job, attempt: Attempt(attempt), uid: uid.into(), subtask: 0, extension: "json" }
    }

    #[test]
    fn names_tell_jobs_attempts_and_operators_apart() {
        let (one, two) = (JobId::from_bytes([1; 16]), JobId::from_bytes([2; 16]));
        let folder = names(one, 12, "a").hidden_folder(Path::new("/out"));
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name");
        assert_eq!(attempt_of(name, one), Some(Attempt(12)));
        assert_eq!(attempt_of(name, two), None);
        assert_eq!(attempt_of("part-0", one), None);
        let part = |job, attempt, uid| names(job, attempt, uid).part(0);
        let base = part(one, 1, "a");
        assert_eq!(base, part(one, 1, "a"));
        assert!([part(two, 1, "a"), part(one, 2, "a"), part(one, 1, "b")].iter().all(|other| *other != base));
    }

    #[test]
    fn keys_of_objects() {
        let names = names(JobId::from_bytes([1; 16]), 3, "a");
        let root = Key::parse("out").expect("a key");
        let object = names.object(&root, "k=a%2Fb/", "part-0.json").expect("a key");
        assert_eq!(object.as_ref(), "out/k=a%2Fb/part-0.json");
        assert_eq!(names.object(&Key::default(), "", "part-0.json").expect("a key").as_ref(), "part-0.json");
        let marker = names.marker(&root, "part-0.json").expect("a key");
        let folder = marker.as_ref().split('/').nth(1).expect("a folder");
        assert_eq!(attempt_of(folder, names.job), Some(Attempt(3)));
    }
}
