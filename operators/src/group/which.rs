//! Which groups are read: a range, or single ones.

use std::ops::Range;

/// See the module. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    Range { start: usize, end: usize },
    Each(&'a [u32]),
}

impl From<Range<usize>> for Which<'_> {
    fn from(range: Range<usize>) -> Self {
        Self::Range { start: range.start, end: range.end }
    }
}

impl<'a> Which<'a> {
    /// How many.
    pub(crate) const fn len(self) -> usize {
        match self {
            Self::Range { start, end } => end - start,
            Self::Each(groups) => groups.len(),
        }
    }

    /// Their numbers, in order.
    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = usize> + Clone + use<'a> {
        (0..self.len()).map(move |row| match self {
            Self::Range { start, .. } => start + row,
            Self::Each(groups) => groups[row] as usize,
        })
    }

    /// What stands at their places.
    pub(crate) fn of<T: Copy>(self, values: &[T]) -> Vec<T> {
        match self {
            Self::Range { start, end } => values[start..end].to_vec(),
            Self::Each(groups) => groups.iter().map(|&group| values[group as usize]).collect(),
        }
    }
}
