//! What users do in a simulation, and what breaks: drawn from its seed.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;

use super::{Happening, MANAGERS, World};
use crate::control::checkpoint::Stop;
use crate::control::event::Event;
use crate::control::fixtures;
use crate::control::job::Version;

impl World {
    pub(super) fn submit(&mut self, n: u8) {
        if self.core.is_none() {
            self.after(1_000, Happening::Submit(n));
            return;
        }
        let sources = self.random.random_range(1..=5);
        let sinks = self.random.random_range(1..=5);
        let config: &[(&str, &str)] = match self.random.random_range(0..10) {
            0 => &[("restart-strategy.type", "none")],
            1 => &[("restart-strategy.type", "fixed-delay"), ("restart-strategy.fixed-delay.attempts", "3")],
            2 => &[("restart-strategy.type", "failure-rate")],
            _ => &[],
        };
        let mut config = config.to_vec();
        let has_checkpoints = self.chance(70);
        if has_checkpoints {
            config.extend([
                ("execution.checkpointing.interval", "3 s"),
                ("execution.checkpointing.dir", "s3://check/points"),
                ("execution.checkpointing.timeout", "10 s"),
            ]);
            for (chance, key, value) in [
                (30, "execution.checkpointing.max-concurrent-checkpoints", "2"),
                (30, "execution.checkpointing.num-retained", "2"),
                (30, "execution.checkpointing.tolerable-failed-checkpoints", "1"),
            ] {
                if self.chance(chance) {
                    config.push((key, value));
                }
            }
        }
        let mut record = fixtures::record(n, sources, sinks, &config);
        let grows = self.chance(60);
        if grows {
            Arc::make_mut(&mut record.spec).discovery.insert(0, Duration::from_secs(5));
        }
        let job = record.spec.id;
        let later = if grows { self.random.random_range(0..8) } else { 0 };
        self.oracle.submitted(&record, later, self.now);
        self.store.insert(job, (Version(1), record.clone()));
        self.waiting_to_submit -= 1;
        self.feed(Event::Submitted { record, version: Version(1) });
        if self.chance(15) {
            let wait = self.random.random_range(0..120_000);
            self.after(wait, Happening::Cancel(job));
        }
        if has_checkpoints && self.chance(40) {
            let stop = [None, Some(Stop::Suspend), Some(Stop::Drain)][self.random.random_range(0..3)];
            let wait = self.random.random_range(0..60_000);
            self.after(wait, Happening::Savepoint(job, stop));
        }
    }

    pub(super) fn fault(&mut self) {
        let victim = self.random.random_range(0..MANAGERS);
        match self.random.random_range(0..10) {
            0..=2 => self.kill_manager(victim),
            3..=5 => self.cut_off(victim),
            6 => self.managers[victim].stuck_until = self.now + self.random.random_range(0..150_000),
            7 if self.core.is_some() => self.paused_until = self.now + self.random.random_range(0..90_000),
            8 => self.kill_core(),
            _ => self.managers[victim].failing = self.random.random_range(1..=3),
        }
    }
}
