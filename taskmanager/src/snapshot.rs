//! Snapshots of tasks on their way to storage and back, on the I/O runtime.
//!
//! Owns: where this process writes and what it may hold in memory meanwhile ([`stores`]), the files of a task's checkpoints
//! ([`upload`], [`tables`]), their merging in the background ([`compact`]), output that waits for its commit ([`blobs`]), what a new
//! attempt reads back ([`restore`], [`migrate`], [`redistribute`]). Does not own: when a snapshot is taken and what becomes of it (`task::checkpoint`), file formats (`weir-snapshots`).

mod adopt;
mod blobs;
mod compact;
mod kept;
mod migrate;
mod redistribute;
mod restore;
mod stores;
mod tables;
mod upload;

pub(crate) use blobs::TaskBlobs;
pub(crate) use redistribute::redistribute;
pub(crate) use restore::{Home, Opened, Restoration};
pub(crate) use stores::Stores;
pub(crate) use upload::{Chain as LayerChain, Chains, Job, Owner, Uploaded, Uploader, final_part};
