//! The source: options of the table as a whole, splits, and the rows behind the reader.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use weir_api::batch::TARGET_ROWS;
use weir_api::error::Result;
use weir_api::source::{Boundedness, ReaderContext, Source, SourceReader};
use weir_proto::v1::{Split, TableSpec};

use super::OPTIONS;
use super::fields::{self, Generator};
use super::values::Now;
use crate::generator::Rows;
use crate::generator::numbers::Share;
use crate::generator::reader::{Course, Reader};
use crate::generator::timeline::Timeline;
use crate::options::Options;
use crate::types;

/// 2015-07-15 00:00:00, where a repeatable job's time begins.
const REPEATABLE_BASE_MILLIS: i64 = 1_436_918_400_000;
/// The rate that a repeatable job's times follow when it isn't paced.
const UNPACED_RATE: u64 = 10_000;
/// A batch isn't made larger than about this.
const BATCH_BYTES: usize = 8 << 20;

/// A `datagen` table.
pub struct DataGenSource {
    table: TableSpec,
    seed: Option<u64>,
    rate: u64,
    rows: Option<u64>,
}

impl DataGenSource {
    /// From the options of a table, all of which are checked.
    pub fn new(table: &TableSpec) -> Result<Self> {
        let options = Options::new(table, OPTIONS);
        let declared = types::declared(table)?;
        let mut reader = fields::Reader::new(table, 0);
        reader.columns(declared.fields())?;
        reader.check_names()?;
        let given = |key| {
            if options.is_given(key) { options.number(key, 0..=i64::MAX as u64).map(Some) } else { Ok(None) }
        };
        let rows = [given("number-of-rows")?, reader.rows].into_iter().flatten().min();
        let seed = if options.is_given("seed") { Some(options.number("seed", 0..=u64::MAX)?) } else { None };
        let rate = options.number("rows-per-second", 0..=1_000_000_000)?;
        Ok(Self { table: table.clone(), seed, rate, rows })
    }
}

#[async_trait]
impl Source for DataGenSource {
    fn boundedness(&self) -> Boundedness {
        if self.rows.is_some() { Boundedness::Bounded } else { Boundedness::Unbounded }
    }

    async fn discover(&self, parallelism: u32) -> Result<Vec<Split>> {
        // The one draw: its outcome is kept in the splits, so that a restart gives the same rows.
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one(0_u8));
        // At a low rate rows are dealt out one by one, so that every subtask has its share of every second.
        let unit = if self.rate == 0 { 1024 } else { (self.rate / 100).clamp(1, 1024) };
        Share::deal(parallelism, unit, seed as i64, self.rows)
    }

    fn reader(&self, context: ReaderContext, splits: Vec<Split>) -> Result<Box<dyn SourceReader>> {
        let shares = splits.iter().map(Share::of).collect::<Result<Vec<_>>>()?;
        let seed = shares.first().map_or(0, |share| share.fixed as u64);
        let columns = fields::Reader::new(&self.table, seed).columns(context.projected_schema.fields())?;
        let timeline = Timeline::constant(if self.rate == 0 { UNPACED_RATE } else { self.rate })?;
        let rows = GeneratedRows {
            rows_per_batch: rows_per_batch(&context.projected_schema, &columns),
            schema: context.projected_schema,
            columns,
            timeline: self.seed.is_some().then(|| timeline.clone()),
        };
        let course = Course { end: self.rows, pace: (self.rate > 0).then_some(timeline), keep_alive: false };
        Ok(Box::new(Reader::new(rows, course, &splits, context.clock)?))
    }
}

/// A full batch, or fewer rows where they are wide.
fn rows_per_batch(schema: &SchemaRef, columns: &[Generator]) -> u64 {
    let bytes: usize =
        schema.fields().iter().zip(columns).map(|(field, column)| width(field.data_type(), column)).sum();
    (BATCH_BYTES / bytes.max(1)).clamp(1, TARGET_ROWS) as u64
}

fn width(data_type: &DataType, generator: &Generator) -> usize {
    use super::fields::Kind;
    match &generator.kind {
        Kind::Text(length) | Kind::Bytes(length) => length.most as usize,
        Kind::Row(inner) => inner.iter().map(|field| width(field.field.data_type(), field)).sum(),
        Kind::List(length, item) => length.most as usize * width(item.field.data_type(), item),
        Kind::Map(length, pair) => {
            length.most as usize
                * (width(pair.0.field.data_type(), &pair.0) + width(pair.1.field.data_type(), &pair.1))
        }
        _ => data_type.primitive_width().unwrap_or(8),
    }
}

struct GeneratedRows {
    schema: SchemaRef,
    columns: Vec<Generator>,
    rows_per_batch: u64,
    /// When rows happen, where the clock doesn't say.
    timeline: Option<Timeline>,
}

impl Rows for GeneratedRows {
    fn generate(&self, pieces: &[Range<u64>], now_millis: i64) -> Result<RecordBatch> {
        let numbers: Vec<u64> = pieces.iter().cloned().flatten().collect();
        let now_of_row = |n: u64| match &self.timeline {
            Some(timeline) => REPEATABLE_BASE_MILLIS.wrapping_add(timeline.millis(n) as i64),
            None => now_millis,
        };
        let now = Now(&now_of_row);
        let columns =
            self.columns.iter().map(|column| column.column(&numbers, &now)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(numbers.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    fn numbers_per_batch(&self) -> u64 {
        self.rows_per_batch
    }
}
