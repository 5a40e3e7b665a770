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

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Charged {
    /// Rows that may be queued, with a permit that they must carry; `None`: there is no room at all.
    pub(crate) rows: Option<(Batch, Option<Permit>)>,
    /// What is left for later.
    pub(crate) rest: Option<Batch>,
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

    /// Charges the batch, or as much of its start as there is room for now.
    ///
    /// `copies`: the rows are about to be copied, so what is charged is the copy, and the batch's own permits end with it.
    pub(crate) fn charge(&self, batch: Batch, copies: bool) -> Result<Charged> {
        if !copies && !batch.permits().is_empty() {
            return Ok(Charged { rows: Some((batch, None)), rest: None });
        }
        let own = wire_bytes(&batch);
        let retained = if copies { own } else { retained_bytes(&batch) };
        if let Some(permit) = self.permit(retained.min(own * 2)) {
            let batch = if own * 2 < retained { compact(&batch)? } else { batch };
            return Ok(Charged { rows: Some((batch, Some(permit))), rest: None });
        }
        let charged = self.charge_some(batch, own)?;
        match charged.rows {
            Some((rows, permit)) if !copies => {
                Ok(Charged { rows: Some((compact(&rows)?, permit)), ..charged })
            }
            _ => Ok(charged),
        }
    }

    /// A batch that keeps alive little more than its own rows.
    pub(crate) fn compacted(batch: Batch) -> Result<Batch> {
        if wire_bytes(&batch) * 2 < retained_bytes(&batch) { compact(&batch) } else { Ok(batch) }
    }

    /// Cuts off what the pool has room for.
    fn charge_some(&self, batch: Batch, bytes: usize) -> Result<Charged> {
        let Some(lease) = self.account.lease_up_to(self.sizes.segments(bytes)) else {
            return Ok(Charged { rows: None, rest: Some(batch) });
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
                None => return Ok(Charged { rows: None, rest: Some(batch) }),
            }
        };
        let rest = batch.num_rows() - rows;
        let rest = (rest > 0).then(|| batch.slice(rows, rest));
        Ok(Charged { rows: Some((head, Some(permit))), rest })
    }

    pub(crate) fn wake_on_release(&self, waker: &Waker) {
        self.account.wake_on_release(waker);
    }

    /// Whether copies of this many bytes, and another batch, still find room.
    pub(crate) fn has_room_for_copies(&self, bytes: impl Iterator<Item = usize>) -> bool {
        let needed: usize = bytes.map(|bytes| self.sizes.segments(bytes)).sum();
        let left =
            self.account.limit().saturating_sub(self.account.in_use()).min(self.account.pool().available());
        left > needed + needed / 4 + self.account.limit() / 16
    }

    pub(crate) fn usage_percent(&self) -> u8 {
        let percent = self.account.in_use() * 100 / self.account.limit().max(1);
        u8::try_from(percent.min(100)).unwrap_or(100)
    }
}
