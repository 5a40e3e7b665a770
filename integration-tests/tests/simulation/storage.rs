//! An object store that keeps the contract of S3 and no more: a put is whole or not at all, one under a condition fails when
//! something is there already, and a request that failed may have taken effect.
//!
//! When a request arrives and whether its answer does is the world's to decide.

use std::collections::BTreeMap;
use std::rc::Rc;

use weir_snapshots::manifest::Manifest;

use super::job::Record;

/// What a file holds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Object {
    /// Keyed state: counts by key; a delta holds those that have changed.
    State(Rc<BTreeMap<u16, u32>>),
    /// Prepared output.
    Rows(Rc<Vec<Record>>),
    /// A snapshot's `_metadata`.
    Metadata(Rc<Manifest>),
}

/// What is asked of the store.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Put { path: Rc<str>, object: Object, if_absent: bool },
    Get { path: Rc<str> },
    Delete { path: Rc<str> },
}

/// Why it wasn't done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// It may have been done.
    Unavailable,
    /// Something else is there.
    Exists,
    /// Nothing is there.
    Missing,
}

/// What a request comes to.
pub(crate) type Answer = Result<Option<Object>, Refusal>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    /// With the moment at which each was written.
    objects: BTreeMap<Rc<str>, (Object, u64)>,
    pub(crate) puts: u64,
    pub(crate) deletes: u64,
}

impl Storage {
    /// Does what is asked. A client whose answer was lost asks again, so a put under a condition that finds its own object is done.
    pub(crate) fn apply(&mut self, request: &Request, now: u64) -> Answer {
        match request {
            Request::Put { path, object, if_absent } => {
                if *if_absent && self.objects.get(path).is_some_and(|(there, _)| there != object) {
                    return Err(Refusal::Exists);
                }
                self.puts += 1;
                self.objects.insert(Rc::clone(path), (object.clone(), now));
                Ok(None)
            }
            Request::Get { path } => {
                self.objects.get(path).map(|(object, _)| Some(object.clone())).ok_or(Refusal::Missing)
            }
            Request::Delete { path } => {
                self.deletes += 1;
                self.objects.remove(path);
                Ok(None)
            }
        }
    }

    /// What lies there, for those who look from outside.
    pub(crate) fn look(&self, path: &str) -> Option<&Object> {
        self.objects.get(path).map(|(object, _)| object)
    }

    /// The paths below a folder.
    pub(crate) fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a Rc<str>> {
        self.list(folder).map(|(path, _)| path)
    }

    /// The same, with the moments at which they were written.
    pub(crate) fn list<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a Rc<str>, u64)> {
        self.objects
            .range::<str, _>((std::ops::Bound::Included(folder), std::ops::Bound::Unbounded))
            .take_while(move |(path, _)| path.starts_with(folder))
            .map(|(path, (_, modified))| (path, *modified))
    }
}
