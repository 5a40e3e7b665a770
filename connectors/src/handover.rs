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

    /// Everything becomes durable; nothing is written after.
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

    /// Everything taken is durable.
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
