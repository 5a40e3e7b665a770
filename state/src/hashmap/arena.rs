//! Byte strings in blocks that a freeze shares.
//!
//! Strings are appended and released; a block of which little is left is written anew by its owner, who knows where its strings
//! are noted. Invariant: a closed block never changes, so a frozen part reads what was there at its freeze.

use std::sync::Arc;

/// A block is closed when it would become larger.
const BLOCK_BYTES: usize = 1 << 20;
/// A block below this is a small one.
const SMALL_BYTES: usize = BLOCK_BYTES / 16;
/// When there are more small ones, they are put together.
const MOST_SMALL: usize = 64;
/// Owner and length stand before each string.
const HEAD_BYTES: usize = 8;

/// Where no string is.
pub(crate) const NOWHERE: u64 = u64::MAX;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    blocks: Vec<Block>,
    /// Numbers of blocks that are empty.
    free: Vec<u32>,
    open: Vec<u8>,
    open_number: Option<u32>,
    open_live: usize,
    /// Blocks of which little is left.
    sparse: Vec<u32>,
    /// Small blocks, which freezes close.
    small: Vec<u32>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Block {
    bytes: Arc<Vec<u8>>,
    live: usize,
}

fn split(address: u64) -> (usize, usize) {
    ((address >> 32) as usize, (address & u64::from(u32::MAX)) as usize)
}

fn read(block: &[u8], offset: usize) -> (u32, &[u8]) {
    let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let length = word(offset + 4) as usize;
    (word(offset), &block[offset + HEAD_BYTES..offset + HEAD_BYTES + length])
}

impl Arena {
    /// Adds a string that belongs to row `owner`.
    pub(crate) fn append(&mut self, owner: u32, bytes: &[u8]) -> u64 {
        if self.open.len() + HEAD_BYTES + bytes.len() > BLOCK_BYTES {
            self.close();
        }
        let number = match self.open_number {
            Some(number) => number,
            None => self.open_block(),
        };
        let address = u64::from(number) << 32 | self.open.len() as u64;
        self.open.extend_from_slice(&owner.to_le_bytes());
        self.open.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.open.extend_from_slice(bytes);
        self.open_live += HEAD_BYTES + bytes.len();
        address
    }

    fn open_block(&mut self) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.blocks.push(Block::default());
            self.blocks.len() as u32 - 1
        });
        self.open_number = Some(number);
        number
    }

    /// Ends the block that is appended to.
    fn close(&mut self) {
        let Some(number) = self.open_number.take() else { return };
        let mut bytes = std::mem::take(&mut self.open);
        bytes.shrink_to_fit();
        self.bytes += bytes.len();
        let live = std::mem::take(&mut self.open_live);
        self.blocks[number as usize] = Block { bytes: Arc::new(bytes), live };
        self.note(number, usize::MAX);
    }

    /// Frees a block that is empty, and remembers one of which little is left; `before` was left of it until now.
    fn note(&mut self, number: u32, before: usize) {
        let block = &mut self.blocks[number as usize];
        if block.live == 0 {
            self.bytes -= block.bytes.len();
            block.bytes = Arc::default();
            self.free.push(number);
            return;
        }
        let few = block.bytes.len() / 4;
        if block.live <= few && before > few {
            self.sparse.push(number);
        } else if before == usize::MAX && block.bytes.len() < SMALL_BYTES {
            self.small.push(number);
            if self.small.len() > MOST_SMALL {
                self.sparse.append(&mut self.small);
            }
        }
    }

    pub(crate) fn get(&self, address: u64) -> &[u8] {
        let (block, offset) = split(address);
        if self.open_number == Some(block as u32) {
            return read(&self.open, offset).1;
        }
        read(&self.blocks[block].bytes, offset).1
    }

    /// The string is of no use any more.
    pub(crate) fn release(&mut self, address: u64) {
        if address == NOWHERE {
            return;
        }
        let size = HEAD_BYTES + self.get(address).len();
        let number = (address >> 32) as u32;
        if self.open_number == Some(number) {
            self.open_live -= size;
            return;
        }
        let block = &mut self.blocks[number as usize];
        let before = block.live;
        block.live -= size;
        self.note(number, before);
    }

    /// Writes one sparse block anew. `current` says where a row's string is, `moved` takes note of where it is now.
    pub(crate) fn tidy<S>(
        &mut self,
        state: &mut S,
        current: impl Fn(&S, u32) -> u64,
        moved: impl Fn(&mut S, u32, u64),
    ) {
        let Some(number) = self.sparse.pop() else { return };
        let bytes = Arc::clone(&self.blocks[number as usize].bytes);
        let mut offset = 0;
        while offset < bytes.len() {
            let (owner, string) = read(&bytes, offset);
            let address = u64::from(number) << 32 | offset as u64;
            if current(state, owner) == address {
                let next = self.append(owner, string);
                moved(state, owner, next);
                self.release(address);
            }
            offset += HEAD_BYTES + string.len();
        }
    }

    pub(crate) fn freeze(&mut self) -> FrozenArena {
        self.close();
        FrozenArena { blocks: self.blocks.iter().map(|block| Arc::clone(&block.bytes)).collect() }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes + self.open.capacity() + self.blocks.capacity() * size_of::<Block>()
    }
}

/// Strings as they were at a freeze.
#[derive(Debug)]
pub(crate) struct FrozenArena {
    blocks: Vec<Arc<Vec<u8>>>,
}

impl FrozenArena {
    pub(crate) fn get(&self, address: u64) -> &[u8] {
        let (block, offset) = split(address);
        read(&self.blocks[block], offset).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_stay_where_they_are_noted() {
        let mut arena = Arena::default();
        let mut slots: Vec<u64> = Vec::new();
        let text =
            |row: usize, version: usize| format!("{row}:{version}:{}", "x".repeat(row % 300)).into_bytes();
        let mut versions = vec![0; 20_000];
        for row in 0..versions.len() {
            slots.push(arena.append(row as u32, &text(row, 0)));
        }
        let mut frozen: Vec<(FrozenArena, Vec<u64>, Vec<usize>)> = Vec::new();
        for version in 1..12 {
            for row in (0..versions.len()).filter(|row| row % 7 != version % 7) {
                arena.release(slots[row]);
                slots[row] = arena.append(row as u32, &text(row, version));
                versions[row] = version;
            }
            for _ in 0..5 {
                arena.tidy(
                    &mut slots,
                    |slots, row| slots[row as usize],
                    |slots, row, next| slots[row as usize] = next,
                );
            }
            frozen.push((arena.freeze(), slots.clone(), versions.clone()));
        }
        for (row, &slot) in slots.iter().enumerate() {
            assert_eq!(arena.get(slot), text(row, versions[row]));
        }
        for (frozen, slots, versions) in frozen {
            for (row, &slot) in slots.iter().enumerate() {
                assert_eq!(frozen.get(slot), text(row, versions[row]));
            }
        }
        let held: usize =
            versions.iter().enumerate().map(|(row, &version)| text(row, version).len() + HEAD_BYTES).sum();
        while !arena.sparse.is_empty() {
            arena.tidy(
                &mut slots,
                |slots, row| slots[row as usize],
                |slots, row, next| slots[row as usize] = next,
            );
        }
        assert!(arena.size_bytes() < 4 * held + 2 * BLOCK_BYTES, "{} of {held}", arena.size_bytes());
        slots.iter().for_each(|&slot| arena.release(slot));
        arena.close();
        assert_eq!(arena.bytes, 0);
    }
}
