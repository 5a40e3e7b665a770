//! Metadata in memory: for `weir local` without a directory, and for tests. Clones share it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use weir_api::error::Result;
use weir_api::id::{JobId, LeaderEpoch};

use super::{Metadata, Stored, Version, conflict, fenced};

/// Forgets everything with its process.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    epoch: LeaderEpoch,
    jobs: BTreeMap<JobId, (Version, Vec<u8>)>,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is done under the lock that could leave the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self, epoch: LeaderEpoch, job: JobId, expected: Option<Version>) -> Result<()> {
        if self.epoch == LeaderEpoch(0) || epoch != self.epoch {
            return Err(fenced(epoch, self.epoch));
        }
        let found = self.jobs.get(&job).map(|(version, _)| *version);
        if found != expected {
            return Err(conflict(job, expected, found));
        }
        Ok(())
    }
}

#[async_trait]
impl Metadata for Memory {
    async fn lead(&self) -> Result<LeaderEpoch> {
        let mut state = self.state();
        state.epoch = state.epoch.next();
        Ok(state.epoch)
    }

    async fn jobs(&self) -> Result<Vec<Stored>> {
        let state = self.state();
        let stored = state.jobs.iter();
        Ok(stored
            .map(|(job, (version, bytes))| Stored { job: *job, version: *version, bytes: bytes.clone() })
            .collect())
    }

    async fn put(
        &self,
        epoch: LeaderEpoch,
        job: JobId,
        expected: Option<Version>,
        bytes: Vec<u8>,
    ) -> Result<Version> {
        let mut state = self.state();
        state.check(epoch, job, expected)?;
        let version = Version(expected.map_or(1, |version| version.0 + 1));
        state.jobs.insert(job, (version, bytes));
        Ok(version)
    }

    async fn delete(&self, epoch: LeaderEpoch, job: JobId, expected: Version) -> Result<()> {
        let mut state = self.state();
        state.check(epoch, job, Some(expected))?;
        state.jobs.remove(&job);
        Ok(())
    }
}
