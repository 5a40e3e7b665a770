//! Tasks whose output goes to others through the real network.

use weir_api::graph::Partitioning;
use weir_api::side_output;
use weir_api::watermark::Watermark;

use super::*;
use crate::network::{
    self, GateId, GateSpec, InputGate, Location, Network, PartitionId, PartitionSpec, ResultPartition, Source,
};

/// A channel through the real network: the producing task's end and the consumer's.
async fn channel(
    options: network::Options,
    dead_letters: bool,
) -> (Network, network::Handle, ResultPartition, InputGate) {
    let (network, handle) = Network::start(options, tokio::runtime::Handle::current()).await.unwrap();
    let schema = if dead_letters { side_output::dead_letters() } else { schema() };
    let partition = network.result_partition(&PartitionSpec {
        id: PartitionId { job: JOB, attempt: Attempt(1), edge: 0, subtask: SubtaskIndex(0) },
        partitioning: Partitioning::Forward,
        schema: Arc::clone(&schema),
        targets: vec![SubtaskIndex(0)],
        target_parallelism: 1,
        max_parallelism: 128,
    });
    let input =
        GateId { job: JOB, attempt: Attempt(1), vertex: VertexIndex(1), input: 0, subtask: SubtaskIndex(0) };
    let source = Source { edge: 0, subtask: SubtaskIndex(0), location: Location::Local, schema };
    let gate = network.input_gate(&GateSpec { id: input, sources: vec![source] }).unwrap();
    (network, handle, partition.unwrap(), gate)
}

async fn next(gate: &mut InputGate) -> StreamElement {
    let next = timeout(Duration::from_secs(5), poll_fn(|cx| gate.poll_next(cx)));
    next.await.expect("an element comes").expect("the gate is open").unwrap().1
}

/// Cancels a task that nobody takes anything from: it has waited, and made no more than the pool holds.
async fn cancel_held_up(task: Task) {
    let metrics = Arc::clone(&task.metrics);
    task.cancel_soon().await;
    let figures = metrics.snapshot(Default::default());
    assert!(figures.back_pressured_millis >= 100, "{figures:?}");
    assert!(figures.num_bytes_out <= 2 << 20, "the pool bounds what is made: {figures:?}");
}

#[tokio::test]
async fn a_task_without_room_downstream_stops_and_ends_when_cancelled() {
    let slot = slot();
    let options = network::Options { pool_bytes: 1 << 20, ..network::Options::default() };
    let (network, _handle, partition, gate) = channel(options, false).await;
    let task = launch(&slot, JOB, move || Plan {
        source: Counter { end: i64::MAX, step: 8192, ..Counter::default() },
        operators: Vec::new(),
        exit: Exit::Partitions(vec![partition]),
        sides: Vec::new(),
    })
    .await;
    cancel_held_up(task).await;
    drop(gate);
    assert_eq!(network.pool_usage().available, network.pool_usage().total);
}

#[tokio::test]
async fn a_small_batch_sets_out_without_waiting_for_more() {
    let slot = slot();
    let (_network, _handle, partition, mut gate) = channel(network::Options::default(), false).await;
    let task = launch(&slot, JOB, move || Plan {
        source: counter(10, Fault::Hang),
        operators: vec![Box::new(Custom(|| Progress::Done))],
        exit: Exit::Partitions(vec![partition]),
        sides: Vec::new(),
    })
    .await;
    let StreamElement::Batch(batch) = next(&mut gate).await else { panic!("not a batch") };
    assert_eq!(values(&batch), (0..10).collect::<Vec<_>>());
    task.cancel_soon().await;
}

#[tokio::test]
async fn a_task_finishes_only_when_its_consumers_have_taken_everything() {
    let slot = slot();
    let (_network, _handle, partition, mut gate) = channel(network::Options::default(), false).await;
    let mut task = launch(&slot, JOB, move || Plan {
        source: counter(10, Fault::None),
        operators: Vec::new(),
        exit: Exit::Partitions(vec![partition]),
        sides: Vec::new(),
    })
    .await;
    assert!(timeout(Duration::from_millis(100), &mut task.ended).await.is_err());
    assert!(matches!(next(&mut gate).await, StreamElement::Batch(_)));
    assert!(matches!(next(&mut gate).await, StreamElement::Watermark(_)));
    assert!(matches!(next(&mut gate).await, StreamElement::EndOfInput));
    drop(gate);
    assert!(matches!(task.end().await, Ended::Finished(_)));
}

#[tokio::test]
async fn a_sinks_task_has_side_outputs_too_and_ends_when_they_are_taken() {
    let slot = slot();
    let (_network, _handle, partition, mut gate) = channel(network::Options::default(), true).await;
    let collected = Collected::default();
    let sink = Arc::clone(&collected);
    let mut task = launch(&slot, JOB, move || Plan {
        source: Counter { dead_every: 5, ..counter(20, Fault::None) },
        operators: vec![Box::new(Custom(|| Progress::Done))],
        exit: collector(&sink, Fault::None, 0),
        sides: vec![SideEdge { operator: 0, partition }],
    })
    .await;
    let metrics = Arc::clone(&task.metrics);
    assert!(timeout(Duration::from_millis(100), &mut task.ended).await.is_err(), "nobody took the side rows");
    let mut letters = Vec::new();
    let mut element = next(&mut gate).await;
    while let StreamElement::Batch(batch) = element {
        letters.extend(values(&batch));
        element = next(&mut gate).await;
    }
    assert!(matches!(element, StreamElement::Watermark(Watermark::MAX)), "{element:?}");
    assert!(matches!(next(&mut gate).await, StreamElement::EndOfInput));
    drop(gate);
    let Ended::Finished(finished) = task.end().await else { panic!("not finished") };
    assert_eq!((letters, prepared(&finished).len()), (vec![0, 5, 10, 15], 1));
    assert_eq!(collected.lock().unwrap()[&0].len(), 16);
    let figures = metrics.snapshot(Default::default());
    assert_eq!((figures.num_records_out, figures.num_side_output_records), (16, 4));
}

#[tokio::test]
async fn a_side_output_that_nobody_takes_holds_the_task_up() {
    let slot = slot();
    let options = network::Options { pool_bytes: 1 << 20, ..network::Options::default() };
    let (_network, _handle, partition, _gate) = channel(options, true).await;
    let collected = Collected::default();
    let sink = Arc::clone(&collected);
    let task = launch(&slot, JOB, move || Plan {
        source: Counter { end: i64::MAX, step: 8192, dead_every: 2, ..Counter::default() },
        operators: Vec::new(),
        exit: collector(&sink, Fault::None, 0),
        sides: vec![SideEdge { operator: 0, partition }],
    })
    .await;
    cancel_held_up(task).await;
}
