//! The sink: what its options mean, and the writer that hands batches over to [`Parts`].

use std::path::PathBuf;
use std::task::{Context, Poll};

use arrow::datatypes::SchemaRef;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use weir_api::Batch;
use weir_api::error::{Code, Error, Result};
use weir_api::sink::{Committable, Committer, Sink, SinkWriter, WriterContext};

use weir_api::storage::FileSystems;

use super::commit::FileCommitter;
use super::parts::{Encoding, Names, Parts};
use super::{Format, layout, listing};
use crate::formats::values;
use crate::handover::Handover;
use crate::options::Options;
use crate::types;

/// A `filesystem` table that is written.
pub struct FileSink {
    table: String,
    folder: PathBuf,
    schema: SchemaRef,
    encoding: Encoding,
}

impl FileSink {
    /// From the options of a table.
    pub fn new(options: &Options<'_>, _file_systems: &FileSystems) -> Result<Self> {
        let table = options.table();
        types::refuse_partitions(table)?;
        let format = Format::of(options)?;
        let schema = types::declared(table)?;
        match &format {
            Format::Records(format) => {
                format.check_written(&table.name, schema.fields())?;
                format.check_lines(&table.name, schema.fields())?;
            }
            Format::Parquet => values::check(&table.name, "", schema.fields(), "format 'parquet'")?,
        }
        let path = listing::local_path(options)?;
        let folder = std::path::absolute(&path).map_err(|error| {
            Error::new(Code::Io, format!("table {}: find the folder {}", table.name, path.display()))
                .with_source(error)
        })?;
        let roll_bytes = options.bytes("sink.rolling-policy.file-size")?;
        if roll_bytes == 0 {
            return Err(options.refuse("sink.rolling-policy.file-size", "a size above 0"));
        }
        let parquet = WriterProperties::builder().set_compression(compression(options)?).build();
        let encoding = Encoding { format, parquet, roll_bytes };
        Ok(Self { table: table.name.clone(), folder, schema, encoding })
    }
}

fn compression(options: &Options<'_>) -> Result<Compression> {
    options.one_of(
        "parquet.compression",
        &[
            ("UNCOMPRESSED", Compression::UNCOMPRESSED),
            ("SNAPPY", Compression::SNAPPY),
            ("ZSTD", Compression::ZSTD(ZstdLevel::default())),
            ("GZIP", Compression::GZIP(GzipLevel::default())),
            ("LZ4_RAW", Compression::LZ4_RAW),
        ],
    )
}

impl Sink for FileSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        let WriterContext { job, attempt, uid, subtask, .. } = context;
        let extension = self.encoding.format.extension();
        let names = Names {
            folder: self.folder.clone(),
            hidden: layout::attempt_folder(&self.folder, job, attempt),
            name: Box::new(move |n| layout::part_name(job, attempt, &uid, subtask, n, extension)),
        };
        let parts = Parts::new(
            self.table.clone(),
            self.schema.clone(),
            self.encoding.clone(),
            names,
            context.metrics,
        );
        Ok(Box::new(FileWriter(Handover::new(parts, context.io))))
    }

    fn committer(&self) -> Option<Box<dyn Committer>> {
        Some(Box::new(FileCommitter { table: self.table.clone(), folder: self.folder.clone() }))
    }
}

struct FileWriter(Handover<Parts>);

impl SinkWriter for FileWriter {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_ready(context)
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        self.0.write(batch);
        Ok(())
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_flush(context)
    }

    fn poll_prepare(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<Committable>>> {
        self.0.poll_prepare(context)
    }
}
