//! Where splits wait that were found while their task runs: put there by the executor, taken by the task's reader.
//!
//! Invariant: each split is taken once, in the order of the JobManager's list, however often it is sent. Bounded: by the most
//! splits that a task may have. A task that waits for input is woken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use weir_api::error::Code;
use weir_api::{Error, Result};
use weir_proto::v1::Split;

/// The most splits that one task may be given in its life.
const MAX_SPLITS: usize = 1_000_000;

/// Both ends; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// How many splits the task has been given, those that wait included.
    known: usize,
    waiting: Vec<Split>,
    /// What is wrong with what was sent: the task fails with it.
    error: Option<Error>,
    waker: Option<Waker>,
}

impl Mailbox {
    /// For a task that was deployed with so many splits.
    pub(crate) fn new(known: usize) -> Self {
        let state = State { known, waiting: Vec::new(), error: None, waker: None };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Splits that follow the first `first` ones; those that are known already are passed over.
    pub(crate) fn put(&self, first: usize, splits: Vec<Split>) {
        let mut state = self.lock();
        if first > state.known {
            state.error = Some(Error::new(
                Code::MalformedMessage,
                format!("splits from number {first} on for a task that was given {}", state.known),
            ));
        } else if first.saturating_add(splits.len()) > MAX_SPLITS {
            state.error = Some(Error::new(
                Code::Unsupported,
                format!("more than {MAX_SPLITS} splits for one task; raise the parallelism"),
            ));
        } else {
            let known = state.known - first;
            state.known = state.known.max(first + splits.len());
            state.waiting.extend(splits.into_iter().skip(known));
        }
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// What has come; if nothing has, the task is woken when something does.
    pub(crate) fn take(&self, cx: &Context<'_>) -> Result<Vec<Split>> {
        let mut state = self.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if state.waiting.is_empty() && state.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Ok(std::mem::take(&mut state.waiting))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No critical section can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splits(ids: std::ops::Range<usize>) -> Vec<Split> {
        ids.map(|id| Split { id: id.to_string(), ..Split::default() }).collect()
    }

    fn taken(mailbox: &Mailbox) -> Vec<String> {
        let cx = Context::from_waker(Waker::noop());
        mailbox.take(&cx).expect("all is well").into_iter().map(|split| split.id).collect()
    }

    #[test]
    fn what_is_repeated_or_overlaps_is_taken_once_and_in_order() {
        let mailbox = Mailbox::new(2);
        assert!(taken(&mailbox).is_empty());
        mailbox.put(2, splits(2..4));
        mailbox.put(2, splits(2..4));
        mailbox.put(0, splits(0..5));
        assert_eq!(taken(&mailbox), ["2", "3", "4"]);
        mailbox.put(3, splits(3..4));
        assert!(taken(&mailbox).is_empty());
        mailbox.put(4, splits(4..6));
        assert_eq!(taken(&mailbox), ["5"]);
    }

    #[test]
    fn a_gap_or_too_many_fail_the_task() {
        let cx = Context::from_waker(Waker::noop());
        let mailbox = Mailbox::new(2);
        mailbox.put(3, splits(3..4));
        assert_eq!(mailbox.take(&cx).expect_err("split 2 is missing").code(), Code::MalformedMessage);
        mailbox.put(0, splits(0..MAX_SPLITS + 1));
        assert_eq!(mailbox.take(&cx).expect_err("too many").code(), Code::Unsupported);
    }
}
