//! What a fault does to the world.

use std::rc::Rc;

use super::network::Host;
use super::swarm::What;
use super::world::{Happening, World};

/// After so long without a sign a connection between TaskManagers is given up.
const DATA_PATIENCE: u64 = 3_000;

impl World {
    pub(crate) fn fault(&mut self, number: usize) {
        let swarm = Rc::clone(&self.swarm);
        let Some(fault) = swarm.faults.get(number) else { return };
        self.say(|| format!("fault: {:?}", fault.what));
        let now = self.now;
        match fault.what {
            What::KillWorker { position, silently, down } => self.kill_worker(position, silently, down),
            What::KillMaster { silently, down } => self.kill_master(silently, down),
            What::PauseWorker { position, millis } => {
                let until = &mut self.workers[position].paused_until;
                *until = (*until).max(now + millis);
                self.notice_silence(position, millis);
            }
            What::PauseMaster { millis } => {
                self.master.paused_until = self.master.paused_until.max(now + millis);
            }
            What::CutControl { position, to_master, to_worker, millis } => {
                let (master, worker) = (Host::Master, Host::Worker(position));
                if to_master {
                    self.network.cut(worker, master, now + millis);
                }
                if to_worker {
                    self.network.cut(master, worker, now + millis);
                }
            }
            What::CutData { one, other, both, millis } if one != other => {
                self.network.cut(Host::Worker(one), Host::Worker(other), now + millis);
                if both {
                    self.network.cut(Host::Worker(other), Host::Worker(one), now + millis);
                }
                if millis > DATA_PATIENCE {
                    self.reset_connections(one, Some(other), true);
                }
            }
            What::ResetData { one, other } if one != other => self.reset_connections(one, Some(other), false),
            What::CutData { .. } | What::ResetData { .. } => {}
            What::ResetSession { position, known_to_worker } => self.reset_session(position, known_to_worker),
            What::StuckTasks { position, millis } => {
                self.workers[position].stuck_until = self.workers[position].stuck_until.max(now + millis);
            }
            What::FailTask { turn } => {
                let alive: Vec<_> = self.workers.iter().flat_map(super::worker::Worker::tasks).collect();
                if !alive.is_empty() {
                    let victim = alive[(turn % alive.len() as u64) as usize];
                    self.fail_task(victim, "it was made to");
                }
            }
            What::StorageAway { millis } => self.network.storage_away_until = now + millis,
            What::StorageSlow { millis } => self.network.storage_slow_until = now + millis,
            What::LogAway { millis } => self.network.log_away_until = now + millis,
            What::Skew { millis } => self.master.skew = millis,
            What::Savepoint => self.after(0, Happening::Snapshot { savepoint: true, full: true }),
            What::Checkpoint { full } => self.after(0, Happening::Snapshot { savepoint: false, full }),
        }
    }

    /// Others lose patience with a TaskManager that has stopped.
    fn notice_silence(&mut self, position: usize, millis: u64) {
        if millis > DATA_PATIENCE && self.random.chance(70) {
            self.reset_connections(position, None, true);
        }
    }

    fn reset_session(&mut self, position: usize, known_to_worker: bool) {
        let Some(session) = self.workers[position].session() else { return };
        let Some(life) = self.workers[position].life() else { return };
        let wait = self.random.below(1_000);
        self.after(wait, Happening::MasterLosesSession(session, "the connection was reset"));
        if known_to_worker {
            let wait = self.random.below(1_000);
            self.after(wait, Happening::WorkerLosesSession(life, session));
        }
    }
}
