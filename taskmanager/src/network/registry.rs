//! Where the two ends of a channel meet, whichever comes first, and where old attempts are ended.
//!
//! Invariant: a channel is here from the moment one end asks for it until both have gone or its attempt is released; each end
//! is claimed once. An end that waits longer than the configured time for the other fails with a clear error.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, JobId};

use super::failure::Failure;
use super::id::{ChannelKey, GateId, PartitionId};
use super::ready::lock;
use super::subpartition::Subpartition;
use crate::region::Region;

/// How many released jobs are remembered, so that what comes late for them is refused.
const MAX_RELEASED: usize = 10_000;

/// Which end of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// The result partition.
    Producer,
    /// The input gate, or the connection that speaks for a remote one.
    Consumer,
}

/// Something of an attempt that is told when the attempt is released.
pub(crate) trait Releasable: Send + Sync {
    /// Fails what is pending.
    fn release(&self, failure: &Failure);
}

/// All channels whose producer lives, or will live, in this process.
pub(crate) struct Registry {
    limit: usize,
    max_waiting: usize,
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    channels: HashMap<ChannelKey, Entry>,
    waiting: usize,
    released: HashMap<JobId, Released>,
    gates: Vec<(GateId, Weak<dyn Releasable>)>,
}

/// Which attempts of a job are over.
#[derive(Default)]
struct Released {
    up_to: Attempt,
    /// Where only parts of the job are over: attempts up to this one.
    edges: BTreeMap<u32, Attempt>,
    vertices: BTreeMap<u32, Attempt>,
}

struct Entry {
    channel: Arc<Subpartition>,
    producer: Claim,
    consumer: Claim,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    Open,
    Held,
    Gone,
}

impl Registry {
    pub(crate) fn new(limit: usize, max_waiting: usize, timeout: Duration) -> Self {
        Self { limit, max_waiting, timeout, state: Mutex::new(State::default()) }
    }

    /// The channel with this key, for one of its ends.
    pub(crate) fn claim(&self, key: ChannelKey, end: End, now: Instant) -> Result<Arc<Subpartition>> {
        let mut state = lock(&self.state);
        let PartitionId { job, attempt, edge, .. } = key.partition;
        state.check(job, attempt, |released| released.edges.get(&edge))?;
        if !state.channels.contains_key(&key) {
            if state.waiting >= self.max_waiting {
                return Err(Error::new(
                    Code::Internal,
                    format!("{key}: {} channels already wait for their other end", state.waiting),
                ));
            }
            let channel = Subpartition::new(key, self.limit);
            let entry = Entry { channel, producer: Claim::Open, consumer: Claim::Open, since: now };
            state.channels.insert(key, entry);
            state.waiting += 1;
        }
        let Some(entry) = state.channels.get_mut(&key) else {
            return Err(Error::internal(format!("{key} vanished from its registry")));
        };
        let claim = match end {
            End::Producer => &mut entry.producer,
            End::Consumer => &mut entry.consumer,
        };
        if *claim != Claim::Open {
            return Err(Error::new(Code::MalformedMessage, format!("{key} is claimed twice by its {end:?}")));
        }
        *claim = Claim::Held;
        let met = entry.producer != Claim::Open && entry.consumer != Claim::Open;
        let channel = Arc::clone(&entry.channel);
        if met {
            state.waiting = state.waiting.saturating_sub(1);
        }
        Ok(channel)
    }

    /// One end has gone; after the second the channel is forgotten.
    pub(crate) fn leave(&self, channel: &Arc<Subpartition>, end: End) {
        match end {
            End::Producer => channel.producer_closed(),
            End::Consumer => channel.consumer_closed(),
        }
        let mut state = lock(&self.state);
        let key = channel.key();
        let Some(entry) = state.channels.get_mut(&key).filter(|entry| Arc::ptr_eq(&entry.channel, channel))
        else {
            return;
        };
        match end {
            End::Producer => entry.producer = Claim::Gone,
            End::Consumer => entry.consumer = Claim::Gone,
        }
        let waited = entry.producer == Claim::Open || entry.consumer == Claim::Open;
        // A producer that has ended may be gone before its consumer comes; any other lone end takes the channel with it.
        let over =
            (entry.producer == Claim::Gone && entry.consumer == Claim::Gone) || channel.failure().is_some();
        if over {
            state.channels.remove(&key);
            if waited {
                state.waiting = state.waiting.saturating_sub(1);
            }
        }
    }

    /// Tells `gate` when its attempt is released.
    pub(crate) fn watch(&self, id: GateId, gate: Weak<dyn Releasable>) -> Result<()> {
        let mut state = lock(&self.state);
        state.check(id.job, id.attempt, |released| released.vertices.get(&id.vertex.0))?;
        state.gates.retain(|(_, gate)| gate.strong_count() > 0);
        state.gates.push((id, gate));
        Ok(())
    }

    /// Fails everything of a part of the job up to this attempt, and whatever comes late for it.
    pub(crate) fn release(&self, job: JobId, up_to: Attempt, region: &Region) {
        let failure = Failure::new(Code::Fenced, format!("attempt {up_to} of job {job} has been released"));
        let (channels, gates) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.released.len() >= MAX_RELEASED
                && !state.released.contains_key(&job)
                && let Some(any) = state.released.keys().next().copied()
            {
                state.released.remove(&any);
            }
            state.released.entry(job).or_default().add(up_to, region);
            let old = |key: &ChannelKey| {
                let of = &key.partition;
                of.job == job && of.attempt <= up_to && region.has_edge(of.edge)
            };
            let channels: Vec<_> =
                state.channels.extract_if(|key, _| old(key)).map(|(_, entry)| entry).collect();
            let unmet =
                channels.iter().filter(|e| e.producer == Claim::Open || e.consumer == Claim::Open).count();
            state.waiting = state.waiting.saturating_sub(unmet);
            let is_old = |id: &GateId| id.job == job && id.attempt <= up_to && region.has_vertex(id.vertex.0);
            let gates: Vec<_> = state.gates.extract_if(.., |(id, _)| is_old(id)).collect();
            (channels, gates)
        };
        channels.iter().for_each(|entry| entry.channel.fail(failure.clone()));
        gates.iter().filter_map(|(_, gate)| gate.upgrade()).for_each(|gate| gate.release(&failure));
    }

    /// Fails what has waited too long for its other end.
    pub(crate) fn expire(&self, now: Instant) {
        let expired: Vec<_> = {
            let mut state = lock(&self.state);
            let late = |entry: &Entry| {
                (entry.producer == Claim::Open || entry.consumer == Claim::Open)
                    && now.saturating_duration_since(entry.since) >= self.timeout
            };
            let expired: Vec<_> = state.channels.extract_if(|_, entry| late(entry)).collect();
            state.waiting = state.waiting.saturating_sub(expired.len());
            expired
        };
        for (key, entry) in expired {
            let missing = if entry.producer == Claim::Open { "producing" } else { "consuming" };
            entry.channel.fail(Failure::new(
                Code::ConnectionLost,
                format!("{key}: the {missing} task was not deployed within {:?}", self.timeout),
            ));
        }
    }
}

impl Released {
    fn add(&mut self, up_to: Attempt, region: &Region) {
        if region.is_whole() {
            self.up_to = up_to.max(self.up_to);
            self.edges.retain(|_, over| *over > up_to);
            self.vertices.retain(|_, over| *over > up_to);
        }
        for (all, numbers) in [
            (&mut self.edges, region.edges().collect::<Vec<_>>()),
            (&mut self.vertices, region.vertices().collect()),
        ] {
            for number in numbers {
                let over = all.entry(number).or_default();
                *over = up_to.max(*over);
            }
        }
    }
}

impl State {
    fn check(
        &self,
        job: JobId,
        attempt: Attempt,
        part: impl Fn(&Released) -> Option<&Attempt>,
    ) -> Result<()> {
        let over =
            self.released.get(&job).map(|known| part(known).map_or(known.up_to, |of| known.up_to.max(*of)));
        match over {
            Some(released) if attempt <= released => Err(Error::new(
                Code::Fenced,
                format!(
                    "attempt {attempt} of job {job} is over: attempts up to {released} have been released"
                ),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
