//! What users have asked for and may ask about: checkpoints, savepoints, stops, by the number of the request.
//!
//! Invariant: at most [`CAPACITY`] are remembered, the ones that have ended longest ago being forgotten first.

use std::collections::VecDeque;

use crate::control::checkpoint::Kind;

/// The most that are remembered.
const CAPACITY: usize = 100;

/// One request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Its number.
    pub request: u128,
    /// What was asked for.
    pub kind: Kind,
    /// Where the snapshot lies, or why there is none; `None`: it is under way.
    pub result: Option<Result<String, String>>,
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

    pub(super) fn end(&mut self, request: u128, result: Result<String, String>) {
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
