//! `filesystem`: files of records (a line each) or Parquet, read and written.
//!
//! Reading: a file, a folder (with its sub-folders) or a glob is cut into splits when the job is submitted, in the order of
//! the paths and then of the offsets: Parquet by row groups, JSON by ranges of 64 MiB whose ends move to line ends. Files and
//! folders whose names start with `.` or `_` don't count. Decoding runs on the I/O runtime.
//!
//! Writing: each subtask writes files of its own into a hidden folder of its attempt and ends them at every barrier; the commit
//! of a checkpoint renames them. So nothing can be seen before it is committed, and a crash leaves only hidden folders, which the
//! next attempt's abort removes.

mod columns;
mod commit;
mod input;
mod layout;
mod lines;
mod listing;
mod output;
mod parquet_blocks;
mod part;
mod partitions;
mod parts;
mod pruned;
mod read_ahead;
mod record_blocks;
mod sink;
mod source;
mod split;

#[cfg(test)]
mod conformance_tests;
#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod object_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use weir_api::connector::{Connector, MetadataDescription, OptionDescription};
use weir_api::error::Result;
use weir_api::sink::Sink;
use weir_api::source::Source;
use weir_api::storage::{FileSystems, Location};
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
        description: "Reading: a file, a folder or a glob; writing: a folder. Plain, file:///… or s3://bucket/… (s3a and s3p as well); a relative path starts at each process's working folder.",
    },
    OptionDescription {
        key: "format",
        required: true,
        default: None,
        description: "json, csv or raw (a record a line), or parquet.",
    },
    OptionDescription {
        key: "source.monitor-interval",
        required: false,
        default: None,
        description: "How often to look for further files. With it the table is unbounded; without it the files there are when the job is submitted are read, and the table ends. A file must come whole, by a rename or an upload: what is added to it later isn't read.",
    },
    OptionDescription {
        key: "partition.default-name",
        required: false,
        default: Some("__DEFAULT_PARTITION__"),
        description: "Stands for null, and for an empty text, in the folders of PARTITIONED BY.",
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
        description: "A file that has reached this size is followed by another. So is every file at a checkpoint, in all formats.",
    },
    OptionDescription {
        key: "sink.rolling-policy.rollover-interval",
        required: false,
        default: Some("30 min"),
        description: "A file that has been written to for so long is followed by another; none lives longer than from one checkpoint to the next.",
    },
    OptionDescription {
        key: "sink.rolling-policy.check-interval",
        required: false,
        default: Some("1 min"),
        description: "Accepted for Flink's sake: a file's age is looked at whenever rows are written to it.",
    },
    OptionDescription {
        key: "sink.partition-commit.trigger",
        required: false,
        default: Some("process-time"),
        description: "When a partition is committed: process-time. It is whenever files of it become visible: with each checkpoint, and when the job ends.",
    },
    OptionDescription {
        key: "sink.partition-commit.delay",
        required: false,
        default: Some("0 s"),
        description: "Only '0 s': a partition is committed as soon as files of it become visible.",
    },
    OptionDescription {
        key: "sink.partition-commit.policy.kind",
        required: false,
        default: None,
        description: "What a commit does to a partition beside making its files visible: success-file puts an empty file into its folder.",
    },
    OptionDescription {
        key: "sink.partition-commit.success-file.name",
        required: false,
        default: Some("_SUCCESS"),
        description: "The name of that file.",
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

/// Where the option `path` leads.
fn location(options: &Options<'_>, file_systems: &FileSystems) -> Result<Location> {
    file_systems.resolve(options.required("path")?).map_err(|error| {
        options.refuse("path", "a plain path, file:///… or s3://bucket/…").with_source(error)
    })
}

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

    fn metadata(&self, _table: &TableSpec) -> Vec<MetadataDescription> {
        columns::metadata()
    }

    fn source(&self, table: &TableSpec) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(source::FileSource::new(&Options::new(table, OPTIONS), &self.file_systems)?))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(sink::FileSink::new(&Options::new(table, OPTIONS), &self.file_systems)?))
    }
}
