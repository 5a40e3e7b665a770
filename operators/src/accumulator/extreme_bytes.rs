//! `MIN` and `MAX` of strings and bytes, in byte order, which for UTF-8 is the order of code points.

use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use weir_api::error::{Error, Result};

use super::{Accumulator, Ids, one_column};
use crate::column::{for_each_bytes, from_bytes};
use crate::group::Which;

/// Garbage below this is left alone.
const LEAST_GARBAGE: usize = 1 << 16;

/// The largest (`MAX`) or smallest value per group, in one arena. A better value overwrites the old one where it fits, else it
/// is appended; when half of the arena is garbage, it is written anew.
pub(super) struct ExtremeBytes<const MAX: bool> {
    data_type: DataType,
    arena: Vec<u8>,
    slots: Vec<Slot>,
    garbage: usize,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    start: usize,
    length: u32,
    room: u32,
    seen: bool,
}

impl Slot {
    const fn range(self) -> Range<usize> {
        self.start..self.start + self.length as usize
    }
}

impl<const MAX: bool> ExtremeBytes<MAX> {
    pub(super) const fn new(data_type: DataType) -> Self {
        Self { data_type, arena: Vec::new(), slots: Vec::new(), garbage: 0 }
    }

    fn fold(&mut self, column: &ArrayRef, ids: Ids) -> Result<()> {
        let mut row = 0;
        for_each_bytes(column, |value| {
            let id = match ids {
                Ids::One { .. } => 0,
                Ids::Each(ids) => ids[row] as usize,
            };
            row += 1;
            if let Some(value) = value {
                self.offer(id, value);
            }
        })?;
        if self.garbage > LEAST_GARBAGE.max(self.arena.len() / 2) {
            self.compact();
        }
        Ok(())
    }

    fn offer(&mut self, id: usize, value: &[u8]) {
        let slot = self.slots[id];
        let best = &self.arena[slot.range()];
        let better = !slot.seen || if MAX { value > best } else { value < best };
        if better {
            self.replace(id, value);
        }
    }

    fn replace(&mut self, id: usize, value: &[u8]) {
        let slot = &mut self.slots[id];
        slot.seen = true;
        slot.length = value.len() as u32;
        if value.len() <= slot.room as usize {
            let range = slot.range();
            self.arena[range].copy_from_slice(value);
            return;
        }
        self.garbage += slot.room as usize;
        slot.start = self.arena.len();
        slot.room = slot.length;
        self.arena.extend_from_slice(value);
    }

    fn compact(&mut self) {
        let live: usize = self.slots.iter().map(|slot| slot.length as usize).sum();
        let mut arena = Vec::with_capacity(live);
        for slot in &mut self.slots {
            let start = arena.len();
            arena.extend_from_slice(&self.arena[slot.range()]);
            slot.start = start;
            slot.room = slot.length;
        }
        self.arena = arena;
        self.garbage = 0;
    }
}

impl<const MAX: bool> Accumulator for ExtremeBytes<MAX> {
    fn resize(&mut self, groups: usize) {
        self.slots.resize(groups.max(self.slots.len()), Slot::default());
    }

    fn update(&mut self, argument: Option<&ArrayRef>, ids: Ids) -> Result<()> {
        let argument = argument.ok_or_else(|| Error::internal("an extreme without an argument"))?;
        self.fold(argument, ids)
    }

    fn merge(&mut self, partial: &[ArrayRef], ids: Ids) -> Result<()> {
        self.fold(one_column(partial, &self.data_type)?, ids)
    }

    fn partial(&self, groups: Which) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.result(groups, &self.data_type)?])
    }

    fn result(&self, groups: Which, data_type: &DataType) -> Result<ArrayRef> {
        let slots = groups.iter().map(|group| self.slots[group]);
        from_bytes(data_type, slots.map(|slot| slot.seen.then(|| &self.arena[slot.range()])))
    }

    fn clear(&mut self) {
        self.arena.clear();
        self.slots.clear();
        self.garbage = 0;
    }

    fn size_bytes(&self) -> usize {
        self.arena.capacity() + self.slots.capacity() * size_of::<Slot>()
    }
}
