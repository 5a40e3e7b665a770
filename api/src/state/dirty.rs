//! Which rows have changed since the last freeze: a bit per row, in blocks that come with the first mark in them.
//!
//! Invariant: a row is in what [`Dirty::freeze`] gives exactly if it was marked since the freeze before. One vector of all bits
//! would have to be zeroed at each freeze, and where it is large the system clears a huge page for it, for milliseconds.

/// How many rows a block has.
const BLOCK_ROWS: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 12;

type Block = Box<[u64; BLOCK_ROWS / 64]>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Dirty {
    blocks: Vec<Option<Block>>,
    /// How many blocks are there.
    held: usize,
    /// Whether any row may be marked.
    any: bool,
}

/// A row's block, word and bit.
const fn place(row: u32) -> (usize, usize, u64) {
    ((row >> BLOCK_BITS) as usize, (row as usize & (BLOCK_ROWS - 1)) / 64, 1 << (row % 64))
}

impl Dirty {
    /// Makes room for rows `0..rows`, new ones unmarked; never shrinks.
    pub fn resize(&mut self, rows: usize) {
        let blocks = rows.div_ceil(BLOCK_ROWS);
        if blocks > self.blocks.len() {
            self.blocks.resize(blocks, None);
        }
    }

    /// Marks a row, for which there must be room.
    #[inline]
    pub fn mark(&mut self, row: u32) {
        let (block, word, bit) = place(row);
        match &mut self.blocks[block] {
            Some(words) => words[word] |= bit,
            none => {
                let words = none.insert(Box::new([0; BLOCK_ROWS / 64]));
                words[word] |= bit;
                self.held += 1;
            }
        }
        self.any = true;
    }

    /// Takes a row's mark back.
    #[inline]
    pub fn unmark(&mut self, row: u32) {
        let (block, word, bit) = place(row);
        if let Some(words) = &mut self.blocks[block] {
            words[word] &= !bit;
        }
    }

    /// Whether a row is marked.
    #[must_use]
    pub fn is_marked(&self, row: u32) -> bool {
        let (block, word, bit) = place(row);
        matches!(self.blocks.get(block), Some(Some(words)) if words[word] & bit != 0)
    }

    /// The marked rows; afterwards none is.
    pub fn freeze(&mut self) -> Self {
        let none = Self { blocks: vec![None; self.blocks.len()], held: 0, any: false };
        std::mem::replace(self, none)
    }

    /// Takes all marks back, in place: to free much may make the allocator tidy up all that was freed before, for milliseconds.
    pub fn unmark_all(&mut self) {
        if self.any {
            self.blocks.iter_mut().flatten().for_each(|words| words.fill(0));
            self.any = false;
        }
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.blocks.clear();
        (self.held, self.any) = (0, false);
    }

    /// How many rows are marked.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words().map(|(_, word)| word.count_ones() as usize).sum()
    }

    /// The marked rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words().flat_map(|(number, word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(number as u32 * 64 + bit)
            })
        })
    }

    /// The words of all blocks that are there, with their numbers.
    fn words(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let blocks = self.blocks.iter().enumerate();
        blocks.filter_map(|(number, block)| Some((number, block.as_deref()?))).flat_map(|(number, words)| {
            let first = number * words.len();
            words.iter().enumerate().map(move |(at, &word)| (first + at, word))
        })
    }

    /// Bytes held.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Option<Block>>() + self.held * BLOCK_ROWS / 8
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
        dirty.resize(20_000);
        [199, 4095, 4096, 19_999].into_iter().for_each(|row| dirty.mark(row));
        assert_eq!(dirty.iter().collect::<Vec<_>>(), [199, 4095, 4096, 19_999]);
        assert_eq!(dirty.count(), 4);
        assert!(!dirty.is_marked(8192) && dirty.is_marked(4096));
    }
}
