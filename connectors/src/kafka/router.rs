//! Which partition a record goes to, by Flink's `sink.partitioner`.
//!
//! Pure: knows partitions by number only.

use weir_api::error::{Code, Error, Result};

use crate::options::Options;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Partitioner {
    /// By the hash of the key as Java's client computes it; a record without a key sticks to one partition for a while.
    Default,
    /// All of a subtask's records go to one partition.
    Fixed,
    /// One after the other.
    RoundRobin,
}

impl Partitioner {
    /// What a table's options say.
    pub fn of(options: &Options<'_>) -> Result<Self> {
        let given = options.required("sink.partitioner")?.trim();
        if given.contains('.') {
            return Err(Error::new(
                Code::Unsupported,
                format!(
                    "table {}: option 'sink.partitioner' = '{given}' names a Java class, which can't be loaded; 'default' hashes the key",
                    options.table().name
                ),
            ));
        }
        let words = [("default", Self::Default), ("fixed", Self::Fixed), ("round-robin", Self::RoundRobin)];
        let partitioner = options.one_of("sink.partitioner", &words)?;
        if partitioner == Self::RoundRobin && options.is_given("key.fields") {
            return Err(
                options.refuse("sink.partitioner", "'default' or 'fixed' beside the option 'key.fields'")
            );
        }
        Ok(partitioner)
    }
}

/// Rows that go to one partition before the next one's turn, where they come many at a time: small runs make small requests.
const RUN: usize = 256;

/// Routes the records of one subtask to one topic.
#[derive(Clone, Debug)]
pub struct Router {
    partitioner: Partitioner,
    partitions: i32,
    next: i32,
    /// Rows left of the run.
    left: usize,
}

impl Router {
    /// For a topic of so many partitions.
    pub fn new(partitioner: Partitioner, partitions: i32, subtask: u32) -> Self {
        let partitions = partitions.max(1);
        // Subtasks begin at different partitions, and a fixed one stays there.
        let next = i32::try_from(i64::from(subtask) % i64::from(partitions)).unwrap_or(0);
        Self { partitioner, partitions, next, left: 0 }
    }

    /// A batch begins.
    pub fn start(&mut self) {
        self.left = 0;
    }

    /// The partition of the next record; none: librdkafka hashes the key.
    pub fn route(&mut self) -> Option<i32> {
        match self.partitioner {
            Partitioner::Default => None,
            Partitioner::Fixed => Some(self.next),
            Partitioner::RoundRobin => {
                if self.left == 0 {
                    self.left = RUN;
                    self.next = (self.next + 1) % self.partitions;
                }
                self.left -= 1;
                Some(self.next)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_stays_and_round_robin_goes_round() {
        let mut fixed = Router::new(Partitioner::Fixed, 4, 6);
        assert!((0..1000).all(|_| fixed.route() == Some(2)));
        assert_eq!(Router::new(Partitioner::Default, 4, 1).route(), None);

        let mut single = Router::new(Partitioner::RoundRobin, 3, 0);
        let slow: Vec<_> = (0..6)
            .map(|_| {
                single.start();
                single.route().unwrap()
            })
            .collect();
        assert_eq!(slow, [1, 2, 0, 1, 2, 0], "row by row where rows come one at a time");

        let mut counts = [0; 3];
        let mut many = Router::new(Partitioner::RoundRobin, 3, 1);
        many.start();
        for _ in 0..3 * RUN {
            counts[usize::try_from(many.route().unwrap()).unwrap()] += 1;
        }
        assert_eq!(counts, [RUN; 3]);
    }
}
