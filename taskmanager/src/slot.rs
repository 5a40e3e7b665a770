//! A slot is an OS thread: a single-threaded runtime on which the chains of its subtasks take turns.
//!
//! Owns: the thread, the order in which jobs get it, and the end of each task. A task ends by itself, by an error, by a panic,
//! which fails it alone, or by its cancellation token: then its future is dropped at the next point where it gives the thread
//! away, whatever it waits for. Its end is told only after everything that it held has been dropped. Knows nothing of graphs,
//! operators or networks.

mod shares;
mod turn;

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::thread;

use futures::future::{BoxFuture, LocalBoxFuture};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;
use weir_api::error::Code;
use weir_api::id::{JobId, SlotIndex};
use weir_api::{Error, Result};

pub(crate) use turn::Turn;

use crate::task::Finished;

/// How many launches may wait for the thread to take them up.
const COMMANDS: usize = 64;

/// How a task came to its end.
#[derive(Debug)]
pub(crate) enum Ended {
    Finished(Box<Finished>),
    Failed(Error),
    Cancelled,
}

/// A task to run.
pub(crate) struct Launch {
    pub(crate) job: JobId,
    pub(crate) cancel: CancellationToken,
    /// Makes the task on the slot's thread; what it makes needn't be `Send`.
    pub(crate) start: Box<dyn FnOnce(Turn) -> LocalBoxFuture<'static, Result<Finished>> + Send>,
    /// Told how the task ended, after it has been dropped.
    pub(crate) ended: Box<dyn FnOnce(Ended) -> BoxFuture<'static, ()> + Send>,
}

/// A running slot.
pub(crate) struct Slot {
    commands: mpsc::Sender<Launch>,
    thread: thread::JoinHandle<()>,
}

impl Slot {
    /// Starts the thread.
    pub(crate) fn start(index: SlotIndex) -> Result<Self> {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(1)
            .build()
            .map_err(|error| Error::from(error).context(format_args!("make the runtime of slot {index}")))?;
        let thread = thread::Builder::new()
            .name(format!("slot-{index}"))
            .spawn(move || LocalSet::new().block_on(&runtime, serve(receiver)))
            .map_err(|error| Error::from(error).context(format_args!("start the thread of slot {index}")))?;
        Ok(Self { commands, thread })
    }

    /// Hands over a task; waits while the thread is behind with taking them up.
    pub(crate) async fn launch(&self, launch: Launch) -> Result<()> {
        self.commands.send(launch).await.map_err(|_| Error::internal("a slot's thread has ended"))
    }

    /// Ends the thread and what runs on it. The thread can be joined after that; joining blocks.
    pub(crate) fn stop(self) -> thread::JoinHandle<()> {
        self.thread
    }
}

/// The thread's main task: takes up launches until the slot is dropped, then drops what still runs.
async fn serve(mut commands: mpsc::Receiver<Launch>) {
    let shares = Rc::new(RefCell::new(shares::Shares::default()));
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            launch = commands.recv() => match launch {
                Some(launch) => {
                    let turn = Turn::new(Rc::clone(&shares), launch.job);
                    tasks.spawn_local(supervise(launch, turn));
                }
                None => break,
            },
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(error = panic_message(error), "a task's supervisor failed");
                }
            }
        }
    }
    tasks.shutdown().await;
}

async fn supervise(launch: Launch, turn: Turn) {
    let Launch { cancel, start, ended, .. } = launch;
    // A task of its own, so that a panic while it is made, polled or dropped ends here.
    let mut task = tokio::task::spawn_local(async move { start(turn).await });
    let result = tokio::select! {
        biased;
        () = cancel.cancelled() => {
            task.abort();
            (&mut task).await
        }
        result = &mut task => result,
    };
    let outcome = match result {
        Ok(Ok(finished)) => Ended::Finished(Box::new(finished)),
        // What fails while everything around it is being torn down has been cancelled, whatever it says.
        Ok(Err(_)) if cancel.is_cancelled() => Ended::Cancelled,
        Ok(Err(error)) => Ended::Failed(error),
        Err(error) if error.is_panic() => Ended::Failed(Error::new(
            Code::TaskPanicked,
            format!("the task panicked: {}; this is a bug of Weir, please report it", panic_message(error)),
        )),
        Err(_) => Ended::Cancelled,
    };
    ended(outcome).await;
}

fn panic_message(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => payload_text(payload.as_ref()),
        Err(error) => error.to_string(),
    }
}

/// The text of a panic.
pub(crate) fn payload_text(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "without a message".to_owned(),
    }
}
