//! A reader's splits in their order, without those that have been read before and those whose folders' names rule out every row.

use std::collections::VecDeque;

use weir_api::source::SplitProgress;

use super::partitions::{self, Condition};
use super::split::{FileSplit, Given};

/// What to do with the next split; the number is its position in the reader's list.
pub enum Next {
    /// Read it, from this position on if there is one.
    Read(usize, FileSplit, Option<u64>),
    /// None of its rows is wanted any more: it ends at once.
    PassOver(usize),
}

/// See the module.
pub struct Splits {
    waiting: VecDeque<Given>,
    next: usize,
    conditions: Vec<Condition>,
    default_name: String,
}

impl Splits {
    /// `splits`, of which those that all `conditions` hold for are read.
    #[must_use]
    pub fn new(splits: Vec<Given>, conditions: Vec<Condition>, default_name: &str) -> Self {
        Self { waiting: splits.into(), next: 0, conditions, default_name: default_name.to_owned() }
    }

    /// More, behind those that there are.
    pub fn add(&mut self, splits: Vec<Given>) {
        self.waiting.extend(splits);
    }

    /// The next one; `None` when there is none left.
    pub fn next(&mut self) -> Option<Next> {
        let Given { split, progress } = self.waiting.pop_front()?;
        let index = self.next;
        self.next += 1;
        let from = match progress {
            SplitProgress::Fresh => None,
            SplitProgress::At(position) => Some(position),
            SplitProgress::Ended => return Some(Next::PassOver(index)),
        };
        let wanted = self.conditions.iter().all(|condition| {
            // A path without the key is read: that it lacks it is an error.
            partitions::value(&split.file.path, &condition.key, &self.default_name)
                .is_none_or(|value| condition.holds(value.as_deref()))
        });
        Some(if wanted { Next::Read(index, split, from) } else { Next::PassOver(index) })
    }
}
