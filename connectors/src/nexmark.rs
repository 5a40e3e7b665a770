//! `nexmark`: the auction site of the Nexmark benchmark, under the schema and the options of Flink's nexmark connector, so
//! that its SQL runs unchanged.
//!
//! Invariant: event n is a pure function of (options, n), and each column of it too, so that a projected or filtered scan
//! shows exactly what a full one does. Proportions, hot keys, prices and texts follow
//! [NEXMark](https://datalab.cs.pdx.edu/niagara/NEXMark/) as Apache Beam and nexmark-flink write it. Differences: the random
//! numbers are our own, events are numbered from 0, and all subtasks share one timeline.

mod auctions;
mod bids;
mod clockwork;
mod columns;
mod events;
mod options;
mod people;
mod prices;
pub(crate) mod schema;
mod source;
mod texts;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use weir_api::connector::{Connector, OptionDescription};
use weir_api::error::Result;
use weir_api::sink::Sink;
use weir_api::source::Source;
use weir_proto::v1::TableSpec;

pub use events::Kind;
pub use options::Settings;
pub use source::Generator;

use crate::types;

/// The connector `nexmark`.
pub struct Nexmark;

impl Connector for Nexmark {
    fn identifier(&self) -> &'static str {
        "nexmark"
    }

    fn options(&self) -> &'static [OptionDescription] {
        options::OPTIONS
    }

    fn default_schema(&self) -> Option<arrow::datatypes::SchemaRef> {
        Some(schema::full())
    }

    fn source(&self, table: &TableSpec) -> Result<Arc<dyn Source>> {
        types::refuse_partitions(table)?;
        schema::check(table, types::declared(table)?.as_ref())?;
        Ok(Arc::new(source::NexmarkSource::new(Settings::of(table)?)?))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Err(types::one_way(table, "read", "written"))
    }
}
