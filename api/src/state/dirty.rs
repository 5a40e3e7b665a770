//! Which rows have changed since the last freeze: a bit per row.
//!
//! Invariant: a row is in what [`Dirty::freeze`] gives exactly if it was marked since the freeze before.

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Dirty {
    words: Vec<u64>,
    rows: usize,
    /// Whether any row may be marked.
    any: bool,
}

impl Dirty {
    /// Makes room for rows `0..rows`, new ones unmarked; never shrinks.
    pub fn resize(&mut self, rows: usize) {
        self.rows = rows.max(self.rows);
        let words = self.rows.div_ceil(64);
        if words > self.words.len() {
            self.words.resize(words, 0);
        }
    }

    /// Marks a row, for which there must be room.
    #[inline]
    pub fn mark(&mut self, row: u32) {
        self.words[row as usize / 64] |= 1 << (row % 64);
        self.any = true;
    }

    /// Takes a row's mark back.
    #[inline]
    pub fn unmark(&mut self, row: u32) {
        self.words[row as usize / 64] &= !(1 << (row % 64));
    }

    /// Whether a row is marked.
    #[must_use]
    pub fn is_marked(&self, row: u32) -> bool {
        self.words.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// The marked rows; afterwards none is.
    pub fn freeze(&mut self) -> Self {
        // A large vector of zeros comes from the system as such: nothing is written here.
        let none = Self { words: vec![0; self.words.len()], rows: self.rows, any: false };
        std::mem::replace(self, none)
    }

    /// Takes all marks back, in place: to free a large vector may make the allocator tidy up all that was freed before, for
    /// milliseconds.
    pub fn unmark_all(&mut self) {
        if self.any {
            self.words.fill(0);
            self.any = false;
        }
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.words.clear();
        self.rows = 0;
        self.any = false;
    }

    /// How many rows are marked.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The marked rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(number, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(number as u32 * 64 + bit)
            })
        })
    }

    /// Bytes held.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_once() {
        let mut dirty = Dirty::default();
        dirty.resize(130);
        [0, 5, 63, 64, 129, 5].into_iter().for_each(|row| dirty.mark(row));
        let frozen = dirty.freeze();
        assert_eq!(frozen.iter().collect::<Vec<_>>(), [0, 5, 63, 64, 129]);
        assert_eq!(frozen.count(), 5);
        assert!(frozen.is_marked(64) && !frozen.is_marked(65) && !frozen.is_marked(1000));
        assert_eq!(dirty.count(), 0);
        dirty.mark(3);
        dirty.unmark_all();
        assert_eq!(dirty.count(), 0);
        dirty.resize(200);
        dirty.mark(199);
        assert_eq!(dirty.iter().collect::<Vec<_>>(), [199]);
    }
}
