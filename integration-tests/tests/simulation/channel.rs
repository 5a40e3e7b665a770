//! Channels between tasks: in order, whole up to where they break, and numbered, so that a gap is noticed.
//!
//! A channel whose ends run in one process never breaks; any other one does when its connection does, and what was on its way is
//! lost. Both ends learn of it, not at the same time.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use weir_api::element::Barrier;

use super::job::Record;
use super::network::Host;
use super::planted::{Bug, is_planted};
use super::world::{Happening, Life, TaskId, World};

/// What flows.
#[derive(Clone, Debug)]
pub(crate) enum Element {
    Records(Rc<[Record]>),
    Barrier(Barrier),
    End,
}

/// From which subtask to which: the job's number, the attempt, then vertex and subtask of both ends.
pub(crate) type Route = (u8, u32, (u32, u32), (u32, u32));

#[derive(Debug)]
struct Channel {
    producer: Life,
    consumer: Life,
    producing: Option<TaskId>,
    consuming: Option<(TaskId, usize)>,
    /// With the number of each.
    in_flight: VecDeque<(u64, Element)>,
    arrived: VecDeque<Element>,
    sent: u64,
    received: u64,
    last_arrival: u64,
    broken: bool,
}

/// All channels of the run.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    all: Vec<Channel>,
    by_route: BTreeMap<Route, usize>,
}

impl Channels {
    /// The channel of a route, which either end may ask for first.
    pub(crate) fn open(&mut self, route: Route, producer: Life, consumer: Life) -> usize {
        let Self { all, by_route } = self;
        *by_route.entry(route).or_insert_with(|| {
            all.push(Channel {
                producer,
                consumer,
                producing: None,
                consuming: None,
                in_flight: VecDeque::new(),
                arrived: VecDeque::new(),
                sent: 0,
                received: 0,
                last_arrival: 0,
                broken: false,
            });
            all.len() - 1
        })
    }

    pub(crate) fn produced_by(&mut self, channel: usize, task: TaskId) {
        self.all[channel].producing = Some(task);
    }

    pub(crate) fn consumed_by(&mut self, channel: usize, task: TaskId, position: usize) {
        self.all[channel].consuming = Some((task, position));
    }

    pub(crate) fn consumer(&self, channel: usize) -> Life {
        self.all[channel].consumer
    }

    pub(crate) fn ends(&self, channel: usize) -> (Life, Life) {
        (self.all[channel].producer, self.all[channel].consumer)
    }

    /// The next element that has come.
    pub(crate) fn take(&mut self, channel: usize) -> Option<Element> {
        self.all[channel].arrived.pop_front()
    }

    pub(crate) fn has_arrived(&self, channel: usize) -> bool {
        !self.all[channel].arrived.is_empty()
    }

    /// Those of the connections between two processes (in both directions), or of all of one's.
    fn between(&self, one: usize, other: Option<usize>) -> Vec<usize> {
        let joins = |channel: &Channel| {
            let (from, to) = (channel.producer.0, channel.consumer.0);
            from != to
                && match other {
                    Some(other) => (from, to) == (one, other) || (from, to) == (other, one),
                    None => from == one || to == one,
                }
        };
        (0..self.all.len()).filter(|id| !self.all[*id].broken && joins(&self.all[*id])).collect()
    }
}

impl World {
    /// A task sends something.
    pub(crate) fn send(&mut self, channel: usize, element: Element) {
        let (now, faulty) = (self.now, self.is_faulty());
        let found = &mut self.channels.all[channel];
        found.sent += 1;
        if found.broken {
            return;
        }
        let number = found.sent;
        let (from, to) = (found.producer.0, found.consumer.0);
        let mut wait = if from == to {
            self.random.below(2)
        } else {
            self.network.latency(Host::Worker(from), Host::Worker(to), now, &mut self.random)
        };
        if faulty && self.random.below(100) < self.swarm.data_delays {
            wait += self.random.below(1_500);
        }
        let found = &mut self.channels.all[channel];
        found.in_flight.push_back((number, element));
        found.last_arrival = found.last_arrival.max(now + wait);
        let wait = found.last_arrival - now;
        self.after(wait, Happening::Arrives(channel));
    }

    /// Something comes out at the other end.
    pub(crate) fn arrives(&mut self, channel: usize) {
        let found = &mut self.channels.all[channel];
        if self.workers[found.consumer.0].life() != Some(found.consumer) {
            return;
        }
        let Some((number, element)) = found.in_flight.pop_front() else { return };
        if number != found.received + 1 && !is_planted(Bug::GapInChannelIgnored) {
            let what = format!("element {} of channel {channel} is missing", found.received + 1);
            self.oracle.violated(what);
            return;
        }
        found.received = number;
        found.arrived.push_back(element);
        if let Some((task, _)) = found.consuming {
            self.run_task(task);
        }
    }

    /// The connections between two TaskManagers are reset; `silently`: nobody is told until somebody's patience ends.
    pub(crate) fn reset_connections(&mut self, one: usize, other: Option<usize>, silently: bool) {
        for channel in self.channels.between(one, other) {
            let found = &mut self.channels.all[channel];
            found.in_flight.clear();
            if is_planted(Bug::GapInChannelIgnored) {
                continue;
            }
            found.broken = true;
            for at_consumer in [false, true] {
                let wait = self.random.below(if silently { 4_000 } else { 200 });
                self.after(wait, Happening::Breaks { channel, at_consumer });
            }
        }
    }

    /// One end learns that its channel is broken.
    pub(crate) fn breaks(&mut self, channel: usize, at_consumer: bool) {
        let found = &self.channels.all[channel];
        let end = if at_consumer { found.consuming.map(|(task, _)| task) } else { found.producing };
        let Some(task) = end else { return };
        if at_consumer && self.tasks[task].as_ref().is_some_and(|task| task.has_ended(channel)) {
            // It has all that was to come.
            return;
        }
        self.fail_task(task, "the connection to another TaskManager is broken");
    }
}
