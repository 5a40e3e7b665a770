//! What readers of the files see: each committed file, from its first commit on.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::job::{Record, SinkId};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Files {
    committed: BTreeSet<Rc<str>>,
    rows: Vec<(SinkId, Record)>,
}

impl Files {
    pub(crate) fn is_visible(&self, path: &str) -> bool {
        self.committed.contains(path)
    }

    pub(crate) fn add(&mut self, path: &Rc<str>, sink: SinkId, rows: &[Record]) {
        if self.committed.insert(Rc::clone(path)) {
            self.rows.extend(rows.iter().map(|row| (sink, *row)));
        }
    }

    /// All rows, in the order in which they came.
    pub(crate) fn rows(&self) -> &[(SinkId, Record)] {
        &self.rows
    }
}
