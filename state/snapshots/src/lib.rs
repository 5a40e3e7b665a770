//! Snapshots at rest: files of state, manifests that name them, and where both lie.
//!
//! Owns: the formats ([`table`], [`manifest`]), what the layers of a table add up to ([`delta`]) and when they are merged
//! ([`compaction`]), every path ([`layout`]), how bytes become durable ([`storage`]), which files may go ([`registry`],
//! [`collect`], [`dispose`]), and what is said of a snapshot ([`verify`], [`show`]). Does not own: when a snapshot is taken, what an operator
//! keeps, or who is told that one is complete. Knows no state backend. Read next: [`table`], then [`manifest`].

pub mod blobs;
pub mod collect;
pub mod compaction;
pub mod copies;
pub mod damage;
pub mod delta;
pub mod dispose;
pub mod layout;
pub mod manifest;
pub mod name;
pub mod registry;
pub mod restore;
pub mod show;
pub mod storage;
pub mod table;
pub mod verify;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
