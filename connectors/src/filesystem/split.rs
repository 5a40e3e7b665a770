//! A part of a file, as it travels in a split's payload.

use serde::{Deserialize, Serialize};
use weir_api::error::{Code, Error, Result};
use weir_api::source::SplitProgress;
use weir_proto::v1::Split;

/// What of a file is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The lines that start in this range of bytes.
    Lines {
        /// The first byte.
        start: u64,
        /// One after the last.
        end: u64,
    },
    /// One row group of a Parquet file.
    RowGroup(usize),
}

/// A file as it was when it was listed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileInfo {
    /// Its absolute path, or its URL in an object store.
    pub path: String,
    /// Its length in bytes.
    pub len: u64,
    /// When it was written last: milliseconds since 1970-01-01T00:00:00Z.
    pub modified_millis: i64,
    /// What an object store says of its contents; another one stands for other contents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// A part of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSplit {
    /// The file.
    pub file: FileInfo,
    /// Which part.
    pub part: Part,
}

/// A part of a file as a reader is given it: with how far it has been read before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// The part.
    pub split: FileSplit,
    /// How far it was read: bytes of the file for lines, rows of the row group for Parquet.
    pub progress: SplitProgress,
}

impl Given {
    /// From a split.
    pub fn of(split: &Split) -> Result<Self> {
        Ok(Self { split: FileSplit::of(split)?, progress: SplitProgress::of(split) })
    }
}

impl FileSplit {
    /// As a split of `weight` bytes.
    pub fn encode(&self, weight: u64) -> Result<Split> {
        let part = match self.part {
            Part::Lines { start, end } => format!("{start}-{end}"),
            Part::RowGroup(index) => format!("row group {index}"),
        };
        let payload = serde_json::to_vec(self)
            .map_err(|error| Error::internal(format!("describe {}", self.file.path)).with_source(error))?;
        Ok(Split { id: format!("{}:{part}", self.file.path), payload, weight, ..Split::default() })
    }

    /// The part in a split's payload.
    pub fn of(split: &Split) -> Result<Self> {
        serde_json::from_slice(&split.payload).map_err(|error| {
            Error::new(Code::MalformedMessage, format!("split '{}' isn't a file's", split.id))
                .with_source(error)
        })
    }
}
