//! What users have asked for and may ask about: checkpoints, savepoints, stops, by the number of the request.
//!
//! Invariant: at most [`CAPACITY`] are remembered, the ones that have ended longest ago being forgotten first.

use std::collections::VecDeque;

use weir_api::error::{Code, Error, Result};

use super::phase::Phase;
use super::{Effect, Job};
use crate::control::checkpoint::{Event, Kind};
use crate::control::now::Now;

/// The most that are remembered.
const CAPACITY: usize = 100;

/// Where a snapshot lies, or why there is none.
pub type Outcome = std::result::Result<String, String>;

/// One request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Its number.
    pub request: u128,
    /// What was asked for.
    pub kind: Kind,
    /// Where the snapshot lies, or why there is none; `None`: it is under way.
    pub result: Option<Outcome>,
}

/// A job's requests, oldest first.
#[derive(Debug, Default)]
pub struct Operations(VecDeque<Operation>);

impl Operations {
    pub(super) fn begin(&mut self, request: u128, kind: Kind) {
        if self.0.len() >= CAPACITY
            && let Some(position) = self.0.iter().position(|operation| operation.result.is_some())
        {
            self.0.remove(position);
        }
        self.0.push_back(Operation { request, kind, result: None });
    }

    pub(super) fn end(&mut self, request: u128, result: Outcome) {
        let open = |operation: &&mut Operation| operation.request == request && operation.result.is_none();
        if let Some(operation) = self.0.iter_mut().find(open) {
            operation.result = Some(result);
        }
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, request: u128) -> Option<&Operation> {
        self.0.iter().find(|operation| operation.request == request)
    }

    /// Those that are under way.
    pub fn open(&self) -> impl Iterator<Item = &Operation> {
        self.0.iter().filter(|operation| operation.result.is_none())
    }
}

impl Job {
    /// A user wants a snapshot; the answer is in [`Job::operations`] some time.
    pub fn request(&mut self, kind: Kind, now: Now, effects: &mut Vec<Effect>) -> Result<()> {
        let Some(request) = kind.request() else { return Ok(()) };
        let refuse = |code, what: String| Err(Error::new(code, format!("job {}: {what}", self.spec.id)));
        match &kind {
            Kind::Savepoint(savepoint) if savepoint.target.is_empty() => {
                return refuse(
                    Code::InvalidArgument,
                    "a savepoint needs a folder: name one, or set execution.checkpointing.savepoint-dir"
                        .to_owned(),
                );
            }
            Kind::Requested { .. } if self.checkpoints.places().checkpoints.is_empty() => {
                return refuse(
                    Code::InvalidArgument,
                    "it has no place for checkpoints: set execution.checkpointing.dir when it is submitted"
                        .to_owned(),
                );
            }
            _ if !self.checkpoints.is_running || !matches!(self.phase, Phase::Running { .. }) => {
                let status = self.history.current();
                let what = match status.is_terminal() {
                    true => format!("it is {} already, so there is nothing to take", status.as_str()),
                    false => format!(
                        "not all of its tasks are running (it is {}); try again when they are",
                        status.as_str()
                    ),
                };
                return refuse(Code::InvalidArgument, what);
            }
            _ => {}
        }
        self.checkpoints.operations.begin(request, kind.clone());
        self.coordinate(Event::Requested(kind), now, effects);
        Ok(())
    }

    /// A request has ended.
    pub(super) fn answer(&mut self, kind: &Kind, result: Outcome) {
        let Some(request) = kind.request() else { return };
        match result {
            // Whoever stops a job waits for its end.
            Ok(path) if kind.stops_job() => self.checkpoints.stopping = Some((request, path)),
            result => self.checkpoints.operations.end(request, result),
        }
    }

    /// One of the requests of users.
    #[must_use]
    pub fn operation(&self, request: u128) -> Option<&Operation> {
        self.checkpoints.operations.get(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_have_ended_are_forgotten() {
        let mut operations = Operations::default();
        for request in 0..150 {
            operations.begin(request, Kind::Requested { request, full: false });
            if request > 0 {
                operations.end(request, Ok(request.to_string()));
            }
        }
        assert!(operations.get(0).is_some_and(|first| first.result.is_none()), "it is under way");
        assert!(operations.get(50).is_none() && operations.get(149).is_some());
        operations.end(149, Err("late".to_owned()));
        assert_eq!(operations.get(149).and_then(|last| last.result.clone()), Some(Ok("149".to_owned())));
        assert_eq!(operations.open().count(), 1);
    }
}
