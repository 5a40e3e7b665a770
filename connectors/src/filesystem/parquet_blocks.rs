//! Reads row groups of Parquet files: only the wanted leaves, cast to the declared types.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatchReader};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::source::SourceEvent;

use super::columns::Assembly;
use super::input::{Chunks, Inputs};
use super::pruned::{Next, Splits};
use super::read_ahead::Blocks;
use super::split::{FileInfo, FileSplit, Part};
use crate::formats::parquet::{Adapter, projection};

/// The wanted columns of a row group are fetched at once up to this size; larger ones are read page by page.
const LOAD_BYTES: u64 = 64 << 20;

struct Open {
    index: usize,
    path: String,
    reader: ParquetRecordBatchReader,
    adapter: Adapter,
}

/// See the module.
pub struct ParquetBlocks {
    table: String,
    splits: Splits,
    inputs: Inputs,
    assembly: Assembly,
    open: Option<Open>,
    /// The footer of the file read last: row groups of one file follow each other.
    footer: Option<(String, ArrowReaderMetadata)>,
    metrics: Arc<OperatorMetrics>,
}

impl ParquetBlocks {
    /// Reads `splits` into batches of `assembly`.
    pub fn new(
        table: &str,
        (splits, inputs): (Splits, Inputs),
        assembly: Assembly,
        metrics: Arc<OperatorMetrics>,
    ) -> Self {
        Self { table: table.to_owned(), splits, inputs, assembly, open: None, footer: None, metrics }
    }

    fn failed(&self, path: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::new(Code::MalformedRecord, format!("table {}: read {path}", self.table)).with_source(error)
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

    fn open(&mut self, index: usize, split: FileSplit) -> Result<Open> {
        let file = split.file;
        let Part::RowGroup(group) = split.part else {
            return Err(Error::internal(format!("a split of lines of {} for a Parquet table", file.path)));
        };
        let within = |error: Error| error.context(format_args!("table {}: read {}", self.table, file.path));
        let mut chunks = self.inputs.chunks(&file).map_err(within)?;
        let footer = self.footer(&file, &chunks)?;
        if group >= footer.metadata().num_row_groups() {
            return Err(self.failed(&file.path, "the file has changed since the job was submitted"));
        }
        let mask = projection(self.assembly.record.fields(), footer.parquet_schema());
        let ranges = ranges(&footer, group, &mask);
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        self.metrics.num_bytes_in.add(bytes);
        let within = |error: Error| error.context(format_args!("table {}: read {}", self.table, file.path));
        if bytes <= LOAD_BYTES {
            chunks.load(&ranges).map_err(within)?;
        }
        self.assembly.open(&file).map_err(|error| error.context(format_args!("table {}", self.table)))?;
        let in_file = footer.schema().clone();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, footer)
            .with_row_groups(vec![group])
            .with_projection(mask)
            .with_batch_size(TARGET_ROWS)
            .build()
            .map_err(|error| self.failed(&file.path, error))?;
        let adapter = Adapter::new(self.assembly.record.fields(), reader.schema().fields(), in_file.fields())
            .map_err(within)?;
        Ok(Open { index, path: file.path, reader, adapter })
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
    fn add(&mut self, splits: Vec<FileSplit>) {
        self.splits.add(splits);
    }

    fn next(&mut self) -> Result<Option<SourceEvent>> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.splits.next() {
                Some(Next::Read(index, split)) => self.open(index, split)?,
                Some(Next::PassOver(split)) => return Ok(Some(SourceEvent::SplitFinished { split })),
                None => return Ok(None),
            },
        };
        let split = open.index;
        match open.reader.next() {
            None => Ok(Some(SourceEvent::SplitFinished { split })),
            Some(Err(error)) => Err(self.failed(&open.path, error)),
            Some(Ok(read)) => {
                let records = self.adapt(&open, &read)?;
                self.open = Some(open);
                Ok(Some(SourceEvent::Records { split, records }))
            }
        }
    }
}
