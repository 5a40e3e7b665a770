//! Regular expressions, compiled once per thread and not once per batch.
//!
//! Invariant: a thread keeps at most [`MAX_KEPT`] patterns, each within the `regex` crate's own size limit.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use datafusion_common::Result;
use regex::{CaptureLocations, Regex};

use crate::arguments::{Arguments, Text};

const MAX_KEPT: usize = 64;

thread_local! {
    /// `None` stands for a pattern that doesn't compile.
    static KEPT: RefCell<HashMap<String, Option<Rc<Regex>>>> = RefCell::new(HashMap::new());
}

/// Compiles a pattern, without keeping it.
pub(super) fn compile(pattern: &str) -> std::result::Result<Regex, regex::Error> {
    Regex::new(pattern)
}

/// Shared, not cloned: a clone of a `Regex` would start with empty caches for its lazy automaton.
fn kept(pattern: &str) -> Option<Rc<Regex>> {
    KEPT.with_borrow_mut(|kept| {
        if let Some(regex) = kept.get(pattern) {
            return regex.clone();
        }
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        let regex = compile(pattern).ok().map(Rc::new);
        kept.insert(pattern.to_owned(), regex.clone());
        regex
    })
}

/// The patterns of one call: the same in every row, or one per row.
pub(crate) struct Patterns<'a> {
    /// `None` when the pattern is the same in every row.
    column: Option<Text<'a>>,
    current: Option<Rc<Regex>>,
    /// What the current one was compiled from; only tracked for columns.
    source: Option<&'a str>,
    locations: Option<CaptureLocations>,
}

impl<'a> Patterns<'a> {
    pub fn of(arguments: &'a Arguments<'_>, index: usize) -> Result<Self> {
        let one = arguments.one_text(index)?;
        let column = if one.is_some() { None } else { Some(arguments.text(index)?) };
        Ok(Self { column, current: one.and_then(kept), source: one, locations: None })
    }

    /// The row's pattern; `None` when it doesn't compile.
    pub fn at(&mut self, row: usize) -> Option<&Regex> {
        if let Some(column) = &self.column {
            let pattern = column.value(row);
            if self.source != Some(pattern) {
                self.source = Some(pattern);
                self.current = kept(pattern);
                self.locations = None;
            }
        }
        self.current.as_deref()
    }

    /// What the group of the row's pattern matched; the groups' places are kept from row to row.
    pub fn group<'t>(&mut self, row: usize, text: &'t str, group: usize) -> Option<&'t str> {
        self.at(row)?;
        let regex = self.current.as_deref()?;
        let locations = self.locations.get_or_insert_with(|| regex.capture_locations());
        regex.captures_read(locations, text)?;
        let (start, end) = locations.get(group)?;
        text.get(start..end)
    }
}
