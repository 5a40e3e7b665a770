//! The tables of all panes that are held, and what they weigh.
//!
//! Invariant: `bytes` is the sum of the tables' sizes when they were last handed back. Knows no windows and no lateness.

use std::collections::{BTreeMap, BTreeSet};

use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Code, Error, Result};
use weir_api::state::Scope;

use super::frozen::{FrozenPane, Rows};
use super::pane::{PaneTable, Scratch};
use super::stack::{Sealed, Stack};
use crate::window::Pane;

/// Emptied tables that are kept for the next panes.
const SPARE_TABLES: usize = 2;
/// Larger tables aren't kept.
const LARGEST_SPARE_BYTES: usize = 4 << 20;
/// The most groups that a new table makes room for in advance.
const LARGEST_CAPACITY: usize = 1 << 12;
/// Removed groups beyond this many aren't told of one by one: the next snapshot is a whole one.
const MOST_REMOVED: usize = 1 << 20;
/// Panes whose tables are tried in one step of merging: those that a snapshot still reads can't be.
const TRIES: usize = 4;

/// See the module.
#[derive(Default)]
pub(super) struct Panes {
    stacks: BTreeMap<Pane, Stack>,
    bytes: usize,
    spare: Vec<PaneTable>,
    /// How many groups the last complete table had: what the next makes room for.
    last_groups: usize,
    /// Panes with several sealed tables.
    stacked: BTreeSet<Pane>,
    removed: Removed,
}

/// What was in a snapshot and is gone.
#[derive(Default)]
struct Removed {
    panes: Vec<(Pane, Vec<Sealed>)>,
    groups: usize,
    bytes: usize,
    /// It was too much to keep: the next changes come whole.
    overflown: bool,
}

impl Removed {
    fn add(&mut self, pane: Pane, tables: Vec<Sealed>) {
        if tables.is_empty() || self.overflown {
            return;
        }
        self.groups += tables.iter().map(|sealed| sealed.table.len()).sum::<usize>();
        self.bytes += tables.iter().map(|sealed| sealed.table.size_bytes()).sum::<usize>();
        self.panes.push((pane, tables));
        if self.groups > MOST_REMOVED {
            *self = Self { overflown: true, ..Self::default() };
        }
    }
}

impl Panes {
    /// Changes the pane's table, which `create` makes with room for some groups if it isn't there.
    pub(super) fn update<T>(
        &mut self,
        pane: Pane,
        create: impl FnOnce(usize) -> Result<PaneTable>,
        change: impl FnOnce(&mut PaneTable) -> Result<T>,
    ) -> Result<T> {
        let stack = self.stacks.entry(pane).or_default();
        let (spare, last_groups) = (&mut self.spare, self.last_groups);
        let mut created = 0;
        let table = stack.active(|| {
            let table = match spare.pop() {
                Some(table) => table,
                None => create(last_groups)?,
            };
            created = table.size_bytes();
            Ok(table)
        })?;
        self.bytes += created;
        let before = table.size_bytes();
        let result = change(table);
        self.bytes = (self.bytes + table.size_bytes()).saturating_sub(before);
        result
    }

    /// Adds what a snapshot holds of the pane: it isn't a change since that.
    pub(super) fn import(
        &mut self,
        pane: Pane,
        create: impl FnOnce() -> Result<PaneTable>,
        change: impl FnOnce(&mut PaneTable) -> Result<()>,
    ) -> Result<()> {
        let stack = self.stacks.entry(pane).or_default();
        let before = stack.size_bytes();
        let result = stack.base(create).and_then(change);
        self.bytes = (self.bytes + stack.size_bytes()).saturating_sub(before);
        result
    }

    pub(super) fn get(&self, pane: Pane) -> Option<&Stack> {
        self.stacks.get(&pane)
    }

    /// The pane that ends first.
    pub(super) fn first(&self) -> Option<Pane> {
        self.stacks.keys().next().copied()
    }

    /// Panes that end within `after < end <= until`.
    pub(super) fn ending_within(&self, after: i64, until: i64) -> Vec<Pane> {
        let from = Pane { end: after.saturating_add(1), start: i64::MIN };
        self.stacks.range(from..=Pane { end: until, start: i64::MAX }).map(|(pane, _)| *pane).collect()
    }

    /// Takes a pane's table out, where no barrier has sealed any.
    pub(super) fn remove(&mut self, pane: Pane) -> Option<PaneTable> {
        let stack = self.stacks.remove(&pane)?;
        self.bytes = self.bytes.saturating_sub(stack.size_bytes());
        let (table, _) = stack.into_parts();
        self.last_groups = table.as_ref().map_or(0, PaneTable::len).min(LARGEST_CAPACITY);
        table
    }

    /// Forgets a pane.
    pub(super) fn discard(&mut self, pane: Pane) {
        let Some(stack) = self.stacks.remove(&pane) else { return };
        self.stacked.remove(&pane);
        self.bytes = self.bytes.saturating_sub(stack.size_bytes());
        self.last_groups = stack.largest().min(LARGEST_CAPACITY);
        let (table, sealed) = stack.into_parts();
        if let Some(table) = table {
            self.recycle(table);
        }
        self.removed.add(pane, sealed);
    }

    /// Keeps a table's memory for another pane.
    pub(super) fn recycle(&mut self, mut table: PaneTable) {
        if self.spare.len() < SPARE_TABLES && table.size_bytes() <= LARGEST_SPARE_BYTES {
            table.clear();
            self.spare.push(table);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stacks.is_empty()
    }

    /// Bytes held by all tables, those of panes that are gone and still have to be told of included.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes + self.removed.bytes
    }

    /// Merges what barriers have sealed, up to `budget` groups, so that each pane comes back to one table.
    pub(super) fn compact(&mut self, mut budget: usize, scratch: &mut Scratch) -> Result<()> {
        let candidates: Vec<Pane> = self.stacked.iter().take(TRIES).copied().collect();
        for pane in candidates {
            while budget > 0 {
                match self.compact_pane(pane, budget.min(TARGET_ROWS), scratch)? {
                    Some(rows) => budget = budget.saturating_sub(rows.max(1)),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// How many groups one step of `most` has merged; `None` if there is nothing to merge, or a snapshot still reads the table below.
    pub(super) fn compact_pane(
        &mut self,
        pane: Pane,
        most: usize,
        scratch: &mut Scratch,
    ) -> Result<Option<usize>> {
        let Some(stack) = self.stacks.get_mut(&pane) else { return Ok(None) };
        let before = stack.size_bytes();
        let rows = stack.compact(most, scratch)?;
        self.bytes = (self.bytes + stack.size_bytes()).saturating_sub(before);
        if !stack.is_stacked() {
            self.stacked.remove(&pane);
        }
        Ok(rows)
    }

    /// Makes the pane's last table one of those that are merged. No freeze may come before the pane is discarded.
    pub(super) fn close(&mut self, pane: Pane) {
        if let Some(stack) = self.stacks.get_mut(&pane) {
            stack.seal();
        }
    }

    /// Shares all tables, or those with changes since the last freeze; what comes then goes to new ones. `Scope::Full` is given
    /// back where there is too much to tell as changes.
    pub(super) fn freeze(&mut self, scope: Scope) -> (Scope, Vec<FrozenPane>) {
        let removed = std::mem::take(&mut self.removed);
        let live: usize = self.stacks.values().map(Stack::groups).sum();
        let come_back = || removed.panes.iter().any(|(pane, _)| self.stacks.contains_key(pane));
        let whole = scope == Scope::Full || removed.overflown || removed.groups > live || come_back();
        let mut frozen = Vec::with_capacity(self.stacks.len());
        for (&pane, stack) in &mut self.stacks {
            let changed = stack.seal();
            if stack.is_stacked() {
                self.stacked.insert(pane);
            }
            if whole || changed {
                let rows = if whole { Rows::All } else { Rows::Changed };
                frozen.push(FrozenPane { pane, tables: stack.sealed().to_vec(), rows });
            }
        }
        if whole {
            return (Scope::Full, frozen);
        }
        let gone =
            removed.panes.into_iter().map(|(pane, tables)| FrozenPane { pane, tables, rows: Rows::Removed });
        frozen.extend(gone);
        (Scope::Changes, frozen)
    }
}

/// Refuses state beyond its limit.
pub(super) fn check_limit(operator: &str, bytes: usize, limit: u64) -> Result<()> {
    if bytes as u64 <= limit {
        return Ok(());
    }
    Err(Error::new(
        Code::StateLimit,
        format!(
            "operator '{operator}' holds {bytes} bytes of state; its limit is {limit}. Give it more memory or a higher \
             parallelism, or group by fewer keys or in shorter windows"
        ),
    ))
}
