//! The one pool of a process that bounds all data in flight.
//!
//! Counts segments; the memory itself belongs to Arrow's buffers. Every partition and every gate has an [`Account`] with a
//! reserve that nobody else can take (so that each can always make progress) and a limit; beyond its reserve it competes for
//! what is free. Invariant: `available` + Σ max(in use, reserved) = total, and Σ reserved ≤ total. Only debts (one record larger
//! than everything at hand) and accounts that are opened while the pool is full push `available` below zero: the newcomer needs
//! its reserve at once, as what fills the pool may be waiting for just that task.

use std::sync::{Arc, Mutex};
use std::task::Waker;

use weir_api::error::{Code, Error, Result};

use super::ready::lock;

/// The pool of a process.
#[derive(Debug)]
pub(crate) struct Pool {
    total: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    available: isize,
    reserved: usize,
    waiting: Vec<Waker>,
}

/// The share of one partition or gate.
#[derive(Debug)]
pub(crate) struct Account {
    pool: Arc<Pool>,
    reserved: usize,
    limit: usize,
    usage: Mutex<Usage>,
}

#[derive(Debug, Default)]
struct Usage {
    in_use: usize,
    waiting: Option<Waker>,
}

/// Segments held; given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    account: Arc<Account>,
    segments: usize,
}

impl Pool {
    pub(crate) fn new(total: usize) -> Arc<Self> {
        let state = State {
            available: isize::try_from(total).unwrap_or(isize::MAX),
            reserved: 0,
            waiting: Vec::new(),
        };
        Arc::new(Self { total, state: Mutex::new(state) })
    }

    pub(crate) const fn total(&self) -> usize {
        self.total
    }

    /// What is neither used nor reserved.
    pub(crate) fn available(&self) -> usize {
        usize::try_from(lock(&self.state).available).unwrap_or(0)
    }

    /// Opens an account that always has `reserved` segments and never holds more than `limit` (debts aside).
    pub(crate) fn open(self: &Arc<Self>, reserved: usize, limit: usize, what: &str) -> Result<Arc<Account>> {
        {
            let mut state = lock(&self.state);
            if state.reserved + reserved > self.total {
                return Err(Error::new(
                    Code::NetworkMemory,
                    format!(
                        "{what} needs {reserved} network buffers, {} of {} are not promised to others: raise \
                         taskmanager.memory.network.max or lower the parallelism",
                        self.total - state.reserved,
                        self.total
                    ),
                ));
            }
            state.reserved += reserved;
            state.available -= reserved as isize;
        }
        let usage = Mutex::new(Usage::default());
        Ok(Arc::new(Account { pool: Arc::clone(self), reserved, limit: limit.max(reserved), usage }))
    }

    /// Wakes `waker` once, when something is given back.
    pub(crate) fn wake_on_release(&self, waker: &Waker) {
        let mut state = lock(&self.state);
        if !state.waiting.iter().any(|known| known.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
    }

    /// Takes up to `wanted` segments, or none if fewer than `least` are free.
    fn take(&self, least: usize, wanted: usize) -> usize {
        let mut state = lock(&self.state);
        let free = usize::try_from(state.available).unwrap_or(0);
        let taken = wanted.min(free);
        if taken < least {
            return 0;
        }
        state.available -= taken as isize;
        taken
    }

    fn give(&self, segments: usize) {
        if segments == 0 {
            return;
        }
        let woken = {
            let mut state = lock(&self.state);
            state.available += segments as isize;
            if state.available > 0 { std::mem::take(&mut state.waiting) } else { Vec::new() }
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Account {
    /// Leases between 1 and `wanted` segments: as many as the limit and the pool allow now.
    pub(crate) fn lease_up_to(self: &Arc<Self>, wanted: usize) -> Option<Lease> {
        let segments = self.acquire(1, wanted.max(1));
        (segments > 0).then(|| Lease { account: Arc::clone(self), segments })
    }

    /// Leases exactly `wanted` segments, or none.
    pub(crate) fn lease(self: &Arc<Self>, wanted: usize) -> Option<Lease> {
        let segments = self.acquire(wanted, wanted);
        (segments == wanted).then(|| Lease { account: Arc::clone(self), segments })
    }

    /// Leases `wanted` segments whatever is free: the debt of one record that is larger than what can ever be free.
    pub(crate) fn lease_debt(self: &Arc<Self>, wanted: usize) -> Lease {
        self.borrow(wanted);
        Lease { account: Arc::clone(self), segments: wanted }
    }

    /// Takes segments whatever is free, as a debt.
    pub(crate) fn borrow(&self, segments: usize) {
        let mut usage = lock(&self.usage);
        let before = usage.in_use.max(self.reserved);
        usage.in_use += segments;
        let grown = usage.in_use.max(self.reserved) - before;
        lock(&self.pool.state).available -= grown as isize;
    }

    /// Takes between `least` and `wanted` segments, or none.
    pub(crate) fn acquire(&self, least: usize, wanted: usize) -> usize {
        let mut usage = lock(&self.usage);
        let wanted = wanted.min(self.limit.saturating_sub(usage.in_use));
        if wanted < least {
            return 0;
        }
        let own = self.reserved.saturating_sub(usage.in_use).min(wanted);
        let taken = own + self.pool.take(least.saturating_sub(own), wanted - own);
        if taken < least {
            return 0;
        }
        usage.in_use += taken;
        taken
    }

    /// Gives segments back.
    pub(crate) fn release(&self, segments: usize) {
        let (freed, waiting) = {
            let mut usage = lock(&self.usage);
            debug_assert!(usage.in_use >= segments, "an account gives back more than it took");
            let before = usage.in_use.max(self.reserved);
            usage.in_use = usage.in_use.saturating_sub(segments);
            (before - usage.in_use.max(self.reserved), usage.waiting.take())
        };
        self.pool.give(freed);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Wakes `waker` once, when something that this account may have is given back.
    pub(crate) fn wake_on_release(&self, waker: &Waker) {
        lock(&self.usage).waiting = Some(waker.clone());
        self.pool.wake_on_release(waker);
    }

    pub(crate) const fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(crate) fn in_use(&self) -> usize {
        lock(&self.usage).in_use
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // Every lease holds the account, so only what was acquired by number, and the reserve, is left.
        let in_use = lock(&self.usage).in_use;
        lock(&self.pool.state).reserved -= self.reserved;
        self.pool.give(in_use.max(self.reserved));
    }
}

impl Lease {
    pub(crate) const fn segments(&self) -> usize {
        self.segments
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.account.release(self.segments);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_always_has_its_reserve_and_never_passes_its_limit() {
        let pool = Pool::new(10);
        let a = pool.open(2, 6, "a").expect("there is room");
        let b = pool.open(2, 100, "b").expect("there is room");
        assert_eq!(pool.available(), 6);
        let all = b.lease_up_to(100).expect("some");
        assert_eq!((all.segments(), pool.available()), (8, 0));
        let own = a.lease_up_to(5).expect("the reserve");
        assert_eq!(own.segments(), 2);
        assert!(a.lease_up_to(1).is_none());
        drop(all);
        assert_eq!(a.lease_up_to(9).expect("up to the limit").segments(), 4);
        drop((own, a, b));
        assert_eq!(pool.available(), 10);
        assert!(pool.open(11, 11, "c").is_err());
    }

    #[test]
    fn a_newcomer_gets_its_reserve_though_others_fill_the_pool() {
        let pool = Pool::new(4);
        let first = pool.open(1, 4, "first").expect("there is room");
        let all = first.lease_up_to(4).expect("some");
        assert_eq!(all.segments(), 4);
        let second = pool.open(2, 4, "second").expect("two of four are promised to nobody");
        assert_eq!(second.lease_up_to(4).expect("its reserve").segments(), 2);
        assert!(pool.open(2, 2, "third").is_err(), "no more is promised than there is");
        drop((all, first));
        assert_eq!(pool.available(), 2);
    }

    #[test]
    fn a_debt_is_repaid_before_anybody_else_is_served() {
        let pool = Pool::new(4);
        let a = pool.open(1, 4, "a").expect("there is room");
        let b = pool.open(1, 4, "b").expect("there is room");
        let debt = a.lease_debt(20);
        assert_eq!(pool.available(), 0);
        assert!(b.lease(2).is_none());
        assert_eq!(b.lease_up_to(4).expect("its reserve").segments(), 1);
        drop(debt);
        assert_eq!(b.lease(3).expect("repaid").segments(), 3);
    }
}
