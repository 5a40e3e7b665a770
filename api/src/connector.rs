//! What a connector says of itself, and the registry through which planner, JobManager and TaskManager find it.
//!
//! `sql` checks options and push-downs, the JobManager discovers splits and commits, tasks read and write: all through these
//! traits. The binary fills the registry.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use weir_proto::v1::TableSpec;

use crate::error::{Code, Error, Result};
use crate::sink::Sink;
use crate::source::Source;

/// One WITH option, as documentation and errors name it.
#[derive(Clone, Copy, Debug)]
pub struct OptionDescription {
    /// The key; `#` stands for any one part (`fields.#.kind`), a trailing `*` for any rest (`properties.*`).
    pub key: &'static str,
    /// Whether a table can't do without it.
    pub required: bool,
    /// The value where it is left out, as a user would write it.
    pub default: Option<&'static str>,
    /// What it means, with units.
    pub description: &'static str,
}

/// A metadata column that a connector offers.
#[derive(Clone, Debug)]
pub struct MetadataDescription {
    /// The key of `METADATA FROM 'key'`.
    pub key: &'static str,
    /// What a reader emits and a writer takes; other declared types are cast.
    pub data_type: DataType,
    /// Whether it can be null.
    pub nullable: bool,
    /// Whether a sink takes it; else it must be declared VIRTUAL there.
    pub writable: bool,
    /// What it means.
    pub description: &'static str,
}

/// Options that every table takes: the planner reads them.
pub const PLANNER_OPTIONS: &[OptionDescription] = &[
    OptionDescription {
        key: "scan.parallelism",
        required: false,
        default: None,
        description: "How many parallel subtasks read the table; without it, the job's parallelism.",
    },
    OptionDescription {
        key: "sink.parallelism",
        required: false,
        default: None,
        description: "How many parallel subtasks write the table; without it, that of what is written.",
    },
    OptionDescription {
        key: "scan.watermark.idle-timeout",
        required: false,
        default: None,
        description: "After this long without a record a split (a partition, a file) holds the watermark back no longer; without it, table.exec.source.idle-timeout.",
    },
    OptionDescription {
        key: "on-error.dlq-table",
        required: false,
        default: None,
        description: "With 'on-error' = 'dlq': the table that takes the records that can't be decoded, in the columns source, position, raw, error, ts (those that it declares).",
    },
    OptionDescription {
        key: "late-data.policy",
        required: false,
        default: Some("drop"),
        description: "What a window does with a row that comes after the window has been emitted: drop (counted in numLateRecordsDropped) or side-output.",
    },
    OptionDescription {
        key: "late-data.table",
        required: false,
        default: None,
        description: "With 'late-data.policy' = 'side-output': the table that takes late rows, in the columns source, position, raw, error, ts, row (JSON) and watermark (those that it declares).",
    },
];

/// A kind of table, named by the option `connector`.
pub trait Connector: Send + Sync {
    /// The value of the option `connector`.
    fn identifier(&self) -> &'static str;

    /// Every option it takes; unknown ones are refused with the nearest name.
    fn options(&self) -> &'static [OptionDescription];

    /// The physical columns where the statement declares none (a generator with a fixed schema).
    fn default_schema(&self) -> Option<arrow::datatypes::SchemaRef> {
        None
    }

    /// The metadata columns that it offers for a table of these options.
    fn metadata(&self, _table: &TableSpec) -> Vec<MetadataDescription> {
        Vec::new()
    }

    /// The table as a source, its options and schema checked; an error if it can't be read.
    fn source(&self, table: &TableSpec) -> Result<Arc<dyn Source>>;

    /// The table as a sink, likewise.
    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>>;
}

/// The connectors of this binary.
#[derive(Clone, Default)]
pub struct ConnectorRegistry {
    connectors: BTreeMap<&'static str, Arc<dyn Connector>>,
}

impl ConnectorRegistry {
    /// Adds a connector; the last one of an identifier wins.
    #[must_use]
    pub fn with(mut self, connector: impl Connector + 'static) -> Self {
        self.connectors.insert(connector.identifier(), Arc::new(connector));
        self
    }

    /// All connectors, by identifier.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Connector> {
        self.connectors.values().map(AsRef::as_ref)
    }

    /// The connector of this identifier; the error names the nearest.
    pub fn get(&self, identifier: &str) -> Result<&dyn Connector> {
        self.connectors.get(identifier).map(AsRef::as_ref).ok_or_else(|| {
            let known: Vec<_> = self.connectors.keys().copied().collect();
            let hint = nearest(identifier, known.iter().copied())
                .map_or_else(String::new, |name| format!("; did you mean '{name}'?"));
            Error::new(
                Code::TableOptions,
                format!("no connector '{identifier}'{hint} (there are: {})", known.join(", ")),
            )
        })
    }

    /// Refuses options that the connector doesn't take and misses those that it needs.
    pub fn check_options(&self, table: &TableSpec) -> Result<()> {
        let connector = self.get(&table.connector)?;
        let own = connector.options();
        let options = || own.iter().chain(PLANNER_OPTIONS);
        for key in table.options.keys().filter(|key| *key != "connector") {
            if !options().any(|option| matches(option.key, key)) {
                let hint = nearest(key, options().map(|option| option.key))
                    .map_or_else(String::new, |name| format!("; did you mean '{name}'?"));
                return Err(Error::new(
                    Code::TableOptions,
                    format!(
                        "table {}: connector '{}' has no option '{key}'{hint}",
                        table.name, table.connector
                    ),
                ));
            }
        }
        for option in own.iter().filter(|option| option.required) {
            if !table.options.contains_key(option.key) {
                return Err(Error::new(
                    Code::TableOptions,
                    format!(
                        "table {}: connector '{}' needs the option '{}': {}",
                        table.name, table.connector, option.key, option.description
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The table as a source.
    pub fn source(&self, table: &TableSpec) -> Result<Arc<dyn Source>> {
        self.get(&table.connector)?.source(table)
    }

    /// The table as a sink.
    pub fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        self.get(&table.connector)?.sink(table)
    }
}

/// Whether an option's key matches its description; see [`OptionDescription::key`].
fn matches(pattern: &str, key: &str) -> bool {
    if let Some(prefix) = pattern.strip_suffix('*') {
        return key.starts_with(prefix);
    }
    match pattern.split_once(".#.") {
        Some((head, tail)) => key
            .strip_prefix(head)
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|rest| rest.strip_suffix(tail))
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|name| !name.is_empty()),
        None => pattern == key,
    }
}

/// The candidate nearest to `name`, if one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_patterns() {
        assert!(matches("path", "path"));
        assert!(!matches("path", "paths"));
        assert!(matches("fields.#.kind", "fields.a.b.kind"));
        assert!(!matches("fields.#.kind", "fields.kind"));
        assert!(!matches("fields.#.kind", "fields..kind"));
        assert!(matches("properties.*", "properties.group.id"));
    }

    #[test]
    fn nearest_name_or_none() {
        assert_eq!(
            nearest("rows-per-secnd", ["rows-per-second", "number-of-rows"].into_iter()),
            Some("rows-per-second")
        );
        assert_eq!(nearest("xyz", ["rows-per-second"].into_iter()), None);
    }
}
