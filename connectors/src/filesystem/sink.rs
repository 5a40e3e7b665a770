//! The sink: what its options mean, and the writer that hands batches over to [`Parts`].

use std::task::{Context, Poll};

use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use weir_api::Batch;
use weir_api::error::{Code, Error, Result};
use weir_api::id::CheckpointId;
use weir_api::sink::{Committable, Committer, Sink, SinkWriter, WriterContext};
use weir_api::storage::{FileSystems, Location};

use super::columns::Layout;
use super::commit::{FileCommitter, SuccessFile};
use super::layout::Names;
use super::part::Encoding;
use super::parts::{Parts, Written};
use super::{Format, location};
use crate::formats::values;
use crate::handover::Handover;
use crate::options::Options;
use crate::types;

/// A `filesystem` table that is written.
pub struct FileSink {
    written: Written,
    success: Option<SuccessFile>,
}

impl FileSink {
    /// From the options of a table.
    pub fn new(options: &Options<'_>, file_systems: &FileSystems) -> Result<Self> {
        let table = options.table();
        let format = Format::of(options)?;
        let schema = types::declared(table)?;
        let default_name = options.required("partition.default-name")?.to_owned();
        let layout = Layout::of(table, &default_name)?;
        match &format {
            Format::Records(format) => {
                format.check_written(&table.name, &layout.record)?;
                format.check_lines(&table.name, &layout.record)?;
            }
            Format::Parquet => values::check(&table.name, "", &layout.record, "format 'parquet'")?,
        }
        let root = match location(options, file_systems)? {
            Location::Local(path) => Location::Local(std::path::absolute(&path).map_err(|error| {
                Error::new(Code::Io, format!("table {}: find the folder {}", table.name, path.display()))
                    .with_source(error)
            })?),
            object @ Location::Object(_) => object,
        };
        let keys = layout.partition_keys.iter().filter_map(|key| schema.index_of(key).ok()).collect();
        let encoding = Encoding {
            format,
            parquet: WriterProperties::builder().set_compression(compression(options)?).build(),
            roll_bytes: positive(
                options,
                "sink.rolling-policy.file-size",
                options.bytes("sink.rolling-policy.file-size")?,
            )?,
            roll_after: positive(
                options,
                "sink.rolling-policy.rollover-interval",
                options.duration("sink.rolling-policy.rollover-interval")?,
            )?,
        };
        // Ages are looked at whenever rows come, which is at least as often as anybody asks for.
        positive(
            options,
            "sink.rolling-policy.check-interval",
            options.duration("sink.rolling-policy.check-interval")?,
        )?;
        let written = Written {
            table: table.name.clone(),
            schema,
            keys,
            default_name,
            encoding,
            root,
            upload: file_systems.upload(),
        };
        Ok(Self { written, success: success_file(options)? })
    }
}

fn positive<T: Default + PartialEq>(options: &Options<'_>, key: &str, value: T) -> Result<T> {
    if value == T::default() { Err(options.refuse(key, "more than 0")) } else { Ok(value) }
}

/// What happens to a partition when it is committed: whenever files of it become visible.
fn success_file(options: &Options<'_>) -> Result<Option<SuccessFile>> {
    options.one_of("sink.partition-commit.trigger", &[("process-time", ())])?;
    if !options.duration("sink.partition-commit.delay")?.is_zero() {
        return Err(options
            .refuse("sink.partition-commit.delay", "'0 s' (partitions are committed with each checkpoint)"));
    }
    let name = options.required("sink.partition-commit.success-file.name")?;
    if options.text("sink.partition-commit.policy.kind").is_none() {
        return Ok(None);
    }
    options.one_of("sink.partition-commit.policy.kind", &[("success-file", ())])?;
    if options.table().partition_keys.is_empty() {
        return Err(options.refuse("sink.partition-commit.policy.kind", "nothing without PARTITIONED BY"));
    }
    if name.is_empty() || name.contains('/') {
        return Err(options.refuse("sink.partition-commit.success-file.name", "the name of a file"));
    }
    Ok(Some(SuccessFile(name.to_owned())))
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
        let WriterContext { job, attempt, uid, subtask, io, metrics, .. } = context;
        let names = Names { job, attempt, uid, subtask, extension: self.written.encoding.format.extension() };
        let parts = Parts::new(self.written.clone(), names, io.clone(), metrics);
        Ok(Box::new(FileWriter(Handover::new(parts, io))))
    }

    fn committer(&self) -> Option<Box<dyn Committer>> {
        Some(Box::new(FileCommitter {
            table: self.written.table.clone(),
            root: self.written.root.clone(),
            success: self.success.clone(),
        }))
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

    fn poll_prepare(
        &mut self,
        _checkpoint: CheckpointId,
        context: &mut Context<'_>,
    ) -> Poll<Result<Vec<Committable>>> {
        self.0.poll_prepare(context)
    }
}
