//! Tasks on a real slot thread: they finish, fail, panic, and end at once when they are cancelled, whatever they wait for.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use weir_api::config::Configuration;
use weir_api::error::Code;
use weir_api::graph::KeyGroupRange;
use weir_api::id::{Attempt, ExecutionId, JobId, SlotIndex, SubtaskIndex, VertexIndex};
use weir_api::operator::{Operator, Progress};
use weir_api::output::Output;
use weir_api::storage::FileSystems;
use weir_api::{Batch, Error};

use super::*;
use crate::deploy::Reports;
use crate::slot::{Ended, Launch, Slot};
use crate::snapshot::{Owner, Stores};
use crate::task::checkpoint::Machine;
use crate::task::control;
use crate::task::mailbox::Mailbox;
use crate::task::reader::Reader;
use crate::task::tail::{Exit, SideEdge};
use crate::tests::fixture::connector::{Collected, Collector, Counter, Fault};
use crate::tests::fixture::{TestClock, records, schema, values};

#[path = "driver_edge_tests.rs"]
mod edges;

const JOB: JobId = JobId::from_bytes([1; 16]);
const OTHER: JobId = JobId::from_bytes([2; 16]);
/// What a cancelled task may take to end.
const SOON: Duration = Duration::from_secs(1);

/// What a test's task is made of; made on the slot's thread.
struct Plan {
    source: Counter,
    operators: Vec<Box<dyn Operator>>,
    exit: Exit,
    sides: Vec<SideEdge>,
}

struct Task {
    cancel: CancellationToken,
    ended: oneshot::Receiver<Ended>,
    metrics: Arc<TaskMetrics>,
}

async fn launch(slot: &Slot, job: JobId, plan: impl FnOnce() -> Plan + Send + 'static) -> Task {
    let metrics = Arc::new(TaskMetrics::new(2));
    let (sender, ended) = oneshot::channel();
    let cancel = CancellationToken::new();
    let counted = Arc::clone(&metrics);
    let start = move |turn: Turn| {
        async move {
            let clock = TestClock::shared();
            let Plan { source, operators, exit, sides } = plan();
            let operators = operators.into_iter().map(|operator| ("op".to_owned(), operator)).collect();
            let driver = Driver::new(Parts {
                head: Head::Reader(Box::new(
                    Reader::new(Box::new(source), Vec::new(), None, Arc::clone(&clock))
                        .with_dead_letter_edge(!sides.is_empty()),
                )),
                chain: Chain::new(operators, 1, 2),
                control: unattended(&exit, &counted),
                restorer: None,
                tail: Tail::new(exit, sides, Arc::clone(&counted)),
                turn,
                metrics: counted,
                clock,
                buffer_timeout: Duration::from_millis(50),
            });
            driver.run().await
        }
        .boxed_local()
    };
    let ended_fn = move |ended| {
        let _ = sender.send(ended);
        futures::future::ready(()).boxed()
    };
    let launch = Launch { job, cancel: cancel.clone(), start: Box::new(start), ended: Box::new(ended_fn) };
    slot.launch(launch).await.unwrap();
    Task { cancel, ended, metrics }
}

/// The control of a task that nobody speaks to.
fn unattended(exit: &Exit, metrics: &Arc<TaskMetrics>) -> Control {
    let task =
        ExecutionId { job: JOB, attempt: Attempt(1), vertex: VertexIndex(0), subtask: SubtaskIndex(0) };
    let owner = Owner {
        task,
        operators: 1,
        key_groups: KeyGroupRange { start: 0, end: 128 },
        location: String::new(),
        sink: matches!(exit, Exit::Sink(_)).then_some(0),
    };
    let file_systems = FileSystems::new(&Configuration::default());
    Control::new(control::Parts {
        owner,
        machine: Machine::new(true, None, true),
        mailbox: Mailbox::new(0),
        stores: Arc::new(Stores::new(file_systems, "test".to_owned(), None)),
        io: tokio::runtime::Handle::current(),
        clock: TestClock::shared(),
        metrics: Arc::clone(metrics),
        reports: Reports::channel().0.sender(),
    })
}

impl Task {
    async fn end(self) -> Ended {
        timeout(Duration::from_secs(20), self.ended).await.expect("the task ends").unwrap()
    }

    /// Lets it run for a while, then cancels it.
    async fn cancel_soon(mut self) {
        let early = timeout(Duration::from_millis(150), &mut self.ended).await;
        assert!(early.is_err(), "it ended by itself: {early:?}");
        self.cancel.cancel();
        let ended = timeout(SOON, self.ended).await.expect("a cancelled task ends within a second").unwrap();
        assert!(matches!(ended, Ended::Cancelled), "{ended:?}");
    }
}

/// What the sink of a finished task has prepared.
fn prepared(finished: &Finished) -> Vec<Vec<u8>> {
    let parts = finished.snapshot.operators.iter().filter_map(|part| part.subtask.as_ref());
    let pending = parts.flat_map(|part| &part.committables).flat_map(|pending| &pending.entries);
    pending.map(|entry| entry.payload.clone()).collect()
}

fn counter(end: i64, fault: Fault) -> Counter {
    Counter { end, step: 10, fault, ..Counter::default() }
}

fn collector(collected: &Collected, fault: Fault, batches: usize) -> Exit {
    let collected = Arc::clone(collected);
    Exit::Sink(Box::new(Collector { subtask: 0, collected, fault, batches, rows: 0 }))
}

/// Passes batches on after what `before` does; never finishes a call of which it says so.
struct Custom<F>(F);

impl<F: FnMut() -> Progress> Operator for Custom<F> {
    fn output_schema(&self) -> Option<SchemaRef> {
        Some(schema())
    }

    fn process(&mut self, _input: u32, batch: Batch, out: &mut Output) -> Result<Progress> {
        out.push(batch);
        Ok((self.0)())
    }

    fn resume(&mut self, _out: &mut Output) -> Result<Progress> {
        Ok((self.0)())
    }
}

fn slot() -> Slot {
    Slot::start(SlotIndex(0)).unwrap()
}

#[tokio::test]
async fn a_bounded_task_finishes_with_everything_written_and_counted() {
    let (slot, collected) = (slot(), Collected::default());
    let sink = Arc::clone(&collected);
    let task = launch(&slot, JOB, move || Plan {
        source: counter(1005, Fault::None),
        operators: vec![Box::new(Custom(|| Progress::Done)), Box::new(Custom(|| Progress::Done))],
        exit: collector(&sink, Fault::None, 0),
        sides: Vec::new(),
    })
    .await;
    let metrics = Arc::clone(&task.metrics);
    let Ended::Finished(finished) = task.end().await else { panic!("not finished") };
    assert_eq!(prepared(&finished), [1005_u64.to_be_bytes()]);
    assert_eq!(collected.lock().unwrap()[&0], (0..1005).collect::<Vec<_>>());
    let figures = metrics.snapshot(Default::default());
    assert_eq!((figures.num_records_in, figures.num_records_out), (1005, 1005));
    assert_eq!(figures.current_output_watermark, Some(i64::MAX));
}

#[tokio::test]
async fn what_fails_or_panics_ends_its_task_alone() {
    let slot = slot();
    let collected = Collected::default();
    for (source, operator, sink, code) in [
        (Fault::Fail, Fault::None, Fault::None, Code::MalformedRecord),
        (Fault::None, Fault::None, Fault::Fail, Code::MalformedRecord),
        (Fault::Panic, Fault::None, Fault::None, Code::TaskPanicked),
        (Fault::None, Fault::Panic, Fault::None, Code::TaskPanicked),
        (Fault::None, Fault::None, Fault::Panic, Code::TaskPanicked),
    ] {
        let kept = Arc::clone(&collected);
        let panicking = move || {
            assert!(operator == Fault::None, "the operator panics as told");
            Progress::Done
        };
        let task = launch(&slot, JOB, move || Plan {
            source: counter(100, source),
            operators: vec![Box::new(Custom(panicking))],
            exit: collector(&kept, sink, 3),
            sides: Vec::new(),
        })
        .await;
        let Ended::Failed(error) = task.end().await else { panic!("not failed") };
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains("as told"), "{error}");
    }
    // The slot goes on as if nothing had happened.
    let sink = Arc::clone(&collected);
    let exit = move || Plan {
        source: counter(10, Fault::None),
        operators: Vec::new(),
        exit: collector(&sink, Fault::None, 0),
        sides: Vec::new(),
    };
    assert!(matches!(launch(&slot, JOB, exit).await.end().await, Ended::Finished(_)));
}

#[tokio::test]
async fn a_panic_while_the_task_is_made_fails_it_too() {
    let slot = slot();
    let task = launch(&slot, JOB, || panic!("no plan, as told")).await;
    let Ended::Failed(error) = task.end().await else { panic!("not failed") };
    assert_eq!(error.code(), Code::TaskPanicked);
}

#[tokio::test]
async fn a_task_that_waits_for_its_source_is_idle_and_ends_when_cancelled() {
    let slot = slot();
    let task = launch(&slot, JOB, || Plan {
        source: counter(100, Fault::Hang),
        operators: Vec::new(),
        exit: collector(&Collected::default(), Fault::None, 0),
        sides: Vec::new(),
    })
    .await;
    let metrics = Arc::clone(&task.metrics);
    task.cancel_soon().await;
    let figures = metrics.snapshot(Default::default());
    assert!(figures.idle_millis >= 100 && figures.back_pressured_millis < 50, "{figures:?}");
}

#[tokio::test]
async fn a_task_whose_sink_is_not_ready_is_back_pressured_and_ends_when_cancelled() {
    let slot = slot();
    let collected = Collected::default();
    let sink = Arc::clone(&collected);
    let task = launch(&slot, JOB, move || Plan {
        source: counter(i64::MAX, Fault::None),
        operators: vec![Box::new(Custom(|| Progress::Done))],
        exit: collector(&sink, Fault::Hang, 2),
        sides: Vec::new(),
    })
    .await;
    let metrics = Arc::clone(&task.metrics);
    task.cancel_soon().await;
    assert_eq!(collected.lock().unwrap()[&0].len(), 20);
    let figures = metrics.snapshot(Default::default());
    assert!(figures.back_pressured_millis >= 100 && figures.idle_millis < 50, "{figures:?}");
    assert!(figures.num_records_in < 200, "it reads no more than it can get rid of: {figures:?}");
}

#[tokio::test]
async fn a_task_in_an_endless_yield_ends_when_cancelled_and_lets_others_run_meanwhile() {
    let slot = slot();
    let task = |job| {
        launch(&slot, job, || Plan {
            source: counter(100, Fault::None),
            operators: vec![Box::new(Custom(|| Progress::Yield))],
            exit: collector(&Collected::default(), Fault::None, 0),
            sides: Vec::new(),
        })
    };
    let endless = task(JOB).await;
    let collected = Collected::default();
    for job in [JOB, OTHER] {
        let sink = Arc::clone(&collected);
        let quick = launch(&slot, job, move || Plan {
            source: counter(1000, Fault::None),
            operators: Vec::new(),
            exit: collector(&sink, Fault::None, 0),
            sides: Vec::new(),
        });
        assert!(matches!(timeout(SOON, quick.await.end()).await.expect("it gets turns"), Ended::Finished(_)));
    }
    endless.cancel_soon().await;
}

#[tokio::test]
async fn two_jobs_share_a_slot_fairly_whatever_the_number_of_their_tasks() {
    let slot = slot();
    let work = |job, done: Arc<AtomicU64>| {
        launch(&slot, job, move || Plan {
            source: counter(100, Fault::None),
            operators: vec![Box::new(Custom(move || {
                let until = std::time::Instant::now() + Duration::from_micros(200);
                while std::time::Instant::now() < until {}
                done.fetch_add(1, Ordering::Relaxed);
                Progress::Yield
            }))],
            exit: collector(&Collected::default(), Fault::None, 0),
            sides: Vec::new(),
        })
    };
    let (one, many) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = vec![work(JOB, Arc::clone(&one)).await];
    for _ in 0..7 {
        tasks.push(work(OTHER, Arc::clone(&many)).await);
    }
    tokio::time::sleep(Duration::from_millis(800)).await;
    let (one, many) = (one.load(Ordering::Relaxed), many.load(Ordering::Relaxed));
    for task in tasks {
        task.cancel.cancel();
        assert!(matches!(task.end().await, Ended::Cancelled));
    }
    let share = one as f64 / (one + many) as f64;
    assert!((0.4..=0.6).contains(&share), "one task of a job did {one} calls, seven of another {many}");
}

/// Asks for a timer 50 ms after it was made, and once more.
struct Timers {
    due: Vec<i64>,
    fired: Arc<Mutex<Vec<i64>>>,
}

impl Operator for Timers {
    fn output_schema(&self) -> Option<SchemaRef> {
        Some(schema())
    }

    fn process(&mut self, _input: u32, _batch: Batch, _out: &mut Output) -> Result<Progress> {
        Ok(Progress::Done)
    }

    fn on_processing_time(&mut self, now: i64, out: &mut Output) -> Result<Progress> {
        let due = self.due.pop().ok_or_else(|| Error::internal("a timer that nobody asked for"))?;
        assert!(now >= due, "too early");
        self.fired.lock().unwrap().push(now - due);
        out.push(Batch::new(records([now - due])));
        Ok(Progress::Done)
    }

    fn next_timer(&self) -> Option<i64> {
        self.due.last().copied()
    }
}

#[tokio::test]
async fn timers_fire_while_the_input_is_silent() {
    let slot = slot();
    let (fired, collected) = (Arc::new(Mutex::new(Vec::new())), Collected::default());
    let (kept, sink) = (Arc::clone(&fired), Arc::clone(&collected));
    let now = TestClock::shared().unix_millis();
    let task = launch(&slot, JOB, move || Plan {
        source: counter(10, Fault::Hang),
        operators: vec![Box::new(Timers { due: vec![now + 100, now + 50], fired: kept })],
        exit: collector(&sink, Fault::None, 0),
        sides: Vec::new(),
    })
    .await;
    task.cancel_soon().await;
    let fired = fired.lock().unwrap().clone();
    assert_eq!(fired.len(), 2, "{fired:?}");
    assert!(fired.iter().all(|late| *late < 80), "{fired:?}");
    assert_eq!(collected.lock().unwrap()[&0], fired);
}
