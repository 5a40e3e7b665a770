//! Where a chain's elements come from when they come from other tasks: the input gates, their watermarks merged, their
//! barriers aligned.
//!
//! Invariants: a barrier comes once, behind everything that stood before it in any channel and before everything behind; the merged watermark never goes back and comes as late as its slowest channel; gates take turns, so no input of a
//! join can starve another; the end of input comes once, after the last channel's. Measures how long barriers wait;
//! decides nothing by time.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use weir_api::element::StreamElement;
use weir_api::fail_point::FailPoint;
use weir_api::watermark::{Change, Valve};
use weir_api::{Error, Result};

use super::aligner::{Aligner, Decision};
use crate::network::InputGate;

/// All inputs of one task.
pub(crate) struct Inlet {
    gates: Vec<Gate>,
    /// Over the channels of all gates: event time has come as far as it has on all inputs.
    valve: Valve,
    /// Likewise over all channels.
    aligner: Aligner,
    /// What valve and aligner let through and has not been taken.
    through: VecDeque<(u32, StreamElement)>,
    next: usize,
    ended: bool,
    /// When the first barrier came of the checkpoint that channels wait for.
    first_barrier: Option<(u64, Instant)>,
    alignment: Duration,
}

struct Gate {
    gate: InputGate,
    input: u32,
    /// Where its channels start in the valve.
    offset: usize,
    /// Channels that have not ended.
    open: usize,
}

impl Inlet {
    /// An inlet over one gate for each input; at least one.
    pub(crate) fn new(gates: Vec<InputGate>) -> Self {
        let mut channels = 0;
        let gates: Vec<_> = gates
            .into_iter()
            .map(|gate| {
                let offset = channels;
                channels += gate.channels();
                Gate { input: gate.id().input, offset, open: gate.channels(), gate }
            })
            .collect();
        Self {
            gates,
            valve: Valve::new(channels),
            aligner: Aligner::new(channels),
            through: VecDeque::new(),
            next: 0,
            ended: false,
            first_barrier: None,
            alignment: Duration::ZERO,
        }
    }

    /// The next element and the number of the input that it is for.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(u32, StreamElement)>> {
        loop {
            if let Some(element) = self.through.pop_front() {
                return Poll::Ready(Ok(element));
            }
            if self.gates.iter().all(|gate| gate.open == 0) {
                return Poll::Ready(self.end());
            }
            let Some((position, channel, element)) = self.poll_gates(cx)? else { return Poll::Pending };
            if let Some(element) = self.admit(position, channel, element)? {
                return Poll::Ready(Ok(element));
            }
        }
    }

    /// The checkpoint is given up: nobody waits for its barriers.
    pub(crate) fn cancel(&mut self, checkpoint_id: u64) {
        if self.aligner.on_cancel(checkpoint_id).release {
            self.gates.iter_mut().for_each(|gate| gate.gate.release_held());
        }
    }

    /// How long the alignment of the last barrier that came out took, once.
    pub(crate) fn take_alignment(&mut self) -> Duration {
        std::mem::take(&mut self.alignment)
    }

    /// Buffers that have come and wait to be taken.
    pub(crate) fn queue_length(&self) -> usize {
        self.gates.iter().map(|gate| gate.gate.queue_length()).sum()
    }

    /// The share of the input buffers in use, in per cent, of the fullest gate.
    pub(crate) fn pool_usage_percent(&self) -> u8 {
        self.gates.iter().map(|gate| gate.gate.pool_usage_percent()).max().unwrap_or(0)
    }

    /// The next element of any gate: the gate that was served last comes last.
    fn poll_gates(&mut self, cx: &mut Context<'_>) -> Result<Option<(usize, usize, StreamElement)>> {
        for turn in 0..self.gates.len() {
            let position = (self.next + turn) % self.gates.len();
            let Some(gate) = self.gates.get_mut(position).filter(|gate| gate.open > 0) else { continue };
            match gate.gate.poll_next(cx) {
                Poll::Pending => {}
                Poll::Ready(Some(Ok((channel, element)))) => {
                    self.next = position + 1;
                    return Ok(Some((position, gate.offset + channel.0 as usize, element)));
                }
                Poll::Ready(Some(Err(error))) => return Err(error),
                Poll::Ready(None) => {
                    return Err(Error::internal(format!(
                        "{:?} ended without the end of its channels",
                        gate.gate
                    )));
                }
            }
        }
        Ok(None)
    }

    /// Lets an element through, or what the valve makes of it.
    fn admit(
        &mut self,
        position: usize,
        channel: usize,
        element: StreamElement,
    ) -> Result<Option<(u32, StreamElement)>> {
        let Some(gate) = self.gates.get_mut(position) else { return Ok(None) };
        let change = match element {
            batch @ StreamElement::Batch(_) => return Ok(Some((gate.input, batch))),
            StreamElement::Barrier(barrier) => {
                if self.first_barrier.is_none_or(|(checkpoint, _)| checkpoint < barrier.checkpoint_id) {
                    self.first_barrier = Some((barrier.checkpoint_id, Instant::now()));
                    FailPoint::BarrierReceived.pass()?;
                }
                let decision = self.aligner.on_barrier(channel, barrier);
                self.align(position, channel, decision);
                return Ok(None);
            }
            StreamElement::Watermark(watermark) => self.valve.on_watermark(channel, watermark),
            StreamElement::Idle => self.valve.on_idle(channel),
            StreamElement::Active => self.valve.on_active(channel),
            StreamElement::EndOfInput => {
                gate.open = gate.open.saturating_sub(1);
                let decision = self.aligner.on_end(channel);
                // A snapshot for which this channel was the last to be waited for comes before the watermark that its end lets go.
                self.align(position, channel, decision);
                self.valve.on_end(channel)
            }
        };
        self.change(change);
        Ok(None)
    }

    fn align(&mut self, position: usize, channel: usize, decision: Decision) {
        if decision.release {
            self.gates.iter_mut().for_each(|gate| gate.gate.release_held());
        }
        if decision.wait
            && let Some(gate) = self.gates.get_mut(position)
        {
            gate.gate.hold(channel - gate.offset);
        }
        if let Some(barrier) = decision.aligned {
            self.alignment = self.first_barrier.take().map_or(Duration::ZERO, |(_, first)| first.elapsed());
            self.through.push_back((0, StreamElement::Barrier(barrier)));
        }
    }

    fn change(&mut self, change: Change) {
        if change.idle == Some(false) {
            self.through.push_back((0, StreamElement::Active));
        }
        if let Some(watermark) = change.watermark {
            self.through.push_back((0, StreamElement::Watermark(watermark)));
        }
        if change.idle == Some(true) {
            self.through.push_back((0, StreamElement::Idle));
        }
    }

    fn end(&mut self) -> Result<(u32, StreamElement)> {
        if std::mem::replace(&mut self.ended, true) {
            return Err(Error::internal("an input is read after its end"));
        }
        Ok((0, StreamElement::EndOfInput))
    }
}

#[cfg(test)]
#[path = "inlet_tests.rs"]
mod tests;
