//! A gate's credit accounting at work: the pure [`Receiver`] with its lock, its pool account, and the connections that carry
//! what it decides.
//!
//! Invariant: grants and returns are carried out after the lock is released, as either may wake a task or another gate.

use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Wake, Waker};

use super::connection::client::Connection;
use super::credit::receiver::{Action, Floating, Receiver, Violation};
use super::pool::Account;
use super::ready::lock;

/// The credit of all remote channels of one gate.
pub(crate) struct GateCredit {
    receiver: Mutex<Receiver>,
    account: Arc<Account>,
    /// By remote channel: the connection and the channel's number there.
    outlets: Vec<OnceLock<(Weak<Connection>, u32)>>,
}

/// What a frame that has come holds, until the task drops its batch.
pub(crate) struct Held {
    credit: Arc<GateCredit>,
    channel: usize,
    cost: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        let (channel, cost) = (self.channel, self.cost);
        self.credit.run(|receiver, account| receiver.on_release(channel, cost, account));
    }
}

/// Floating segments come out of the gate's account.
struct Share<'a>(&'a Account);

impl Floating for Share<'_> {
    fn acquire(&mut self, wanted: usize) -> usize {
        if wanted == 0 { 0 } else { self.0.acquire(1, wanted) }
    }

    fn borrow(&mut self, segments: usize) {
        self.0.borrow(segments);
    }
}

impl GateCredit {
    /// For a gate of `channels` remote channels with `exclusive` segments each, which this takes from `account`.
    pub(crate) fn new(channels: usize, exclusive: usize, account: Arc<Account>) -> Arc<Self> {
        account.acquire(channels * exclusive, channels * exclusive);
        Arc::new(Self {
            receiver: Mutex::new(Receiver::new(channels, exclusive)),
            account,
            outlets: (0..channels).map(|_| OnceLock::new()).collect(),
        })
    }

    /// Where the decisions about a channel go; set before its request is sent.
    pub(crate) fn set_outlet(&self, channel: usize, connection: &Arc<Connection>, number: u32) {
        if let Some(outlet) = self.outlets.get(channel) {
            let _ = outlet.set((Arc::downgrade(connection), number));
        }
    }

    /// Whether a frame of `cost` segments may come.
    pub(crate) fn check(&self, channel: usize, cost: usize) -> Result<(), Violation> {
        lock(&self.receiver).check(channel, cost)
    }

    /// A frame has come; what it holds.
    pub(crate) fn on_data(
        self: &Arc<Self>,
        channel: usize,
        cost: usize,
        demand: (usize, usize),
    ) -> Result<Held, Violation> {
        self.try_run(|receiver, account| receiver.on_data(channel, cost, demand, account))?;
        Ok(Held { credit: Arc::clone(self), channel, cost })
    }

    /// A producer tells its demand.
    pub(crate) fn on_backlog(
        self: &Arc<Self>,
        channel: usize,
        demand: (usize, usize),
        returned: usize,
    ) -> Result<(), Violation> {
        self.try_run(|receiver, account| receiver.on_backlog(channel, demand, returned, account))
    }

    /// A channel has ended.
    pub(crate) fn on_end(self: &Arc<Self>, channel: usize) {
        self.run(|receiver, account| receiver.on_end(channel, account));
    }

    /// How much of what the gate may hold is held, 0 to 100.
    pub(crate) fn usage_percent(&self) -> u8 {
        let percent = lock(&self.receiver).held() * 100 / self.account.limit().max(1);
        u8::try_from(percent.min(100)).unwrap_or(100)
    }

    fn run(self: &Arc<Self>, event: impl FnOnce(&mut Receiver, &mut Share<'_>) -> Vec<Action>) {
        let done: Result<(), Violation> = self.try_run(|receiver, account| Ok(event(receiver, account)));
        debug_assert!(done.is_ok());
    }

    fn try_run(
        self: &Arc<Self>,
        event: impl FnOnce(&mut Receiver, &mut Share<'_>) -> Result<Vec<Action>, Violation>,
    ) -> Result<(), Violation> {
        let (actions, waiting) = {
            let mut receiver = lock(&self.receiver);
            let actions = event(&mut receiver, &mut Share(&self.account))?;
            (actions, receiver.is_waiting())
        };
        self.carry_out(actions);
        if waiting {
            self.account.pool().wake_on_release(&Waker::from(Arc::clone(self)));
            // What was given back before the registration has woken nobody.
            let actions = lock(&self.receiver).on_free(&mut Share(&self.account));
            self.carry_out(actions);
        }
        Ok(())
    }

    fn carry_out(&self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::GiveBack(segments) => self.account.release(segments),
                Action::Grant { channel, segments, released_frames } => {
                    if let Some((connection, number)) = self.outlet(channel) {
                        connection.grant(number, segments, released_frames);
                    }
                }
                Action::Reclaim { channel } => {
                    if let Some((connection, number)) = self.outlet(channel) {
                        connection.reclaim(number);
                    }
                }
            }
        }
    }

    fn outlet(&self, channel: usize) -> Option<(Arc<Connection>, u32)> {
        let (connection, number) = self.outlets.get(channel)?.get()?;
        Some((connection.upgrade()?, *number))
    }
}

impl Wake for GateCredit {
    fn wake(self: Arc<Self>) {
        self.run(|receiver, account| receiver.on_free(account));
    }
}

impl std::fmt::Debug for GateCredit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GateCredit").field("account", &self.account).finish_non_exhaustive()
    }
}
