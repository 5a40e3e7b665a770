//! Both sides of many channels against each other, over links that delay: nothing is sent without credit, no gate holds more
//! than its account, everything arrives.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::receiver::{Action, Floating, Receiver};
use super::sender::{Decision, Demand, Head, Sender};

/// A pool that several gates share; each gate has one segment of its own.
struct Pool {
    free: usize,
}

struct Share<'a> {
    pool: &'a mut Pool,
    floating: &'a mut usize,
    debt: &'a mut usize,
    limit: usize,
}

impl Floating for Share<'_> {
    fn acquire(&mut self, wanted: usize) -> usize {
        let wanted = wanted.min(self.limit.saturating_sub(*self.floating));
        let own = usize::from(*self.floating == 0).min(wanted);
        let taken = own + (wanted - own).min(self.pool.free);
        self.pool.free -= taken - own;
        *self.floating += taken;
        taken
    }

    fn borrow(&mut self, segments: usize) {
        *self.debt += segments;
        assert!(*self.debt <= 600, "more than one debt in one gate");
    }
}

enum Down {
    Data { cost: usize, records: Vec<u32>, demand: Demand },
    Backlog { demand: Demand, returned: usize },
}

enum Up {
    Grant(usize, u64),
    Reclaim,
}

struct Channel {
    sender: Sender,
    /// Records to send: cost each in thousandths of a segment.
    records: VecDeque<u32>,
    down: VecDeque<Down>,
    up: VecDeque<Up>,
    inbox: VecDeque<(usize, Vec<u32>)>,
    received: usize,
    peak_cost: usize,
}

struct Gate {
    receiver: Receiver,
    channels: Vec<Channel>,
    floating: usize,
    debt: usize,
    limit: usize,
    exclusive: usize,
    turn: usize,
}

fn segments(records: impl IntoIterator<Item = u32>) -> usize {
    (records.into_iter().map(|record| record as usize).sum::<usize>()).div_ceil(1000).max(1)
}

impl Gate {
    fn new(records: &[Vec<u32>], exclusive: usize, limit: usize) -> Self {
        let channels = records
            .iter()
            .map(|records| Channel {
                sender: Sender::new(exclusive, 8),
                records: records.iter().copied().collect(),
                down: VecDeque::new(),
                up: VecDeque::new(),
                inbox: VecDeque::new(),
                received: 0,
                peak_cost: 0,
            })
            .collect();
        Self {
            receiver: Receiver::new(records.len(), exclusive),
            channels,
            floating: 0,
            debt: 0,
            limit,
            exclusive,
            turn: 0,
        }
    }

    fn apply(&mut self, pool: &mut Pool, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Grant { channel, segments, released_frames } => {
                    self.channels[channel].up.push_back(Up::Grant(segments, released_frames));
                }
                Action::Reclaim { channel } => self.channels[channel].up.push_back(Up::Reclaim),
                Action::GiveBack(mut segments) => {
                    let repaid = segments.min(self.debt);
                    self.debt -= repaid;
                    segments -= repaid;
                    let own = usize::from(segments == self.floating).min(segments);
                    pool.free += segments - own;
                    self.floating -= segments;
                }
            }
        }
        let held = self.receiver.held();
        let bound = self.exclusive * self.channels.len() + self.floating + self.debt;
        assert!(held <= bound, "{held} segments held of {bound}");
        assert!(self.floating <= self.limit.max(1));
    }

    fn share<'a>(
        pool: &'a mut Pool,
        floating: &'a mut usize,
        debt: &'a mut usize,
        limit: usize,
    ) -> Share<'a> {
        Share { pool, floating, debt, limit }
    }

    fn with<R>(&mut self, pool: &mut Pool, call: impl FnOnce(&mut Receiver, &mut Share<'_>) -> R) -> R {
        let mut share = Self::share(pool, &mut self.floating, &mut self.debt, self.limit);
        call(&mut self.receiver, &mut share)
    }

    /// One step of one kind for one channel; whether anything happened.
    fn step(&mut self, pool: &mut Pool, channel: usize, kind: u8) -> bool {
        match kind % 4 {
            0 => self.send(channel),
            1 => self.receive_up(channel),
            2 => self.receive_down(pool, channel),
            _ => self.consume(pool),
        }
    }

    fn send(&mut self, channel: usize) -> bool {
        let channel = &mut self.channels[channel];
        let Some(&first) = channel.records.front() else {
            return false;
        };
        // Batches of up to 50 records.
        let batch: Vec<u32> = channel.records.iter().copied().take(50).collect();
        let queued = segments(channel.records.iter().copied());
        let head = Head { whole: segments(batch.iter().copied()), first: segments([first]), queued };
        match channel.sender.next(head) {
            Decision::Send(room) => {
                let mut count = batch.len();
                while count > 1 && segments(batch[..count].iter().copied()) > room {
                    count -= 1;
                }
                let sent: Vec<u32> = channel.records.drain(..count).collect();
                let cost = segments(sent.iter().copied());
                let queued =
                    if channel.records.is_empty() { 0 } else { segments(channel.records.iter().copied()) };
                let first = channel.records.front().map_or(0, |&record| segments([record]));
                let demand = channel.sender.demand(queued, first);
                assert!(channel.sender.sent(cost, demand), "sent without credit");
                channel.down.push_back(Down::Data { cost, records: sent, demand });
                true
            }
            Decision::Announce(demand) => {
                channel.sender.announced(demand);
                channel.down.push_back(Down::Backlog { demand, returned: 0 });
                true
            }
            Decision::Wait => false,
        }
    }

    fn receive_up(&mut self, channel: usize) -> bool {
        let channel = &mut self.channels[channel];
        match channel.up.pop_front() {
            Some(Up::Grant(segments, released)) => assert!(channel.sender.granted(segments, released)),
            Some(Up::Reclaim) => {
                let queued =
                    if channel.records.is_empty() { 0 } else { segments(channel.records.iter().copied()) };
                let first = channel.records.front().map_or(0, |&record| segments([record]));
                let returned = channel.sender.reclaimed(queued, first);
                let demand = channel.sender.demand(queued, first);
                channel.sender.announced(demand);
                channel.down.push_back(Down::Backlog { demand, returned });
            }
            None => return false,
        }
        true
    }

    fn receive_down(&mut self, pool: &mut Pool, channel: usize) -> bool {
        let Some(message) = self.channels[channel].down.pop_front() else {
            return false;
        };
        let actions = match message {
            Down::Data { cost, records, demand } => {
                let state = &mut self.channels[channel];
                state.peak_cost = state.peak_cost.max(cost);
                state.inbox.push_back((cost, records));
                let demand = (demand.backlog, demand.need);
                self.with(pool, |receiver, share| receiver.on_data(channel, cost, demand, share)).unwrap()
            }
            Down::Backlog { demand, returned } => {
                let demand = (demand.backlog, demand.need);
                self.with(pool, |receiver, share| receiver.on_backlog(channel, demand, returned, share))
                    .unwrap()
            }
        };
        self.apply(pool, actions);
        true
    }

    /// The task takes the next frame, channels in turn, and drops it.
    fn consume(&mut self, pool: &mut Pool) -> bool {
        for offset in 0..self.channels.len() {
            let channel = (self.turn + offset) % self.channels.len();
            if let Some((cost, records)) = self.channels[channel].inbox.pop_front() {
                self.turn = channel + 1;
                self.channels[channel].received += records.len();
                let actions = self.with(pool, |receiver, share| receiver.on_release(channel, cost, share));
                self.apply(pool, actions);
                return true;
            }
        }
        false
    }

    fn free(&mut self, pool: &mut Pool) -> bool {
        if !self.receiver.is_waiting() {
            return false;
        }
        let actions = self.with(pool, |receiver, share| receiver.on_free(share));
        let moved = !actions.is_empty();
        self.apply(pool, actions);
        moved
    }
}

/// Runs random steps, then whatever is possible, until nothing moves.
fn run(gates: &mut [Gate], pool: &mut Pool, steps: &[(u8, u8, u8)]) {
    for &(gate, channel, kind) in steps {
        let gate = gate as usize % gates.len();
        let channel = channel as usize % gates[gate].channels.len();
        gates[gate].step(pool, channel, kind);
    }
    loop {
        let mut moved = false;
        for gate in gates.iter_mut() {
            for channel in 0..gate.channels.len() {
                for kind in 0..4 {
                    moved |= gate.step(pool, channel, kind);
                }
            }
            moved |= gate.free(pool);
        }
        if !moved {
            break;
        }
    }
}

fn assert_all_arrived(gates: &[Gate], expected: &[Vec<Vec<u32>>]) {
    for (gate, expected) in gates.iter().zip(expected) {
        for (channel, records) in gate.channels.iter().zip(expected) {
            assert_eq!(channel.received, records.len(), "a channel starves: {:?}", gate.receiver);
        }
        assert_eq!(gate.receiver.held(), 0);
        assert_eq!(gate.debt, 0, "the debt is repaid");
    }
}

/// Mostly small records, some of several segments, a few larger than any window.
fn record() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 1_u32..200, 3 => 200_u32..9_000, 1 => 9_000_u32..600_000]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_record_arrives_and_nothing_is_sent_without_credit(
        records in prop::collection::vec(prop::collection::vec(prop::collection::vec(record(), 0..120), 1..6), 1..4),
        exclusive in 0_usize..3,
        limit in 1_usize..9,
        free in 0_usize..12,
        steps in prop::collection::vec(any::<(u8, u8, u8)>(), 0..600),
    ) {
        let mut pool = Pool { free };
        let mut gates: Vec<Gate> = records.iter().map(|records| Gate::new(records, exclusive, limit)).collect();
        run(&mut gates, &mut pool, &steps);
        assert_all_arrived(&gates, &records);
    }
}

#[test]
fn a_window_of_one_buffer_passes_a_record_of_16_mebibytes() {
    for exclusive in [0, 1] {
        let records = vec![vec![10, 512_000, 10, 512_000, 512_000, 3]];
        let mut pool = Pool { free: 0 };
        let mut gates = vec![Gate::new(&records, exclusive, 1)];
        run(&mut gates, &mut pool, &[]);
        assert_all_arrived(&gates, &[records]);
        assert_eq!(gates[0].channels[0].peak_cost, 512);
    }
}

#[test]
fn many_gates_of_many_channels_share_a_pool_too_small_for_exclusive_buffers() {
    let records: Vec<Vec<u32>> = (0..128).map(|channel| vec![40 + channel; 60]).collect();
    let expected = vec![records; 128];
    let mut pool = Pool { free: 256 };
    let mut gates: Vec<Gate> = expected.iter().map(|records| Gate::new(records, 0, 8)).collect();
    run(&mut gates, &mut pool, &[]);
    assert_all_arrived(&gates, &expected);
}

#[test]
fn a_grant_that_was_overtaken_says_nothing_new() {
    let mut sender = Sender::new(4, 2);
    for _ in 0..2 {
        assert!(sender.sent(1, Demand::default()));
    }
    assert!(sender.granted(1, 2));
    assert!(sender.granted(1, 1), "batches are dropped on several threads");
    assert_eq!((sender.in_flight(), sender.credit()), (0, 4));
    assert!(!sender.granted(0, 3), "more than was ever sent");
}
