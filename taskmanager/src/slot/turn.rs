//! A task's seat on its slot's thread: it gives the thread away between batches and says when it waits.
//!
//! Invariant: a job counts as wanting the thread exactly while one of its tasks is between [`Turn::wake`] and [`Turn::sleep`];
//! dropping the turn, as an abort does, ends that too.
#![expect(clippy::disallowed_methods, reason = "the edge, where time is read")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use weir_api::id::JobId;

use super::shares::Shares;

/// One task's access to the thread of its slot.
pub(crate) struct Turn {
    shares: Rc<RefCell<Shares>>,
    job: JobId,
    awake: bool,
    since: Instant,
}

impl Turn {
    /// A turn that waits; [`Turn::wake`] begins it.
    pub(super) fn new(shares: Rc<RefCell<Shares>>, job: JobId) -> Self {
        shares.borrow_mut().add(job);
        Self { shares, job, awake: false, since: Instant::now() }
    }

    /// The task wants the thread.
    pub(crate) fn wake(&mut self) {
        if !self.awake {
            self.awake = true;
            self.shares.borrow_mut().wake(self.job);
            self.since = Instant::now();
        }
    }

    /// The task waits for something else than the thread.
    pub(crate) fn sleep(&mut self) {
        if self.awake {
            self.awake = false;
            let mut shares = self.shares.borrow_mut();
            shares.charge(self.job, self.since.elapsed());
            shares.sleep(self.job);
        }
    }

    /// How long the task has had the thread.
    pub(crate) fn held(&self) -> Duration {
        self.since.elapsed()
    }

    /// Lets the other tasks of the thread run, until it is this one's turn again.
    pub(crate) async fn pass(&mut self) {
        self.shares.borrow_mut().charge(self.job, self.since.elapsed());
        loop {
            tokio::task::yield_now().await;
            if !self.awake || self.shares.borrow().may_run(self.job) {
                break;
            }
        }
        self.since = Instant::now();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.sleep();
        self.shares.borrow_mut().remove(self.job);
    }
}
