//! What shuffling whole rows costs: bids (186 bytes a row in Arrow), hashed by auction, from one process to another.
//!
//! Every row crosses the wire (the worst case: with two processes of equal share only half of them do). Prints rows/s and
//! CPU-seconds per million rows of both processes together. Options: `--rows N` (millions), `--targets N`, `--local` (both ends
//! in one process).
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::future::poll_fn;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use weir_api::batch::{Batch, TARGET_ROWS};
use weir_api::element::StreamElement;
use weir_api::graph::Partitioning;
use weir_api::id::{Attempt, JobId, SubtaskIndex, VertexIndex};
use weir_taskmanager::network::{
    GateId, GateSpec, Location, Network, Options, PartitionId, PartitionSpec, Source,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const JOB: JobId = JobId::from_bytes([1; 16]);

fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let number = |name| Field::new(name, DataType::Int64, false);
    let time = Field::new("dateTime", DataType::Timestamp(TimeUnit::Millisecond, None), false);
    Arc::new(Schema::new(vec![
        number("auction"),
        number("bidder"),
        number("price"),
        text("channel"),
        text("url"),
        time,
        text("extra"),
    ]))
}

/// Different batches of bids, to be emitted over and over.
fn bids() -> Vec<Batch> {
    let mut state = 1_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as i64
    };
    (0..16)
        .map(|_| {
            let mut numbers =
                |below| Int64Array::from_iter_values((0..TARGET_ROWS).map(|_| random() % below));
            let (auction, bidder, price) = (numbers(100_000), numbers(100_000), numbers(1_000_000));
            let channel =
                StringArray::from_iter_values((0..TARGET_ROWS).map(|i| format!("channel-{:03}", i % 1000)));
            let url = StringArray::from_iter_values(
                (0..TARGET_ROWS).map(|i| format!("https://www.nexmark.com/item.htm?query=1&c={i:08}")),
            );
            let time = TimestampMillisecondArray::from_iter_values(0..TARGET_ROWS as i64);
            let extra = StringArray::from_iter_values((0..TARGET_ROWS).map(|i| format!("{i:080}")));
            let columns = vec![
                Arc::new(auction) as _,
                Arc::new(bidder) as _,
                Arc::new(price) as _,
                Arc::new(channel) as _,
                Arc::new(url) as _,
                Arc::new(time) as _,
                Arc::new(extra) as _,
            ];
            Batch::new(RecordBatch::try_new(schema(), columns).unwrap())
        })
        .collect()
}

fn io_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Runs a task the way a slot does: on a thread with a runtime of its own.
fn on_slot<F: Future<Output = u64> + 'static>(
    task: impl FnOnce() -> F + Send + 'static,
) -> thread::JoinHandle<u64> {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, task())
    })
}

fn produce(network: &Network, targets: u32, rows: u64) -> thread::JoinHandle<u64> {
    let spec = PartitionSpec {
        id: PartitionId { job: JOB, attempt: Attempt(1), edge: 0, subtask: SubtaskIndex(0) },
        partitioning: Partitioning::Hash(vec![0]),
        schema: schema(),
        targets: (0..targets).map(SubtaskIndex).collect(),
        target_parallelism: targets,
        max_parallelism: 128,
    };
    let mut partition = network.result_partition(&spec).unwrap();
    let batches = bids();
    on_slot(move || async move {
        for batch in batches.iter().cycle().take((rows as usize).div_ceil(TARGET_ROWS)) {
            poll_fn(|cx| partition.poll_ready(cx)).await.unwrap();
            partition.emit(batch.clone()).unwrap();
            tokio::task::yield_now().await;
        }
        partition.emit_event(StreamElement::EndOfInput).unwrap();
        poll_fn(|cx| partition.poll_finished(cx)).await.unwrap();
        0
    })
}

/// All targets in one slot: they take turns.
fn consume(network: &Network, targets: u32, location: &Location) -> thread::JoinHandle<u64> {
    let gates: Vec<_> = (0..targets)
        .map(|subtask| {
            let id = GateId {
                job: JOB,
                attempt: Attempt(1),
                vertex: VertexIndex(1),
                input: 0,
                subtask: SubtaskIndex(subtask),
            };
            let source =
                Source { edge: 0, subtask: SubtaskIndex(0), location: location.clone(), schema: schema() };
            network.input_gate(&GateSpec { id, sources: vec![source] }).unwrap()
        })
        .collect();
    on_slot(move || async move {
        let tasks = gates.into_iter().map(|mut gate| async move {
            let (mut rows, mut batches) = (0, 0_u64);
            while let Some(element) = poll_fn(|cx| gate.poll_next(cx)).await {
                if let StreamElement::Batch(batch) = element.unwrap().1 {
                    rows += batch.num_rows() as u64;
                    batches += 1;
                }
                tokio::task::yield_now().await;
            }
            (rows, batches)
        });
        let counts = futures::future::join_all(tasks).await;
        let (rows, batches) =
            counts.into_iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        println!("{} rows a batch", rows / batches.max(1));
        rows
    })
}

/// User and system time of this process and of the children that it has waited for.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(4);
    Duration::from_millis(fields.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}

fn argument(name: &str, default: u64) -> u64 {
    let arguments: Vec<String> = std::env::args().collect();
    let place = arguments.iter().position(|argument| argument == name);
    place.and_then(|place| arguments.get(place + 1)?.parse().ok()).unwrap_or(default)
}

fn main() {
    let rows = argument("--rows", 20) * 1_000_000;
    let targets = argument("--targets", 2) as u32;
    let io = io_runtime();
    if std::env::args().any(|argument| argument == "--producer") {
        let (network, _handle) =
            io.block_on(Network::start(Options::default(), io.handle().clone())).unwrap();
        println!("{}", network.data_address());
        produce(&network, targets, rows).join().unwrap();
        return;
    }
    let (network, _handle) = io.block_on(Network::start(Options::default(), io.handle().clone())).unwrap();
    let started = Instant::now();
    let counted = if std::env::args().any(|argument| argument == "--local") {
        let producer = produce(&network, targets, rows);
        let counted = consume(&network, targets, &Location::Local).join().unwrap();
        producer.join().unwrap();
        counted
    } else {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--producer",
                "--rows",
                &(rows / 1_000_000).to_string(),
                "--targets",
                &targets.to_string(),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let location = Location::Remote(address.trim().to_owned());
        let counted = consume(&network, targets, &location).join().unwrap();
        assert!(child.wait().unwrap().success());
        counted
    };
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), cpu().as_secs_f64());
    assert!(counted >= rows, "{counted} rows of {rows}");
    println!(
        "{targets} targets: {:.2} M rows/s, {:.3} CPU-s per million rows ({:.1} s, {cpu:.1} CPU-s)",
        counted as f64 / elapsed / 1e6,
        cpu * 1e6 / counted as f64,
        elapsed
    );
}
