//! A bit per row that a freeze shares.

use weir_api::state::chunks::{Chunks, FrozenChunks};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Bits(Chunks<u64>);

impl Bits {
    pub(crate) fn resize(&mut self, rows: usize) {
        self.0.resize(rows.div_ceil(64));
    }

    pub(crate) fn get(&self, row: u32) -> bool {
        self.0.get(row as usize / 64) >> (row % 64) & 1 == 1
    }

    pub(crate) fn set(&mut self, row: u32, bit: bool) {
        if self.get(row) != bit {
            *self.0.slot(row as usize / 64) ^= 1 << (row % 64);
        }
    }

    pub(crate) fn freeze(&mut self) -> FrozenBits {
        FrozenBits(self.0.freeze())
    }

    pub(crate) fn settle(&mut self) {
        self.0.settle();
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }
}

/// Bits as they were at a freeze.
#[derive(Debug)]
pub(crate) struct FrozenBits(FrozenChunks<u64>);

impl FrozenBits {
    pub(crate) fn get(&self, row: u32) -> bool {
        self.0.get(row as usize / 64) >> (row % 64) & 1 == 1
    }
}
