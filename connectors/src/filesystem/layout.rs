//! Every name that the sink gives to a file or folder. The one place that knows them.
//!
//! `<path>/.weir-<job>-<attempt>/part-<uid>-<subtask>-<n>.<ext>` while it is written, `<path>/part-<uid>-<subtask>-<n>.<ext>`
//! once committed. `<uid>` comes from job, attempt and operator, so that no two runs, and no two sinks of one job, ever give
//! the same name.

use std::path::{Path, PathBuf};

use weir_api::id::{Attempt, JobId};

use crate::random::mix;

const PREFIX: &str = ".weir-";

/// The hidden folder of an attempt.
#[must_use]
pub fn attempt_folder(path: &Path, job: JobId, attempt: Attempt) -> PathBuf {
    path.join(format!("{PREFIX}{job}-{attempt}"))
}

/// The attempt whose hidden folder has this name, if it is one of this job.
#[must_use]
pub fn attempt_of(name: &str, job: JobId) -> Option<Attempt> {
    let attempt = name.strip_prefix(PREFIX)?.strip_prefix(&job.to_string())?.strip_prefix('-')?;
    attempt.parse().ok().map(Attempt)
}

/// A file's name.
#[must_use]
pub fn part_name(job: JobId, attempt: Attempt, uid: &str, subtask: u32, n: u32, extension: &str) -> String {
    let fold = |hash: u64, bytes: &[u8]| bytes.iter().fold(hash, |hash, byte| mix(hash ^ u64::from(*byte)));
    let hash = fold(fold(u64::from(attempt.0), job.as_bytes()), uid.as_bytes());
    format!("part-{hash:016x}-{subtask}-{n}.{extension}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_jobs_attempts_and_operators_apart() {
        let (one, two) = (JobId::from_bytes([1; 16]), JobId::from_bytes([2; 16]));
        let folder = attempt_folder(Path::new("/out"), one, Attempt(12));
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name");
        assert_eq!(attempt_of(name, one), Some(Attempt(12)));
        assert_eq!(attempt_of(name, two), None);
        assert_eq!(attempt_of("part-0", one), None);
        let part = |job, attempt, uid| part_name(job, Attempt(attempt), uid, 0, 0, "json");
        let base = part(one, 1, "a");
        assert_eq!(base, part(one, 1, "a"));
        assert!([part(two, 1, "a"), part(one, 2, "a"), part(one, 1, "b")].iter().all(|other| *other != base));
    }
}
