//! The registered TaskManagers and their sessions.
//!
//! Invariant: a TaskManager has one session. When the same process (same id, same data address) registers again, the newer
//! session counts and the older is ended: whoever dials again must not wait until its dead connection has been noticed. Another
//! process under a living one's id is refused, else the two would throw each other out forever.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_api::error::{Code, Error, Result};
use weir_api::id::TaskManagerId;
use weir_proto::v1::ProcessMetrics;

use super::event::{ManagerInfo, SessionId};
use super::heartbeat::Monitor;
use super::now::Now;

/// The most TaskManagers that may be registered.
pub const MAX_MANAGERS: usize = 4_096;
/// The most slots that one may have.
pub const MAX_SLOTS: u32 = 4_096;

/// A registered TaskManager.
#[derive(Debug)]
pub struct Manager {
    /// What it said of itself.
    pub info: ManagerInfo,
    /// Its connection.
    pub session: SessionId,
    /// Its last sign of life, in Unix milliseconds.
    pub last_heartbeat_unix_millis: i64,
    /// Its process' counters.
    pub process: Option<ProcessMetrics>,
}

/// All of them.
#[derive(Debug)]
pub struct Managers {
    version: String,
    by_id: BTreeMap<TaskManagerId, Manager>,
    by_session: BTreeMap<SessionId, TaskManagerId>,
    monitor: Monitor<SessionId>,
}

impl Managers {
    /// None yet; only those of `version` may join.
    #[must_use]
    pub fn new(version: String, timeout: Duration) -> Self {
        Self { version, by_id: BTreeMap::new(), by_session: BTreeMap::new(), monitor: Monitor::new(timeout) }
    }

    /// Whether one may join.
    pub fn check(&self, info: &ManagerInfo) -> Result<()> {
        if info.version != self.version {
            return Err(Error::new(
                Code::VersionMismatch,
                format!(
                    "TaskManager {} has version {}, this cluster {}; all processes must have the same",
                    info.id, info.version, self.version
                ),
            ));
        }
        if info.slots == 0 || info.slots > MAX_SLOTS {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("TaskManager {} offers {} slots; 1 to {MAX_SLOTS} belong here", info.id, info.slots),
            ));
        }
        if info.data_address.is_empty() || info.data_address.len() > 1_024 {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("TaskManager {} names no data address that others could reach", info.id),
            ));
        }
        if let Some(other) = self.by_id.get(&info.id)
            && other.info.data_address != info.data_address
        {
            return Err(Error::new(
                Code::InvalidArgument,
                format!(
                    "a TaskManager with the id {} is registered already, at {}; ids must be unique (taskmanager.resource-id)",
                    info.id, other.info.data_address
                ),
            ));
        }
        if self.by_id.len() >= MAX_MANAGERS && !self.by_id.contains_key(&info.id) {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("{MAX_MANAGERS} TaskManagers are registered, no more can join"),
            ));
        }
        Ok(())
    }

    /// The session that a TaskManager of this id has.
    #[must_use]
    pub fn session_of(&self, id: &TaskManagerId) -> Option<SessionId> {
        self.by_id.get(id).map(|manager| manager.session)
    }

    /// Takes one in.
    pub fn add(&mut self, session: SessionId, info: ManagerInfo, now: Now) {
        self.monitor.beat(session, now.monotonic_millis);
        self.by_session.insert(session, info.id.clone());
        let id = info.id.clone();
        let manager = Manager { info, session, last_heartbeat_unix_millis: now.unix_millis, process: None };
        self.by_id.insert(id, manager);
    }

    /// Takes out the one with this session.
    pub fn remove(&mut self, session: SessionId) -> Option<TaskManagerId> {
        self.monitor.forget(&session);
        let id = self.by_session.remove(&session)?;
        self.by_id.remove(&id);
        Some(id)
    }

    /// The one with this session gave a sign of life; its id, if it is registered.
    pub fn beat(&mut self, session: SessionId, now: Now) -> Option<TaskManagerId> {
        let id = self.by_session.get(&session)?;
        self.monitor.beat(session, now.monotonic_millis);
        if let Some(manager) = self.by_id.get_mut(id) {
            manager.last_heartbeat_unix_millis = now.unix_millis;
        }
        Some(id.clone())
    }

    /// Keeps its process' counters.
    pub fn measured(&mut self, id: &TaskManagerId, process: ProcessMetrics) {
        if let Some(manager) = self.by_id.get_mut(id) {
            manager.process = Some(process);
        }
    }

    /// Sessions that have been silent too long.
    pub fn silent(&mut self, now: Now) -> Vec<SessionId> {
        self.monitor.silent(now.monotonic_millis)
    }

    /// This process slept for so long.
    pub fn pardon(&mut self, pause_millis: u64) {
        self.monitor.pardon(pause_millis);
    }

    /// When the next one will have been silent too long.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.monitor.next_deadline()
    }

    /// The host of each.
    #[must_use]
    pub fn hosts(&self) -> BTreeMap<TaskManagerId, String> {
        self.by_id.iter().map(|(id, manager)| (id.clone(), manager.info.host.clone())).collect()
    }

    /// All, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&TaskManagerId, &Manager)> {
        self.by_id.iter()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: &TaskManagerId) -> Option<&Manager> {
        self.by_id.get(id)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
