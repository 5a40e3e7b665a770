//! The tables of one pane: the one that takes rows, over those that barriers have sealed.
//!
//! A barrier seals the table that takes rows and shares it with the snapshot: nothing is copied, and the next row opens a new
//! table. So that table's groups are what has changed since. Sealed tables are merged, the second into the first, as soon as no
//! snapshot reads the first. Invariant: a group's value is what all tables hold of it, older ones first; of a table that is
//! being merged, only the groups from `from` on count.

use std::sync::Arc;

use weir_api::error::{Error, Result};

use super::pane::{Merging, PaneTable, Scratch};

/// See the module.
#[derive(Default)]
pub(super) struct Stack {
    active: Option<PaneTable>,
    sealed: Vec<Sealed>,
    /// Of the second sealed table into the first.
    merging: Merging,
}

/// A table that doesn't change while anyone else reads it.
#[derive(Clone)]
pub(super) struct Sealed {
    pub(super) table: Arc<PaneTable>,
    /// Groups before it are in the table below; their distinct values may be.
    pub(super) from: usize,
}

impl Stack {
    /// The table that takes rows.
    pub(super) fn active(&mut self, create: impl FnOnce() -> Result<PaneTable>) -> Result<&mut PaneTable> {
        if self.active.is_none() {
            self.active = Some(create()?);
        }
        self.active.as_mut().ok_or_else(|| Error::internal("a pane has no table for its rows"))
    }

    /// The table that a snapshot is read into.
    pub(super) fn base(&mut self, create: impl FnOnce() -> Result<PaneTable>) -> Result<&mut PaneTable> {
        if self.sealed.is_empty() {
            self.sealed.push(Sealed { table: Arc::new(create()?), from: 0 });
        }
        let base = self.sealed.first_mut().and_then(|sealed| Arc::get_mut(&mut sealed.table));
        base.ok_or_else(|| Error::internal("a snapshot is read into a pane while another is made of it"))
    }

    /// Ends the table that takes rows; says whether there was any.
    pub(super) fn seal(&mut self) -> bool {
        let Some(table) = self.active.take_if(|table| table.len() > 0) else { return false };
        self.sealed.push(Sealed { table: Arc::new(table), from: 0 });
        true
    }

    pub(super) fn sealed(&self) -> &[Sealed] {
        &self.sealed
    }

    /// Whether there are sealed tables to be merged.
    pub(super) const fn is_stacked(&self) -> bool {
        self.sealed.len() > 1
    }

    /// All tables, older ones first, and where the groups start that count.
    pub(super) fn table(&self, number: usize) -> Option<(&PaneTable, usize)> {
        match self.sealed.get(number) {
            Some(sealed) => Some((&sealed.table, sealed.from)),
            None if number == self.sealed.len() => self.active.as_ref().map(|table| (table, 0)),
            None => None,
        }
    }

    /// How many tables there are.
    pub(super) fn tables(&self) -> usize {
        self.sealed.len() + usize::from(self.active.is_some())
    }

    /// Merges some groups; see [`super::panes::Panes::compact_pane`].
    pub(super) fn compact(&mut self, most: usize, scratch: &mut Scratch) -> Result<Option<usize>> {
        let [base, source, ..] = self.sealed.as_mut_slice() else { return Ok(None) };
        let Some(target) = Arc::get_mut(&mut base.table) else { return Ok(None) };
        let rows = self.merging.step(&source.table, 0, most, target, scratch)?;
        source.from = self.merging.groups();
        if rows == 0 {
            self.sealed.remove(1);
            self.merging = Merging::default();
        }
        Ok(Some(rows))
    }

    /// How many groups all tables have together.
    pub(super) fn groups(&self) -> usize {
        let sealed: usize = self.sealed.iter().map(|sealed| sealed.table.len() - sealed.from).sum();
        sealed + self.active.as_ref().map_or(0, PaneTable::len)
    }

    /// How many groups the largest table has.
    pub(super) fn largest(&self) -> usize {
        let sealed = self.sealed.iter().map(|sealed| sealed.table.len());
        sealed.chain(self.active.as_ref().map(PaneTable::len)).max().unwrap_or(0)
    }

    pub(super) fn size_bytes(&self) -> usize {
        let sealed: usize = self.sealed.iter().map(|sealed| sealed.table.size_bytes()).sum();
        sealed + self.active.as_ref().map_or(0, PaneTable::size_bytes)
    }

    /// The table that takes rows, and the sealed ones.
    pub(super) fn into_parts(self) -> (Option<PaneTable>, Vec<Sealed>) {
        (self.active, self.sealed)
    }
}
