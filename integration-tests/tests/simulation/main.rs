//! The whole exactly-once protocol in virtual time, under thousands of seeded swarms of faults.
//!
//! Real are the pure machines: the JobManager's core, the TaskManager's session, a task's checkpoints, the aligner. Simulated is
//! what does I/O around them. [`world`] is where they live, [`swarm`] what a seed draws, [`oracle`] what must hold. Nothing here reads
//! a clock or a random number, so a seed is a run: see docs/reliability.md for how one is looked at.

#![expect(clippy::unwrap_used, reason = "a test that can't go on should say where")]

mod channel;
mod collect;
mod commit;
mod faults;
mod files;
mod inbound;
mod job;
mod log;
mod master;
mod metadata;
mod network;
mod oracle;
mod planted;
mod publish;
mod random;
mod runs;
mod snapshot;
mod source;
mod storage;
mod story;
mod swarm;
mod task;
mod trace;
mod worker;
mod world;
