//! What an uploader makes of frozen parts: layers of tables, which add up to what a restore reads.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::UInt32Type;
use arrow::util::pretty::pretty_format_batches;
use weir_api::error::{Error, Result};
use weir_api::state::{Frozen, Scope, StateTable};
use weir_snapshots::delta::{LayerRows, merge};
use weir_snapshots::table::Contents;

use super::same;

/// The layers of each of an instance's tables.
#[derive(Clone, Default)]
pub(super) struct Chain(BTreeMap<String, (StateTable, Vec<LayerRows>)>);

impl Chain {
    pub(super) fn add(&mut self, frozen: &mut dyn Frozen) -> Result<()> {
        let mut read: BTreeMap<String, (Scope, StateTable)> = BTreeMap::new();
        while let Some((scope, piece)) = frozen.next()? {
            match read.get_mut(&piece.name) {
                Some((_, table)) => table.batches.extend(piece.batches),
                None => {
                    read.insert(piece.name.clone(), (scope, piece));
                }
            }
        }
        for (name, (scope, table)) in read {
            let mut groups =
                table.batches.iter().flat_map(|batch| batch.column(0).as_primitive::<UInt32Type>().values());
            same("whether rows are sorted by key group", &groups.by_ref().is_sorted(), &true)?;
            let contents = if scope == Scope::Full { Contents::Full } else { Contents::Delta };
            let layer = LayerRows { contents, batches: table.batches.clone() };
            match (scope, self.0.get_mut(&name)) {
                (Scope::Changes, Some((_, layers))) => layers.push(layer),
                (Scope::Changes, None) => {
                    return Err(Error::internal(format!("changes of '{name}' come first")));
                }
                (Scope::Full, _) => {
                    self.0.insert(name, (table, vec![layer]));
                }
            }
        }
        Ok(())
    }

    pub(super) fn tables(&self) -> Result<Vec<StateTable>> {
        let merged = self.0.values().map(|(table, layers)| {
            let rows = merge(&table.schema, table.key_columns, layers, Contents::Full)?;
            Ok(StateTable { batches: vec![rows], ..table.clone() })
        });
        merged.collect()
    }

    /// The rows of each table but those that expire, which layers may hold on to.
    pub(super) fn rows(&self) -> Result<Vec<(String, Vec<String>)>> {
        let rows = self.tables()?.into_iter().filter(|table| table.name != "expiring").map(|table| {
            let formatted = pretty_format_batches(&table.batches)?.to_string();
            // Column widths differ with the batches.
            let cells = formatted
                .lines()
                .filter(|line| line.starts_with('|'))
                .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>().join("|"));
            let mut rows: Vec<String> = cells.collect();
            rows.sort();
            Ok((table.name, rows))
        });
        rows.collect()
    }
}
