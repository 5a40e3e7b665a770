//! The failures of a job, newest first and bounded, each with what failed in its wake.
//!
//! Invariant: at most `capacity` entries with at most `MAX_CONCURRENT` followers each, texts cut to `MAX_TEXT`; so a job that
//! fails every second for a month takes no more memory than one that failed sixteen times.

use std::collections::VecDeque;

use weir_api::error::{Code, Error};
use weir_api::id::TaskManagerId;

/// The most failures that are kept beside the one that came first.
const MAX_CONCURRENT: usize = 16;
/// The most bytes of a message that are kept.
const MAX_TEXT: usize = 16 * 1024;

/// One failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exception {
    /// Stable code.
    pub code: String,
    /// What went wrong, to what, and what to do about it.
    pub message: String,
    /// Whether a restart can help.
    pub restartable: bool,
    /// In Unix milliseconds.
    pub unix_millis: i64,
    /// `vertex name (subtask/parallelism)`; `None`: the job as a whole.
    pub task: Option<String>,
    /// Where that task ran.
    pub manager: Option<TaskManagerId>,
    /// What failed in its wake, while the job was stopping.
    pub concurrent: Vec<Exception>,
}

impl Exception {
    /// A failure of the job as a whole.
    #[must_use]
    pub fn of_job(code: Code, message: impl Into<String>, unix_millis: i64) -> Self {
        Self {
            code: code.as_str().to_owned(),
            message: cut(message.into()),
            restartable: code.retry() == weir_api::error::Retry::Restart,
            unix_millis,
            task: None,
            manager: None,
            concurrent: Vec::new(),
        }
    }

    /// An error of the job as a whole.
    #[must_use]
    pub fn of_error(error: &Error, unix_millis: i64) -> Self {
        Self::of_job(error.code(), error.chain(), unix_millis)
    }

    /// The same failure at a task.
    #[must_use]
    pub fn at(mut self, task: String, manager: Option<TaskManagerId>) -> Self {
        self.task = Some(task);
        self.manager = manager;
        self
    }

    /// A failure that a task reported.
    #[must_use]
    pub fn reported(code: String, message: String, restartable: bool, unix_millis: i64) -> Self {
        Self {
            code: cut(code),
            message: cut(message),
            restartable,
            unix_millis,
            task: None,
            manager: None,
            concurrent: Vec::new(),
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A job's failures.
#[derive(Clone, Debug)]
pub struct Exceptions {
    capacity: usize,
    entries: VecDeque<Exception>,
    truncated: bool,
}

impl Exceptions {
    /// Remembers `capacity` failures, these to begin with (newest first).
    #[must_use]
    pub fn new(capacity: usize, entries: Vec<Exception>) -> Self {
        let mut exceptions = Self { capacity: capacity.max(1), entries: VecDeque::new(), truncated: false };
        for entry in entries.into_iter().rev() {
            exceptions.push(entry);
        }
        exceptions
    }

    /// A failure that ends an attempt.
    pub fn push(&mut self, exception: Exception) {
        self.entries.push_front(exception);
        if self.entries.len() > self.capacity {
            self.entries.pop_back();
            self.truncated = true;
        }
    }

    /// A failure in the wake of the newest one.
    pub fn push_concurrent(&mut self, exception: Exception) {
        match self.entries.front_mut() {
            Some(root) if root.concurrent.len() < MAX_CONCURRENT => root.concurrent.push(exception),
            Some(_) => self.truncated = true,
            None => self.push(exception),
        }
    }

    /// The newest entry was only an effect of this one, which takes its place.
    pub fn promote(&mut self, mut cause: Exception) {
        if let Some(mut effect) = self.entries.pop_front() {
            cause.concurrent = std::mem::take(&mut effect.concurrent);
            cause.concurrent.insert(0, effect);
            cause.concurrent.truncate(MAX_CONCURRENT);
        }
        self.push(cause);
    }

    /// Newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Exception> {
        self.entries.iter()
    }

    /// The newest.
    #[must_use]
    pub fn root(&self) -> Option<&Exception> {
        self.entries.front()
    }

    /// Whether older ones have been dropped.
    #[must_use]
    pub const fn truncated(&self) -> bool {
        self.truncated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exception(n: i64) -> Exception {
        Exception::of_job(Code::Io, format!("failure {n}"), n)
    }

    #[test]
    fn newest_first_and_bounded() {
        let mut exceptions = Exceptions::new(2, vec![exception(1)]);
        assert!(!exceptions.truncated());
        exceptions.push(exception(2));
        exceptions.push(exception(3));
        assert_eq!(exceptions.iter().map(|entry| entry.unix_millis).collect::<Vec<_>>(), [3, 2]);
        assert!(exceptions.truncated());
        for n in 0..100 {
            exceptions.push_concurrent(exception(n));
        }
        assert_eq!(exceptions.root().map(|root| root.concurrent.len()), Some(MAX_CONCURRENT));
    }

    #[test]
    fn the_cause_takes_the_place_of_its_effect() {
        let mut exceptions = Exceptions::new(4, vec![exception(1)]);
        exceptions.promote(exception(2));
        let root = exceptions.root().expect("one");
        assert_eq!((root.unix_millis, root.concurrent.len()), (2, 1));
        assert_eq!(exceptions.iter().count(), 1);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = Exception::of_job(Code::Io, "ä".repeat(MAX_TEXT), 0);
        assert!(long.message.len() <= MAX_TEXT + '…'.len_utf8() && long.message.ends_with('…'));
    }
}
