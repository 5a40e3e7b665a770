//! `filesystem`: files of records (a line each) or Parquet, read and written.
//!
//! Reading: a file, a folder (with its sub-folders) or a glob is cut into splits when the job is submitted, in the order of
//! the paths and then of the offsets: Parquet by row groups, JSON by ranges of 64 MiB whose ends move to line ends. Files and
//! folders whose names start with `.` or `_` don't count. Decoding runs on the I/O runtime.
//!
//! Writing: each subtask writes files of its own into a hidden folder of its attempt; a commit renames them. So nothing can
//! be seen before it is committed, and a crash leaves only hidden folders, which the next attempt's abort removes.

mod commit;
mod layout;
mod lines;
mod listing;
mod parquet_blocks;
mod parts;
mod read_ahead;
mod record_blocks;
mod sink;
mod source;
mod split;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use weir_api::connector::{Connector, OptionDescription};
use weir_api::error::Result;
use weir_api::sink::Sink;
use weir_api::source::Source;
use weir_api::storage::FileSystems;
use weir_proto::v1::TableSpec;

use crate::formats::format::{self, RecordFormat};
use crate::formats::options as format_options;
use crate::on_error;
use crate::options::Options;

const OWN_OPTIONS: &[OptionDescription] = &[
    OptionDescription {
        key: "path",
        required: true,
        default: None,
        description: "Reading: a file, a folder or a glob; writing: a folder. Plain or file://; a relative path starts at each process's working folder.",
    },
    OptionDescription {
        key: "format",
        required: true,
        default: None,
        description: "json, csv or raw (a record a line), or parquet.",
    },
    OptionDescription {
        key: "source.path.regex-pattern",
        required: false,
        default: None,
        description: "Only files whose whole absolute path matches are read.",
    },
    on_error::OPTION,
    OptionDescription {
        key: "sink.rolling-policy.file-size",
        required: false,
        default: Some("128MB"),
        description: "A file that has reached this size is followed by another.",
    },
    OptionDescription {
        key: "parquet.compression",
        required: false,
        default: Some("SNAPPY"),
        description: "UNCOMPRESSED, SNAPPY, ZSTD, GZIP or LZ4_RAW.",
    },
];

const OPTIONS: &[OptionDescription] = &format_options::joined::<
    { OWN_OPTIONS.len() + format_options::PLAIN.len() },
>(&[OWN_OPTIONS, format_options::PLAIN]);

/// How a table's files are encoded.
#[derive(Clone, Debug)]
enum Format {
    /// A record a line.
    Records(RecordFormat),
    Parquet,
}

impl Format {
    fn of(options: &Options<'_>) -> Result<Self> {
        if options.required("format")?.trim().eq_ignore_ascii_case("parquet") {
            format::refuse_others(options, "", "parquet")?;
            return Ok(Self::Parquet);
        }
        RecordFormat::named(options, "format", &["parquet"]).map(Self::Records)
    }

    const fn extension(&self) -> &'static str {
        match self {
            Self::Records(format) => format.name(),
            Self::Parquet => "parquet",
        }
    }
}

/// The connector `filesystem`.
pub struct FileSystem {
    file_systems: FileSystems,
}

impl FileSystem {
    /// The connector, for the file systems that its process reaches.
    #[must_use]
    pub const fn new(file_systems: FileSystems) -> Self {
        Self { file_systems }
    }
}

impl Connector for FileSystem {
    fn identifier(&self) -> &'static str {
        "filesystem"
    }

    fn options(&self) -> &'static [OptionDescription] {
        OPTIONS
    }

    fn source(&self, table: &TableSpec) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(source::FileSource::new(&Options::new(table, OPTIONS), &self.file_systems)?))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(sink::FileSink::new(&Options::new(table, OPTIONS), &self.file_systems)?))
    }
}
