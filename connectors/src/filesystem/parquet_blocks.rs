//! Reads row groups of Parquet files: only the wanted leaves and rows, cast to the declared types.

use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatchReader};
use arrow::datatypes::{DataType, Field, Int64Type};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
    RowSelection, RowSelector,
};
use parquet::arrow::{ProjectionMask, RowNumber};
use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::source::{SourceEvent, SplitProgress};

use super::columns::Assembly;
use super::input::{Chunks, Inputs, cause};
use super::pruned::{Next, Splits};
use super::read_ahead::{Blocks, Step};
use super::split::{FileInfo, FileSplit, Given, Part};
use crate::formats::parquet::filter::{Filter, row_filter};
use crate::formats::parquet::{Adapter, projection};
use crate::formats::record::Problem;
use crate::on_error::Malformed;

/// The wanted columns of a row group are fetched at once up to this size; larger ones are read page by page.
const LOAD_BYTES: u64 = 64 << 20;
/// The column of row numbers that is read beside the wanted ones; no file's column has this name.
const ROW_NUMBER: &str = "\0row number";

struct Open {
    index: usize,
    path: String,
    group: usize,
    /// The number of its first row in the file.
    first_row: u64,
    /// How many of its rows have been read, wanted or not: a position that doesn't depend on the predicates.
    rows: u64,
    /// Where rows are left out: the column that tells which.
    numbers: Option<usize>,
    reader: ParquetRecordBatchReader,
    adapter: Adapter,
}

/// See the module.
pub struct ParquetBlocks {
    table: String,
    splits: Splits,
    inputs: Inputs,
    assembly: Assembly,
    filters: Vec<Filter>,
    malformed: Malformed,
    /// A split that has ended; its dead letters went first.
    ended: Option<usize>,
    open: Option<Open>,
    /// The footer of the file read last: row groups of one file follow each other.
    footer: Option<(String, ArrowReaderMetadata)>,
    metrics: Arc<OperatorMetrics>,
}

impl ParquetBlocks {
    /// Reads `splits` into batches of `assembly`, of the rows that fulfil all `filters`.
    pub fn new(
        table: &str,
        (splits, inputs): (Splits, Inputs),
        assembly: Assembly,
        filters: Vec<Filter>,
        malformed: Malformed,
        metrics: Arc<OperatorMetrics>,
    ) -> Self {
        let table = table.to_owned();
        Self {
            table,
            splits,
            inputs,
            assembly,
            filters,
            malformed,
            ended: None,
            open: None,
            footer: None,
            metrics,
        }
    }

    fn failed(&self, path: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        let error = error.into();
        let code = match cause(error.as_ref()).map(Error::code) {
            Some(code @ (Code::Io | Code::RecordsLost)) => code,
            _ => Code::MalformedRecord,
        };
        Error::new(code, format!("table {}: read {path}", self.table)).with_source(error)
    }

    fn footer(&mut self, file: &FileInfo, chunks: &Chunks) -> Result<ArrowReaderMetadata> {
        match &self.footer {
            Some((of, footer)) if *of == file.path => Ok(footer.clone()),
            _ => {
                let footer = footer(chunks).map_err(|error| self.failed(&file.path, error))?;
                self.footer = Some((file.path.clone(), footer.clone()));
                Ok(footer)
            }
        }
    }

    /// Opens a row group; `None` if its statistics say that it holds no wanted row.
    fn open(&mut self, index: usize, split: FileSplit, from: Option<u64>) -> Result<Option<Open>> {
        let file = split.file;
        let Part::RowGroup(group) = split.part else {
            return Err(Error::internal(format!("a split of lines of {} for a Parquet table", file.path)));
        };
        let within = |error: Error| error.context(format_args!("table {}: read {}", self.table, file.path));
        let place = from.map(|row| format!("row {row} of row group {group}"));
        self.inputs.check(&file, place.as_ref().map(|place| place as &dyn Display)).map_err(within)?;
        let mut chunks = self.inputs.chunks(&file).map_err(within)?;
        let footer = self.footer(&file, &chunks)?;
        if group >= footer.metadata().num_row_groups() {
            return Err(self.failed(&file.path, "the file has changed since the job was submitted"));
        }
        let groups = footer.metadata().row_groups();
        let rows_of = |group: usize| groups.get(group).map_or(0, |group| group.num_rows().unsigned_abs());
        let (first_row, rows) = ((0..group).map(rows_of).sum::<u64>(), from.unwrap_or(0));
        if rows > rows_of(group) {
            let changed = format!(
                "row group {group} has {} rows, but {rows} had been read: the file has changed",
                rows_of(group)
            );
            return Err(self.failed(&file.path, changed));
        }
        let selection = RowSelection::from(vec![
            RowSelector::skip(usize::try_from(rows).unwrap_or(usize::MAX)),
            RowSelector::select(usize::try_from(rows_of(group) - rows).unwrap_or(usize::MAX)),
        ]);
        if !self.filters.iter().all(|filter| filter.may_hold(&footer, group)) {
            return Ok(None);
        }
        let mask = projection(self.assembly.record.fields(), footer.parquet_schema());
        let ranges = ranges(&footer, group, &mask);
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        self.metrics.num_bytes_in.add(bytes);
        let within = |error: Error| error.context(format_args!("table {}: read {}", self.table, file.path));
        // Read at once, a failure of the disk or the network isn't taken for a malformed page.
        if bytes <= LOAD_BYTES || !self.malformed.fails() {
            chunks.load(&ranges).map_err(within)?;
        }
        self.assembly.open(&file).map_err(|error| error.context(format_args!("table {}", self.table)))?;
        let in_file = footer.schema().clone();
        let filter = row_filter(&self.filters, &footer).map_err(within)?;
        let footer = match filter {
            Some(_) => numbered(&footer).map_err(|error| self.failed(&file.path, error))?,
            None => footer,
        };
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, footer);
        if rows > 0 {
            builder = builder.with_row_selection(selection);
        }
        let reader = filter
            .into_iter()
            .fold(builder, ParquetRecordBatchReaderBuilder::with_row_filter)
            .with_row_groups(vec![group])
            .with_projection(mask)
            .with_batch_size(TARGET_ROWS)
            .build()
            .map_err(|error| self.failed(&file.path, error))?;
        let numbers = reader.schema().index_of(ROW_NUMBER).ok();
        let adapter = Adapter::new(self.assembly.record.fields(), reader.schema().fields(), in_file.fields())
            .map_err(within)?;
        Ok(Some(Open { index, path: file.path, group, first_row, rows, numbers, reader, adapter }))
    }

    fn adapt(&mut self, open: &Open, read: &RecordBatch) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> =
            open.adapter.columns(read.columns()).map_err(|error| self.failed(&open.path, error))?;
        // What can still be wrong is a null where the table says NOT NULL.
        self.assembly.batch(columns, read.num_rows()).map_err(|error| self.failed(&open.path, error))
    }
}

/// Reads a file's footer.
pub fn footer(chunks: &Chunks) -> parquet::errors::Result<ArrowReaderMetadata> {
    ArrowReaderMetadata::load(chunks, ArrowReaderOptions::new())
}

/// The footer for a reader that numbers the rows of the file.
fn numbered(footer: &ArrowReaderMetadata) -> parquet::errors::Result<ArrowReaderMetadata> {
    let number = Field::new(ROW_NUMBER, DataType::Int64, false).with_extension_type(RowNumber);
    let options = ArrowReaderOptions::new().with_virtual_columns(vec![Arc::new(number)])?;
    ArrowReaderMetadata::try_new(Arc::clone(footer.metadata()), options)
}

/// Where the wanted columns of a row group lie.
fn ranges(footer: &ArrowReaderMetadata, group: usize, mask: &ProjectionMask) -> Vec<Range<u64>> {
    let columns = footer.metadata().row_group(group).columns().iter().enumerate();
    columns
        .filter(|(leaf, _)| mask.leaf_included(*leaf))
        .map(|(_, column)| {
            let (start, len) = column.byte_range();
            start..start + len
        })
        .collect()
}

impl Blocks for ParquetBlocks {
    fn add(&mut self, splits: Vec<Given>) {
        self.splits.add(splits);
    }

    fn next(&mut self) -> Result<Option<Step>> {
        if let Some(split) = self.ended.take() {
            return Ok(Some(Step::finished(split)));
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.splits.next() {
                Some(Next::Read(index, split, from)) => match self.open(index, split, from)? {
                    Some(open) => open,
                    None => return Ok(Some(Step::finished(index))),
                },
                Some(Next::PassOver(split)) => return Ok(Some(Step::finished(split))),
                None => return Ok(None),
            },
        };
        let split = open.index;
        let read = match open.reader.next() {
            None => return Ok(Some(Step::finished(split))),
            Some(read) => read.map_err(|error| self.failed(&open.path, error)),
        };
        match read.and_then(|read| Ok((open.behind(&read), self.adapt(&open, &read)?))) {
            Ok((rows, records)) => {
                open.rows = rows;
                self.open = Some(open);
                let after = Some((split, SplitProgress::At(rows)));
                Ok(Some(Step { event: SourceEvent::Records { split, records }, after }))
            }
            Err(error) if self.malformed.fails() || error.code() != Code::MalformedRecord => Err(error),
            Err(error) => self.malformed_group(&open, &error).map(Some),
        }
    }
}

impl Open {
    /// How many rows of the row group have been read with these.
    fn behind(&self, read: &RecordBatch) -> u64 {
        let numbers =
            self.numbers.and_then(|index| read.columns().get(index)?.as_primitive_opt::<Int64Type>());
        match numbers.and_then(|numbers| numbers.values().last()) {
            Some(last) => (last.unsigned_abs() + 1).saturating_sub(self.first_row),
            None => self.rows + read.num_rows() as u64,
        }
    }
}

impl ParquetBlocks {
    /// What is left of a row group can't be read: that is one malformed record.
    fn malformed_group(&mut self, open: &Open, error: &Error) -> Result<Step> {
        let position = format!("{}:row group {}, behind row {}", open.path, open.group, open.rows);
        self.malformed.record(position, None, &Problem { at: 0, what: error.chain().into() })?;
        Ok(match self.malformed.take()? {
            Some(letters) => {
                self.ended = Some(open.index);
                // The letter stands for the rest of the split: its end belongs to it.
                Step { event: SourceEvent::DeadLetters(letters), after: None }
            }
            None => Step::finished(open.index),
        })
    }
}
