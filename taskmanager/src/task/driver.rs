//! The shell around a chain: waits for input, room, timers and the buffer timeout, and hands elements in and out.
//!
//! Invariants: nothing here blocks; the thread is given away after each batch and at the latest after [`LONGEST_HOLD`] between
//! two calls of operators, so a task can be cancelled (by dropping its future) whatever it does or waits for; what a task does
//! not spend in one of the waits it is busy with; whatever it waits for, what concerns its checkpoints is attended to. The decisions
//! are those of [`Chain`] and of `checkpoint::Machine`.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use weir_api::Result;
use weir_api::clock::Clock;
use weir_api::element::{Barrier, StreamElement};
use weir_api::id::CheckpointId;
use weir_api::output::Emitted;

use super::Finished;
use super::chain::{Chain, Step};
use super::control::{Body, Control};
use super::head::Head;
use super::metrics::{TaskMetrics, Wait};
use super::restore::Restorer;
use super::tail::Tail;
use crate::slot::Turn;

/// How long a task keeps its slot's thread between two batches' ends.
const LONGEST_HOLD: Duration = Duration::from_millis(1);

/// How often the lengths of queues are taken down.
const GAUGE_INTERVAL: Duration = Duration::from_millis(250);

/// One running subtask.
pub(crate) struct Driver {
    head: Head,
    chain: Chain,
    tail: Tail,
    control: Control,
    /// What the task goes on from.
    restorer: Option<Restorer>,
    seat: Seat,
    clock: Arc<dyn Clock>,
    buffer_timeout: Duration,
    /// When what was handed over must set out.
    flush_at: Option<Instant>,
    gauge_at: Instant,
}

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) head: Head,
    pub(crate) chain: Chain,
    pub(crate) tail: Tail,
    pub(crate) control: Control,
    pub(crate) restorer: Option<Restorer>,
    pub(crate) turn: Turn,
    pub(crate) metrics: Arc<TaskMetrics>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The longest that rows wait for a batch to fill.
    pub(crate) buffer_timeout: Duration,
}

/// The task's place on its slot's thread, and the account of its waits.
struct Seat {
    turn: Turn,
    metrics: Arc<TaskMetrics>,
}

/// What ended a wait for input.
enum Wake {
    Input(u32, Emitted),
    /// A barrier has gone into the chain.
    Barrier,
    /// A deadline has come: look at timers and the buffer timeout.
    Deadline,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { head, chain, tail, control, restorer, turn, metrics, clock, buffer_timeout } = parts;
        let seat = Seat { turn, metrics };
        let (flush_at, gauge_at) = (None, Instant::now());
        Self { head, chain, tail, control, restorer, seat, clock, buffer_timeout, flush_at, gauge_at }
    }

    /// Gives the operators their state back. Comes first.
    pub(crate) async fn restore(&mut self) -> Result<()> {
        if let Some(restorer) = self.restorer.take()
            && let Some(chains) = restorer.run(&mut self.chain, &mut self.seat.turn).await?
        {
            self.control.adopt(chains);
        }
        Ok(())
    }

    /// Runs the task to the end of its input; answers what it leaves. Its state is there.
    pub(crate) async fn run(mut self) -> Result<Finished> {
        self.seat.turn.wake();
        let (control, mut body, _) = self.parts();
        control.restored(&mut body)?;
        loop {
            // Only timers need to know the time.
            let now = self.chain.next_timer().map_or(i64::MIN, |_| self.clock.unix_millis());
            match self.chain.step(now)? {
                Step::Worked => {
                    self.hand_over().await?;
                    self.seat.look_around().await;
                }
                Step::NeedsRoom => self.hand_over().await?,
                Step::NeedsInput => {
                    // A batch is through.
                    self.seat.turn.pass().await;
                    self.take_input().await?;
                }
                Step::Finished => break,
            }
        }
        self.finish().await
    }

    /// Waits until all is handed over, durable and said.
    async fn finish(mut self) -> Result<Finished> {
        let checkpoint = self.control.last_checkpoint();
        let (control, mut body, seat) = self.parts();
        let prepared = seat
            .wait(Wait::Room, |cx| {
                control.attend(&mut body, cx)?;
                body.tail.poll_finish(checkpoint, cx)
            })
            .await?;
        control.ended(prepared, &mut body)?;
        let prepared = seat
            .wait(Wait::Room, |cx| -> Poll<Result<_>> {
                control.attend(&mut body, cx)?;
                control.poll_finished(cx).map(Ok)
            })
            .await?;
        Finished::new(control.owner(), body.head.final_splits(), prepared, control.newest())
    }

    fn parts(&mut self) -> (&mut Control, Body<'_>, &mut Seat) {
        let Self { head, chain, tail, control, seat, .. } = self;
        (control, Body { head, chain, tail }, seat)
    }

    /// Hands over what has come out of the chain, as the tail has room for it.
    async fn hand_over(&mut self) -> Result<()> {
        while let Some(element) = self.chain.pop() {
            let (control, mut body, seat) = self.parts();
            seat.wait(Wait::Room, |cx| {
                // Looked at first: a sink may have no room before it has committed what is complete.
                control.attend(&mut body, cx)?;
                body.tail.poll_ready(cx)
            })
            .await?;
            match element {
                Emitted::Element(StreamElement::Barrier(barrier)) => self.hand_over_barrier(barrier).await?,
                element => self.tail.send(element)?,
            }
            self.gauge();
        }
        if !self.tail.is_dirty() {
            self.flush_at = None;
            return Ok(());
        }
        let now = Instant::now();
        if *self.flush_at.get_or_insert(now + self.buffer_timeout) <= now {
            self.tail.flush_partitions()?;
            self.flush_at = Some(now + self.buffer_timeout);
        }
        Ok(())
    }

    /// A sink prepares before the barrier is through.
    async fn hand_over_barrier(&mut self, barrier: Barrier) -> Result<()> {
        let checkpoint = CheckpointId(barrier.checkpoint_id);
        let (control, mut body, seat) = self.parts();
        let mut prepared = None;
        if body.tail.is_sink() && control.freezes(checkpoint) {
            prepared = seat
                .wait(Wait::Room, |cx| {
                    control.attend(&mut body, cx)?;
                    body.tail.poll_prepare(checkpoint, cx)
                })
                .await?;
        }
        body.tail.send(StreamElement::Barrier(barrier).into())?;
        control.passed(checkpoint, prepared, &mut body)
    }

    /// Waits for the next element and hands it in, or for something else that is due.
    async fn take_input(&mut self) -> Result<()> {
        self.tail.flush_hungry()?;
        self.gauge();
        let mut sleep = None;
        let Self { head, chain, tail, control, seat, clock, flush_at, .. } = self;
        let wake = seat
            .wait(Wait::Input, |cx| {
                let mut body = Body { head: &mut *head, chain: &mut *chain, tail: &mut *tail };
                control.attend(&mut body, cx)?;
                if control.emit(&mut body)? {
                    return Poll::Ready(Ok(Wake::Barrier));
                }
                let takes_input = control.takes_input();
                if takes_input && let Poll::Ready(input) = head.poll_next(cx) {
                    return Poll::Ready(input.map(|(input, element)| Wake::Input(input, element)));
                }
                let now = Instant::now();
                if !tail.is_dirty() {
                    *flush_at = None;
                } else if flush_at.is_none_or(|due| due <= now)
                    && let Poll::Ready(flushed) = tail.poll_flush(cx)
                {
                    // A sink that needs longer wakes the task when it is done.
                    flushed?;
                    *flush_at = None;
                }
                let flush = flush_at.filter(|due| *due > now);
                let idleness = head.deadline().filter(|_| takes_input);
                let timer = Self::timer_at(chain, idleness, clock.as_ref(), now);
                poll_deadline(&mut sleep, timer.into_iter().chain(flush).min(), now, cx)
                    .map(|()| Ok(Wake::Deadline))
            })
            .await?;
        match wake {
            Wake::Input(_, Emitted::Element(StreamElement::Barrier(barrier))) => {
                let (control, mut body, _) = self.parts();
                control.aligned(barrier, &mut body)?;
            }
            Wake::Input(input, element) => {
                self.count(&element);
                self.chain.push(input, element);
            }
            Wake::Deadline if self.control.takes_input() => self.head.on_time(),
            Wake::Barrier | Wake::Deadline => {}
        }
        Ok(())
    }

    /// Counts what comes in. A source's dead letters don't: they are no records of the table.
    fn count(&self, element: &Emitted) {
        let metrics = &self.seat.metrics;
        match element {
            Emitted::Element(StreamElement::Batch(batch)) => {
                metrics.records_in.add(batch.num_rows() as u64);
                if self.head.counts_bytes() {
                    metrics.bytes_in.add(batch.slice_bytes() as u64);
                }
            }
            Emitted::Element(StreamElement::Watermark(watermark)) => metrics.set_input_watermark(*watermark),
            _ => {}
        }
    }

    /// Takes down how full the queues at both ends are, now and then: counting is not free.
    fn gauge(&mut self) {
        let now = Instant::now();
        if now >= self.gauge_at {
            self.gauge_at = now + GAUGE_INTERVAL;
            self.seat.metrics.set_queues(self.head.queue(), self.tail.queue());
        }
    }

    /// When the earliest timer of an operator, or the head's idleness, is due.
    fn timer_at(chain: &Chain, idleness: Option<i64>, clock: &dyn Clock, now: Instant) -> Option<Instant> {
        let due = chain.next_timer().into_iter().chain(idleness).min()?;
        let millis = due.saturating_sub(clock.unix_millis());
        // Far timers are looked at again every hour: a machine's clock may be set.
        Some(now + Duration::from_millis(millis.clamp(0, 3_600_000) as u64))
    }
}

impl Seat {
    /// Waits for `poll`; the time counts as `wait` unless it was ready at once.
    async fn wait<T>(&mut self, wait: Wait, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        let mut waiting = false;
        poll_fn(|cx| match (poll(cx), waiting) {
            (Poll::Ready(value), false) => Poll::Ready(value),
            (Poll::Ready(value), true) => {
                self.metrics.end_wait();
                self.turn.wake();
                Poll::Ready(value)
            }
            (Poll::Pending, true) => Poll::Pending,
            (Poll::Pending, false) => {
                waiting = true;
                self.turn.sleep();
                self.metrics.begin_wait(wait);
                Poll::Pending
            }
        })
        .await
    }

    /// Gives the thread away if it has been held for long.
    async fn look_around(&mut self) {
        if self.turn.held() >= LONGEST_HOLD {
            self.turn.pass().await;
        }
    }
}

/// Ready at `deadline`; never without one. `sleep` is kept between polls and moved with the deadline.
///
/// A deadline that has come is seen here: a timer that is moved to the present is pending once more before it fires, so one
/// that is moved at each poll never would.
fn poll_deadline(
    sleep: &mut Option<Pin<Box<Sleep>>>,
    deadline: Option<Instant>,
    now: Instant,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let Some(deadline) = deadline else { return Poll::Pending };
    if deadline <= now {
        return Poll::Ready(());
    }
    let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
    if sleep.deadline() != deadline {
        sleep.as_mut().reset(deadline);
    }
    Future::poll(sleep.as_mut(), cx)
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
