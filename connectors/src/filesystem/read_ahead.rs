//! Runs a blocking reader on the I/O runtime, a step at a time, ahead of the slot by a bounded number of bytes.
//!
//! Invariant: what has been read and not taken is at most the allowance and one batch. Progress travels with the events, so it
//! counts what has been taken, not what has been read. No thread waits while the slot is behind: between steps only a task
//! does. Dropping this aborts the task; a step that runs ends by itself.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use weir_api::error::{Code, Error, Result};
use weir_api::source::{SourceEvent, SourceReader, SplitProgress};
use weir_proto::v1::Split;

use super::split::Given;

/// The allowance is counted in units of this many bytes.
const UNIT_BYTES: usize = 1024;
/// Events that may wait, beside the bound on their bytes.
const EVENTS: usize = 256;

/// An event, and how far its split has been read with it.
pub struct Step {
    /// What is handed over.
    pub event: SourceEvent,
    /// The split and its progress; `None` where the next event belongs to this one.
    pub after: Option<(usize, SplitProgress)>,
}

impl Step {
    /// A split has ended.
    pub const fn finished(split: usize) -> Self {
        Self { event: SourceEvent::SplitFinished { split }, after: Some((split, SplitProgress::Ended)) }
    }
}

/// Reads splits, blocking.
pub trait Blocks: Send + 'static {
    /// The next event; `None` after the last split. A step is about one batch of work.
    fn next(&mut self) -> Result<Option<Step>>;

    /// More splits, behind those that there are: their positions go on.
    fn add(&mut self, splits: Vec<Given>);
}

type Ahead = (Result<Step>, Option<OwnedSemaphorePermit>);

/// See the module.
pub struct ReadAhead {
    receiver: mpsc::Receiver<Ahead>,
    /// Splits that are found later; they are kept with the job anyway, so their number isn't bounded here.
    splits: Option<mpsc::UnboundedSender<Vec<Given>>>,
    task: JoinHandle<()>,
    /// For each split, whether it goes on where another one has ended.
    continues: Vec<bool>,
    /// How far each split has been read, with what has been taken.
    progress: Vec<SplitProgress>,
    /// Whether nothing that belongs to what was taken last is still to come.
    is_whole: bool,
}

impl ReadAhead {
    /// Starts reading `splits`, which `blocks` has been given; with `more`, others may follow, and it ends only when dropped.
    pub fn new(blocks: impl Blocks, io: &Handle, bytes: usize, splits: &[Given], more: bool) -> Self {
        let (sender, receiver) = mpsc::channel(EVENTS);
        let (added, adds) = mpsc::unbounded_channel();
        let units = (bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let task = io.spawn(read(blocks, sender, adds, Arc::new(Semaphore::new(units)), units));
        Self {
            receiver,
            splits: more.then_some(added),
            task,
            continues: continuations(splits),
            progress: splits.iter().map(|given| given.progress).collect(),
            is_whole: true,
        }
    }
}

/// A file's parts are one stream, read in their order: all but the first of each file go on where another one has ended. Files
/// among themselves have no order in event time.
fn continuations(splits: &[Given]) -> Vec<bool> {
    let mut begun = HashSet::new();
    splits.iter().map(|given| !begun.insert(&given.split.file.path)).collect()
}

async fn read(
    mut blocks: impl Blocks,
    sender: mpsc::Sender<Ahead>,
    mut adds: mpsc::UnboundedReceiver<Vec<Given>>,
    allowance: Arc<Semaphore>,
    units: usize,
) {
    loop {
        let step = tokio::task::spawn_blocking(move || {
            let next = blocks.next();
            (blocks, next)
        });
        let step = match step.await {
            Ok((back, Ok(Some(step)))) => {
                blocks = back;
                step
            }
            Ok((back, Ok(None))) => {
                blocks = back;
                match adds.recv().await {
                    Some(splits) => blocks.add(splits),
                    None => return,
                }
                continue;
            }
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
        let bytes = match &step.event {
            SourceEvent::Records { records, .. } => records.get_array_memory_size(),
            SourceEvent::DeadLetters(records) => records.get_array_memory_size(),
            SourceEvent::SplitFinished { .. } => 0,
        };
        let share = u32::try_from((bytes / UNIT_BYTES).clamp(1, units)).unwrap_or(u32::MAX);
        let Ok(permit) = allowance.clone().acquire_many_owned(share).await else { return };
        if sender.send((Ok(step), Some(permit))).await.is_err() {
            return;
        }
    }
}

impl SourceReader for ReadAhead {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<SourceEvent>>> {
        let Some((step, _permit)) = std::task::ready!(self.receiver.poll_recv(context)) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(step.map(|Step { event, after }| {
            self.is_whole = after.is_some();
            if let Some((split, progress)) = after
                && let Some(known) = self.progress.get_mut(split)
            {
                *known = progress;
            }
            event
        })))
    }

    fn progress(&self) -> Option<Vec<SplitProgress>> {
        self.is_whole.then(|| self.progress.clone())
    }

    fn continues(&self, split: usize) -> bool {
        self.continues.get(split).copied().unwrap_or(false)
    }

    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        let splits = splits.iter().map(Given::of).collect::<Result<Vec<_>>>()?;
        let Some(sender) = &self.splits else {
            return Err(Error::internal("a bounded table of files was given more splits"));
        };
        self.continues.extend(continuations(&splits));
        self.progress.extend(splits.iter().map(|given| given.progress));
        sender.send(splits).map_err(|_| Error::internal("files were found after reading had ended"))
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::split::{FileInfo, FileSplit, Part};

    #[test]
    fn parts_of_a_file_continue_each_other_and_files_do_not() {
        let split = |path: &str, group| Given {
            split: FileSplit {
                file: FileInfo { path: path.into(), len: 0, modified_millis: 0, etag: None },
                part: Part::RowGroup(group),
            },
            progress: SplitProgress::Fresh,
        };
        let splits = [split("a", 0), split("a", 3), split("b", 1), split("b", 2), split("c", 0)];
        assert_eq!(continuations(&splits), [false, true, false, true, false]);
    }
}
