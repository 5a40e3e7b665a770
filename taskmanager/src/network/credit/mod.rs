//! Credit accounting of remote channels, without sockets, threads or clocks.
//!
//! ```text
//!            producer                              consumer
//!   sender::Sender ── data(cost, backlog, need) ──▶ receiver::Receiver
//!                  ◀──── grant(segments) ─────────
//!                  ──── backlog, need, returned ──▶
//!                  ◀──── reclaim ─────────────────
//! ```
//!
//! The consumer grants segments that it has set aside in its pool; the producer sends only what fits into what it was granted.
//! It announces its backlog (what is queued) and its need (the least that its next record takes), so that the consumer's gate
//! can hand its floating segments to whoever waits, in turn. A record larger than everything that a channel can be granted is
//! paid for by the consumer as debt, once the channel is empty and nothing else in the gate will be given back by itself.
//!
//! Invariants, as property tests: a frame never costs more than the credit at hand; what a gate holds never exceeds its account
//! but for one debt; every waiting channel is served.

pub(crate) mod receiver;
pub(crate) mod sender;

#[cfg(test)]
mod tests;
