//! One table: rows of value columns by key.
//!
//! Rows are numbered; a removed row's number is used again when no snapshot has to be told of the removal any more. Invariants:
//! a key has at most one row; a row that is neither live nor changed since the last freeze is on its way to be freed, and what
//! is freed is in no index; a row that has expired is treated as if it weren't there.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use weir_api::error::{Code, Error, Result};
use weir_api::state::backend::{
    ABSENT, Keys, LAST_WRITE_COLUMN, POSITION_COLUMN, TIME_COLUMN, TableKind, TableSpec,
};
use weir_api::state::chunks::{CHUNK_ROWS, Chunks};
use weir_api::state::dirty::Dirty;
use weir_api::state::{KEY_GROUP_COLUMN, Scope};

use super::bits::Bits;
use super::chains::Chains;
use super::column::Column;
use super::frozen::FrozenTable;
use super::index::Index;

/// See the module.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) spec: TableSpec,
    pub(crate) schema: SchemaRef,
    /// The key's columns, those of maps, lists and timers included.
    key_columns: usize,
    converter: Arc<RowConverter>,
    /// Of the columns that decide on the key group, where entries are found by them.
    owner_converter: Option<RowConverter>,
    index: Index,
    chains: Option<Chains>,
    columns: Vec<Column>,
    written: Option<Chunks<i64>>,
    live: Bits,
    dirty: Dirty,
    /// Rows that no snapshot has.
    fresh: Dirty,
    /// Rows with and without keys.
    rows: usize,
    room: usize,
    live_rows: usize,
    free: Vec<u32>,
    /// Removed since the last freeze.
    removed: Vec<u32>,
    /// Removed before it.
    released: VecDeque<u32>,
    /// Where the search for expired rows goes on.
    swept: usize,
}

/// The row format tells −0.0 from 0.0 and one NaN from another; keys don't.
fn canonical(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(
            |value| {
                if value.is_nan() { f32::NAN } else { value + 0.0 }
            },
        )),
        DataType::Float64 => Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(
            |value| {
                if value.is_nan() { f64::NAN } else { value + 0.0 }
            },
        )),
        _ => Arc::clone(column),
    }
}

fn encode(converter: &RowConverter, columns: &[ArrayRef]) -> Result<arrow::row::Rows> {
    let columns: Vec<ArrayRef> = columns.iter().map(canonical).collect();
    Ok(converter.convert_columns(&columns)?)
}

fn converter(name: &str, fields: &[Field]) -> Result<RowConverter> {
    let sorts: Vec<SortField> =
        fields.iter().map(|field| SortField::new(field.data_type().clone())).collect();
    if !RowConverter::supports_fields(&sorts) {
        let types: Vec<_> = fields.iter().map(Field::data_type).collect();
        return Err(Error::new(
            Code::Unsupported,
            format!("state '{name}' can't have keys of types {types:?}"),
        ));
    }
    Ok(RowConverter::new(sorts)?)
}

impl Table {
    pub(crate) fn new(spec: TableSpec) -> Result<Self> {
        let own = match &spec.kind {
            TableKind::Value | TableKind::Aggregate(_) => Vec::new(),
            TableKind::Map(fields) => fields.clone(),
            TableKind::List => vec![Field::new(POSITION_COLUMN, DataType::Int64, false)],
            TableKind::Timers => vec![Field::new(TIME_COLUMN, DataType::Int64, false)],
        };
        if let TableKind::Aggregate(folds) = &spec.kind {
            if folds.len() != spec.values.len() {
                let message = format!(
                    "state '{}' has {} columns and {} folds",
                    spec.name,
                    spec.values.len(),
                    folds.len()
                );
                return Err(Error::internal(message));
            }
            for (field, fold) in spec.values.iter().zip(folds) {
                Column::check_fold(field, *fold)?;
            }
        }
        let entries = matches!(spec.kind, TableKind::Map(_) | TableKind::List);
        let keys: Vec<Field> =
            spec.key.iter().chain(&own).map(|field| field.clone().with_nullable(true)).collect();
        let values = spec.values.iter().map(|field| field.clone().with_nullable(true));
        let mut fields = vec![Field::new(KEY_GROUP_COLUMN, DataType::UInt32, false)];
        fields.extend(keys.iter().cloned().chain(values));
        if spec.time_to_live_millis.is_some() {
            fields.push(Field::new(LAST_WRITE_COLUMN, DataType::Int64, true));
        }
        Ok(Self {
            key_columns: keys.len(),
            converter: Arc::new(converter(&spec.name, &keys)?),
            owner_converter: if entries { Some(converter(&spec.name, &spec.key)?) } else { None },
            index: Index::default(),
            chains: entries.then(Chains::default),
            columns: spec.values.iter().map(Column::new).collect::<Result<_>>()?,
            written: spec.time_to_live_millis.map(|_| Chunks::default()),
            live: Bits::default(),
            dirty: Dirty::default(),
            fresh: Dirty::default(),
            rows: 0,
            room: 0,
            live_rows: 0,
            free: Vec::new(),
            removed: Vec::new(),
            released: VecDeque::new(),
            swept: 0,
            schema: Arc::new(Schema::new(fields)),
            spec,
        })
    }

    fn is_expired(&self, row: u32, now: i64) -> bool {
        match (&self.written, self.spec.time_to_live_millis) {
            (Some(written), Some(ttl)) => written.get(row as usize).saturating_add(ttl) <= now,
            _ => false,
        }
    }

    fn is_there(&self, row: u32, now: i64) -> bool {
        self.live.get(row) && !self.is_expired(row, now)
    }

    /// The row of each key; `add`: made where there is none.
    pub(crate) fn find(&mut self, keys: Keys<'_>, add: bool, now: i64, rows: &mut Vec<u32>) -> Result<()> {
        self.tidy(keys.rows, now);
        self.find_tidied(keys, add, now, rows)
    }

    fn find_tidied(&mut self, keys: Keys<'_>, add: bool, now: i64, rows: &mut Vec<u32>) -> Result<()> {
        rows.clear();
        self.check_keys(keys.columns, self.key_columns)?;
        if keys.rows == 0 {
            return Ok(());
        }
        if keys.columns.is_empty() {
            // A key of no columns: all rows of the batch are of one.
            let row = self.find_one(&[], None, add, now);
            rows.resize(keys.rows, row);
            return Ok(());
        }
        let encoded = encode(&self.converter, keys.columns)?;
        let owners = match &self.owner_converter {
            Some(converter) if add && !self.spec.key.is_empty() => {
                Some(encode(converter, keys.columns.get(..self.spec.key.len()).unwrap_or_default())?)
            }
            _ => None,
        };
        rows.reserve(keys.rows);
        for row in 0..keys.rows {
            let owner = owners.as_ref().map(|owners| owners.row(row));
            let owner = owner.as_ref().map(|owner| owner.data());
            rows.push(self.find_one(encoded.row(row).data(), owner, add, now));
        }
        Ok(())
    }

    fn check_keys(&self, columns: &[ArrayRef], wanted: usize) -> Result<()> {
        let types = self.schema.fields().iter().skip(1).take(wanted).map(|field| field.data_type());
        if columns.len() == wanted && columns.iter().map(|column| column.data_type()).eq(types) {
            return Ok(());
        }
        let found: Vec<_> = columns.iter().map(|column| column.data_type()).collect();
        Err(Error::internal(format!("state '{}' is asked for keys of types {found:?}", self.spec.name)))
    }

    fn find_one(&mut self, key: &[u8], owner: Option<&[u8]>, add: bool, now: i64) -> u32 {
        let hash = self.index.hash(key);
        match self.index.find(hash, key) {
            Some(row) if self.is_there(row, now) => row,
            Some(row) if add => {
                if self.live.get(row) {
                    // It had expired.
                    self.columns.iter_mut().for_each(|column| column.release(row));
                } else {
                    self.enliven(row, owner);
                }
                self.touch(row, now);
                row
            }
            None if add => {
                let row = self.new_row();
                self.index.insert(hash, key, row);
                self.fresh.mark(row);
                self.enliven(row, owner);
                self.touch(row, now);
                row
            }
            _ => ABSENT,
        }
    }

    fn enliven(&mut self, row: u32, owner: Option<&[u8]>) {
        self.live.set(row, true);
        self.live_rows += 1;
        if let Some(chains) = &mut self.chains {
            let head = chains.intern(owner.unwrap_or_default());
            chains.link(head, row);
        }
    }

    fn touch(&mut self, row: u32, now: i64) {
        self.dirty.mark(row);
        if let Some(written) = &mut self.written {
            *written.slot(row as usize) = now;
        }
    }

    fn new_row(&mut self) -> u32 {
        if let Some(row) = self.free.pop() {
            return row;
        }
        if self.rows == self.room {
            self.room += CHUNK_ROWS;
            let room = self.room;
            self.index.resize(room);
            self.columns.iter_mut().for_each(|column| column.resize(room));
            self.live.resize(room);
            self.dirty.resize(room);
            self.fresh.resize(room);
            if let Some(written) = &mut self.written {
                written.resize(room);
            }
            if let Some(chains) = &mut self.chains {
                chains.resize(room);
            }
        }
        self.rows += 1;
        self.rows as u32 - 1
    }

    /// The value columns of some rows.
    pub(crate) fn read(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        self.columns.iter().map(|column| column.read(rows)).collect()
    }

    fn check_values(&self, rows: &[u32], values: &[ArrayRef]) -> Result<()> {
        let fits =
            values.len() == self.columns.len() && values.iter().all(|column| column.len() == rows.len());
        if fits && rows.iter().all(|&row| (row as usize) < self.rows && self.live.get(row)) {
            return Ok(());
        }
        Err(Error::internal(format!(
            "state '{}' is given {} columns for {} rows",
            self.spec.name,
            values.len(),
            rows.len()
        )))
    }

    pub(crate) fn write(&mut self, rows: &[u32], values: &[ArrayRef], now: i64) -> Result<()> {
        self.check_values(rows, values)?;
        for (column, values) in self.columns.iter_mut().zip(values) {
            column.write(rows, values)?;
        }
        rows.iter().for_each(|&row| self.touch(row, now));
        Ok(())
    }

    pub(crate) fn fold(&mut self, rows: &[u32], values: &[ArrayRef], now: i64) -> Result<()> {
        self.check_values(rows, values)?;
        let TableKind::Aggregate(folds) = &self.spec.kind else {
            return Err(Error::internal(format!("state '{}' isn't one of aggregates", self.spec.name)));
        };
        for ((column, values), fold) in self.columns.iter_mut().zip(values).zip(folds) {
            column.fold(rows, values, *fold)?;
        }
        rows.iter().for_each(|&row| self.touch(row, now));
        Ok(())
    }

    pub(crate) fn remove(&mut self, rows: &[u32]) {
        for &row in rows {
            if row == ABSENT || !self.live.get(row) {
                continue;
            }
            self.columns.iter_mut().for_each(|column| column.release(row));
            self.live.set(row, false);
            self.live_rows -= 1;
            if let Some(chains) = &mut self.chains {
                chains.unlink(row);
            }
            if self.fresh.is_marked(row) {
                self.dirty.unmark(row);
                self.fresh.unmark(row);
                self.index.remove(row);
                self.free.push(row);
            } else {
                self.dirty.mark(row);
                self.removed.push(row);
            }
        }
    }

    /// Frees what snapshots have been told of, drops what has expired, and gives memory back: some for each row of a batch.
    fn tidy(&mut self, rows: usize, now: i64) {
        for _ in 0..2 * rows {
            let Some(row) = self.released.pop_front() else { break };
            // It may be there again, or removed again, or freed already.
            if !self.live.get(row) && !self.dirty.is_marked(row) && self.index.has(row) {
                self.index.remove(row);
                self.free.push(row);
            }
        }
        if self.written.is_some() && self.rows > 0 {
            for _ in 0..(2 * rows).min(self.rows) {
                let row = (self.swept % self.rows) as u32;
                self.swept = row as usize + 1;
                if self.live.get(row) && self.is_expired(row, now) {
                    self.remove(&[row]);
                }
            }
        }
        self.index.tidy();
        self.columns.iter_mut().for_each(Column::tidy);
        self.live.settle();
        if let Some(written) = &mut self.written {
            written.settle();
        }
        if let Some(chains) = &mut self.chains {
            chains.tidy();
        }
    }

    /// Appends to the lists of these keys; the rows of the elements.
    pub(crate) fn append(&mut self, keys: Keys<'_>, values: &[ArrayRef], now: i64) -> Result<()> {
        self.check_keys(keys.columns, self.spec.key.len())?;
        // First: it may end a list whose next position is then the first again.
        self.tidy(keys.rows, now);
        let (Some(converter), Some(chains)) = (&self.owner_converter, &mut self.chains) else {
            return Err(Error::internal(format!("state '{}' isn't one of lists", self.spec.name)));
        };
        let positions: Int64Array = if keys.columns.is_empty() {
            let head = chains.intern(&[]);
            (0..keys.rows).map(|_| chains.take_position(head)).collect()
        } else {
            let owners = encode(converter, keys.columns)?;
            let positions = owners.iter().map(|owner| {
                let head = chains.intern(owner.data());
                chains.take_position(head)
            });
            positions.collect()
        };
        let columns: Vec<ArrayRef> =
            keys.columns.iter().cloned().chain([Arc::new(positions) as ArrayRef]).collect();
        let mut rows = Vec::new();
        self.find_tidied(Keys { columns: &columns, rows: keys.rows }, true, now, &mut rows)?;
        self.write(&rows, values, now)
    }

    /// The rows of all entries of these keys, with the position of their key.
    pub(crate) fn entries(&mut self, keys: Keys<'_>, now: i64) -> Result<(Vec<u32>, Vec<u32>)> {
        self.check_keys(keys.columns, self.spec.key.len())?;
        let (Some(converter), Some(chains)) = (&self.owner_converter, &self.chains) else {
            return Err(Error::internal(format!("state '{}' has no entries", self.spec.name)));
        };
        let (mut owners, mut rows) = (Vec::new(), Vec::new());
        let mut add = |owner: u32, key: &[u8]| {
            for row in chains.find(key).into_iter().flat_map(|head| chains.rows(head)) {
                if !self.is_expired(row, now) {
                    owners.push(owner);
                    rows.push(row);
                }
            }
        };
        if keys.columns.is_empty() {
            (0..keys.rows as u32).for_each(|owner| add(owner, &[]));
        } else {
            let encoded = encode(converter, keys.columns)?;
            (0..).zip(encoded.iter()).for_each(|(owner, key)| add(owner, key.data()));
        }
        if matches!(self.spec.kind, TableKind::List) {
            // In a chain that a snapshot was read into, elements stand in any order.
            let positions = self.positions(&rows)?;
            let mut order: Vec<usize> = (0..rows.len()).collect();
            order.sort_by_key(|&at| (owners[at], positions[at]));
            owners = order.iter().map(|&at| owners[at]).collect();
            rows = order.iter().map(|&at| rows[at]).collect();
        }
        Ok((owners, rows))
    }

    fn positions(&self, rows: &[u32]) -> Result<Vec<i64>> {
        let keys = self.keys(rows)?;
        let positions = keys.last().and_then(|column| column.as_primitive_opt::<Int64Type>());
        Ok(positions.ok_or_else(|| Error::internal("a list without positions"))?.values().to_vec())
    }

    /// The key columns of some rows.
    pub(crate) fn keys(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        if self.key_columns == 0 {
            return Ok(Vec::new());
        }
        let parser = self.converter.parser();
        Ok(self.converter.convert_rows(rows.iter().map(|&row| parser.parse(self.index.key(row))))?)
    }

    /// Adds rows of a snapshot: no change since that.
    pub(crate) fn import(&mut self, columns: &[ArrayRef], count: usize, now: i64) -> Result<Vec<u32>> {
        let (keys, values) = columns.split_at(self.key_columns);
        let mut rows = Vec::new();
        self.find(Keys { columns: keys, rows: count }, true, now, &mut rows)?;
        for (column, values) in self.columns.iter_mut().zip(values) {
            column.write(&rows, values)?;
        }
        if let (Some(written), Some(times)) = (&mut self.written, values.get(self.columns.len())) {
            let times = times.as_primitive_opt::<Int64Type>();
            let times = times.ok_or_else(|| Error::internal("times of last writes of another type"))?;
            rows.iter().zip(times.values()).for_each(|(&row, &time)| *written.slot(row as usize) = time);
        }
        for &row in &rows {
            self.dirty.unmark(row);
            self.fresh.unmark(row);
        }
        if matches!(self.spec.kind, TableKind::List) {
            let positions = self.positions(&rows)?;
            if let Some(chains) = &mut self.chains {
                rows.iter().zip(positions).for_each(|(&row, position)| chains.note(row, position));
            }
        }
        Ok(rows)
    }

    pub(crate) fn freeze(&mut self, scope: Scope, now: i64) -> FrozenTable {
        let dirty = self.dirty.freeze();
        self.fresh.unmark_all();
        self.released.extend(self.removed.drain(..));
        FrozenTable {
            name: self.spec.name.clone(),
            schema: Arc::clone(&self.schema),
            key_columns: self.key_columns,
            partition_columns: self.spec.key.len(),
            converter: Arc::clone(&self.converter),
            changed: (scope == Scope::Changes).then_some(dirty),
            rows: self.rows,
            bytes: self.size_bytes(),
            keys: self.index.freeze(),
            columns: self.columns.iter_mut().map(Column::freeze).collect(),
            written: self.written.as_mut().map(Chunks::freeze),
            live: self.live.freeze(),
            time_to_live_millis: self.spec.time_to_live_millis,
            now,
        }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(Column::size_bytes).sum();
        columns
            + self.index.size_bytes()
            + self.chains.as_ref().map_or(0, Chains::size_bytes)
            + self.written.as_ref().map_or(0, Chunks::size_bytes)
            + self.live.size_bytes()
            + self.dirty.size_bytes()
            + self.fresh.size_bytes()
            + (self.free.capacity() + self.removed.capacity() + self.released.capacity()) * size_of::<u32>()
    }
}
