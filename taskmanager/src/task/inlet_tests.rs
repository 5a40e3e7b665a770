//! Several channels and gates become one stream: watermarks merged, one end.

use std::collections::BTreeSet;
use std::future::poll_fn;

use weir_api::graph::Partitioning;
use weir_api::id::{Attempt, JobId, SubtaskIndex, VertexIndex};
use weir_api::watermark::Watermark;

use super::*;
use crate::network::{
    GateId, GateSpec, Handle, Location, Network, Options, PartitionId, PartitionSpec, ResultPartition, Source,
};
use crate::tests::fixture::{records, schema, values};

/// Two inputs, each fed by two producers, numbered `edge * 2 + subtask`.
async fn inlet() -> (Handle, Vec<ResultPartition>, Inlet) {
    let (network, handle) =
        Network::start(Options::default(), tokio::runtime::Handle::current()).await.unwrap();
    let (job, attempt, to) = (JobId::from_bytes([1; 16]), Attempt(1), SubtaskIndex(0));
    let partitions = (0..4).map(|number| {
        let spec = PartitionSpec {
            id: PartitionId { job, attempt, edge: number / 2, subtask: SubtaskIndex(number % 2) },
            partitioning: Partitioning::Rebalance,
            schema: schema(),
            targets: vec![to],
            target_parallelism: 1,
            max_parallelism: 128,
        };
        network.result_partition(&spec).unwrap()
    });
    let partitions = partitions.collect();
    let gates = (0..2).map(|input| {
        let id = GateId { job, attempt, vertex: VertexIndex(2), input, subtask: to };
        let sources = (0..2).map(|subtask| Source {
            edge: input,
            subtask: SubtaskIndex(subtask),
            location: Location::Local,
            schema: schema(),
        });
        network.input_gate(&GateSpec { id, sources: sources.collect() }).unwrap()
    });
    (handle, partitions, Inlet::new(gates.collect()))
}

async fn next(inlet: &mut Inlet) -> (u32, StreamElement) {
    let next = tokio::time::timeout(std::time::Duration::from_secs(5), poll_fn(|cx| inlet.poll_next(cx)));
    next.await.expect("an element comes").unwrap()
}

async fn assert_silent(inlet: &mut Inlet) {
    let silent = poll_fn(|cx| Poll::Ready(inlet.poll_next(cx).is_pending())).await;
    assert!(silent, "nothing may come yet");
}

#[tokio::test]
async fn the_slowest_channel_of_all_inputs_decides_and_the_end_comes_once() {
    let (_handle, mut producers, mut inlet) = inlet().await;
    for (number, producer) in producers.iter_mut().enumerate() {
        producer.emit(weir_api::Batch::new(records([number as i64]))).unwrap();
        producer.flush().unwrap();
    }
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        let (input, StreamElement::Batch(batch)) = next(&mut inlet).await else { panic!("not a batch") };
        assert_eq!(i64::from(input), values(&batch)[0] / 2, "the batch is for the input of its edge");
        seen.extend(values(&batch));
    }
    assert_eq!(seen, BTreeSet::from([0, 1, 2, 3]));
    for (producer, watermark) in producers.iter_mut().zip([30, 10, 20]) {
        producer.emit_event(StreamElement::Watermark(Watermark(watermark))).unwrap();
    }
    assert_silent(&mut inlet).await;
    producers[3].emit_event(StreamElement::Idle).unwrap();
    assert!(matches!(next(&mut inlet).await.1, StreamElement::Watermark(Watermark(10))));
    producers[1].emit_event(StreamElement::EndOfInput).unwrap();
    assert!(matches!(next(&mut inlet).await.1, StreamElement::Watermark(Watermark(20))));
    producers[0].emit_event(StreamElement::EndOfInput).unwrap();
    assert_silent(&mut inlet).await;
    producers[2].emit_event(StreamElement::EndOfInput).unwrap();
    assert!(matches!(next(&mut inlet).await.1, StreamElement::Idle), "only an idle channel is left");
    producers[3].emit_event(StreamElement::EndOfInput).unwrap();
    assert!(matches!(next(&mut inlet).await.1, StreamElement::Watermark(Watermark::MAX)));
    assert!(matches!(next(&mut inlet).await.1, StreamElement::EndOfInput));
    let after = poll_fn(|cx| inlet.poll_next(cx)).await;
    assert!(after.is_err(), "the end comes once");
}

#[tokio::test]
async fn a_busy_input_does_not_starve_the_other() {
    let (_handle, mut producers, mut inlet) = inlet().await;
    for _ in 0..8 {
        producers[0].emit(weir_api::Batch::new(records(0..10))).unwrap();
        producers[0].flush().unwrap();
    }
    producers[2].emit(weir_api::Batch::new(records([7]))).unwrap();
    producers[2].flush().unwrap();
    let inputs = [next(&mut inlet).await.0, next(&mut inlet).await.0];
    assert_eq!(inputs, [0, 1]);
}

#[tokio::test]
async fn a_producer_that_is_gone_is_an_error() {
    let (_handle, mut producers, mut inlet) = inlet().await;
    producers.remove(2);
    let error = poll_fn(|cx| inlet.poll_next(cx)).await.unwrap_err();
    assert_eq!(error.code(), weir_api::error::Code::ChannelClosed);
}

#[tokio::test]
async fn a_barrier_comes_once_behind_what_stood_before_it_everywhere() {
    let (_handle, mut producers, mut inlet) = inlet().await;
    let barrier = weir_api::element::Barrier {
        checkpoint_id: 7,
        timestamp_millis: 1,
        purpose: weir_api::element::Purpose::Checkpoint,
    };
    let record = |number: i64| StreamElement::Batch(weir_api::Batch::new(records([number])));
    for (number, producer) in (0..).zip(producers.iter_mut()) {
        producer.emit_event(record(number)).unwrap();
        if number != 3 {
            producer.emit_event(StreamElement::Barrier(barrier)).unwrap();
            producer.emit_event(record(number + 10)).unwrap();
            producer.flush().unwrap();
        }
    }
    producers[3].flush().unwrap();
    let mut before = Vec::new();
    for _ in 0..4 {
        let (_, StreamElement::Batch(batch)) = next(&mut inlet).await else { panic!("records come first") };
        before.extend(values(&batch));
    }
    before.sort_unstable();
    assert_eq!(before, [0, 1, 2, 3], "what stands behind a barrier waits");
    assert_silent(&mut inlet).await;

    // The last channel ends instead of delivering the barrier.
    producers[3].emit_event(StreamElement::EndOfInput).unwrap();
    assert!(matches!(next(&mut inlet).await, (0, StreamElement::Barrier(aligned)) if aligned == barrier));
    let mut behind = Vec::new();
    for _ in 0..3 {
        let (_, StreamElement::Batch(batch)) = next(&mut inlet).await else { panic!("records come behind") };
        behind.extend(values(&batch));
    }
    behind.sort_unstable();
    assert_eq!(behind, [10, 11, 12]);
    assert_silent(&mut inlet).await;
}
