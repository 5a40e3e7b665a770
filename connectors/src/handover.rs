//! Hands batches from a slot's thread to blocking work on the I/O runtime, a step at a time.
//!
//! Invariant: at most one step runs, and what waits for the next is bounded in bytes; so a slow destination makes the writer
//! unready and nothing grows. No thread is held while there is nothing to write. Dropping the handover drops what waits; the
//! step that runs ends by itself, and what it did stays uncommitted.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use weir_api::Batch;
use weir_api::error::{Code, Error, Result};
use weir_api::sink::Committable;

/// Bytes that may wait while a step runs.
const WAITING_BYTES: usize = 4 << 20;

/// Work that may block: runs on the I/O runtime.
pub trait Destination: Send + 'static {
    /// Writes batches, in order.
    fn write(&mut self, batches: Vec<Batch>) -> Result<()>;

    /// Everything written so far leaves for its destination.
    fn flush(&mut self) -> Result<()>;

    /// Everything written since the last time becomes durable; writing may go on behind it.
    fn prepare(&mut self) -> Result<Vec<Committable>>;
}

type Step<D> = JoinHandle<(D, Result<Vec<Committable>>)>;

enum State<D> {
    Idle(D),
    Busy(Step<D>),
    /// A step failed; its error has been handed on.
    Failed,
}

/// What a step was asked to do last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reached {
    Written,
    Flushed,
    Prepared,
}

/// A destination behind a bounded hand-over; see the module.
pub struct Handover<D: Destination> {
    io: Handle,
    state: State<D>,
    waiting: Vec<Batch>,
    waiting_bytes: usize,
    reached: Reached,
    committables: Vec<Committable>,
}

impl<D: Destination> Handover<D> {
    /// A destination whose steps run on `io`.
    pub fn new(destination: D, io: Handle) -> Self {
        Self {
            io,
            state: State::Idle(destination),
            waiting: Vec::new(),
            waiting_bytes: 0,
            reached: Reached::Flushed,
            committables: Vec::new(),
        }
    }

    /// Ready to take a batch.
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        match self.poll_idle(context) {
            Poll::Ready(Ok(())) => {
                self.start_waiting();
                // Polled once more so that the end of the new step wakes us.
                match self.poll_idle(context) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => Poll::Ready(Ok(())),
                }
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if self.waiting_bytes < WAITING_BYTES => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Takes a batch.
    pub fn write(&mut self, batch: Batch) {
        self.waiting_bytes += batch.slice_bytes();
        self.waiting.push(batch);
        self.reached = Reached::Written;
        self.start_waiting();
    }

    /// Everything taken has left.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            std::task::ready!(self.poll_idle(context))?;
            if self.start_waiting() {
                continue;
            }
            if self.reached != Reached::Written {
                return Poll::Ready(Ok(()));
            }
            self.reached = Reached::Flushed;
            self.start(|destination| destination.flush().map(|()| Vec::new()));
        }
    }

    /// Everything taken since the last time is durable. Called again without a batch between, it gives nothing more; whoever
    /// gives up waiting gets what was prepared the next time.
    pub fn poll_prepare(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<Committable>>> {
        loop {
            std::task::ready!(self.poll_idle(context))?;
            if self.start_waiting() {
                continue;
            }
            if self.reached == Reached::Prepared {
                return Poll::Ready(Ok(std::mem::take(&mut self.committables)));
            }
            self.reached = Reached::Prepared;
            self.start(Destination::prepare);
        }
    }

    /// Starts writing what waits, if nothing runs; whether it did.
    fn start_waiting(&mut self) -> bool {
        if self.waiting.is_empty() || !matches!(self.state, State::Idle(_)) {
            return false;
        }
        let batches = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.start(move |destination| destination.write(batches).map(|()| Vec::new()));
        true
    }

    fn start(&mut self, step: impl FnOnce(&mut D) -> Result<Vec<Committable>> + Send + 'static) {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(mut destination) => {
                self.state = State::Busy(self.io.spawn_blocking(move || {
                    let result = step(&mut destination);
                    (destination, result)
                }));
            }
            other => self.state = other,
        }
    }

    /// Takes the end of the step that runs.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.state {
            State::Idle(_) => Poll::Ready(Ok(())),
            State::Failed => Poll::Ready(Err(Error::internal("a writer was used after it had failed"))),
            State::Busy(step) => match std::task::ready!(Pin::new(step).poll(context)) {
                Ok((destination, Ok(committables))) => {
                    self.state = State::Idle(destination);
                    self.committables.extend(committables);
                    Poll::Ready(Ok(()))
                }
                Ok((_, Err(error))) => {
                    self.state = State::Failed;
                    Poll::Ready(Err(error))
                }
                Err(error) => {
                    self.state = State::Failed;
                    let code = if error.is_panic() { Code::TaskPanicked } else { Code::Internal };
                    Poll::Ready(Err(
                        Error::new(code, "writing on the I/O runtime ended early").with_source(error)
                    ))
                }
            },
        }
    }
}

impl<D: Destination> Drop for Handover<D> {
    fn drop(&mut self) {
        if let State::Busy(step) = &self.state {
            step.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::Waker;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;
    use crate::testing::{local, runtime};

    /// Does a step only when it is let to.
    struct Gated {
        gate: Receiver<Result<()>>,
        done: Sender<String>,
    }

    impl Gated {
        fn step(&self, what: String) -> Result<()> {
            let result = self.gate.recv().unwrap();
            self.done.send(what).unwrap();
            result
        }
    }

    impl Destination for Gated {
        fn write(&mut self, batches: Vec<Batch>) -> Result<()> {
            self.step(format!("write {}", batches.iter().map(Batch::num_rows).sum::<usize>()))
        }

        fn flush(&mut self) -> Result<()> {
            self.step("flush".into())
        }

        fn prepare(&mut self) -> Result<Vec<Committable>> {
            self.step("prepare".into()).map(|()| vec![vec![1].into()])
        }
    }

    fn batch(rows: i64) -> Batch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        Batch::new(RecordBatch::try_from_iter([("n", column)]).unwrap())
    }

    fn gated() -> (tokio::runtime::Runtime, Sender<Result<()>>, Receiver<String>, Handover<Gated>) {
        let (io, (open, gate), (done, steps)) = (runtime(), channel(), channel());
        let handover = Handover::new(Gated { gate, done }, io.handle().clone());
        (io, open, steps, handover)
    }

    #[test]
    fn a_slow_destination_makes_the_writer_unready_and_nothing_is_lost() {
        let (_io, open, steps, mut handover) = gated();
        let mut context = Context::from_waker(Waker::noop());
        let mut taken = 0;
        while handover.poll_ready(&mut context).is_ready() {
            handover.write(batch(100_000));
            taken += 1;
            assert!(taken < 20, "the hand-over isn't bounded");
        }
        // One is being written, and as many wait as it takes to pass the bound.
        assert_eq!(taken, 1 + WAITING_BYTES.div_ceil(800_000));
        for _ in 0..4 {
            open.send(Ok(())).unwrap();
        }
        local(async {
            poll_fn(|context| handover.poll_ready(context)).await.unwrap();
            poll_fn(|context| handover.poll_flush(context)).await.unwrap();
            let committables = poll_fn(|context| handover.poll_prepare(context)).await.unwrap();
            assert_eq!(committables, [Committable::from(vec![1])]);
        });
        let steps: Vec<_> = steps.try_iter().collect();
        assert_eq!(
            steps,
            [
                "write 100000".to_owned(),
                format!("write {}", 100_000 * (taken - 1)),
                "flush".into(),
                "prepare".into()
            ]
        );
    }

    #[test]
    fn the_error_of_a_step_comes_once_and_then_the_writer_stays_failed() {
        let (_io, open, _steps, mut handover) = gated();
        handover.write(batch(1));
        open.send(Err(Error::new(Code::Io, "disk is full"))).unwrap();
        local(async {
            let error = poll_fn(|context| handover.poll_flush(context)).await.unwrap_err();
            assert_eq!(error.message(), "disk is full");
            assert!(poll_fn(|context| handover.poll_ready(context)).await.is_err());
            assert!(poll_fn(|context| handover.poll_prepare(context)).await.is_err());
        });
    }
}
