//! Sources and sinks, a module each, and the formats that they share.
//!
//! Owns: what a table's WITH options mean, how its bytes become Arrow batches and back, how its output becomes visible. Does
//! not own: when a reader is polled, watermarks, or who commits; those are the traits of `weir_api`. The binary injects
//! [`registry`] into planner, JobManager and TaskManager.
//!
//! Read next: [`generator`] for the sources that compute their rows, [`filesystem`] for those that read and write files, [`kafka`] for topics,
//! [`formats`] for what bytes mean.

pub mod blackhole;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod datagen;
pub mod filesystem;
pub mod formats;
pub mod generator;
pub mod handover;
pub mod kafka;
pub mod nexmark;
pub mod on_error;
pub mod options;
pub mod print;
pub mod random;
pub mod reference;
pub mod types;
pub mod values;

#[cfg(test)]
mod restore_tests;
#[cfg(test)]
mod testing;

use weir_api::config::Configuration;
use weir_api::connector::ConnectorRegistry;
use weir_api::storage::FileSystems;

/// All connectors of this crate, with what the configuration of their process says of object stores.
#[must_use]
pub fn registry(configuration: &Configuration) -> ConnectorRegistry {
    ConnectorRegistry::default()
        .with(nexmark::Nexmark)
        .with(datagen::DataGen)
        .with(filesystem::FileSystem::new(FileSystems::new(configuration)))
        .with(kafka::Kafka)
        .with(print::Print)
        .with(blackhole::Blackhole)
        .with(values::Values)
}
