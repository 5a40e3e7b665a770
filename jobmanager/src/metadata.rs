//! Where jobs live while no JobManager does: one trait, so that a directory, memory and later etcd are alike.
//!
//! Invariants, checked by `conformance` on every implementation:
//! - a leader epoch is larger than all before it, also after a crash;
//! - every write names its leader epoch and the version it replaces; it happens if both still hold, wholly or not at all, and
//!   survives a power cut once it has been answered;
//! - a leader that has been succeeded can't write.
//!
//! It stores bytes by job id. What they mean is [`encoding`]'s.

pub mod directory;
pub mod encoding;
pub mod memory;

#[cfg(test)]
mod conformance;

use async_trait::async_trait;
use weir_api::error::{Code, Error, Result};
use weir_api::id::{JobId, LeaderEpoch};

pub use crate::control::job::Version;

/// The most bytes of one job.
pub const MAX_RECORD_BYTES: usize = 256 << 20;

/// A record with its version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Whose.
    pub job: JobId,
    /// Its version.
    pub version: Version,
    /// What was written.
    pub bytes: Vec<u8>,
}

/// Keeps jobs.
#[async_trait]
pub trait Metadata: Send + Sync {
    /// Takes the leadership, under an epoch larger than all before.
    async fn lead(&self) -> Result<LeaderEpoch>;

    /// All jobs.
    async fn jobs(&self) -> Result<Vec<Stored>>;

    /// Writes a job in place of the version `expected` (`None`: it must not be there yet) and answers its new version.
    ///
    /// [`Code::Fenced`]: another leads, or another version is there.
    async fn put(
        &self,
        epoch: LeaderEpoch,
        job: JobId,
        expected: Option<Version>,
        bytes: Vec<u8>,
    ) -> Result<Version>;

    /// Forgets a job that has this version.
    async fn delete(&self, epoch: LeaderEpoch, job: JobId, expected: Version) -> Result<()>;
}

/// The refusal of a write by a leader that was succeeded.
fn fenced(epoch: LeaderEpoch, leader: LeaderEpoch) -> Error {
    Error::new(
        Code::Fenced,
        format!("leader {epoch} can't write metadata any more: leader {leader} has taken over"),
    )
}

/// The refusal of a write over another version.
fn conflict(job: JobId, expected: Option<Version>, found: Option<Version>) -> Error {
    let text =
        |version: Option<Version>| version.map_or_else(|| "none".to_owned(), |version| version.0.to_string());
    Error::new(
        Code::Fenced,
        format!(
            "the metadata of job {job} has version {}, not {}: somebody else has written it",
            text(found),
            text(expected)
        ),
    )
}
