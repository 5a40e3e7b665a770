//! Charges what a producer is about to queue to the pool: each parent buffer once per process.
//!
//! A batch that carries permits is charged already. Any other one is leased for what its buffers keep allocated; a slice of
//! less than half of them is copied first. A batch for which the pool has no room now is cut by rows, so that a full pool slows
//! its producer and doesn't stop it. Invariant: only a single record may go as debt, and only when the partition holds nothing
//! else.

use std::sync::Arc;
use std::task::Waker;

use weir_api::batch::{Batch, Permit};
use weir_api::error::Result;

use super::id::PartitionId;
use super::measure::{compact, retained_bytes, wire_bytes};
use super::options::FRAME_SLACK_BYTES;
use super::outgoing::Sizes;
use super::partition::record_too_large;
use super::pool::Account;

/// The pool account of one result partition.
#[derive(Debug)]
pub(crate) struct Charger {
    account: Arc<Account>,
    sizes: Sizes,
    max_record_bytes: usize,
}

impl Charger {
    pub(crate) const fn new(account: Arc<Account>, sizes: Sizes, max_record_bytes: usize) -> Self {
        Self { account, sizes, max_record_bytes }
    }

    /// Refuses a batch that holds a record larger than the network carries.
    pub(crate) fn check_records(&self, batch: &Batch, id: &PartitionId) -> Result<()> {
        let bytes = wire_bytes(batch);
        if bytes <= self.max_record_bytes + FRAME_SLACK_BYTES {
            return Ok(());
        }
        let rows = batch.num_rows();
        if rows == 1 {
            return Err(record_too_large(id, bytes, self.max_record_bytes));
        }
        self.check_records(&batch.slice(0, rows / 2), id)?;
        self.check_records(&batch.slice(rows / 2, rows - rows / 2), id)
    }

    /// What a batch costs in a queue.
    pub(crate) fn cost(&self, batch: &Batch) -> usize {
        self.sizes.cost(batch)
    }

    /// A permit for a copy of `bytes`, if the pool has room.
    pub(crate) fn permit(&self, bytes: usize) -> Option<Permit> {
        self.account.lease(self.sizes.segments(bytes)).map(Permit::new)
    }

    /// As much of the batch, from its start, as can be charged now; and what is left.
    pub(crate) fn charge(&self, batch: Batch) -> Result<(Option<Batch>, Option<Batch>)> {
        if !batch.permits().is_empty() {
            return Ok((Some(batch), None));
        }
        let own = wire_bytes(&batch);
        let retained = retained_bytes(&batch);
        let copied = own * 2 < retained;
        let wanted = if copied { own } else { retained.min(own * 2) };
        if let Some(permit) = self.permit(wanted) {
            let batch = if copied { compact(&batch)? } else { batch };
            return Ok((Some(batch.with_permit(permit)), None));
        }
        self.charge_some(batch, own)
    }

    /// Cuts off and copies what the pool has room for.
    fn charge_some(&self, batch: Batch, bytes: usize) -> Result<(Option<Batch>, Option<Batch>)> {
        let Some(lease) = self.account.lease_up_to(self.sizes.segments(bytes)) else {
            return Ok((None, Some(batch)));
        };
        let room = lease.segments() * self.sizes.segment_bytes;
        let mut rows = (batch.num_rows() * room / bytes.max(1)).clamp(1, batch.num_rows());
        while rows > 1 && wire_bytes(&batch.slice(0, rows)) > room {
            rows /= 2;
        }
        let head = batch.slice(0, rows);
        let needed = wire_bytes(&head);
        let permit = if needed <= room {
            Permit::new(lease)
        } else {
            // One record that doesn't fit: it goes alone.
            drop(lease);
            match self.permit(needed) {
                Some(permit) => permit,
                None if self.account.in_use() == 0 => {
                    Permit::new(self.account.lease_debt(self.sizes.segments(needed)))
                }
                None => return Ok((None, Some(batch))),
            }
        };
        let head = compact(&head)?.with_permit(permit);
        let rest = batch.num_rows() - rows;
        Ok((Some(head), (rest > 0).then(|| batch.slice(rows, rest))))
    }

    pub(crate) fn wake_on_release(&self, waker: &Waker) {
        self.account.wake_on_release(waker);
    }

    pub(crate) fn usage_percent(&self) -> u8 {
        let percent = self.account.in_use() * 100 / self.account.limit().max(1);
        u8::try_from(percent.min(100)).unwrap_or(100)
    }
}
