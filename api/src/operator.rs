//! The contract of what computes inside a task.
//!
//! Operators are synchronous, columnar and resumable. A call does at most about 10 ms of work, writes to a bounded
//! [`Output`], and says how far it came. Between calls the driver looks at cancellation, credit and barriers, so neither a join
//! that explodes nor a watermark that closes a million windows fills memory or delays a checkpoint.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::batch::Batch;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::graph::KeyGroupRange;
use crate::id::OperatorUid;
use crate::metrics::OperatorMetrics;
use crate::output::Output;
use crate::state::backend::StateBackends;
use crate::state::{KeyedState, OperatorState};
use crate::watermark::Watermark;

/// How far a call came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The call's work is done.
    Done,
    /// The output is full: call [`Operator::resume`] when it has room.
    NeedRoom,
    /// More work is left: call [`Operator::resume`] after having looked around.
    Yield,
}

/// Where an operator runs.
#[derive(Clone, Debug)]
pub struct OperatorContext {
    /// Its identity.
    pub uid: OperatorUid,
    /// Which parallel instance it is.
    pub subtask: u32,
    /// How many there are.
    pub parallelism: u32,
    /// The key groups it owns.
    pub key_groups: KeyGroupRange,
    /// How many key groups there are.
    pub max_parallelism: u32,
    /// Makes a state backend for it: [`StateBackends::open`] with [`crate::state::backend::Instance::of`] this. Operators that
    /// keep all state in tables of their own ask for none.
    pub backends: Arc<dyn StateBackends>,
    /// The most bytes its state may take; beyond it the job fails with `StateLimit` rather than the process by memory.
    pub state_limit_bytes: u64,
    /// Its counters.
    pub metrics: Arc<OperatorMetrics>,
    /// Processing time, for what is stamped with it. What must come at a time asks for it by [`Operator::next_timer`].
    pub clock: Arc<dyn Clock>,
}

/// One operator of a chain.
///
/// Protocol, kept by the driver: `open` once; then `process`, `on_watermark`, `on_processing_time` in stream order, each
/// repeated by `resume` until [`Progress::Done`] before the next; then `finish` once, likewise. No call comes after an error.
/// The driver passes watermarks, idleness and the end of input on to the next stage by itself, after the call is done.
pub trait Operator {
    /// What it emits; `None` for sinks.
    fn output_schema(&self) -> Option<SchemaRef>;

    /// Prepares; state is imported after it, before the first record.
    fn open(&mut self, _context: &OperatorContext) -> Result<()> {
        Ok(())
    }

    /// Takes a batch of input number `input` (0 for all but joins). Output that may share the batch's memory is built with
    /// [`Batch::derive`].
    fn process(&mut self, input: u32, batch: Batch, out: &mut Output) -> Result<Progress>;

    /// Event time has come to `watermark` on all inputs.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Output) -> Result<Progress> {
        Ok(Progress::Done)
    }

    /// The processing time that [`Operator::next_timer`] asked for has come.
    fn on_processing_time(&mut self, _unix_millis: i64, _out: &mut Output) -> Result<Progress> {
        Ok(Progress::Done)
    }

    /// When `on_processing_time` wants to be called, in milliseconds since 1970.
    fn next_timer(&self) -> Option<i64> {
        None
    }

    /// No input comes any more: emits what is left.
    fn finish(&mut self, _out: &mut Output) -> Result<Progress> {
        Ok(Progress::Done)
    }

    /// Emits the records that are held back only to save work. The driver calls it, repeated by `resume` until
    /// [`Progress::Done`], before it passes on a barrier, so that they come before it, and before it passes on idleness, as
    /// the watermarks of other inputs may then pass these records.
    fn flush(&mut self, _out: &mut Output) -> Result<Progress> {
        Ok(Progress::Done)
    }

    /// Goes on with the call that returned `NeedRoom` or `Yield`.
    fn resume(&mut self, _out: &mut Output) -> Result<Progress> {
        Ok(Progress::Done)
    }

    /// The watermark that the next stage gets after `on_watermark(input)` is done; `None`: not yet.
    fn output_watermark(&self, input: Watermark) -> Option<Watermark> {
        Some(input)
    }

    /// State that isn't keyed, as it is at a barrier. Called after `flush`, like [`KeyedState::freeze`].
    fn operator_state(&mut self) -> Result<Vec<OperatorState>> {
        Ok(Vec::new())
    }

    /// Takes operator state back, entries dealt out by its redistribution. Comes after `open`, before the first record, once for
    /// each state that the snapshot has.
    fn restore_operator_state(&mut self, state: OperatorState) -> Result<()> {
        Err(Error::internal(format!("an operator without state is given the state `{}`", state.name)))
    }

    /// The operator's keyed state, if it has any.
    fn keyed_state(&mut self) -> Option<&mut dyn KeyedState> {
        None
    }
}
