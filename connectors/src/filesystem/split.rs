//! A part of a file, as it travels in a split's payload.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use weir_api::error::{Code, Error, Result};
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

/// A part of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSplit {
    /// The file's absolute path.
    pub path: PathBuf,
    /// Which part.
    pub part: Part,
}

impl FileSplit {
    /// As a split of `weight` bytes.
    pub fn encode(&self, weight: u64) -> Result<Split> {
        let part = match self.part {
            Part::Lines { start, end } => format!("{start}-{end}"),
            Part::RowGroup(index) => format!("row group {index}"),
        };
        let payload = serde_json::to_vec(self).map_err(|error| {
            Error::new(Code::Unsupported, format!("{} isn't a path in UTF-8", self.path.display()))
                .with_source(error)
        })?;
        Ok(Split { id: format!("{}:{part}", self.path.display()), payload, weight })
    }

    /// The part in a split's payload.
    pub fn of(split: &Split) -> Result<Self> {
        serde_json::from_slice(&split.payload).map_err(|error| {
            Error::new(Code::MalformedMessage, format!("split '{}' isn't a file's", split.id))
                .with_source(error)
        })
    }
}
