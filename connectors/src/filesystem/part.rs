//! One file that is being written: rows are encoded into it.

use std::io::Write;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tokio::time::Instant;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;

use super::Format;
use super::output::{Output, Pending};
use crate::formats::record::{RecordEncoder, Records};

/// Encoded records are written in blocks of about this size.
const BLOCK_BYTES: usize = 1 << 20;
/// A row group ends when its rows take this much memory: it bounds what a writer holds.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// How rows are encoded, and when a file is followed by another.
#[derive(Clone, Debug)]
pub struct Encoding {
    /// Which format.
    pub format: Format,
    /// Parquet's options.
    pub parquet: WriterProperties,
    /// A file of this size is followed by another.
    pub roll_bytes: u64,
    /// So is one of this age.
    pub roll_after: Duration,
}

struct RecordWriter {
    output: Output,
    encoder: Box<dyn RecordEncoder>,
    buffer: Records,
    written: u64,
}

enum Writer {
    Records(Box<RecordWriter>),
    Parquet(Box<ArrowWriter<Output>>),
}

/// See the module.
pub struct PartFile {
    writer: Writer,
    opened: Instant,
}

impl PartFile {
    /// A file of rows of `schema`.
    pub fn new(table: &str, schema: &SchemaRef, encoding: &Encoding, output: Output) -> Result<Self> {
        let writer = match &encoding.format {
            Format::Records(format) => {
                let encoder = format.encoder(table, schema.clone())?;
                Writer::Records(Box::new(RecordWriter {
                    output,
                    encoder,
                    buffer: Records::lines(),
                    written: 0,
                }))
            }
            Format::Parquet => {
                let properties = Some(encoding.parquet.clone());
                let writer =
                    ArrowWriter::try_new(output, schema.clone(), properties).map_err(encoding_failed)?;
                Writer::Parquet(Box::new(writer))
            }
        };
        Ok(Self { writer, opened: Instant::now() })
    }

    /// Adds rows; the size of the file so far.
    pub fn add(&mut self, rows: &RecordBatch, metrics: &OperatorMetrics) -> Result<u64> {
        Ok(match &mut self.writer {
            Writer::Records(writer) => {
                let RecordWriter { output, encoder, buffer, written } = writer.as_mut();
                encoder.encode(rows.columns(), rows.num_rows(), buffer)?;
                if buffer.bytes().len() >= BLOCK_BYTES {
                    *written += write_block(output, buffer, metrics)?;
                }
                *written + buffer.bytes().len() as u64
            }
            Writer::Parquet(writer) => {
                writer.write(rows).map_err(encoding_failed)?;
                if writer.in_progress_size() >= ROW_GROUP_BYTES {
                    writer.flush().map_err(encoding_failed)?;
                }
                (writer.bytes_written() + writer.in_progress_size()) as u64
            }
        })
    }

    /// Whether it has been written to for long enough.
    pub fn is_old(&self, encoding: &Encoding) -> bool {
        self.opened.elapsed() >= encoding.roll_after
    }

    /// What is encoded leaves, where that doesn't spoil the file.
    pub fn flush(&mut self, metrics: &OperatorMetrics) -> Result<()> {
        match &mut self.writer {
            Writer::Records(writer) => {
                writer.written += write_block(&mut writer.output, &mut writer.buffer, metrics)?;
                Ok(())
            }
            // A row group that ends at every pause would make the file slow to read: its rows stay in memory.
            Writer::Parquet(_) => Ok(()),
        }
    }

    /// Ends the file and makes it durable.
    pub fn finish(self, metrics: &OperatorMetrics) -> Result<Pending> {
        match self.writer {
            Writer::Records(mut writer) => {
                write_block(&mut writer.output, &mut writer.buffer, metrics)?;
                writer.output.finish()
            }
            Writer::Parquet(writer) => {
                let output = writer.into_inner().map_err(encoding_failed)?;
                metrics.num_bytes_out.add(output.written()?);
                output.finish()
            }
        }
    }
}

fn write_block(output: &mut Output, buffer: &mut Records, metrics: &OperatorMetrics) -> Result<u64> {
    output.write_all(buffer.bytes())?;
    let written = buffer.bytes().len() as u64;
    metrics.num_bytes_out.add(written);
    buffer.clear();
    Ok(written)
}

fn encoding_failed(error: parquet::errors::ParquetError) -> Error {
    Error::new(Code::Io, "write Parquet").with_source(error)
}
