//! Where a table's records go that can't be used: undecodable ones to its dead-letter table, late rows to its table of those.
//!
//! Decides what the options say and refuses those that contradict one another, each at its place. Whether the named tables
//! exist, and whether the rows fit them, the planner says when it reads the table.

use std::collections::{BTreeMap, HashMap};

use weir_api::error::Code;

use super::{Moment, ObjectPath};
use crate::error::{SqlError, SqlResult};
use crate::statement::Position;

const ON_ERROR: &str = "on-error";
const DEAD_LETTER_TABLE: &str = "on-error.dlq-table";
const LATE_POLICY: &str = "late-data.policy";
const LATE_TABLE: &str = "late-data.table";

/// The tables that take what a table's readers can't use.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct SideTables {
    /// Takes records that can't be decoded.
    pub dead_letters: Option<SideTable>,
    /// Takes rows that come after their windows.
    pub late_rows: Option<SideTable>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SideTable {
    /// Its full name.
    pub path: ObjectPath,
    /// The option that names it.
    pub option: &'static str,
    /// Where that stands, if it was written in a statement.
    pub position: Option<Position>,
}

impl SideTables {
    /// Reads the options of the table `of`; `positions` has the places of those that were written.
    pub fn read(
        of: &ObjectPath,
        options: &HashMap<String, String>,
        positions: &BTreeMap<String, Position>,
    ) -> SqlResult<Self> {
        let value = |key: &str| options.get(key).map(|value| value.trim());
        let refuse = |key: &str, what: String| {
            let message = format!("table {of}: {what}");
            match positions.get(key) {
                Some(position) => SqlError::at(Code::TableOptions, *position, message),
                None => SqlError::new(Code::TableOptions, message),
            }
        };
        let table = |option: &'static str| -> SqlResult<Option<SideTable>> {
            let Some(name) = value(option) else { return Ok(None) };
            let path = path_beside(of, name).ok_or_else(|| {
                let what = format!(
                    "'{option}' is '{name}'; the name of a table ([catalog.][database.]table) belongs here"
                );
                refuse(option, what)
            })?;
            Ok(Some(SideTable { path, option, position: positions.get(option).copied() }))
        };
        let dead_letters = table(DEAD_LETTER_TABLE)?;
        match (value(ON_ERROR), &dead_letters) {
            (Some("dlq"), None) => {
                let what = format!(
                    "'{ON_ERROR}' = 'dlq' needs '{DEAD_LETTER_TABLE}', the name of the table that takes such records"
                );
                return Err(refuse(ON_ERROR, what));
            }
            (other, Some(_)) if other != Some("dlq") => {
                let what = format!("'{DEAD_LETTER_TABLE}' has no effect without '{ON_ERROR}' = 'dlq'");
                return Err(refuse(DEAD_LETTER_TABLE, what));
            }
            _ => {}
        }
        let late_rows = table(LATE_TABLE)?;
        match (value(LATE_POLICY).unwrap_or("drop"), &late_rows) {
            ("drop", None) | ("side-output", Some(_)) => {}
            ("drop", Some(_)) => {
                let what = format!("'{LATE_TABLE}' has no effect without '{LATE_POLICY}' = 'side-output'");
                return Err(refuse(LATE_TABLE, what));
            }
            ("side-output", None) => {
                let what = format!(
                    "'{LATE_POLICY}' = 'side-output' needs '{LATE_TABLE}', the name of the table that takes late rows"
                );
                return Err(refuse(LATE_POLICY, what));
            }
            (other, _) => {
                return Err(refuse(
                    LATE_POLICY,
                    format!("'{LATE_POLICY}' is '{other}'; drop or side-output belongs here"),
                ));
            }
        }
        Ok(Self { dead_letters, late_rows })
    }
}

/// The full path of a name in a table's option: what it leaves out is the table's own.
fn path_beside(of: &ObjectPath, name: &str) -> Option<ObjectPath> {
    let parts: Vec<&str> = name.split('.').map(|part| part.trim().trim_matches('`')).collect();
    if parts.iter().any(|part| part.is_empty()) {
        return None;
    }
    match parts.as_slice() {
        [object] => path_of_parts(&[&of.catalog, &of.database, object]),
        [database, object] => path_of_parts(&[&of.catalog, database, object]),
        parts => path_of_parts(parts),
    }
}

/// The full path of one to three parts, by the default names.
fn path_of_parts(parts: &[&str]) -> Option<ObjectPath> {
    Moment::default().path(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<SideTables, String> {
        let of = path_of_parts(&["c", "d", "t"]).unwrap();
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        SideTables::read(&of, &options, &BTreeMap::new()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn names_are_of_the_tables_own_database() {
        let path = |name| {
            read(&[("on-error", "dlq"), (DEAD_LETTER_TABLE, name)]).unwrap().dead_letters.unwrap().path
        };
        assert_eq!(path("letters").to_string(), "c.d.letters");
        assert_eq!(path("other.letters").to_string(), "c.other.letters");
        assert_eq!(path("x.`y`.z").to_string(), "x.y.z");
        assert!(read(&[("on-error", "dlq"), (DEAD_LETTER_TABLE, "a..b")]).is_err());
    }

    #[test]
    fn options_that_say_nothing_together_are_refused() {
        assert_eq!(read(&[("on-error", "skip")]), Ok(SideTables::default()));
        assert!(read(&[("on-error", "dlq")]).unwrap_err().contains("needs 'on-error.dlq-table'"));
        assert!(read(&[(DEAD_LETTER_TABLE, "x")]).unwrap_err().contains("without 'on-error' = 'dlq'"));
        assert!(read(&[(LATE_POLICY, "side-output")]).unwrap_err().contains("needs 'late-data.table'"));
        assert!(read(&[(LATE_TABLE, "x")]).unwrap_err().contains("without 'late-data.policy'"));
        assert!(read(&[(LATE_POLICY, "keep")]).unwrap_err().contains("drop or side-output"));
        assert!(read(&[(LATE_POLICY, "side-output"), (LATE_TABLE, "x")]).unwrap().late_rows.is_some());
    }
}
