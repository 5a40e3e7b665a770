//! End-to-end tests: the `weir` binary as processes, judged from outside.
//!
//! Nothing of the engine is linked in: jobs are submitted by the command line or by REST, answers are files, and DuckDB says
//! whether they are right. `weir-chaos` starts and kills processes and servers, `judge` asks DuckDB.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that can't go on should say where")]

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
mod recovery;
mod slow_sink;
mod smoke;
mod topics;

use weir_chaos::{cluster, process, servers};
