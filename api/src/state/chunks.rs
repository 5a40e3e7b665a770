//! Rows that a barrier shares instead of copying them: chunks of [`CHUNK_ROWS`] values, copied at their first change after it.
//!
//! [`Chunks::freeze`] moves the pointers to all chunks into a layer that the frozen part and the live part share; a change finds
//! no chunk of its own and copies that one. When the frozen part is gone, the layer's chunks are moved back, and those that were
//! copied meanwhile wait for the next copies: to free and to allocate as much as had changed takes milliseconds. So a freeze costs
//! a pointer per chunk (some microseconds per 100 MB), whatever was written before, and what comes after it pays one chunk for
//! each that it touches. Invariants: a frozen part reads what the rows were when it was taken; no more chunks wait than have
//! changed at the same time before. Knows no keys and no key groups.

use std::ops::Range;
use std::sync::Arc;

/// How many rows a chunk has.
pub const CHUNK_ROWS: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 12;
/// How many chunks a freeze frees at most.
const FREED_AT_ONCE: usize = 64;

type Chunk<T> = Box<[T; CHUNK_ROWS]>;

/// See the module.
#[derive(Debug)]
pub struct Chunks<T> {
    /// Chunks that may be changed; `None` where the one in `shared` holds.
    own: Vec<Option<Chunk<T>>>,
    shared: Option<Arc<Layer<T>>>,
    /// How many of the own chunks are there.
    owned: usize,
    /// Chunks whose values are of no use any more, for the next copies.
    spare: Vec<Chunk<T>>,
    /// How many were copied since the last freeze.
    copied: usize,
    len: usize,
}

/// The chunks that had changed between two freezes, over those from before.
#[derive(Debug)]
struct Layer<T> {
    chunks: Vec<Option<Chunk<T>>>,
    /// How many chunks this layer and those below hold.
    held: usize,
    below: Option<Arc<Layer<T>>>,
}

impl<T> Layer<T> {
    fn chunk(&self, number: usize) -> Option<&Chunk<T>> {
        let mut layer = self;
        loop {
            if let Some(Some(chunk)) = layer.chunks.get(number) {
                return Some(chunk);
            }
            layer = layer.below.as_deref()?;
        }
    }
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { own: Vec::new(), shared: None, owned: 0, spare: Vec::new(), copied: 0, len: 0 }
    }
}

const fn place(row: usize) -> (usize, usize) {
    (row >> CHUNK_BITS, row & (CHUNK_ROWS - 1))
}

fn new_chunk<T: Copy + Default>() -> Chunk<T> {
    let values = vec![T::default(); CHUNK_ROWS].into_boxed_slice();
    // Made on the heap: an array of this size has no place on a stack. Its length is right.
    values.try_into().unwrap_or_else(|_| Box::new([T::default(); CHUNK_ROWS]))
}

impl<T: Copy + Default> Chunks<T> {
    /// How many rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes room for rows `0..rows`, new ones with the default value; never shrinks.
    pub fn resize(&mut self, rows: usize) {
        let chunks = rows.div_ceil(CHUNK_ROWS);
        if chunks > self.own.len() {
            self.owned += chunks - self.own.len();
            self.own.resize_with(chunks, || Some(new_chunk()));
        }
        self.len = rows.max(self.len);
    }

    /// Adds a row.
    pub fn push(&mut self, value: T) {
        let row = self.len;
        self.resize(row + 1);
        *self.slot(row) = value;
    }

    /// The value of a row; there must be one.
    #[inline]
    #[must_use]
    pub fn get(&self, row: usize) -> T {
        let (chunk, offset) = place(row);
        match &self.own[chunk] {
            Some(values) => values[offset],
            None => self.shared_value(chunk, offset),
        }
    }

    #[cold]
    fn shared_value(&self, chunk: usize, offset: usize) -> T {
        self.shared
            .as_ref()
            .and_then(|layer| layer.chunk(chunk))
            .map_or_else(T::default, |values| values[offset])
    }

    /// The place of a row, for a change; the row must be there.
    #[inline]
    pub fn slot(&mut self, row: usize) -> &mut T {
        let (chunk, offset) = place(row);
        if self.own[chunk].is_none() {
            self.copy(chunk);
        }
        &mut self.own[chunk].get_or_insert_with(new_chunk)[offset]
    }

    /// Copies a shared chunk.
    #[cold]
    fn copy(&mut self, chunk: usize) {
        let mut copy = self.spare.pop().unwrap_or_else(new_chunk);
        match self.shared.as_ref().and_then(|layer| layer.chunk(chunk)) {
            Some(values) => copy.copy_from_slice(values.as_slice()),
            None => copy.fill(T::default()),
        }
        self.own[chunk] = Some(copy);
        self.owned += 1;
        self.copied += 1;
    }

    /// The rows as they are now, shared until they change.
    pub fn freeze(&mut self) -> FrozenChunks<T> {
        self.settle();
        // What the next copies need is what the last ones did; a few more go each time.
        let wanted = self.spare.len().saturating_sub(FREED_AT_ONCE).max(std::mem::take(&mut self.copied));
        self.spare.truncate(wanted);
        let chunks = std::iter::repeat_with(|| None).take(self.own.len()).collect();
        let chunks = std::mem::replace(&mut self.own, chunks);
        let held = self.held();
        self.owned = 0;
        let layer = Arc::new(Layer { chunks, held, below: self.shared.take() });
        self.shared = Some(Arc::clone(&layer));
        FrozenChunks { layer, len: self.len }
    }

    /// Takes back what no frozen part shares any more. Costs nothing unless one has gone since; called now and then, it keeps the
    /// layers few.
    pub fn settle(&mut self) {
        while let Some(shared) = self.shared.take() {
            match Arc::try_unwrap(shared) {
                Ok(layer) => {
                    for (own, chunk) in self.own.iter_mut().zip(layer.chunks) {
                        if own.is_none() {
                            self.owned += usize::from(chunk.is_some());
                            *own = chunk;
                        } else {
                            self.spare.extend(chunk);
                        }
                    }
                    self.shared = layer.below;
                }
                Err(shared) => {
                    self.shared = Some(shared);
                    return;
                }
            }
        }
    }

    /// Appends the values of some rows.
    pub fn gather(&self, rows: &[u32], out: &mut Vec<T>) {
        out.extend(rows.iter().map(|&row| self.get(row as usize)));
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many chunks are there, shared ones included.
    fn held(&self) -> usize {
        self.owned + self.shared.as_ref().map_or(0, |shared| shared.held)
    }

    /// Bytes held, shared and spare ones included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        (self.held() + self.spare.len()) * CHUNK_ROWS * size_of::<T>()
            + self.own.capacity() * size_of::<Option<Chunk<T>>>()
    }
}

/// Rows as they were at a freeze.
#[derive(Debug)]
pub struct FrozenChunks<T> {
    layer: Arc<Layer<T>>,
    len: usize,
}

impl<T> Clone for FrozenChunks<T> {
    fn clone(&self) -> Self {
        Self { layer: Arc::clone(&self.layer), len: self.len }
    }
}

impl<T: Copy + Default> FrozenChunks<T> {
    /// How many rows there were.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there was no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a row below [`FrozenChunks::len`].
    #[must_use]
    pub fn get(&self, row: usize) -> T {
        let (chunk, offset) = place(row);
        self.layer.chunk(chunk).map_or_else(T::default, |values| values[offset])
    }

    /// The values of some rows.
    #[must_use]
    pub fn gather(&self, rows: &[u32]) -> Vec<T> {
        rows.iter().map(|&row| self.get(row as usize)).collect()
    }

    /// Appends the values of a range of rows.
    pub fn extend(&self, rows: Range<usize>, out: &mut Vec<T>) {
        let mut row = rows.start;
        while row < rows.end {
            let (chunk, offset) = place(row);
            let end = (offset + rows.end - row).min(CHUNK_ROWS);
            match self.layer.chunk(chunk) {
                Some(values) => out.extend_from_slice(&values[offset..end]),
                None => out.resize(out.len() + end - offset, T::default()),
            }
            row += end - offset;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Resize(usize),
        Write(usize, i64),
        Freeze,
        /// One of those held.
        Forget(usize),
        Settle,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let rows = 3 * CHUNK_ROWS + 5;
        prop_oneof![
            1 => (0..rows).prop_map(Step::Resize),
            8 => (0..rows, any::<i64>()).prop_map(|(row, value)| Step::Write(row, value)),
            2 => Just(Step::Freeze),
            2 => any::<usize>().prop_map(Step::Forget),
            1 => Just(Step::Settle),
        ]
    }

    fn check(frozen: &FrozenChunks<i64>, model: &[i64]) {
        let mut all = Vec::new();
        frozen.extend(0..frozen.len(), &mut all);
        assert!(all == model, "a frozen part differs from the rows at its freeze");
        for row in (0..model.len()).step_by(257) {
            assert_eq!(frozen.get(row), model[row]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_frozen_part_stays_as_it_was(steps in proptest::collection::vec(any_step(), 1..60)) {
            let mut chunks = Chunks::default();
            let mut model: Vec<i64> = Vec::new();
            let mut held: Vec<(FrozenChunks<i64>, Vec<i64>)> = Vec::new();
            for step in steps {
                match step {
                    Step::Resize(rows) => {
                        chunks.resize(rows);
                        model.resize(rows.max(model.len()), 0);
                    }
                    Step::Write(row, value) if !model.is_empty() => {
                        let row = row % model.len();
                        model[row] = value;
                        *chunks.slot(row) = value;
                    }
                    Step::Write(_, value) => {
                        chunks.push(value);
                        model.push(value);
                    }
                    Step::Freeze => held.push((chunks.freeze(), model.clone())),
                    Step::Forget(number) if !held.is_empty() => {
                        let number = number % held.len();
                        let (frozen, then) = held.swap_remove(number);
                        check(&frozen, &then);
                    }
                    Step::Forget(_) => {}
                    Step::Settle => chunks.settle(),
                }
                prop_assert_eq!(chunks.len(), model.len());
            }
            for (frozen, then) in held {
                check(&frozen, &then);
            }
            let rows: Vec<u32> = (0..model.len() as u32).collect();
            let mut all = Vec::new();
            chunks.gather(&rows, &mut all);
            prop_assert!(all == model);
        }
    }

    #[test]
    fn what_nobody_shares_is_taken_back() {
        let mut chunks = Chunks::default();
        chunks.resize(200 * CHUNK_ROWS);
        let whole = chunks.size_bytes();
        let chunk = CHUNK_ROWS * size_of::<i64>();
        for round in 0..5 {
            let frozen = chunks.freeze();
            *chunks.slot(round) = 7_i64;
            assert!(chunks.size_bytes() > whole, "one chunk is there twice");
            drop(frozen);
            chunks.settle();
            assert!(chunks.size_bytes() <= whole + chunk, "one chunk waits for the next copy");
        }
        let frozen = chunks.freeze();
        (0..200).for_each(|number| *chunks.slot(number * CHUNK_ROWS) = 7);
        let twice = chunks.size_bytes();
        drop(frozen);
        for freezes in 0..5 {
            chunks.settle();
            let most =
                twice.min(whole + (200_usize.saturating_sub(freezes.max(1) * FREED_AT_ONCE) + 64) * chunk);
            assert!(chunks.size_bytes() <= most, "{freezes}: {} of {twice}", chunks.size_bytes());
            drop(chunks.freeze());
        }
        chunks.settle();
        assert_eq!(chunks.size_bytes(), whole);
    }
}
