//! The producer's side of one channel: may the next frame go, and how large.
//!
//! Invariant: what was sent never exceeds what was granted. Small windows are used as they are: as long as frames are under way
//! more credit will come, so a frame smaller than wanted goes only when nothing is.

/// What the producer knows of one channel's credit. Amounts are in segments.
#[derive(Debug)]
pub(crate) struct Sender {
    /// What the consumer always grants; not returned when asked for.
    exclusive: usize,
    frame: usize,
    credit: usize,
    sent_frames: u64,
    released_frames: u64,
    told: Demand,
}

/// What a producer tells its consumer. Amounts are in segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Demand {
    /// What is queued, up to what is worth knowing.
    pub(crate) backlog: usize,
    /// The least that the next frame takes: its first record.
    pub(crate) need: usize,
}

/// What can be done for the batch at the head of the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    /// Send as many of its rows as fit into this many segments.
    Send(usize),
    /// Tell the consumer what is waiting.
    Announce(Demand),
    /// The consumer knows: credit will come.
    Wait,
}

/// The batch at the head of the queue, and what is behind it. Amounts are in segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// The whole batch.
    pub(crate) whole: usize,
    /// Its first record alone.
    pub(crate) first: usize,
    /// Everything queued, this batch included.
    pub(crate) queued: usize,
}

impl Sender {
    /// A channel with an initial credit of `exclusive`; frames aim at `frame` segments.
    pub(crate) fn new(exclusive: usize, frame: usize) -> Self {
        Self {
            exclusive,
            frame: frame.max(1),
            credit: exclusive,
            sent_frames: 0,
            released_frames: 0,
            told: Demand::default(),
        }
    }

    /// What to do about the head of the queue.
    pub(crate) fn next(&self, head: Head) -> Decision {
        let wanted = head.whole.min(self.frame).max(head.first);
        if self.credit >= wanted {
            return Decision::Send(wanted);
        }
        if self.in_flight() == 0 && self.credit >= head.first {
            return Decision::Send(self.credit);
        }
        let demand = self.demand(head.queued, head.first);
        if demand.backlog > self.told.backlog || demand.need > self.told.need {
            return Decision::Announce(demand);
        }
        Decision::Wait
    }

    /// What the consumer should know about a queue of `queued` segments whose first record takes `first`.
    pub(crate) fn demand(&self, queued: usize, first: usize) -> Demand {
        Demand { backlog: queued.min(2 * self.frame), need: first }
    }

    /// A frame of `cost` segments goes out and tells `demand`. False if the credit doesn't cover it: it must not go.
    #[must_use]
    pub(crate) fn sent(&mut self, cost: usize, demand: Demand) -> bool {
        let Some(credit) = self.credit.checked_sub(cost) else {
            return false;
        };
        self.credit = credit;
        self.sent_frames += 1;
        self.told = demand;
        true
    }

    /// An announcement goes out.
    pub(crate) const fn announced(&mut self, demand: Demand) {
        self.told = demand;
    }

    /// The consumer grants `segments` and has released `released_frames` frames so far. False if that can't be.
    ///
    /// Batches are dropped on several threads, so a grant may overtake an earlier one: a smaller count says nothing new.
    #[must_use]
    pub(crate) fn granted(&mut self, segments: usize, released_frames: u64) -> bool {
        let valid = released_frames <= self.sent_frames;
        self.released_frames = self.released_frames.max(released_frames);
        self.credit = self.credit.saturating_add(segments);
        valid && self.credit <= u32::MAX as usize
    }

    /// The consumer asks for what isn't needed: what to give back with a queue of `queued` segments whose first record takes
    /// `first`, as others wait.
    pub(crate) fn reclaimed(&mut self, queued: usize, first: usize) -> usize {
        let useful = if self.credit < first { 0 } else { queued };
        let keep = self.exclusive.max(useful);
        let returned = self.credit.saturating_sub(keep);
        self.credit -= returned;
        returned
    }

    pub(crate) const fn credit(&self) -> usize {
        self.credit
    }

    /// Frames that the consumer still holds.
    pub(crate) const fn in_flight(&self) -> u64 {
        self.sent_frames - self.released_frames
    }
}
