//! Runs a blocking reader on the I/O runtime, a step at a time, ahead of the slot by a bounded number of bytes.
//!
//! Invariant: what has been read and not taken is at most the allowance and one batch. No thread waits while the slot is
//! behind: between steps only a task does. Dropping this aborts the task; a step that runs ends by itself.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use weir_api::error::{Code, Error, Result};
use weir_api::source::{SourceEvent, SourceReader};

/// The allowance is counted in units of this many bytes.
const UNIT_BYTES: usize = 1024;
/// Events that may wait, beside the bound on their bytes.
const EVENTS: usize = 256;

/// Reads splits, blocking.
pub trait Blocks: Send + 'static {
    /// The next event; `None` after the last split. A step is about one batch of work.
    fn next(&mut self) -> Result<Option<SourceEvent>>;
}

type Ahead = (Result<SourceEvent>, Option<OwnedSemaphorePermit>);

/// See the module.
pub struct ReadAhead {
    receiver: mpsc::Receiver<Ahead>,
    task: JoinHandle<()>,
    /// For each split, whether it goes on where another one has ended.
    continues: Vec<bool>,
}

impl ReadAhead {
    /// Starts reading; `continues` says of each split whether it goes on where another one has ended.
    pub fn new(blocks: impl Blocks, io: &Handle, bytes: usize, continues: Vec<bool>) -> Self {
        let (sender, receiver) = mpsc::channel(EVENTS);
        let units = (bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let task = io.spawn(read(blocks, sender, Arc::new(Semaphore::new(units)), units));
        Self { receiver, task, continues }
    }
}

async fn read(mut blocks: impl Blocks, sender: mpsc::Sender<Ahead>, allowance: Arc<Semaphore>, units: usize) {
    loop {
        let step = tokio::task::spawn_blocking(move || {
            let event = blocks.next();
            (blocks, event)
        });
        let event = match step.await {
            Ok((back, Ok(Some(event)))) => {
                blocks = back;
                event
            }
            Ok((_, Ok(None))) => return,
            Ok((_, Err(error))) => {
                // The receiver may be gone; then nobody needs the error.
                let _ = sender.send((Err(error), None)).await;
                return;
            }
            Err(error) => {
                let code = if error.is_panic() { Code::TaskPanicked } else { Code::Internal };
                let error = Error::new(code, "reading on the I/O runtime ended early").with_source(error);
                let _ = sender.send((Err(error), None)).await;
                return;
            }
        };
        let bytes = match &event {
            SourceEvent::Records { records, .. } => records.get_array_memory_size(),
            SourceEvent::DeadLetters(records) => records.get_array_memory_size(),
            SourceEvent::SplitFinished { .. } => 0,
        };
        let share = u32::try_from((bytes / UNIT_BYTES).clamp(1, units)).unwrap_or(u32::MAX);
        let Ok(permit) = allowance.clone().acquire_many_owned(share).await else { return };
        if sender.send((Ok(event), Some(permit))).await.is_err() {
            return;
        }
    }
}

impl SourceReader for ReadAhead {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<SourceEvent>>> {
        self.receiver.poll_recv(context).map(|event| event.map(|(event, _permit)| event))
    }

    fn continues(&self, split: usize) -> bool {
        self.continues.get(split).copied().unwrap_or(false)
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.task.abort();
    }
}
