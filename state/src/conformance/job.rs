//! A job of several instances and its model: random steps, the same for both.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, UInt32Type};
use weir_api::clock::Clock;
use weir_api::error::{Error, Result};
use weir_api::graph::{KeyGroupRange, subtask_of_key_group};
use weir_api::id::OperatorUid;
use weir_api::key::{hash_columns, key_group};
use weir_api::state::backend::{
    ABSENT, Fold, Instance, Keys, StateBackend, StateBackends, TableId, TableKind, TableSpec,
};
use weir_api::state::{Frozen, Scope, StateTable};

use super::chain::Chain;
use super::model::{Model, TIME_TO_LIVE};
use super::{ManualClock, Random, same};

pub(super) const MAX_PARALLELISM: u32 = 16;
const VALUES: TableId = TableId(0);
const EXPIRING: TableId = TableId(1);
const AGGREGATES: TableId = TableId(2);
const MAPS: TableId = TableId(3);
const LISTS: TableId = TableId(4);
const TIMERS: TableId = TableId(5);

fn number(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

pub(super) fn spec(name: &str, key: Vec<Field>, kind: TableKind, values: Vec<Field>) -> TableSpec {
    TableSpec { name: name.to_owned(), key, kind, values, time_to_live_millis: None }
}

fn specs() -> Vec<TableSpec> {
    let folds = vec![Fold::Sum, Fold::Min, Fold::Max, Fold::Last];
    let folded = vec![number("sum"), number("least"), number("most"), text("last")];
    vec![
        spec("values", vec![text("t"), number("n")], TableKind::Value, vec![number("a"), text("b")]),
        TableSpec {
            time_to_live_millis: Some(TIME_TO_LIVE),
            ..spec("expiring", vec![number("k")], TableKind::Value, vec![number("a")])
        },
        spec("aggregates", vec![number("k")], TableKind::Aggregate(folds), folded),
        spec("maps", vec![number("k")], TableKind::Map(vec![text("m")]), vec![number("a")]),
        spec("lists", vec![number("k")], TableKind::List, vec![text("a")]),
        spec("timers", vec![number("k")], TableKind::Timers, Vec::new()),
    ]
}

pub(super) fn open(
    backends: &dyn StateBackends,
    clock: &Arc<ManualClock>,
    subtask: u32,
    parallelism: u32,
) -> Result<Box<dyn StateBackend>> {
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    backends.open(Instance {
        uid: OperatorUid::new("conformance")?,
        key_groups: KeyGroupRange::of_subtask(subtask, parallelism, MAX_PARALLELISM),
        max_parallelism: MAX_PARALLELISM,
        limit_bytes: 1 << 30,
        clock,
    })
}

pub(super) fn numbers(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int64Array>())
}

fn texts<'a>(values: impl IntoIterator<Item = Option<&'a String>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

fn number_at(column: &ArrayRef, row: usize) -> Option<i64> {
    let column = column.as_primitive::<Int64Type>();
    arrow::array::Array::is_valid(column, row).then(|| column.value(row))
}

fn text_at(column: &ArrayRef, row: usize) -> Option<String> {
    let column = column.as_string::<i32>();
    arrow::array::Array::is_valid(column, row).then(|| column.value(row).to_owned())
}

fn any_number(random: &mut Random) -> Option<i64> {
    (random.below(6) > 0).then(|| random.below(1000) as i64 - 500)
}

fn any_text(random: &mut Random) -> Option<String> {
    (random.below(6) > 0).then(|| "abcdefgh".repeat(random.below(4) as usize) + &random.below(50).to_string())
}

struct Barrier {
    frozen: Vec<Box<dyn Frozen>>,
    whole: Vec<Box<dyn Frozen>>,
    model: Model,
}

struct Job<'a> {
    backends: &'a dyn StateBackends,
    clock: Arc<ManualClock>,
    instances: Vec<Box<dyn StateBackend>>,
    model: Model,
    unread: VecDeque<Barrier>,
    read: Option<(Vec<Chain>, Model)>,
}

pub(super) fn run(backends: &dyn StateBackends, random: &mut Random, steps: u64) -> Result<()> {
    let mut job = Job {
        backends,
        clock: ManualClock::new(),
        instances: Vec::new(),
        model: Model::default(),
        unread: VecDeque::new(),
        read: None,
    };
    job.deploy(2, &[])?;
    for _ in 0..steps {
        match random.below(20) {
            0..3 => job.write_values(random)?,
            3 => job.remove_values(random)?,
            4..6 => job.write_expiring(random)?,
            6 => job.clock.advance(random.below(40) as i64),
            7..9 => job.fold(random)?,
            9..11 => job.change_maps(random)?,
            11..13 => job.change_lists(random)?,
            13..15 => job.change_timers(random)?,
            15..18 => job.barrier(if random.below(5) == 0 { Scope::Full } else { Scope::Changes })?,
            18 => job.read()?,
            _ => {
                job.read()?;
                job.restore(random.below(5) as u32)?;
            }
        }
        job.compare(random)?;
    }
    Ok(())
}

impl Job<'_> {
    fn parallelism(&self) -> u32 {
        self.instances.len() as u32
    }

    fn deploy(&mut self, parallelism: u32, tables: &[StateTable]) -> Result<()> {
        self.instances.clear();
        for subtask in 0..parallelism {
            let mut instance = open(self.backends, &self.clock, subtask, parallelism)?;
            for spec in specs() {
                instance.declare(spec)?;
            }
            let range = KeyGroupRange::of_subtask(subtask, parallelism, MAX_PARALLELISM);
            for table in tables {
                let within = |batch: &RecordBatch| {
                    let groups = batch.column(0).as_primitive::<UInt32Type>();
                    let keep = groups.iter().map(|group| group.map(|group| range.contains(group))).collect();
                    Ok(filter_record_batch(batch, &keep)?)
                };
                let batches = table.batches.iter().map(within).collect::<Result<_>>()?;
                instance.keyed_state().import(&StateTable { batches, ..table.clone() })?;
            }
            self.instances.push(instance);
        }
        Ok(())
    }

    /// The positions of keys that belong to each instance.
    fn routed(&self, columns: &[ArrayRef]) -> Result<Vec<Vec<usize>>> {
        let mut hashes = Vec::new();
        hash_columns(columns, &mut hashes)?;
        let mut parts = vec![Vec::new(); self.instances.len()];
        for (row, hash) in hashes.into_iter().enumerate() {
            let group = key_group(hash, MAX_PARALLELISM);
            let subtask = subtask_of_key_group(group, self.parallelism(), MAX_PARALLELISM);
            if let Some(part) = parts.get_mut(subtask as usize) {
                part.push(row);
            }
        }
        Ok(parts)
    }

    /// Calls `act` with each instance and its keys of a batch.
    fn each<K: Clone>(
        &mut self,
        keys: &[K],
        columns: impl Fn(&[K]) -> Vec<ArrayRef>,
        mut act: impl FnMut(&mut dyn StateBackend, &mut Model, &[K], Keys<'_>) -> Result<()>,
    ) -> Result<()> {
        let parts = self.routed(&columns(keys))?;
        for (instance, part) in self.instances.iter_mut().zip(parts) {
            let keys: Vec<K> = part.into_iter().map(|row| keys[row].clone()).collect();
            let columns = columns(&keys);
            let batch = Keys { columns: &columns, rows: keys.len() };
            act(instance.as_mut(), &mut self.model, &keys, batch)?;
        }
        Ok(())
    }

    fn write_values(&mut self, random: &mut Random) -> Result<()> {
        let keys = two_keys(random);
        self.each(&keys, two_columns, |backend, model, keys, batch| {
            let values: Vec<_> = keys.iter().map(|_| (any_number(random), any_text(random))).collect();
            let mut rows = Vec::new();
            backend.intern(VALUES, batch, &mut rows)?;
            let a = numbers(values.iter().map(|value| value.0));
            let b = texts(values.iter().map(|value| value.1.as_ref()));
            backend.write(VALUES, &rows, &[a, b])?;
            model.values.extend(keys.iter().cloned().zip(values));
            Ok(())
        })
    }

    fn remove_values(&mut self, random: &mut Random) -> Result<()> {
        let keys = two_keys(random);
        self.each(&keys, two_columns, |backend, model, keys, batch| {
            let mut rows = Vec::new();
            backend.find(VALUES, batch, &mut rows)?;
            keys.iter().for_each(|key| drop(model.values.remove(key)));
            backend.remove(VALUES, &rows)
        })
    }

    fn write_expiring(&mut self, random: &mut Random) -> Result<()> {
        let (keys, now) = (some_keys(random), self.clock.unix_millis());
        self.each(&keys, one_column, |backend, model, keys, batch| {
            let values: Vec<_> = keys.iter().map(|_| any_number(random)).collect();
            let mut rows = Vec::new();
            backend.intern(EXPIRING, batch, &mut rows)?;
            backend.write(EXPIRING, &rows, &[numbers(values.iter().copied())])?;
            model.expiring.extend(keys.iter().zip(values).map(|(&key, value)| (key, (value, now))));
            Ok(())
        })
    }

    fn fold(&mut self, random: &mut Random) -> Result<()> {
        let keys = some_keys(random);
        self.each(&keys, one_column, |backend, model, keys, batch| {
            let values: Vec<_> = keys.iter().map(|_| (any_number(random), any_text(random))).collect();
            let mut rows = Vec::new();
            backend.intern(AGGREGATES, batch, &mut rows)?;
            let a = numbers(values.iter().map(|value| value.0));
            let b = texts(values.iter().map(|value| value.1.as_ref()));
            backend.fold(AGGREGATES, &rows, &[Arc::clone(&a), Arc::clone(&a), a, b])?;
            keys.iter().zip(values).for_each(|(&key, (number, text))| model.fold(key, number, text));
            Ok(())
        })
    }

    fn change_maps(&mut self, random: &mut Random) -> Result<()> {
        let keys = some_keys(random);
        let what = random.below(5);
        self.each(&keys, one_column, |backend, model, keys, batch| {
            if what == 0 {
                keys.iter().for_each(|key| drop(model.maps.remove(key)));
                return backend.clear(MAPS, batch);
            }
            let members: Vec<String> = keys.iter().map(|_| random.below(4).to_string()).collect();
            let columns = [Arc::clone(&batch.columns[0]), texts(members.iter().map(Some))];
            let batch = Keys { columns: &columns, rows: batch.rows };
            let mut rows = Vec::new();
            if what == 1 {
                backend.find(MAPS, batch, &mut rows)?;
                for (key, member) in keys.iter().zip(&members) {
                    model.maps.entry(*key).or_default().remove(member);
                }
                return backend.remove(MAPS, &rows);
            }
            let values: Vec<_> = keys.iter().map(|_| any_number(random)).collect();
            backend.intern(MAPS, batch, &mut rows)?;
            backend.write(MAPS, &rows, &[numbers(values.iter().copied())])?;
            for ((key, member), value) in keys.iter().zip(members).zip(values) {
                model.maps.entry(*key).or_default().insert(member, value);
            }
            Ok(())
        })
    }

    fn change_lists(&mut self, random: &mut Random) -> Result<()> {
        let keys = some_keys(random);
        let clears = random.below(4) == 0;
        self.each(&keys, one_column, |backend, model, keys, batch| {
            if clears {
                keys.iter().for_each(|key| drop(model.lists.remove(key)));
                return backend.clear(LISTS, batch);
            }
            let values: Vec<_> = keys.iter().map(|_| any_text(random)).collect();
            backend.append(LISTS, batch, &[texts(values.iter().map(Option::as_ref))])?;
            for (key, value) in keys.iter().zip(values) {
                model.lists.entry(*key).or_default().push(value);
            }
            Ok(())
        })
    }

    fn change_timers(&mut self, random: &mut Random) -> Result<()> {
        let keys = some_keys(random);
        let what = random.below(4);
        let until = random.below(60) as i64;
        if what == 0 {
            return self.fire(until, 1 + random.below(5) as usize);
        }
        self.each(&keys, one_column, |backend, model, keys, batch| {
            let times: Vec<i64> = keys.iter().map(|_| random.below(60) as i64).collect();
            let timers = times.iter().copied().zip(keys.iter().copied());
            if what == 1 {
                model.timers.retain(|timer| !timers.clone().any(|other| other == *timer));
                return backend.unset_timers(TIMERS, batch, &times);
            }
            model.timers.extend(timers);
            backend.set_timers(TIMERS, batch, &times)
        })
    }

    fn fire(&mut self, until: i64, most: usize) -> Result<()> {
        let timers: Vec<(i64, i64)> = self.model.timers.iter().copied().collect();
        let keys = [numbers(timers.iter().map(|timer| Some(timer.1)))];
        let parts = self.routed(&keys)?;
        for (instance, part) in self.instances.iter_mut().zip(parts) {
            let own: Vec<(i64, i64)> = part.into_iter().map(|row| timers[row]).collect();
            same("the earliest timer", &instance.next_timer(TIMERS), &own.first().map(|timer| timer.0))?;
            let mut expected: Vec<(i64, i64)> = own.into_iter().filter(|timer| timer.0 <= until).collect();
            let mut found = Vec::new();
            loop {
                let due = instance.due(TIMERS, until, most)?;
                if due.times.is_empty() {
                    break;
                }
                same("whether there are too many timers", &(due.times.len() <= most), &true)?;
                let keys = due.keys.first().ok_or_else(|| Error::internal("timers without keys"))?;
                found.extend(
                    due.times
                        .iter()
                        .enumerate()
                        .map(|(row, &time)| (time, number_at(keys, row).unwrap_or(-1))),
                );
            }
            same("whether timers come in order", &found.is_sorted_by_key(|timer| timer.0), &true)?;
            found.sort_unstable();
            expected.sort_unstable();
            same("timers that are due", &found, &expected)?;
        }
        self.model.timers.retain(|timer| timer.0 > until);
        Ok(())
    }

    fn barrier(&mut self, scope: Scope) -> Result<()> {
        let first = self.read.is_none() && self.unread.is_empty();
        let scope = if first { Scope::Full } else { scope };
        let frozen = self
            .instances
            .iter_mut()
            .map(|instance| instance.keyed_state().freeze(scope))
            .collect::<Result<_>>()?;
        let whole = self
            .instances
            .iter_mut()
            .map(|instance| instance.keyed_state().freeze(Scope::Full))
            .collect::<Result<_>>()?;
        self.unread.push_back(Barrier { frozen, whole, model: self.model.clone() });
        Ok(())
    }

    /// Reads the oldest barrier's tables.
    fn read(&mut self) -> Result<()> {
        let Some(mut barrier) = self.unread.pop_front() else { return Ok(()) };
        let mut chains = match self.read.take() {
            Some((chains, _)) => chains,
            None => vec![Chain::default(); self.instances.len()],
        };
        for ((chain, frozen), whole) in chains.iter_mut().zip(&mut barrier.frozen).zip(&mut barrier.whole) {
            chain.add(frozen.as_mut())?;
            let mut alone = Chain::default();
            alone.add(whole.as_mut())?;
            same("what layers add up to", &chain.rows()?, &alone.rows()?)?;
        }
        self.read = Some((chains, barrier.model));
        Ok(())
    }

    /// From what was read last; 0: at the same parallelism, building on its layers.
    fn restore(&mut self, parallelism: u32) -> Result<()> {
        let Some((chains, model)) = &self.read else { return Ok(()) };
        let tables: Vec<StateTable> =
            chains.iter().map(Chain::tables).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        self.model = model.clone();
        self.unread.clear();
        let parallelism = if parallelism == 0 { self.parallelism() } else { parallelism };
        let rescaled = parallelism != self.parallelism();
        self.deploy(parallelism, &tables)?;
        if rescaled {
            self.read = None;
        }
        Ok(())
    }

    /// Reads some keys of all tables.
    fn compare(&mut self, random: &mut Random) -> Result<()> {
        let keys = two_keys(random);
        self.each(&keys, two_columns, |backend, model, keys, batch| {
            let mut rows = Vec::new();
            backend.find(VALUES, batch, &mut rows)?;
            let columns = backend.read(VALUES, &rows)?;
            for (row, key) in keys.iter().enumerate() {
                let found =
                    (rows[row] != ABSENT).then(|| (number_at(&columns[0], row), text_at(&columns[1], row)));
                same("a value", &found.as_ref(), &model.values.get(key))?;
            }
            Ok(())
        })?;
        let (keys, now) = (some_keys(random), self.clock.unix_millis());
        self.each(&keys, one_column, |backend, model, keys, batch| {
            let mut rows = Vec::new();
            backend.find(EXPIRING, batch, &mut rows)?;
            let columns = backend.read(EXPIRING, &rows)?;
            for (row, &key) in keys.iter().enumerate() {
                let found = (rows[row] != ABSENT).then(|| number_at(&columns[0], row));
                same("a value that expires", &found, &model.unexpired(key, now))?;
            }
            backend.find(AGGREGATES, batch, &mut rows)?;
            let columns = backend.read(AGGREGATES, &rows)?;
            for (row, key) in keys.iter().enumerate() {
                let number = |column: usize| number_at(&columns[column], row);
                let found = (rows[row] != ABSENT)
                    .then(|| (number(0), number(1), number(2), text_at(&columns[3], row)));
                same("an aggregate", &found.as_ref(), &model.aggregates.get(key))?;
            }
            compare_entries(backend, model, keys, batch)
        })
    }
}

fn compare_entries(
    backend: &mut dyn StateBackend,
    model: &Model,
    keys: &[i64],
    batch: Keys<'_>,
) -> Result<()> {
    let entries = backend.entries(MAPS, batch)?;
    let mut found: Vec<BTreeMap<String, Option<i64>>> = vec![BTreeMap::new(); keys.len()];
    for (row, &owner) in entries.owners.iter().enumerate() {
        let member = text_at(&entries.keys[0], row).unwrap_or_default();
        found[owner as usize].insert(member, number_at(&entries.values[0], row));
    }
    for (key, found) in keys.iter().zip(found) {
        same("a map", &found, &model.maps.get(key).cloned().unwrap_or_default())?;
    }
    let entries = backend.entries(LISTS, batch)?;
    same("whether entries of a key stand together", &entries.owners.is_sorted(), &true)?;
    let mut found: Vec<Vec<Option<String>>> = vec![Vec::new(); keys.len()];
    for (row, &owner) in entries.owners.iter().enumerate() {
        found[owner as usize].push(text_at(&entries.values[0], row));
    }
    for (key, found) in keys.iter().zip(found) {
        same("a list", &found, &model.lists.get(key).cloned().unwrap_or_default())?;
    }
    Ok(())
}

/// A batch of keys, some of them twice.
fn some_keys(random: &mut Random) -> Vec<i64> {
    (0..1 + random.below(12)).map(|_| random.below(15) as i64).collect()
}

fn one_column(keys: &[i64]) -> Vec<ArrayRef> {
    vec![numbers(keys.iter().map(|&key| Some(key)))]
}

fn two_keys(random: &mut Random) -> Vec<(Option<String>, Option<i64>)> {
    let text = |random: &mut Random| (random.below(4) > 0).then(|| "k".repeat(random.below(3) as usize));
    let number = |random: &mut Random| (random.below(4) > 0).then(|| random.below(4) as i64);
    (0..1 + random.below(12)).map(|_| (text(random), number(random))).collect()
}

fn two_columns(keys: &[(Option<String>, Option<i64>)]) -> Vec<ArrayRef> {
    vec![texts(keys.iter().map(|key| key.0.as_ref())), numbers(keys.iter().map(|key| key.1))]
}
