//! The reader of a task: steps of fetching and decoding on the I/O runtime, ahead of the slot by a bounded number of bytes.
//!
//! Invariant: what was decoded and not taken is at most the allowance and one step; while the slot is behind, no thread waits
//! and librdkafka's own bound stops the fetching. Nothing is read before the topics are known to be those that were found, and
//! that is asked again while reading. Progress is taken over at the end of a step, whose batches and dead letters belong together:
//! so it counts what has been handed over, and a snapshot cuts between steps. Dropping the reader ends the task; the client is closed where blocking is allowed.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer as _;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::source::{SourceEvent, SourceReader, SplitProgress};
use weir_proto::v1::Split;

use super::decode::Decoder;
use super::fetch::Fetcher;
use super::identity::{self, Verdict};
use super::properties::Properties;
use super::report::{Report, Reporter};
use super::split::Given;

/// The allowance is counted in units of this many bytes.
const UNIT_BYTES: usize = 1024;
/// Events that may wait, beside the bound on their bytes.
const EVENTS: usize = 256;
/// Calls of `add_splits` that may wait for the task.
const ADDITIONS: usize = 64;
/// How often the client is served when nothing comes.
const SERVE: Duration = Duration::from_millis(500);
/// How often the topics are looked at.
const CHECK: Duration = Duration::from_secs(10);
/// How soon again after an answer that isn't sure.
const CHECK_AGAIN: Duration = Duration::from_secs(1);
/// A topic that is missing so many times in a row is gone.
const MISSING: u32 = 3;

/// What a reader is made of.
pub struct Parts {
    /// The table's name, for messages.
    pub table: String,
    /// How to reach the cluster.
    pub properties: Properties,
    /// The consumer's settings.
    pub config: ClientConfig,
    /// Makes batches.
    pub decoder: Decoder,
    /// The operator's counters.
    pub metrics: Arc<OperatorMetrics>,
    /// Bytes that may wait decoded.
    pub bytes: usize,
    /// Whether further partitions may come.
    pub more_may_come: bool,
    /// Whether the group's offsets are committed with checkpoints.
    pub reports: bool,
}

/// What has been read ahead.
struct Ahead {
    /// None: there is progress only, as the marks of transactions make it.
    event: Option<Result<SourceEvent>>,
    /// How far each partition has been read with this; `None` in the middle of a step.
    after: Option<Vec<SplitProgress>>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// See the module.
pub struct Reader {
    receiver: mpsc::Receiver<Ahead>,
    additions: mpsc::Sender<Vec<Given>>,
    task: JoinHandle<()>,
    /// None: nobody watches.
    report: Option<Arc<Report>>,
    progress: Vec<SplitProgress>,
    /// Whether the last step has been handed over whole.
    is_whole: bool,
}

impl Reader {
    /// Starts to read `splits`.
    pub fn new(parts: Parts, splits: Vec<Given>, io: &Handle) -> Self {
        let progress = splits.iter().map(Given::progress).collect();
        let (sender, receiver) = mpsc::channel(EVENTS);
        let (additions, added) = mpsc::channel(ADDITIONS);
        let units = (parts.bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let handing = Handing { sender, allowance: Arc::new(Semaphore::new(units)), units };
        let report = parts.reports.then(Arc::<Report>::default);
        let told = report.clone();
        let task = io.spawn(async move {
            if let Err(error) = run(parts, splits, added, told, &handing).await {
                // The receiver may be gone; then nobody needs the error.
                let failed = Ahead { event: Some(Err(error)), after: None, _permit: None };
                let _ = handing.sender.send(failed).await;
            }
        });
        Self { receiver, additions, task, report, progress, is_whole: true }
    }
}

impl SourceReader for Reader {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<SourceEvent>>> {
        loop {
            let Some(Ahead { event, after, .. }) = std::task::ready!(self.receiver.poll_recv(context)) else {
                return Poll::Ready(None);
            };
            self.is_whole = after.is_some();
            // Partitions that were added meanwhile stand behind those that the step knew.
            for (known, progress) in self.progress.iter_mut().zip(after.unwrap_or_default()) {
                *known = progress;
            }
            if event.is_some() {
                return Poll::Ready(event);
            }
        }
    }

    fn progress(&self) -> Option<Vec<SplitProgress>> {
        self.is_whole.then(|| self.progress.clone())
    }

    fn checkpoint_complete(&mut self, progress: &[SplitProgress]) {
        if let Some(report) = &self.report {
            report.put(progress);
        }
    }

    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        let splits = splits.iter().map(Given::of).collect::<Result<Vec<_>>>()?;
        self.progress.extend(splits.iter().map(Given::progress));
        match self.additions.try_send(splits) {
            Ok(()) => Ok(()),
            // The task has ended with an error, which the next poll brings.
            Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Error::internal(format!(
                "a Kafka reader was given splits {ADDITIONS} times without taking them"
            ))),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The bounded way to the slot.
struct Handing {
    sender: mpsc::Sender<Ahead>,
    allowance: Arc<Semaphore>,
    units: usize,
}

impl Handing {
    /// Hands over the events of a step, after which the partitions have been read so far. Whether the slot still listens.
    async fn hand(&self, events: Vec<SourceEvent>, progress: Vec<SplitProgress>) -> bool {
        let mut progress = Some(progress);
        let mut events = events.into_iter().peekable();
        if events.peek().is_none() {
            let ahead = Ahead { event: None, after: progress, _permit: None };
            return self.sender.send(ahead).await.is_ok();
        }
        while let Some(event) = events.next() {
            let bytes = match &event {
                SourceEvent::Records { records, .. } | SourceEvent::DeadLetters(records) => {
                    records.get_array_memory_size()
                }
                SourceEvent::SplitFinished { .. } => 0,
            };
            let share = u32::try_from((bytes / UNIT_BYTES).clamp(1, self.units)).unwrap_or(u32::MAX);
            let Ok(permit) = self.allowance.clone().acquire_many_owned(share).await else { return false };
            let after = if events.peek().is_none() { progress.take() } else { None };
            let ahead = Ahead { event: Some(Ok(event)), after, _permit: Some(permit) };
            if self.sender.send(ahead).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// A fetcher whose client is closed on a thread that may block, whenever it goes.
struct Owned {
    fetcher: Option<Fetcher>,
    io: Handle,
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(fetcher) = self.fetcher.take() {
            self.io.spawn_blocking(move || drop(fetcher));
        }
    }
}

impl Owned {
    /// Does something that may block.
    async fn blocking<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&mut Fetcher) -> Result<T> + Send + 'static,
    ) -> Result<(Self, T)> {
        let io = self.io.clone();
        let step = io.spawn_blocking(move || {
            let result = match &mut self.fetcher {
                Some(fetcher) => work(fetcher),
                None => Err(Error::internal("a Kafka reader without its consumer")),
            };
            result.map(|done| (self, done))
        });
        step.await.map_err(ended_early)?
    }
}

fn ended_early(error: tokio::task::JoinError) -> Error {
    let code = if error.is_panic() { Code::TaskPanicked } else { Code::Internal };
    Error::new(code, "reading from Kafka on the I/O runtime ended early").with_source(error)
}

async fn run(
    parts: Parts,
    splits: Vec<Given>,
    mut added: mpsc::Receiver<Vec<Given>>,
    report: Option<Arc<Report>>,
    handing: &Handing,
) -> Result<()> {
    let Parts { table, properties, config, decoder, metrics, bytes, more_may_come, reports: _ } = parts;
    let io = Handle::current();
    let mut reporter = Reporter::new(report, Arc::clone(&metrics));
    let step_bytes = (bytes / 2).max(1 << 20);
    let name = table.clone();
    let made = io.spawn_blocking(move || {
        let mut fetcher = Fetcher::new(&name, &properties, &config, decoder, metrics, step_bytes)?;
        let filled = fetcher.filled();
        let events = fetcher.add(splits)?;
        let progress = fetcher.progress();
        Ok::<_, Error>((fetcher, filled, (events, progress)))
    });
    let (fetcher, filled, (events, progress)) = made.await.map_err(ended_early)??;
    let mut owned = Owned { fetcher: Some(fetcher), io };
    let mut watch = Watch::new(&table);
    owned = watch.confirm(owned).await?;
    if !handing.hand(events, progress.clone()).await {
        return Ok(());
    }
    let (mut waiting, mut handed) = (None, progress);
    loop {
        while let Some(splits) = waiting.take().or_else(|| added.try_recv().ok()) {
            let added = move |fetcher: &mut Fetcher| Ok((fetcher.add(splits)?, fetcher.progress()));
            let (back, (events, progress)) = owned.blocking(added).await?;
            owned = back;
            if !handing.hand(events, progress).await {
                return Ok(());
            }
        }
        if let (Some(fetcher), Some(completed)) = (&owned.fetcher, reporter.next()) {
            reporter.tell(fetcher.consumer(), fetcher.offsets(&completed), &owned.io);
        }
        let (back, step) = owned
            .blocking(|fetcher| {
                let step = fetcher.step()?;
                Ok((step, fetcher.progress(), fetcher.is_suspicious(), fetcher.has_ended()))
            })
            .await?;
        owned = back;
        let (step, progress, suspicious, ended) = step;
        let is_new = !step.events.is_empty() || progress != handed;
        if is_new && !handing.hand(step.events, progress.clone()).await {
            return Ok(());
        }
        handed = progress;
        if ended && !more_may_come {
            return Ok(());
        }
        owned = watch.look(owned, suspicious).await?;
        if step.is_dry {
            waiting = wait(&filled, &mut added).await;
        }
    }
}

/// Until there is something to do; the partitions that came.
async fn wait(filled: &Notify, added: &mut mpsc::Receiver<Vec<Given>>) -> Option<Vec<Given>> {
    tokio::select! {
        () = filled.notified() => None,
        () = tokio::time::sleep(SERVE) => None,
        Some(splits) = added.recv() => Some(splits),
    }
}

/// Looks, now and then, whether the topics are still the same.
struct Watch {
    table: String,
    due: tokio::time::Instant,
    /// How often in a row each was missing.
    missing: HashMap<String, u32>,
    /// The answer that is on its way.
    asked: Option<JoinHandle<Result<Verdict>>>,
}

impl Watch {
    fn new(table: &str) -> Self {
        let due = tokio::time::Instant::now();
        Self { table: table.to_owned(), due, missing: HashMap::new(), asked: None }
    }

    /// Asks until the answer is sure.
    async fn confirm(&mut self, mut owned: Owned) -> Result<Owned> {
        loop {
            self.ask(&owned);
            let Some(asked) = self.asked.take() else { return Ok(owned) };
            let verdict = asked.await.map_err(ended_early)??;
            let is_sure = verdict == Verdict::Same;
            self.judge(&owned, verdict)?;
            if is_sure {
                return Ok(owned);
            }
            // Errors of connections come as events, among them refusals.
            owned = owned.blocking(|fetcher| fetcher.serve()).await?.0;
            tokio::time::sleep(CHECK_AGAIN).await;
        }
    }

    /// Asks if it is time, and takes an answer that has come; doesn't wait.
    async fn look(&mut self, owned: Owned, suspicious: bool) -> Result<Owned> {
        if suspicious {
            self.due = tokio::time::Instant::now();
        }
        match self.asked.take() {
            Some(asked) if asked.is_finished() => {
                let verdict = asked.await.map_err(ended_early)??;
                self.judge(&owned, verdict)?;
            }
            Some(asked) => self.asked = Some(asked),
            None if self.due <= tokio::time::Instant::now() => self.ask(&owned),
            None => {}
        }
        Ok(owned)
    }

    fn ask(&mut self, owned: &Owned) {
        let Some(fetcher) = &owned.fetcher else { return };
        let ids = fetcher.ids();
        self.due = tokio::time::Instant::now() + CHECK;
        if ids.is_empty() {
            return;
        }
        let (table, consumer) = (self.table.clone(), fetcher.consumer());
        self.asked = Some(owned.io.spawn_blocking(move || identity::check(&table, &consumer, &ids)));
    }

    fn judge(&mut self, owned: &Owned, verdict: Verdict) -> Result<()> {
        if verdict == Verdict::Same {
            self.missing.clear();
            return Ok(());
        }
        self.due = tokio::time::Instant::now() + CHECK_AGAIN;
        match verdict {
            Verdict::Missing(topic) => {
                let times = self.missing.entry(topic.clone()).or_default();
                *times += 1;
                if *times >= MISSING {
                    return Err(identity::missing(&self.table, &topic));
                }
            }
            Verdict::Unknown(why) => {
                if let Some(fetcher) = &owned.fetcher {
                    fetcher.consumer().context().warn(&format!("the topics can't be described: {why}"));
                }
            }
            Verdict::Same => {}
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(asked) = &self.asked {
            asked.abort();
        }
    }
}
