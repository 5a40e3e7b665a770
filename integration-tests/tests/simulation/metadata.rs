//! The metadata store: a leader's epoch, and a record for each job that is written in place of a version.
//!
//! A write is judged when it arrives, which may be after its writer's death or its successor's election.

use std::collections::BTreeMap;

use weir_api::id::{JobId, LeaderEpoch};
use weir_jobmanager::control::job::record::JobRecord;
use weir_jobmanager::control::job::{Failure, Version};

/// A write on its way.
#[derive(Debug)]
pub(crate) struct Write {
    /// Whose answer it is to be.
    pub(crate) generation: u64,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) record: Box<JobRecord>,
    pub(crate) expected: Version,
}

/// Its answer on its way back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) generation: u64,
    pub(crate) job: JobId,
    pub(crate) result: Result<Version, Failure>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) epoch: LeaderEpoch,
    pub(crate) records: BTreeMap<JobId, (Version, JobRecord)>,
}

impl Metadata {
    /// Takes the leadership.
    pub(crate) fn lead(&mut self) -> LeaderEpoch {
        self.epoch = self.epoch.next();
        self.epoch
    }

    /// Why a write isn't done; `None`: it is.
    pub(crate) fn refuses(&self, write: &Write) -> Option<&'static str> {
        let found = self.records.get(&write.record.spec.id).map(|(version, _)| *version);
        if write.epoch != self.epoch {
            Some("another leads")
        } else if found != Some(write.expected) {
            Some("another version is there")
        } else {
            None
        }
    }

    /// Does a write.
    pub(crate) fn put(&mut self, record: JobRecord, expected: Version) -> Version {
        let version = Version(expected.0 + 1);
        self.records.insert(record.spec.id, (version, record));
        version
    }
}
