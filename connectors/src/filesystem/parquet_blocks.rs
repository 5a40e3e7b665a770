//! Reads row groups of Parquet files: only the wanted leaves, cast to the declared types.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::source::SourceEvent;

use super::read_ahead::Blocks;
use super::split::{FileSplit, Part};
use crate::formats::parquet::{Adapter, projection};

struct Open {
    index: usize,
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    adapter: Adapter,
}

/// See the module.
pub struct ParquetBlocks {
    table: String,
    schema: SchemaRef,
    splits: VecDeque<(usize, FileSplit)>,
    open: Option<Open>,
    /// The footer of the file read last: row groups of one file follow each other.
    footer: Option<(PathBuf, ArrowReaderMetadata)>,
    metrics: Arc<OperatorMetrics>,
}

impl ParquetBlocks {
    /// Reads `splits` into batches of `schema`.
    pub fn new(
        table: &str,
        schema: SchemaRef,
        splits: VecDeque<(usize, FileSplit)>,
        metrics: Arc<OperatorMetrics>,
    ) -> Self {
        Self { table: table.to_owned(), schema, splits, open: None, footer: None, metrics }
    }

    fn failed(
        &self,
        path: &Path,
        code: Code,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::new(code, format!("table {}: read {}", self.table, path.display())).with_source(error)
    }

    fn footer(&mut self, path: &Path, file: &File) -> Result<ArrowReaderMetadata> {
        match &self.footer {
            Some((of, footer)) if of == path => Ok(footer.clone()),
            _ => {
                let footer = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())
                    .map_err(|error| self.failed(path, Code::MalformedRecord, error))?;
                self.footer = Some((path.to_owned(), footer.clone()));
                Ok(footer)
            }
        }
    }

    fn open(&mut self, index: usize, split: FileSplit) -> Result<Open> {
        let path = split.path;
        let Part::RowGroup(group) = split.part else {
            return Err(Error::internal(format!("a JSON split of {} for a Parquet table", path.display())));
        };
        let file = File::open(&path).map_err(|error| self.failed(&path, Code::Io, error))?;
        let footer = self.footer(&path, &file)?;
        if group >= footer.metadata().num_row_groups() {
            return Err(self.failed(
                &path,
                Code::MalformedRecord,
                "the file has changed since the job was submitted",
            ));
        }
        let mask = projection(self.schema.fields(), footer.parquet_schema());
        let columns = footer.metadata().row_group(group).columns();
        let bytes = columns.iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
        self.metrics
            .num_bytes_in
            .add(bytes.map(|(_, column)| u64::try_from(column.compressed_size()).unwrap_or(0)).sum());
        let in_file = footer.schema().clone();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer)
            .with_row_groups(vec![group])
            .with_projection(mask)
            .with_batch_size(TARGET_ROWS)
            .build()
            .map_err(|error| self.failed(&path, Code::MalformedRecord, error))?;
        let adapter = Adapter::new(self.schema.fields(), reader.schema().fields(), in_file.fields())
            .map_err(|error| error.context(format_args!("table {}: read {}", self.table, path.display())))?;
        Ok(Open { index, path, reader, adapter })
    }

    fn adapt(&self, open: &Open, read: &RecordBatch) -> Result<RecordBatch> {
        let columns = open
            .adapter
            .columns(read.columns())
            .map_err(|error| self.failed(&open.path, Code::MalformedRecord, error))?;
        let options = RecordBatchOptions::new().with_row_count(Some(read.num_rows()));
        // What can still be wrong is a null where the table says NOT NULL.
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| self.failed(&open.path, Code::MalformedRecord, error))
    }
}

impl Blocks for ParquetBlocks {
    fn next(&mut self) -> Result<Option<SourceEvent>> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.splits.pop_front() {
                Some((index, split)) => self.open(index, split)?,
                None => return Ok(None),
            },
        };
        let split = open.index;
        match open.reader.next() {
            None => Ok(Some(SourceEvent::SplitFinished { split })),
            Some(Err(error)) => Err(self.failed(&open.path, Code::MalformedRecord, error)),
            Some(Ok(read)) => {
                let records = self.adapt(&open, &read)?;
                self.open = Some(open);
                Ok(Some(SourceEvent::Records { split, records }))
            }
        }
    }
}
