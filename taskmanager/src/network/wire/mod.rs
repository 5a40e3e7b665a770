//! The bytes between two TaskManagers: frames, the messages in them, batches as Arrow IPC.
//!
//! Nothing here trusts its input: lengths have limits before anything is allocated, checksums and sequence are compared before
//! a body is read as anything, and decoding can't take the process down. Knows no credit and no channels' state.

pub(crate) mod batch;
pub(crate) mod frame;
pub(crate) mod message;
pub(crate) mod reader;
pub(crate) mod writer;
