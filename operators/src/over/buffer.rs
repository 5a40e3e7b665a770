//! Rows that wait for the watermark, in the order of their times.
//!
//! Each batch is put in order as it comes; small ones are merged, as a log-structured tree does it, and what is due is taken from
//! all of them in turn. Rows are copied, as a batch that comes from the network holds memory that others wait for. A barrier
//! shares the batches. Invariants: rows of one time leave in the order in which they came; a row's number is unique, and of rows of
//! one time the earlier has the smaller.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Error, Result};
use weir_api::state::pieces::{Buckets, ByGroup, KeyedRows, next_buckets};
use weir_api::state::{Frozen, Scope, StateTable};

use super::frozen::{buckets_of, groups_of, hashes_of, rows_of_piece};

/// Name of the state of rows that wait.
pub(super) const ROWS: &str = "rows";
const TIME: &str = "__time";
const NUMBER: &str = "__number";

/// See the module.
#[derive(Default)]
pub(super) struct Buffer {
    runs: Vec<Run>,
    /// The next row's number.
    next_number: i64,
    /// Rows of a snapshot that aren't put in order yet.
    imported: Vec<RecordBatch>,
    imported_bytes: usize,
}

/// Rows in the order of their times, and how many of them have left.
#[derive(Clone)]
struct Run {
    rows: Arc<Ordered>,
    left: usize,
}

struct Ordered {
    records: RecordBatch,
    times: Vec<i64>,
    /// The first row's number; the others' follow.
    number: i64,
    bytes: usize,
}

impl Ordered {
    fn new(records: RecordBatch, times: Vec<i64>, number: i64) -> Self {
        let bytes = records.get_array_memory_size() + times.capacity() * size_of::<i64>();
        Self { records, times, number, bytes }
    }
}

impl Run {
    fn waiting(&self) -> usize {
        self.rows.times.len() - self.left
    }

    fn next_time(&self) -> Option<i64> {
        self.rows.times.get(self.left).copied()
    }
}

/// The positions of times in their order; `None` if they are in order.
fn order_of(times: &[i64]) -> Option<Vec<u32>> {
    if times.is_sorted() {
        return None;
    }
    let mut order: Vec<u32> = (0..times.len() as u32).collect();
    order.sort_by_key(|&row| times[row as usize]);
    Some(order)
}

impl Buffer {
    /// Adds the rows of a batch that `rows` names, with the times of all rows of the batch.
    pub(super) fn add(&mut self, records: &RecordBatch, times: &[i64], mut rows: Vec<u32>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if !rows.is_sorted_by_key(|&row| times[row as usize]) {
            rows.sort_by_key(|&row| times[row as usize]);
        }
        let times: Vec<i64> = rows.iter().map(|&row| times[row as usize]).collect();
        let records = take_record_batch(records, &UInt32Array::from(rows))?;
        self.push(records, times);
        self.merge_small()
    }

    fn push(&mut self, records: RecordBatch, times: Vec<i64>) {
        let number = self.next_number;
        self.next_number += times.len() as i64;
        self.runs.push(Run { rows: Arc::new(Ordered::new(records, times, number)), left: 0 });
    }

    /// Merges the last runs while the last but one isn't much larger, so that many small batches become few.
    fn merge_small(&mut self) -> Result<()> {
        while let [.., before, last] = self.runs.as_slice() {
            let (a, b) = (before.waiting(), last.waiting());
            if a > 2 * b || a + b > TARGET_ROWS {
                break;
            }
            let waiting = |run: &Run| run.rows.records.slice(run.left, run.waiting());
            let both = concat_batches(before.rows.records.schema_ref(), &[waiting(before), waiting(last)])?;
            let mut times = Vec::with_capacity(a + b);
            times.extend_from_slice(&before.rows.times[before.left..]);
            times.extend_from_slice(&last.rows.times[last.left..]);
            // Numbers from those of both: no other row has them.
            let number = before.rows.number + before.left as i64;
            let (records, times) = match order_of(&times) {
                None => (both, times),
                Some(order) => {
                    let sorted = order.iter().map(|&row| times[row as usize]).collect();
                    (take_record_batch(&both, &UInt32Array::from(order))?, sorted)
                }
            };
            self.runs.truncate(self.runs.len() - 2);
            self.runs.push(Run { rows: Arc::new(Ordered::new(records, times, number)), left: 0 });
        }
        Ok(())
    }

    /// Takes about [`TARGET_ROWS`] of the rows whose time isn't after `watermark`, in order, and all others of the last one's
    /// time; `None` if there is none.
    pub(super) fn due(&mut self, watermark: i64) -> Result<Option<(RecordBatch, Vec<i64>)>> {
        self.settle()?;
        let is_due = |time: &i64| *time <= watermark;
        let mut heap: BinaryHeap<Reverse<(i64, i64, usize)>> = BinaryHeap::new();
        for (index, run) in self.runs.iter().enumerate() {
            if let Some(time) = run.next_time().filter(is_due) {
                heap.push(Reverse((time, run.rows.number, index)));
            }
        }
        let mut places: Vec<(usize, usize)> = Vec::new();
        let mut times: Vec<i64> = Vec::new();
        while let Some(Reverse((time, number, index))) = heap.pop() {
            if places.len() >= TARGET_ROWS && times.last() != Some(&time) {
                break;
            }
            let Some(run) = self.runs.get_mut(index) else { break };
            // Rows of this run up to the next one's first.
            let other =
                heap.peek().map_or((i64::MAX, i64::MAX), |Reverse((time, number, _))| (*time, *number));
            while let Some(time) = run.next_time().filter(is_due) {
                let full = places.len() >= TARGET_ROWS && times.last() != Some(&time);
                if full || (time, number) > other {
                    heap.push(Reverse((time, number, index)));
                    break;
                }
                places.push((index, run.left));
                times.push(time);
                run.left += 1;
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        let taken = self.gather(places)?;
        self.runs.retain(|run| run.waiting() > 0);
        Ok(Some((taken, times)))
    }

    fn gather(&self, mut places: Vec<(usize, usize)>) -> Result<RecordBatch> {
        // A run alone: its rows lie side by side.
        if let (Some(&(first, start)), Some(&(last, _))) = (places.first(), places.last())
            && first == last
            && places.iter().all(|&(run, _)| run == first)
            && let Some(run) = self.runs.get(first)
        {
            return Ok(run.rows.records.slice(start, places.len()));
        }
        let mut number_of: Vec<Option<usize>> = vec![None; self.runs.len()];
        let mut used: Vec<&RecordBatch> = Vec::new();
        for place in &mut places {
            let number = match number_of.get(place.0).copied().flatten() {
                Some(number) => number,
                None => {
                    let run = self.runs.get(place.0).ok_or_else(|| Error::internal("a run is gone"))?;
                    used.push(&run.rows.records);
                    number_of[place.0] = Some(used.len() - 1);
                    used.len() - 1
                }
            };
            place.0 = number;
        }
        Ok(interleave_record_batch(&used, &places)?)
    }

    /// Bytes held.
    pub(super) fn size_bytes(&self) -> usize {
        self.runs.iter().map(|run| run.rows.bytes).sum::<usize>() + self.imported_bytes
    }

    /// The rows that wait. `keys` are the positions of the key columns in them.
    pub(super) fn freeze(
        &mut self,
        schema: &SchemaRef,
        keys: Vec<usize>,
        key_groups: u32,
        max_parallelism: u32,
    ) -> Result<FrozenBuffer> {
        self.settle()?;
        let runs = self.runs.clone();
        let schema = Arc::clone(schema);
        Ok(FrozenBuffer { schema, keys, runs, key_groups, max_parallelism, cursor: None })
    }

    /// Takes rows back: their columns, times and numbers.
    pub(super) fn import(
        &mut self,
        records: RecordBatch,
        times: &ArrayRef,
        numbers: &ArrayRef,
    ) -> Result<()> {
        let mut fields: Vec<_> = records.schema_ref().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(TIME, DataType::Int64, false)));
        fields.push(Arc::new(Field::new(NUMBER, DataType::Int64, false)));
        let mut columns = records.columns().to_vec();
        columns.extend([Arc::clone(times), Arc::clone(numbers)]);
        let records = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        self.imported_bytes += records.get_array_memory_size();
        self.imported.push(records);
        Ok(())
    }

    /// Puts what was imported in order, as rows of one time may have come in any.
    fn settle(&mut self) -> Result<()> {
        let Some(first) = self.imported.first() else { return Ok(()) };
        let all = concat_batches(first.schema_ref(), &self.imported)?;
        let width = all.num_columns() - 2;
        let times = all.column(width).as_primitive::<Int64Type>().values().clone();
        let numbers = all.column(width + 1).as_primitive::<Int64Type>().values().clone();
        let mut order: Vec<u32> = (0..all.num_rows() as u32).collect();
        order.sort_unstable_by_key(|&row| (times[row as usize], numbers[row as usize]));
        let records = all.project(&(0..width).collect::<Vec<_>>())?;
        // They came before all others.
        let later = std::mem::take(&mut self.runs);
        self.next_number = 0;
        for rows in order.chunks(TARGET_ROWS) {
            let times = rows.iter().map(|&row| times[row as usize]).collect();
            self.push(take_record_batch(&records, &UInt32Array::from(rows.to_vec()))?, times);
        }
        for run in later {
            let records = run.rows.records.slice(run.left, run.waiting());
            self.push(records, run.rows.times[run.left..].to_vec());
        }
        self.imported.clear();
        self.imported_bytes = 0;
        Ok(())
    }
}

/// The columns of the state: the key's, time and number, then the other columns of a row.
pub(super) fn schema_of(mut key_fields: Vec<Field>, others: Vec<Field>) -> SchemaRef {
    key_fields.push(Field::new(TIME, DataType::Int64, false));
    key_fields.push(Field::new(NUMBER, DataType::Int64, false));
    key_fields.extend(others);
    Arc::new(Schema::new(key_fields))
}

/// The rows that waited at a freeze.
pub(super) struct FrozenBuffer {
    schema: SchemaRef,
    keys: Vec<usize>,
    runs: Vec<Run>,
    key_groups: u32,
    max_parallelism: u32,
    cursor: Option<Cursor>,
}

struct Cursor {
    index: ByGroup,
    count: usize,
    next: usize,
    piece_rows: usize,
}

impl FrozenBuffer {
    fn keys_of(&self, records: &RecordBatch) -> Vec<ArrayRef> {
        self.keys.iter().filter_map(|&key| records.columns().get(key)).cloned().collect()
    }

    fn cursor(&self) -> Result<Cursor> {
        let total: usize = self.runs.iter().map(Run::waiting).sum();
        let bytes: usize = self.runs.iter().map(|run| run.rows.bytes).sum();
        let buckets = Buckets::new(total, self.key_groups, self.max_parallelism);
        let mut of_rows = Vec::with_capacity(total);
        let mut hashes = Vec::new();
        for run in &self.runs {
            let keys = self.keys_of(&run.rows.records.slice(run.left, run.waiting()));
            hashes_of(&keys, run.waiting(), &mut hashes)?;
            buckets_of(!keys.is_empty(), &hashes, buckets, &mut of_rows);
        }
        let index = ByGroup::new(0..total as u32, &of_rows, buckets.count());
        Ok(Cursor { index, count: buckets.count(), next: 0, piece_rows: rows_of_piece(bytes / total.max(1)) })
    }

    /// Adds some of the rows, by their positions among all that wait, in order.
    fn add(&self, positions: &[u32], rows: &mut KeyedRows) -> Result<()> {
        let mut hashes = Vec::new();
        let (mut start, mut taken) = (0, 0);
        for run in &self.runs {
            let end = start + run.waiting();
            let here = positions[taken..].partition_point(|&position| (position as usize) < end);
            let chosen = &positions[taken..taken + here];
            taken += here;
            if !chosen.is_empty() {
                let within: Vec<u32> =
                    chosen.iter().map(|&position| position - start as u32 + run.left as u32).collect();
                let times = within.iter().map(|&row| run.rows.times[row as usize]);
                let times: ArrayRef = Arc::new(times.collect::<Int64Array>());
                let numbers = within.iter().map(|&row| run.rows.number + i64::from(row));
                let numbers: ArrayRef = Arc::new(numbers.collect::<Int64Array>());
                let records = take_record_batch(&run.rows.records, &UInt32Array::from(within))?;
                let keys = self.keys_of(&records);
                hashes_of(&keys, records.num_rows(), &mut hashes)?;
                let groups = groups_of(!keys.is_empty(), &hashes, self.max_parallelism);
                let others = records.columns().iter().enumerate();
                let others = others.filter(|(index, _)| !self.keys.contains(index)).map(|(_, column)| column);
                rows.add(groups, keys.into_iter().chain([times, numbers]).chain(others.cloned()).collect());
            }
            start = end;
        }
        Ok(())
    }
}

impl Frozen for FrozenBuffer {
    fn next(&mut self) -> Result<Option<(Scope, StateTable)>> {
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => self.cursor()?,
        };
        let mut piece = None;
        if cursor.next < cursor.count {
            let taken =
                next_buckets(cursor.next, cursor.count, cursor.piece_rows, std::iter::once(&cursor.index));
            let mut positions = cursor.index.rows(taken.clone()).to_vec();
            positions.sort_unstable();
            // Whole: most rows that wait have come since the last barrier, or leave before the next.
            let key_columns = self.keys.len() as u32 + 2;
            let mut rows = KeyedRows::new(Scope::Full, Arc::clone(&self.schema), key_columns);
            self.add(&positions, &mut rows)?;
            cursor.next = taken.end;
            piece = Some((Scope::Full, rows.into_table(ROWS)?));
        }
        self.cursor = Some(cursor);
        Ok(piece)
    }
}
