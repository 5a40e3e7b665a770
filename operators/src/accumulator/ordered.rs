//! Rows of groups put in the order of their groups: what was kept in the order of arrival is read group by group.
//!
//! Invariant: rows of one group stay in the order in which they came.

use crate::group::Which;

/// The rows of each group.
#[derive(Default)]
pub(super) struct Ordered<T> {
    /// Where each group's rows start; one more than there are groups.
    starts: Vec<usize>,
    rows: Vec<T>,
}

impl<T: Copy + Default> Ordered<T> {
    /// Rows with their groups; read twice, to be counted and to be placed.
    pub(super) fn new(groups: usize, rows: impl Iterator<Item = (u32, T)> + Clone) -> Self {
        let mut starts = vec![0; groups + 1];
        let mut count = 0;
        for (group, _) in rows.clone() {
            starts[group as usize + 1] += 1;
            count += 1;
        }
        for group in 0..groups {
            starts[group + 1] += starts[group];
        }
        let mut next = starts.clone();
        let mut ordered = vec![T::default(); count];
        for (group, row) in rows {
            let place = &mut next[group as usize];
            ordered[*place] = row;
            *place += 1;
        }
        Self { starts, rows: ordered }
    }

    /// The rows of some groups, group by group.
    pub(super) fn rows(&self, groups: Which) -> Vec<T> {
        if let Which::Range { start, end } = groups {
            return self.rows[self.starts[start]..self.starts[end]].to_vec();
        }
        let mut rows = Vec::with_capacity(self.lengths(groups).sum());
        for group in groups.iter() {
            rows.extend_from_slice(&self.rows[self.starts[group]..self.starts[group + 1]]);
        }
        rows
    }

    /// How many rows each of these groups has.
    pub(super) fn lengths(&self, groups: Which) -> impl Iterator<Item = usize> {
        groups.iter().map(|group| self.starts[group + 1] - self.starts[group])
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.starts.capacity() * size_of::<usize>() + self.rows.capacity() * size_of::<T>()
    }
}
