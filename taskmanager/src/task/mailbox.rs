//! What reaches a running task from outside: splits that were found, notices of checkpoints, the ends of its uploads.
//!
//! Put there by the executor and by uploads, taken by the task. Invariant: each split is taken once, in the order of the
//! JobManager's list, however often it is sent. Bounded: by the most splits that a task may have, by the notices that make others
//! superfluous, by the uploads that a task begins. A task that waits for input, or for room, is woken.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use weir_api::error::Code;
use weir_api::{Error, Result};
use weir_proto::v1::Split;

use super::checkpoint::Notice;
use crate::snapshot::Uploaded;

/// The most splits that one task may be given in its life.
const MAX_SPLITS: usize = 1_000_000;
/// The most notices that may wait for a task; the oldest give way, as later checkpoints make up for them.
const MAX_NOTICES: usize = 1024;

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
    letters: VecDeque<Letter>,
    /// What is wrong with what was sent: the task fails with it.
    error: Option<Error>,
    waker: Option<Waker>,
}

/// What isn't for the source's reader.
#[derive(Debug)]
pub(crate) enum Letter {
    /// From the JobManager.
    Notice(Notice),
    /// From the task's uploads.
    Uploaded(Box<Uploaded>),
}

impl Mailbox {
    /// For a task that was deployed with so many splits.
    pub(crate) fn new(known: usize) -> Self {
        let state = State { known, waiting: Vec::new(), letters: VecDeque::new(), error: None, waker: None };
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
        state.wake();
    }

    /// Something about a checkpoint.
    pub(crate) fn notify(&self, notice: Notice) {
        let mut state = self.lock();
        let notices = state.letters.iter().filter(|letter| matches!(letter, Letter::Notice(_)));
        if notices.count() >= MAX_NOTICES
            && let Some(oldest) = state.letters.iter().position(|letter| matches!(letter, Letter::Notice(_)))
        {
            state.letters.remove(oldest);
        }
        state.letters.push_back(Letter::Notice(notice));
        state.wake();
    }

    /// An upload has ended.
    pub(crate) fn uploaded(&self, uploaded: Uploaded) {
        let mut state = self.lock();
        state.letters.push_back(Letter::Uploaded(Box::new(uploaded)));
        state.wake();
    }

    /// The splits that have come; if none have, the task is woken when something does.
    pub(crate) fn take(&self, cx: &Context<'_>) -> Result<Vec<Split>> {
        let mut state = self.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if state.waiting.is_empty() {
            state.listen(cx);
        }
        Ok(std::mem::take(&mut state.waiting))
    }

    /// The rest of what has come; the task is woken when something does.
    pub(crate) fn letters(&self, cx: &Context<'_>) -> VecDeque<Letter> {
        let mut state = self.lock();
        state.listen(cx);
        std::mem::take(&mut state.letters)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No critical section can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn listen(&mut self, cx: &Context<'_>) {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_api::id::CheckpointId;

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

    #[test]
    fn a_task_that_never_looks_is_not_buried() {
        let cx = Context::from_waker(Waker::noop());
        let mailbox = Mailbox::new(0);
        for checkpoint in 0..3_000 {
            mailbox.notify(Notice::Abort(CheckpointId(checkpoint)));
        }
        let letters = mailbox.letters(&cx);
        assert_eq!(letters.len(), MAX_NOTICES);
        assert!(matches!(letters.back(), Some(Letter::Notice(Notice::Abort(CheckpointId(2_999))))));
        assert!(mailbox.letters(&cx).is_empty());
    }
}
