//! Byte strings of any length that a barrier shares instead of copying them: an append-only log in blocks.
//!
//! Values of fixed size lie in [`super::chunks`]; what they can't hold lies here, and a [`Span`] in a chunk says where. A block that is
//! full is never changed again, so it is shared from then on; a freeze copies only what the last block holds so far, or closes
//! it. Invariant: a span reads the same bytes for as long as the log, or a frozen part that was taken after it, lives. Knows not which
//! of its bytes are still needed: who does writes them anew into another log when too many aren't.

use std::sync::Arc;

/// The smallest block.
const LEAST_BLOCK: usize = 1 << 16;
/// The largest block, unless a single string is larger.
const LARGEST_BLOCK: usize = 4 << 20;
/// Blocks grow with the log, so that their number, which a freeze pays for, stays small.
const BLOCKS: usize = 64;

/// Where a string lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    block: u32,
    start: u32,
    length: u32,
}

impl Span {
    /// How many bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        self.length as usize
    }

    /// Whether it is the empty string.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.length == 0
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct ByteLog {
    closed: Vec<Arc<Vec<u8>>>,
    open: Vec<u8>,
    /// Bytes of the closed blocks.
    held: usize,
}

impl ByteLog {
    /// Appends a string of less than 4 GiB, which is longer than a record can be.
    pub fn push(&mut self, bytes: &[u8]) -> Span {
        if self.open.len() + bytes.len() > self.open.capacity() {
            self.close();
            let block = (self.held / BLOCKS).clamp(LEAST_BLOCK, LARGEST_BLOCK);
            self.open = Vec::with_capacity(block.max(bytes.len()));
        }
        let start = self.open.len() as u32;
        self.open.extend_from_slice(bytes);
        Span { block: self.closed.len() as u32, start, length: bytes.len() as u32 }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            let block = std::mem::take(&mut self.open);
            self.held += block.capacity();
            self.closed.push(Arc::new(block));
        }
    }

    /// The string of a span that this log has given.
    #[inline]
    #[must_use]
    pub fn get(&self, span: Span) -> &[u8] {
        let block = self.closed.get(span.block as usize).map_or(&self.open, |block| block.as_ref());
        slice(block, span)
    }

    /// The strings as they are now.
    pub fn freeze(&mut self) -> FrozenBytes {
        // What is copied here is copied at each freeze.
        if self.open.len() >= LEAST_BLOCK {
            self.close();
        }
        let mut blocks = self.closed.clone();
        blocks.push(Arc::new(self.open.clone()));
        FrozenBytes { blocks }
    }

    /// Forgets all strings.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes held, shared ones included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.held + self.open.capacity() + self.closed.capacity() * size_of::<Arc<Vec<u8>>>()
    }
}

/// The strings of a log as they were at a freeze.
#[derive(Clone, Debug)]
pub struct FrozenBytes {
    blocks: Vec<Arc<Vec<u8>>>,
}

impl FrozenBytes {
    /// The string of a span that the log had given before the freeze.
    #[must_use]
    pub fn get(&self, span: Span) -> &[u8] {
        self.blocks.get(span.block as usize).map_or(&[], |block| slice(block, span))
    }
}

#[inline]
fn slice(block: &[u8], span: Span) -> &[u8] {
    let start = span.start as usize;
    block.get(start..start + span.len()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Freeze,
        Forget,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let length = prop_oneof![8 => 0..40_usize, 1 => 0..200_000_usize];
        prop_oneof![
            6 => length.prop_map(Step::Push),
            2 => Just(Step::Freeze),
            1 => Just(Step::Forget),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn strings_stay_what_they_were(steps in proptest::collection::vec(any_step(), 1..80)) {
            let mut log = ByteLog::default();
            let mut live: Vec<(Span, Vec<u8>)> = Vec::new();
            let mut frozen = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                let text = |length: usize| vec![number as u8; length];
                match step {
                    Step::Push(length) => live.push((log.push(&text(length)), text(length))),
                    Step::Freeze => frozen.push((log.freeze(), live.clone())),
                    Step::Forget => drop(frozen.pop()),
                }
            }
            for (span, text) in &live {
                prop_assert!(log.get(*span) == text.as_slice());
            }
            for (frozen, then) in &frozen {
                for (span, text) in then {
                    prop_assert!(frozen.get(*span) == text.as_slice());
                }
            }
        }
    }
}
