//! End-to-end tests: the `weir` binary as processes, judged from outside.
//!
//! Jobs are submitted by the command line or by REST, answers are files, and DuckDB says whether they are right. `weir-chaos` starts
//! and kills processes and servers, `judge` asks DuckDB. Nothing of the engine is linked in, except where `kafka::exactly_once`
//! drives a sink by hand on real brokers.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that can't go on should say where"
)]

mod chaos;
mod chart;
mod dead_letters;
mod demo;
mod documents;
mod failover;
mod files;
mod flights;
mod golden;
mod job;
mod judge;
mod kafka;
mod layers;
mod malformed;
mod nexmark;
mod operations;
mod recovery;
mod slow_sink;
mod smoke;
mod snapshots;
mod topics;

use weir_chaos::{cluster, process, servers};
