//! The consumer's side of all remote channels of one gate: who is granted what.
//!
//! Invariant per channel: `credit + held = exclusive + floating + debt`: whatever a channel has is either granted or filled.
//! Floating segments go to waiting channels in turn; a channel that gets segments back gives its floating ones up before it
//! waits again. At most one channel of a gate is in debt.

use std::collections::VecDeque;

/// Where floating segments come from and go to.
pub(crate) trait Floating {
    /// Takes up to `wanted` segments.
    fn acquire(&mut self, wanted: usize) -> usize;
    /// Takes `segments` though they aren't there.
    fn borrow(&mut self, segments: usize);
}

/// The credit of a gate's remote channels. Amounts are in segments.
#[derive(Debug)]
pub(crate) struct Receiver {
    exclusive: usize,
    channels: Vec<Channel>,
    waiting: VecDeque<usize>,
    /// Floating segments that no channel has at the moment; empty between events.
    pot: usize,
    /// Borrowed segments that have come back; empty between events.
    repaid: usize,
}

#[derive(Clone, Debug, Default)]
struct Channel {
    credit: usize,
    held: usize,
    floating: usize,
    debt: usize,
    backlog: usize,
    need: usize,
    released_frames: u64,
    waiting: bool,
    reclaiming: bool,
    ended: bool,
}

/// What the consumer has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Tell the producer of the channel.
    Grant {
        /// The channel.
        channel: usize,
        /// What is granted on top; may be 0, when only the frames count.
        segments: usize,
        /// How many of its frames have been released so far.
        released_frames: u64,
    },
    /// Ask the producer of the channel for the credit that it doesn't need.
    Reclaim {
        /// The channel.
        channel: usize,
    },
    /// Give segments back to the account of the gate.
    GiveBack(usize),
}

/// A producer that doesn't keep the rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Violation {
    #[error("a frame of {cost} segments against a credit of {credit}")]
    WithoutCredit { cost: usize, credit: usize },
    #[error("{returned} segments given back of a credit of {credit}, {floating} of them floating")]
    ReturnsTooMuch { returned: usize, credit: usize, floating: usize },
}

impl Receiver {
    /// A gate of `channels` channels with `exclusive` segments each, which have been acquired already.
    pub(crate) fn new(channels: usize, exclusive: usize) -> Self {
        let channel = Channel { credit: exclusive, ..Channel::default() };
        Self { exclusive, channels: vec![channel; channels], waiting: VecDeque::new(), pot: 0, repaid: 0 }
    }

    /// Whether a frame of `cost` segments may come.
    pub(crate) fn check(&self, channel: usize, cost: usize) -> Result<(), Violation> {
        let credit = self.channels[channel].credit;
        if cost <= credit { Ok(()) } else { Err(Violation::WithoutCredit { cost, credit }) }
    }

    /// A frame has come; the producer's demand behind it.
    pub(crate) fn on_data(
        &mut self,
        channel: usize,
        cost: usize,
        (backlog, need): (usize, usize),
        floating: &mut impl Floating,
    ) -> Result<Vec<Action>, Violation> {
        self.check(channel, cost)?;
        let state = &mut self.channels[channel];
        state.credit -= cost;
        state.held += cost;
        Ok(self.on_demand(channel, backlog, need, floating))
    }

    /// The producer tells its demand and gives `returned` segments back.
    pub(crate) fn on_backlog(
        &mut self,
        channel: usize,
        (backlog, need): (usize, usize),
        returned: usize,
        floating: &mut impl Floating,
    ) -> Result<Vec<Action>, Violation> {
        let state = &mut self.channels[channel];
        let (credit, loose) = (state.credit, state.floating + state.debt);
        if returned > credit || returned > loose {
            return Err(Violation::ReturnsTooMuch { returned, credit, floating: loose });
        }
        state.credit -= returned;
        state.reclaiming = false;
        let repaid = returned.min(state.debt);
        state.debt -= repaid;
        state.floating -= returned - repaid;
        self.pot += returned - repaid;
        self.repaid += repaid;
        Ok(self.on_demand(channel, backlog, need, floating))
    }

    fn on_demand(
        &mut self,
        channel: usize,
        backlog: usize,
        need: usize,
        floating: &mut impl Floating,
    ) -> Vec<Action> {
        let state = &mut self.channels[channel];
        (state.backlog, state.need) = (backlog, need);
        self.enqueue(channel);
        let mut actions = Vec::new();
        self.serve(floating, &mut actions);
        actions
    }

    /// The task has dropped what a frame of `cost` segments held.
    pub(crate) fn on_release(
        &mut self,
        channel: usize,
        cost: usize,
        floating: &mut impl Floating,
    ) -> Vec<Action> {
        let exclusive = self.exclusive;
        let state = &mut self.channels[channel];
        debug_assert!(state.held >= cost, "a channel releases more than it holds");
        state.held = state.held.saturating_sub(cost);
        state.released_frames += 1;
        let mut actions = Vec::new();
        let repaid = cost.min(state.debt);
        state.debt -= repaid;
        let returned = (cost - repaid).min(state.floating);
        state.floating -= returned;
        self.pot += returned;
        self.repaid += repaid;
        let kept = if state.ended { 0 } else { cost - repaid - returned };
        debug_assert!(kept <= exclusive, "exclusive segments come out of nothing");
        state.credit += kept;
        if !state.ended {
            let released_frames = state.released_frames;
            actions.push(Action::Grant { channel, segments: kept, released_frames });
        }
        self.enqueue(channel);
        self.serve(floating, &mut actions);
        actions
    }

    /// The producer will send nothing more on this channel; what is held is released as before.
    pub(crate) fn on_end(&mut self, channel: usize, floating: &mut impl Floating) -> Vec<Action> {
        let state = &mut self.channels[channel];
        if state.ended {
            return Vec::new();
        }
        state.ended = true;
        state.reclaiming = false;
        (state.backlog, state.need) = (0, 0);
        let credit = std::mem::take(&mut state.credit);
        let repaid = credit.min(state.debt);
        state.debt -= repaid;
        let returned = (credit - repaid).min(state.floating);
        state.floating -= returned;
        self.pot += returned;
        self.repaid += repaid;
        let mut actions = Vec::new();
        self.serve(floating, &mut actions);
        actions
    }

    /// Segments may be free again elsewhere.
    pub(crate) fn on_free(&mut self, floating: &mut impl Floating) -> Vec<Action> {
        let mut actions = Vec::new();
        self.serve(floating, &mut actions);
        actions
    }

    /// Whether somebody waits for segments that the gate doesn't have.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What all frames that have come and are not released cost.
    pub(crate) fn held(&self) -> usize {
        self.channels.iter().map(|channel| channel.held).sum()
    }

    fn enqueue(&mut self, channel: usize) {
        let state = &mut self.channels[channel];
        if !state.waiting && state.wants() > 0 {
            state.waiting = true;
            self.waiting.push_back(channel);
        }
    }

    /// Hands segments to waiting channels, in turn; what nobody wants goes back to the account.
    fn serve(&mut self, floating: &mut impl Floating, actions: &mut Vec<Action>) {
        self.serve_waiting(floating, actions);
        let unused = std::mem::take(&mut self.pot) + std::mem::take(&mut self.repaid);
        if unused > 0 {
            actions.push(Action::GiveBack(unused));
        }
    }

    fn serve_waiting(&mut self, floating: &mut impl Floating, actions: &mut Vec<Action>) {
        while let Some(&channel) = self.waiting.front() {
            let wanted = self.channels[channel].wants();
            if wanted > 0 {
                let granted = self.obtain(channel, wanted, floating);
                let state = &mut self.channels[channel];
                if granted > 0 {
                    state.credit += granted;
                    let released_frames = state.released_frames;
                    actions.push(Action::Grant { channel, segments: granted, released_frames });
                }
                // The least for its next record isn't there: it stays first in line.
                if state.credit < state.need.max(1) && state.backlog > 0 {
                    self.reclaim(channel, actions);
                    return;
                }
            }
            self.channels[channel].waiting = false;
            self.waiting.pop_front();
        }
    }

    /// Segments for the channel at the front of the line: from the pot, from the account, at last as debt.
    fn obtain(&mut self, channel: usize, wanted: usize, floating: &mut impl Floating) -> usize {
        let from_pot = wanted.min(self.pot);
        self.pot -= from_pot;
        let granted = from_pot + floating.acquire(wanted - from_pot);
        let state = &mut self.channels[channel];
        state.floating += granted;
        let missing = state.need.saturating_sub(state.credit + granted);
        if missing == 0 || state.held > 0 {
            return granted;
        }
        let others_will_return = self
            .channels
            .iter()
            .enumerate()
            .any(|(index, other)| index != channel && other.floating + other.debt > 0);
        if others_will_return {
            return granted;
        }
        self.channels[channel].debt += missing;
        let kept = missing.min(self.repaid);
        self.repaid -= kept;
        if missing > kept {
            floating.borrow(missing - kept);
        }
        granted + missing
    }

    /// Somebody waits: channels whose floating credit is of no use to them, because they have nothing to send or because it
    /// doesn't cover their next record, are asked for it.
    fn reclaim(&mut self, waiting: usize, actions: &mut Vec<Action>) {
        for (channel, state) in self.channels.iter_mut().enumerate() {
            let useless = state.backlog == 0 || state.credit < state.need;
            if channel != waiting
                && useless
                && state.credit > self.exclusive
                && !state.reclaiming
                && !state.ended
            {
                state.reclaiming = true;
                actions.push(Action::Reclaim { channel });
            }
        }
    }
}

impl Channel {
    /// What it could use on top of its credit.
    fn wants(&self) -> usize {
        if self.ended || self.backlog == 0 {
            return 0;
        }
        self.backlog.max(self.need).saturating_sub(self.credit)
    }
}
