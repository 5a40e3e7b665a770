//! Text columns built without a call per row: short texts are copied at a fixed width and cut back.
//!
//! A copy of a length that the compiler knows is a few vector moves; one of an unknown length is a call to `memcpy`.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use weir_api::error::Result;

use crate::random::{Lane, scale};

/// A text column that grows.
pub struct Texts {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Texts {
    /// Room for `rows` of about `average` bytes.
    #[must_use]
    pub fn with_capacity(rows: usize, average: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, bytes: Vec::with_capacity(rows * average + WIDE) }
    }

    /// Ends the row.
    #[inline]
    pub fn end(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
    }

    /// Empty rows.
    pub fn empty(&mut self, rows: usize) {
        self.offsets.resize(self.offsets.len() + rows, self.bytes.len() as i32);
    }

    /// Adds to the row.
    #[inline]
    pub fn extend(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
    }

    /// Adds the first `len` bytes of `text` to the row.
    #[inline]
    pub fn extend_fixed<const N: usize>(&mut self, text: &[u8; N], len: usize) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        self.bytes.truncate(start + len);
    }

    /// Adds `len` letters, each from `lane` at `n`, to the row; with `spaces` one in 13 is a space, but not at the ends.
    pub fn extend_letters(&mut self, lane: Lane, n: u64, len: usize, spaces: bool) {
        let mut bits = 0;
        for position in 0..len {
            // Eight letters from one number: 8 bits each, near enough to uniform over 26.
            if position % 8 == 0 {
                bits = lane.part(position as u64).bits(n);
            }
            let byte = (bits & 0xFF) as usize;
            bits >>= 8;
            let inner = spaces && position != 0 && position + 1 != len;
            self.bytes.push(if inner && byte >= 236 { b' ' } else { b'a' + ((byte * 26) >> 8) as u8 });
        }
    }

    /// What has been added so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The column.
    pub fn finish(self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(self.bytes), nulls)?))
    }
}

/// Bytes that a fixed-width copy from the pool moves.
const WIDE: usize = 96;
/// Starting points in the pool.
const POOL_STARTS: u64 = 1 << 15;

/// Random letters that `extra` is cut from.
pub struct Pool {
    letters: Vec<u8>,
    lane: Lane,
}

impl Pool {
    /// A pool for cuts of up to `longest` bytes.
    #[must_use]
    pub fn new(lane: Lane, longest: usize) -> Self {
        let len = POOL_STARTS as usize + longest.max(WIDE);
        let letters = (0..len as u64).map(|n| b'a' + lane.below(n, 26) as u8).collect();
        Self { letters, lane: lane.part(1) }
    }

    /// Adds `len` letters to the row, cut where event `n` says.
    #[inline]
    pub fn cut(&self, texts: &mut Texts, n: u64, len: usize) {
        let start = self.lane.below(n, POOL_STARTS) as usize;
        let tail = self.letters.get(start..).unwrap_or_default();
        match tail.first_chunk::<WIDE>() {
            Some(chunk) if len <= WIDE => texts.extend_fixed(chunk, len),
            _ => texts.extend(tail.get(..len).unwrap_or(tail)),
        }
    }
}

/// How long `extra` is: what is missing from the average size, a fifth more or less.
#[derive(Clone, Copy)]
pub struct ExtraLength {
    average: u64,
    lane: Lane,
}

impl ExtraLength {
    /// For events of `average` bytes.
    #[must_use]
    pub const fn new(average: u64, lane: Lane) -> Self {
        Self { average, lane }
    }

    /// For event `n`, whose other columns take `size`.
    #[inline]
    #[must_use]
    pub const fn of(&self, n: u64, size: u64) -> usize {
        let missing = self.average.saturating_sub(size);
        let delta = (missing + 2) / 5;
        (missing - delta + scale(self.lane.bits(n), 2 * delta)) as usize
    }

    /// The longest that there can be.
    #[must_use]
    pub const fn longest(&self) -> usize {
        (self.average + (self.average + 2) / 5) as usize
    }
}
