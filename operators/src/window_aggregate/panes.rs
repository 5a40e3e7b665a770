//! The tables of all panes that are held, and what they weigh.
//!
//! Invariant: `bytes` is the sum of the tables' sizes when they were last handed back. Knows no windows and no lateness.

use std::collections::BTreeMap;

use weir_api::error::{Code, Error, Result};

use super::pane::PaneTable;
use crate::window::Pane;

/// Emptied tables that are kept for the next panes.
const SPARE_TABLES: usize = 2;
/// Larger tables aren't kept.
const LARGEST_SPARE_BYTES: usize = 4 << 20;
/// The most groups that a new table makes room for in advance.
const LARGEST_CAPACITY: usize = 1 << 12;

/// See the module.
#[derive(Default)]
pub(super) struct Panes {
    tables: BTreeMap<Pane, PaneTable>,
    bytes: usize,
    spare: Vec<PaneTable>,
    /// How many groups the last complete table had: what the next makes room for.
    last_groups: usize,
}

impl Panes {
    /// Changes the pane's table, which `create` makes with room for some groups if it isn't there.
    pub(super) fn update<T>(
        &mut self,
        pane: Pane,
        create: impl FnOnce(usize) -> Result<PaneTable>,
        change: impl FnOnce(&mut PaneTable) -> Result<T>,
    ) -> Result<T> {
        let table = match self.tables.entry(pane) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let table = match self.spare.pop() {
                    Some(table) => table,
                    None => create(self.last_groups)?,
                };
                self.bytes += table.size_bytes();
                entry.insert(table)
            }
        };
        let before = table.size_bytes();
        let result = change(table);
        self.bytes = (self.bytes + table.size_bytes()).saturating_sub(before);
        result
    }

    pub(super) fn get(&self, pane: Pane) -> Option<&PaneTable> {
        self.tables.get(&pane)
    }

    /// The pane that ends first.
    pub(super) fn first(&self) -> Option<Pane> {
        self.tables.keys().next().copied()
    }

    /// Panes that end within `after < end <= until`.
    pub(super) fn ending_within(&self, after: i64, until: i64) -> Vec<Pane> {
        let from = Pane { end: after.saturating_add(1), start: i64::MIN };
        self.tables.range(from..=Pane { end: until, start: i64::MAX }).map(|(pane, _)| *pane).collect()
    }

    /// All panes with their tables, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Pane, &PaneTable)> {
        self.tables.iter().map(|(pane, table)| (*pane, table))
    }

    /// Takes a pane's table out.
    pub(super) fn remove(&mut self, pane: Pane) -> Option<PaneTable> {
        let table = self.tables.remove(&pane)?;
        self.bytes = self.bytes.saturating_sub(table.size_bytes());
        self.last_groups = table.len().min(LARGEST_CAPACITY);
        Some(table)
    }

    /// Keeps a table's memory for another pane.
    pub(super) fn recycle(&mut self, mut table: PaneTable) {
        if self.spare.len() < SPARE_TABLES && table.size_bytes() <= LARGEST_SPARE_BYTES {
            table.clear();
            self.spare.push(table);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Bytes held by all tables.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
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
