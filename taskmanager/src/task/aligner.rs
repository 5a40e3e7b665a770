//! Decides, barrier by barrier, which channels of a task wait and when the task takes its snapshot.
//!
//! A channel that has delivered the barrier of a checkpoint waits until all others have delivered theirs or have ended, so that
//! the snapshot holds exactly what came before the barriers. A barrier of a newer checkpoint ends the wait for an older one, which
//! somebody upstream has given up. Invariants, each checked by a property test: checkpoints come out in growing order, each at most
//! once; when one comes out, each channel has delivered its barrier or ended, and nothing that stood behind; a checkpoint
//! whose barrier comes on every channel that is open comes out, unless it was cancelled. Pure: no channel, no clock; it says what to do and its caller does it.

use std::collections::BTreeSet;

use weir_api::element::Barrier;

use crate::planted::planted;

/// How many cancelled checkpoints are remembered whose barriers may still come.
const MAX_CANCELLED: usize = 1024;

/// See the module.
#[derive(Clone, Debug)]
pub struct Aligner {
    channels: Vec<State>,
    open: usize,
    /// The checkpoint that channels wait for.
    current: Option<Barrier>,
    waiting: usize,
    /// Barriers up to this one's are of no interest any more.
    settled: Option<u64>,
    /// Of these neither.
    cancelled: BTreeSet<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    Waiting,
    Ended,
}

/// What follows from an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Decision {
    /// All channels that wait go on.
    pub release: bool,
    /// The channel of the event waits from now on.
    pub wait: bool,
    /// The task takes its snapshot, before it takes anything else in.
    pub aligned: Option<Barrier>,
    /// The checkpoint is given up by this task, as its barriers take too long.
    pub declined: Option<u64>,
}

impl Aligner {
    /// An aligner over channels that are all open.
    pub fn new(channels: usize) -> Self {
        Self {
            channels: vec![State::Open; channels],
            open: channels,
            current: None,
            waiting: 0,
            settled: None,
            cancelled: BTreeSet::new(),
        }
    }

    /// A channel has delivered a barrier.
    pub fn on_barrier(&mut self, channel: usize, barrier: Barrier) -> Decision {
        let known = self.settled.max(self.current.map(|current| current.checkpoint_id.saturating_sub(1)));
        if known.is_some_and(|known| barrier.checkpoint_id <= known) {
            // A straggler of a checkpoint that was given up.
            return Decision::default();
        }
        let mut release = false;
        if self.current.is_some_and(|current| current.checkpoint_id < barrier.checkpoint_id) {
            release = self.release();
            self.current = None;
        }
        if self.cancelled.contains(&barrier.checkpoint_id) {
            return Decision { release, ..Decision::default() };
        }
        self.current = Some(barrier);
        let Some(state) = self.channels.get_mut(channel).filter(|state| **state == State::Open) else {
            return Decision { release, ..Decision::default() };
        };
        *state = State::Waiting;
        self.waiting += 1;
        self.settle(Decision { release, wait: true, ..Decision::default() })
    }

    /// A barrier has been received and waits behind data. Taking it in at once would make an unaligned snapshot; as all are aligned,
    /// nothing follows: the barrier comes in its turn.
    pub fn on_announcement(&mut self, _channel: usize, _barrier: Barrier) -> Decision {
        Decision::default()
    }

    /// The checkpoint is given up: nobody waits for its barriers any more, and those that still come are passed over.
    pub fn on_cancel(&mut self, checkpoint_id: u64) -> Decision {
        let mut decision = Decision::default();
        if self.settled.is_some_and(|settled| checkpoint_id <= settled) {
            return decision;
        }
        if self.current.is_some_and(|current| current.checkpoint_id == checkpoint_id) {
            self.current = None;
            decision.release = self.release();
        }
        self.cancelled.insert(checkpoint_id);
        if self.cancelled.len() > MAX_CANCELLED {
            self.cancelled.pop_first();
        }
        decision
    }

    /// The alignment of this checkpoint has lasted as long as it may: the place where an alignment may turn into an unaligned
    /// snapshot later.
    pub fn on_timer(&mut self, checkpoint_id: u64) -> Decision {
        if self.current.is_none_or(|current| current.checkpoint_id != checkpoint_id) {
            return Decision::default();
        }
        Decision { declined: Some(checkpoint_id), ..self.on_cancel(checkpoint_id) }
    }

    /// A channel has ended: it counts as having delivered every barrier.
    pub fn on_end(&mut self, channel: usize) -> Decision {
        if let Some(state) = self.channels.get_mut(channel)
            && *state != State::Ended
        {
            self.waiting -= usize::from(*state == State::Waiting);
            *state = State::Ended;
            self.open -= 1;
        }
        self.settle(Decision::default())
    }

    /// The last barrier is in: nobody waits.
    fn settle(&mut self, decision: Decision) -> Decision {
        match self.current {
            Some(barrier) if self.waiting == self.open || planted!(NoAlignment) => {
                self.settled = Some(barrier.checkpoint_id);
                self.cancelled = self.cancelled.split_off(&barrier.checkpoint_id);
                self.current = None;
                let waited = self.release();
                Decision {
                    release: decision.release || waited,
                    wait: false,
                    aligned: Some(barrier),
                    declined: None,
                }
            }
            _ => decision,
        }
    }

    fn release(&mut self) -> bool {
        for state in self.channels.iter_mut().filter(|state| **state == State::Waiting) {
            *state = State::Open;
        }
        std::mem::take(&mut self.waiting) > 0
    }
}

#[cfg(test)]
#[path = "aligner_tests.rs"]
mod tests;
