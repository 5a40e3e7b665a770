//! Writes one subtask's files: encodes, rolls, makes durable. Runs on the I/O runtime, where it may block.
//!
//! Invariant: every file lies in the attempt's hidden folder until it is committed; a committable is given only for what is on
//! disk.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use weir_api::Batch;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::sink::Committable;

use super::Format;
use crate::formats::record::{RecordEncoder, Records};
use crate::handover::Destination;

/// Encoded lines are written in blocks of about this size.
const BLOCK_BYTES: usize = 1 << 20;
/// A row group ends when its rows take this much memory: it bounds what a writer holds.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// One file to be renamed, as a committable says it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// Where it has been written.
    pub from: PathBuf,
    /// Where it is to be seen.
    pub to: PathBuf,
}

/// How rows are encoded.
#[derive(Clone, Debug)]
pub struct Encoding {
    /// Which format.
    pub format: Format,
    /// Parquet's.
    pub parquet: WriterProperties,
    /// A file of this size is followed by another.
    pub roll_bytes: u64,
}

/// Where files go and how they are called.
pub struct Names {
    /// The table's folder.
    pub folder: PathBuf,
    /// The attempt's hidden folder.
    pub hidden: PathBuf,
    /// Makes the name of file `n`.
    pub name: Box<dyn Fn(u32) -> String + Send>,
}

enum Open {
    Records { file: File, encoder: Box<dyn RecordEncoder>, buffer: Records, written: u64 },
    Parquet(Box<ArrowWriter<File>>),
}

/// See the module.
pub struct Parts {
    table: String,
    schema: SchemaRef,
    encoding: Encoding,
    names: Names,
    metrics: Arc<OperatorMetrics>,
    open: Option<(Open, String)>,
    finished: Vec<Committable>,
    count: u32,
}

impl Parts {
    /// Nothing is created before the first row.
    pub fn new(
        table: String,
        schema: SchemaRef,
        encoding: Encoding,
        names: Names,
        metrics: Arc<OperatorMetrics>,
    ) -> Self {
        Self { table, schema, encoding, names, metrics, open: None, finished: Vec::new(), count: 0 }
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        failed(&self.table, &self.names.hidden, error)
    }

    /// The rows under the declared names and types.
    fn declared(&self, records: &RecordBatch) -> Result<RecordBatch> {
        if records.num_columns() != self.schema.fields().len() {
            return Err(Error::internal(format!(
                "table {}: rows of {} columns for {}",
                self.table,
                records.num_columns(),
                self.schema.fields().len()
            )));
        }
        let checked = CastOptions { safe: false, ..CastOptions::default() };
        let columns = records
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| {
                if column.null_count() > 0 && !field.is_nullable() {
                    let what = format!(
                        "table {}: column `{}` is NOT NULL, but a null is to be written",
                        self.table,
                        field.name()
                    );
                    return Err(Error::new(Code::Evaluation, what));
                }
                if column.data_type() == field.data_type() {
                    Ok(column.clone())
                } else {
                    Ok(cast_with_options(column, field.data_type(), &checked)?)
                }
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    fn open(&mut self) -> Result<(Open, String)> {
        let name = (self.names.name)(self.count);
        fs::create_dir_all(&self.names.hidden).map_err(|error| self.failed(error))?;
        let file = File::create(self.names.hidden.join(&name)).map_err(|error| self.failed(error))?;
        self.count += 1;
        let open = match &self.encoding.format {
            Format::Records(format) => {
                let encoder = format.encoder(&self.table, self.schema.clone())?;
                Open::Records { file, encoder, buffer: Records::lines(), written: 0 }
            }
            Format::Parquet => {
                let properties = Some(self.encoding.parquet.clone());
                let writer = ArrowWriter::try_new(file, self.schema.clone(), properties)
                    .map_err(|error| self.failed(error))?;
                Open::Parquet(Box::new(writer))
            }
        };
        Ok((open, name))
    }

    fn add(&mut self, records: &RecordBatch) -> Result<()> {
        let (mut open, name) = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        let size = match &mut open {
            Open::Records { file, encoder, buffer, written } => {
                encoder
                    .encode(records.columns(), records.num_rows(), buffer)
                    .map_err(|error| error.context(format_args!("table {}", self.table)))?;
                if buffer.bytes().len() >= BLOCK_BYTES {
                    *written += self.write_block(file, buffer)?;
                }
                *written + buffer.bytes().len() as u64
            }
            Open::Parquet(writer) => {
                writer.write(records).map_err(|error| self.failed(error))?;
                if writer.in_progress_size() >= ROW_GROUP_BYTES {
                    writer.flush().map_err(|error| self.failed(error))?;
                }
                (writer.bytes_written() + writer.in_progress_size()) as u64
            }
        };
        self.open = Some((open, name));
        if size >= self.encoding.roll_bytes { self.close() } else { Ok(()) }
    }

    fn write_block(&self, file: &mut File, buffer: &mut Records) -> Result<u64> {
        file.write_all(buffer.bytes()).map_err(|error| self.failed(error))?;
        let written = buffer.bytes().len() as u64;
        self.metrics.num_bytes_out.add(written);
        buffer.clear();
        Ok(written)
    }

    /// Ends the open file and makes it durable.
    fn close(&mut self) -> Result<()> {
        let Some((open, name)) = self.open.take() else { return Ok(()) };
        let file = match open {
            Open::Records { mut file, mut buffer, .. } => {
                self.write_block(&mut file, &mut buffer)?;
                file
            }
            Open::Parquet(writer) => {
                let file = writer.into_inner().map_err(|error| self.failed(error))?;
                self.metrics.num_bytes_out.add(file.metadata().map_or(0, |metadata| metadata.len()));
                file
            }
        };
        file.sync_all().map_err(|error| self.failed(error))?;
        let rename = Rename { from: self.names.hidden.join(&name), to: self.names.folder.join(&name) };
        let committable = serde_json::to_vec(&rename).map_err(|error| self.failed(error))?;
        self.finished.push(committable);
        Ok(())
    }
}

impl Destination for Parts {
    fn write(&mut self, batches: Vec<Batch>) -> Result<()> {
        for batch in batches {
            if batch.kinds().is_some() {
                return Err(Error::internal(format!(
                    "table {}: changes for a sink that takes inserts only",
                    self.table
                )));
            }
            let records = self.declared(batch.records())?;
            self.add(&records)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        match self.open.take() {
            Some((Open::Records { mut file, encoder, mut buffer, written }, name)) => {
                let written = written + self.write_block(&mut file, &mut buffer)?;
                self.open = Some((Open::Records { file, encoder, buffer, written }, name));
            }
            // A row group that ends at every pause would make the file slow to read: its rows stay in memory.
            other => self.open = other,
        }
        Ok(())
    }

    fn prepare(&mut self) -> Result<Vec<Committable>> {
        self.close()?;
        if !self.finished.is_empty() {
            sync_folder(&self.names.hidden).map_err(|error| self.failed(error))?;
            // The hidden folder is new: its own entry must last too.
            sync_folder(&self.names.folder).map_err(|error| self.failed(error))?;
        }
        Ok(std::mem::take(&mut self.finished))
    }
}

fn failed(table: &str, folder: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Code::Io, format!("table {table}: write to {}", folder.display())).with_source(error)
}

/// Makes a folder's entries durable.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
