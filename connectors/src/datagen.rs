//! `datagen`: rows of random values or sequences for every type, with Flink's options.
//!
//! Ours is `seed`: with it a job is repeatable, times included; row n happens n / rows-per-second seconds after
//! 2015-07-15 00:00:00. Without it the seed is drawn when the job is submitted and kept with the job, and times are the wall
//! clock's.

mod fields;
mod source;
mod values;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use weir_api::connector::{Connector, OptionDescription};
use weir_api::error::Result;
use weir_api::sink::Sink;
use weir_api::source::Source;
use weir_proto::v1::TableSpec;

use crate::types;

const fn option(
    key: &'static str,
    default: Option<&'static str>,
    description: &'static str,
) -> OptionDescription {
    OptionDescription { key, required: false, default, description }
}

const OPTIONS: &[OptionDescription] = &[
    option(
        "rows-per-second",
        Some("10000"),
        "Rows per second of all subtasks together; 0: as fast as they are taken.",
    ),
    option("number-of-rows", None, "How many rows there are; none: no end, unless a sequence has one."),
    option(
        "seed",
        None,
        "The same seed gives the same rows, times included. None: a seed of its own for each job, and times from the clock.",
    ),
    option(
        "fields.#.kind",
        Some("random"),
        "random or sequence. # is a column; of a ROW `column.field`, of an ARRAY `column.element`, of a MAP `column.key` and `column.value`.",
    ),
    option("fields.#.min", None, "The smallest random number; none: the type's."),
    option("fields.#.max", None, "The largest random number; none: the type's."),
    option("fields.#.max-past", Some("0"), "How far before now a random timestamp may lie, like '1 h'."),
    option(
        "fields.#.length",
        None,
        "Length of a random text (100) or bytes (100); items of an ARRAY or MAP (3).",
    ),
    option("fields.#.var-len", Some("false"), "Whether lengths are random from 1 to the length."),
    option("fields.#.start", None, "Where a sequence starts."),
    option("fields.#.end", None, "Where it ends; the source ends with its shortest sequence."),
    option("fields.#.null-rate", Some("0"), "Share of nulls, from 0 to 1."),
];

/// The connector `datagen`.
pub struct DataGen;

impl Connector for DataGen {
    fn identifier(&self) -> &'static str {
        "datagen"
    }

    fn options(&self) -> &'static [OptionDescription] {
        OPTIONS
    }

    fn source(&self, table: &TableSpec) -> Result<Arc<dyn Source>> {
        types::refuse_partitions(table)?;
        Ok(Arc::new(source::DataGenSource::new(table)?))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Err(types::one_way(table, "read", "written"))
    }
}
