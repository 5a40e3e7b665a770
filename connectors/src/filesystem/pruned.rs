//! A reader's splits in their order, without those whose folders' names rule out every row.

use std::collections::VecDeque;

use super::partitions::{self, Condition};
use super::split::FileSplit;

/// What to do with the next split; the number is its position in the reader's list.
pub enum Next {
    /// Read it.
    Read(usize, FileSplit),
    /// None of its rows is wanted: it ends at once.
    PassOver(usize),
}

/// See the module.
pub struct Splits {
    waiting: VecDeque<FileSplit>,
    next: usize,
    conditions: Vec<Condition>,
    default_name: String,
}

impl Splits {
    /// `splits`, of which those that all `conditions` hold for are read.
    #[must_use]
    pub fn new(splits: Vec<FileSplit>, conditions: Vec<Condition>, default_name: &str) -> Self {
        Self { waiting: splits.into(), next: 0, conditions, default_name: default_name.to_owned() }
    }

    /// More, behind those that there are.
    pub fn add(&mut self, splits: Vec<FileSplit>) {
        self.waiting.extend(splits);
    }

    /// The next one; `None` when there is none left.
    pub fn next(&mut self) -> Option<Next> {
        let split = self.waiting.pop_front()?;
        let position = self.next;
        self.next += 1;
        let wanted = self.conditions.iter().all(|condition| {
            // A path without the key is read: that it lacks it is an error.
            partitions::value(&split.file.path, &condition.key, &self.default_name)
                .is_none_or(|value| condition.holds(value.as_deref()))
        });
        Some(if wanted { Next::Read(position, split) } else { Next::PassOver(position) })
    }
}
