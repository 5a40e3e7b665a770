//! The JobManager: jobs' lives, scheduling, the session with TaskManagers, metadata, REST.

pub mod control;
pub mod metadata;
