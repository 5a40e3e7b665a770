//! The backend `hashmap`: all state in memory, in tables whose chunks a freeze shares.
//!
//! Owns: an operator's tables, its timers' queues, the limit of its memory. Does not own: where snapshots go. A freeze costs a
//! pointer per 4,096 rows and column; what is written after it copies the chunks that it touches.
//!
//! Read next: [`table`] for rows and keys, [`column`] for values, [`frozen`] for what a snapshot gets.

mod arena;
mod bits;
mod chains;
mod column;
mod fold;
mod frozen;
mod index;
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use weir_api::error::{Code, Error, Result};
use weir_api::key::{hash_columns, key_group};
use weir_api::state::backend::{
    Due, Entries, Instance, Keys, StateBackend, StateBackends, TableId, TableKind, TableSpec,
};
use weir_api::state::{Frozen, KeyedState, Scope, StateTable};

use frozen::FrozenTables;
use table::Table;

/// Makes backends of this kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct HashMapBackends;

impl StateBackends for HashMapBackends {
    fn open(&self, instance: Instance) -> Result<Box<dyn StateBackend>> {
        Ok(Box::new(HashMapBackend { instance, tables: Vec::new() }))
    }
}

/// See the module.
struct HashMapBackend {
    instance: Instance,
    tables: Vec<Entry>,
}

struct Entry {
    table: Table,
    /// Of timers: time, key group, row.
    queue: BTreeSet<(i64, u32, u32)>,
}

impl Entry {
    fn bytes(&self) -> usize {
        // A tree's nodes are two thirds full.
        self.table.size_bytes() + self.queue.len() * size_of::<(i64, u32, u32)>() * 3 / 2
    }
}

impl HashMapBackend {
    fn now(&self) -> i64 {
        self.instance.clock.unix_millis()
    }

    fn entry(&self, table: TableId) -> Result<&Entry> {
        self.tables
            .get(table.0)
            .ok_or_else(|| Error::internal(format!("state number {} isn't declared", table.0)))
    }

    fn entry_mut(&mut self, table: TableId) -> Result<&mut Entry> {
        let unknown = || Error::internal(format!("state number {} isn't declared", table.0));
        self.tables.get_mut(table.0).ok_or_else(unknown)
    }

    fn check_limit(&self) -> Result<()> {
        let bytes = self.size_bytes();
        if bytes <= self.instance.limit_bytes {
            return Ok(());
        }
        Err(Error::new(
            Code::StateLimit,
            format!(
                "operator '{}' holds {bytes} bytes of state; its limit is {}. Give it more memory or a higher parallelism, or let \
                 its state expire",
                self.instance.uid, self.instance.limit_bytes
            ),
        ))
    }

    fn refuse(&self, table: TableId, wanted: &str) -> Result<()> {
        let name = &self.entry(table)?.table.spec.name;
        Err(Error::internal(format!("state '{name}' isn't one of {wanted}")))
    }

    fn timer_keys(&self, table: TableId, keys: Keys<'_>, times: &[i64]) -> Result<Vec<ArrayRef>> {
        if !matches!(self.entry(table)?.table.spec.kind, TableKind::Timers) {
            self.refuse(table, "timers")?;
        }
        let times: ArrayRef = Arc::new(Int64Array::from(times.to_vec()));
        Ok(keys.columns.iter().cloned().chain([times]).collect())
    }

    fn groups(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        if columns.is_empty() {
            return Ok(vec![0; rows]);
        }
        let mut hashes = Vec::with_capacity(rows);
        hash_columns(columns, &mut hashes)?;
        Ok(hashes.into_iter().map(|hash| key_group(hash, self.instance.max_parallelism)).collect())
    }

    fn misfit(&self, table: &StateTable, wanted: &Schema) -> Error {
        let columns = |schema: &Schema| {
            let columns: Vec<String> = schema
                .fields()
                .iter()
                .map(|field| format!("{} {}", field.name(), field.data_type()))
                .collect();
            columns.join(", ")
        };
        let message = format!(
            "operator '{}' can't take its state '{}' with columns ({}) where it keeps ({}); restore with the query that made the \
             snapshot, or without this state",
            self.instance.uid,
            table.name,
            columns(&table.schema),
            columns(wanted)
        );
        Error::new(Code::InvalidArgument, message)
    }
}

impl StateBackend for HashMapBackend {
    fn declare(&mut self, spec: TableSpec) -> Result<TableId> {
        if self.tables.iter().any(|entry| entry.table.spec.name == spec.name) {
            return Err(Error::internal(format!("state '{}' is declared twice", spec.name)));
        }
        self.tables.push(Entry { table: Table::new(spec)?, queue: BTreeSet::new() });
        Ok(TableId(self.tables.len() - 1))
    }

    fn find(&mut self, table: TableId, keys: Keys<'_>, rows: &mut Vec<u32>) -> Result<()> {
        let now = self.now();
        self.entry_mut(table)?.table.find(keys, false, now, rows)
    }

    fn intern(&mut self, table: TableId, keys: Keys<'_>, rows: &mut Vec<u32>) -> Result<()> {
        if matches!(self.entry(table)?.table.spec.kind, TableKind::List | TableKind::Timers) {
            self.refuse(table, "values or maps")?;
        }
        let now = self.now();
        self.entry_mut(table)?.table.find(keys, true, now, rows)?;
        self.check_limit()
    }

    fn read(&self, table: TableId, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        self.entry(table)?.table.read(rows)
    }

    fn write(&mut self, table: TableId, rows: &[u32], values: &[ArrayRef]) -> Result<()> {
        let now = self.now();
        self.entry_mut(table)?.table.write(rows, values, now)?;
        self.check_limit()
    }

    fn fold(&mut self, table: TableId, rows: &[u32], values: &[ArrayRef]) -> Result<()> {
        let now = self.now();
        self.entry_mut(table)?.table.fold(rows, values, now)?;
        self.check_limit()
    }

    fn remove(&mut self, table: TableId, rows: &[u32]) -> Result<()> {
        self.entry_mut(table)?.table.remove(rows);
        Ok(())
    }

    fn append(&mut self, table: TableId, keys: Keys<'_>, values: &[ArrayRef]) -> Result<()> {
        if !matches!(self.entry(table)?.table.spec.kind, TableKind::List) {
            self.refuse(table, "lists")?;
        }
        let now = self.now();
        self.entry_mut(table)?.table.append(keys, values, now)?;
        self.check_limit()
    }

    fn entries(&mut self, table: TableId, keys: Keys<'_>) -> Result<Entries> {
        let now = self.now();
        let table = &mut self.entry_mut(table)?.table;
        let (owners, rows) = table.entries(keys, now)?;
        let keys = table.keys(&rows)?.into_iter().skip(table.spec.key.len()).collect();
        Ok(Entries { owners, keys, values: table.read(&rows)? })
    }

    fn clear(&mut self, table: TableId, keys: Keys<'_>) -> Result<()> {
        let table = &mut self.entry_mut(table)?.table;
        // Those that have expired, too.
        let (_, rows) = table.entries(keys, i64::MIN)?;
        table.remove(&rows);
        Ok(())
    }

    fn set_timers(&mut self, table: TableId, keys: Keys<'_>, times: &[i64]) -> Result<()> {
        let columns = self.timer_keys(table, keys, times)?;
        let groups = self.groups(keys.columns, keys.rows)?;
        let (now, mut rows) = (self.now(), Vec::new());
        let entry = self.entry_mut(table)?;
        entry.table.find(Keys { columns: &columns, rows: keys.rows }, true, now, &mut rows)?;
        entry
            .queue
            .extend(times.iter().zip(groups).zip(rows).map(|((&time, group), row)| (time, group, row)));
        self.check_limit()
    }

    fn unset_timers(&mut self, table: TableId, keys: Keys<'_>, times: &[i64]) -> Result<()> {
        let columns = self.timer_keys(table, keys, times)?;
        let groups = self.groups(keys.columns, keys.rows)?;
        let (now, mut rows) = (self.now(), Vec::new());
        let entry = self.entry_mut(table)?;
        entry.table.find(Keys { columns: &columns, rows: keys.rows }, false, now, &mut rows)?;
        for ((&time, group), &row) in times.iter().zip(groups).zip(&rows) {
            entry.queue.remove(&(time, group, row));
        }
        entry.table.remove(&rows);
        Ok(())
    }

    fn due(&mut self, table: TableId, until: i64, most: usize) -> Result<Due> {
        let entry = self.entry_mut(table)?;
        let (mut times, mut rows) = (Vec::new(), Vec::new());
        while let Some(&(time, _, row)) = entry.queue.first()
            && time <= until
            && rows.len() < most
        {
            entry.queue.pop_first();
            times.push(time);
            rows.push(row);
        }
        let mut keys = entry.table.keys(&rows)?;
        keys.truncate(entry.table.spec.key.len());
        entry.table.remove(&rows);
        Ok(Due { times, keys })
    }

    fn next_timer(&self, table: TableId) -> Option<i64> {
        self.tables.get(table.0).and_then(|entry| entry.queue.first()).map(|(time, _, _)| *time)
    }

    fn schema(&self, table: TableId) -> Result<SchemaRef> {
        Ok(Arc::clone(&self.entry(table)?.table.schema))
    }

    fn keyed_state(&mut self) -> &mut dyn KeyedState {
        self
    }
}

impl KeyedState for HashMapBackend {
    fn freeze(&mut self, scope: Scope) -> Result<Box<dyn Frozen>> {
        let now = self.now();
        Ok(Box::new(FrozenTables {
            tables: self.tables.iter_mut().map(|entry| entry.table.freeze(scope, now)).collect(),
            key_groups: self.instance.key_groups.len(),
            max_parallelism: self.instance.max_parallelism,
            cursor: None,
        }))
    }

    fn import(&mut self, state: &StateTable) -> Result<()> {
        let found = self.tables.iter().position(|entry| entry.table.spec.name == state.name);
        let Some(number) = found else {
            let names: Vec<&str> = self.tables.iter().map(|entry| entry.table.spec.name.as_str()).collect();
            let message = format!(
                "operator '{}' has no state '{}', which the snapshot holds; it has {names:?}. Restore with the query that made the \
                 snapshot, or without this state",
                self.instance.uid, state.name
            );
            return Err(Error::new(Code::InvalidArgument, message));
        };
        let schema = Arc::clone(&self.tables[number].table.schema);
        let types = |schema: &Schema| -> Vec<(String, DataType)> {
            schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
        };
        if types(&schema) != types(&state.schema) {
            return Err(self.misfit(state, &schema));
        }
        let now = self.now();
        for batch in &state.batches {
            let columns = &batch.columns()[1..];
            let entry = &mut self.tables[number];
            let rows = entry.table.import(columns, batch.num_rows(), now)?;
            if matches!(entry.table.spec.kind, TableKind::Timers) {
                let keys = entry.table.spec.key.len();
                let times = columns[keys].as_primitive_opt::<Int64Type>();
                let times = times.ok_or_else(|| Error::internal("timers without times"))?.values().to_vec();
                let groups = self.groups(&columns[..keys], rows.len())?;
                let timers =
                    times.into_iter().zip(groups).zip(rows).map(|((time, group), row)| (time, group, row));
                self.tables[number].queue.extend(timers);
            }
        }
        self.check_limit()
    }

    fn size_bytes(&self) -> u64 {
        self.tables.iter().map(|entry| entry.bytes() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_conforms() {
        crate::conformance::check(&HashMapBackends, 400).unwrap();
    }
}
