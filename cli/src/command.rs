//! The verbs, a module each.

pub mod cancel;
pub mod explain;
pub mod info;
pub mod job;
pub mod list;
pub mod run;
pub mod savepoint;
pub mod state;
pub mod verify;
