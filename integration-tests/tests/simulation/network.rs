//! What lies between processes: links that are cut, in one direction or both, for a while, and stores that are away or slow.
//!
//! Messages between JobManager and TaskManager go over one stream each way: in order, late where the link is cut, lost where the
//! stream ends. The kinds that belong to checkpoints may be lost, doubled or overtaken one by one as well, which a stream never does:
//! the protocol must bear more than it will meet.

use super::random::Random;

/// What latency a link has.
const LATENCY: u64 = 8;

/// One end of a link: the JobManager or a TaskManager.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Host {
    Master,
    Worker(usize),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Network {
    hosts: usize,
    /// Until when nothing passes, by `from * hosts + to`.
    cut_until: Vec<u64>,
    pub(crate) storage_away_until: u64,
    pub(crate) storage_slow_until: u64,
    pub(crate) log_away_until: u64,
}

impl Network {
    pub(crate) fn new(workers: usize) -> Self {
        let hosts = workers + 1;
        Self {
            hosts,
            cut_until: vec![0; hosts * hosts],
            storage_away_until: 0,
            storage_slow_until: 0,
            log_away_until: 0,
        }
    }

    fn place(&self, from: Host, to: Host) -> usize {
        let number = |host| match host {
            Host::Master => 0,
            Host::Worker(position) => position + 1,
        };
        number(from) * self.hosts + number(to)
    }

    pub(crate) fn cut(&mut self, from: Host, to: Host, until: u64) {
        let place = self.place(from, to);
        self.cut_until[place] = self.cut_until[place].max(until);
    }

    /// Until when the link is cut; 0: it isn't.
    pub(crate) fn heals_at(&self, from: Host, to: Host, now: u64) -> u64 {
        let until = self.cut_until[self.place(from, to)];
        if until > now { until } else { 0 }
    }

    /// How long something is on its way that sets out now.
    pub(crate) fn latency(&self, from: Host, to: Host, now: u64, random: &mut Random) -> u64 {
        let healed = self.heals_at(from, to, now);
        healed.saturating_sub(now) + 1 + random.below(LATENCY)
    }
}
