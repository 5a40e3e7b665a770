//! Breaks a running cluster on purpose and judges what it wrote. Links nothing of the engine.
//!
//! [`process`], [`servers`] and [`cluster`] start what is broken; the integration tests use them too. They stop with a panic that
//! says where, like tests: there is nobody to hand an error to.

pub mod check;
#[expect(clippy::expect_used, clippy::panic, reason = "a test that can't go on should say where")]
pub mod cluster;
#[expect(clippy::expect_used, clippy::panic, reason = "a test that can't go on should say where")]
pub mod deployment;
pub mod evidence;
pub mod job;
pub mod nemesis;
#[expect(clippy::expect_used, clippy::panic, reason = "a test that can't go on should say where")]
pub mod process;
pub mod proxy;
pub mod quota;
pub mod random;
pub mod results;
pub mod round;
#[expect(clippy::expect_used, clippy::panic, reason = "a test that can't go on should say where")]
pub mod servers;
#[expect(clippy::expect_used, reason = "a test that can't go on should say where")]
pub mod stage;
pub mod strike;
#[expect(clippy::expect_used, reason = "a test that can't go on should say where")]
pub mod topics;
pub mod watch;
pub mod workload;
