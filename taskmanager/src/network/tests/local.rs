//! Channels within one process.

use std::future::poll_fn;

use futures::FutureExt;
use weir_api::element::StreamElement;
use weir_api::error::Code;
use weir_api::graph::Partitioning;
use weir_api::id::Attempt;
use weir_api::watermark::Watermark;

use super::fixture::{JOB, batch, consume, gate_spec, network, next, partition_spec, produce};
use crate::network::{Location, Options};

fn batches(count: i64, rows: usize) -> impl Iterator<Item = StreamElement> {
    (0..count).map(move |i| StreamElement::Batch(batch(i * rows as i64, rows, 20)))
}

#[tokio::test]
async fn every_row_arrives_once_and_in_order_of_its_channel() {
    let (network, _handle) = network(Options::default()).await;
    for partitioning in [Partitioning::Hash(vec![0]), Partitioning::Rebalance, Partitioning::Broadcast] {
        let targets = 3;
        let mut partition =
            network.result_partition(&partition_spec(0, targets, partitioning.clone())).unwrap();
        let mut gates: Vec<_> = (0..targets)
            .map(|subtask| network.input_gate(&gate_spec(subtask, [(0, Location::Local)])).unwrap())
            .collect();
        let elements = batches(40, 1000).chain([StreamElement::Watermark(Watermark(5))]);
        let producer = produce(&mut partition, elements);
        let consumers = futures::future::join_all(gates.iter_mut().map(consume));
        let (produced, consumed) = futures::join!(producer, consumers);
        produced.unwrap();
        let mut all = Vec::new();
        for result in consumed {
            let (keys, events) = result.unwrap();
            assert!(keys.is_sorted(), "order within a channel");
            assert!(matches!(
                events[..],
                [StreamElement::Watermark(Watermark(5)), StreamElement::EndOfInput]
            ));
            all.extend(keys);
        }
        all.sort_unstable();
        let copies = if partitioning == Partitioning::Broadcast { 3 } else { 1 };
        assert_eq!(all.len(), 40_000 * copies);
        assert!(all.iter().step_by(copies).copied().eq(0..40_000));
        drop((partition, gates));
        let usage = network.pool_usage();
        assert_eq!(usage.available, usage.total, "all memory is given back");
    }
}

#[tokio::test]
async fn a_consumer_that_takes_nothing_stops_its_producer_within_the_pool() {
    let options = Options { pool_bytes: 4 << 20, ..Options::default() };
    let (network, _handle) = network(options).await;
    let mut partition = network.result_partition(&partition_spec(0, 2, Partitioning::Hash(vec![0]))).unwrap();
    let mut gates: Vec<_> =
        (0..2).map(|i| network.input_gate(&gate_spec(i, [(0, Location::Local)])).unwrap()).collect();
    let mut emitted = 0;
    while poll_fn(|cx| partition.poll_ready(cx)).now_or_never().is_some() {
        partition.emit(batch(emitted * 8192, 8192, 100)).unwrap();
        emitted += 1;
        assert!(emitted < 100, "nothing stops the producer");
    }
    assert!(partition.is_back_pressured());
    let consumers = futures::future::join_all(gates.iter_mut().map(consume));
    let (produced, consumed) = futures::join!(produce(&mut partition, []), consumers);
    produced.unwrap();
    let rows: usize = consumed.into_iter().map(|result| result.unwrap().0.len()).sum();
    assert_eq!(rows, emitted as usize * 8192);
}

#[tokio::test]
async fn each_end_learns_that_the_other_has_gone() {
    let (network, _handle) = network(Options::default()).await;
    let mut partition = network.result_partition(&partition_spec(0, 1, Partitioning::Forward)).unwrap();
    let gate = network.input_gate(&gate_spec(0, [(0, Location::Local)])).unwrap();
    drop(gate);
    let error = poll_fn(|cx| partition.poll_ready(cx)).await.unwrap_err();
    assert_eq!(error.code(), Code::ChannelClosed);
    drop(partition);

    let partition = network.result_partition(&partition_spec(0, 1, Partitioning::Forward)).unwrap();
    let mut gate = network.input_gate(&gate_spec(0, [(0, Location::Local)])).unwrap();
    let (read, ()) = futures::join!(next(&mut gate), async { drop(partition) });
    assert_eq!(read.unwrap().unwrap_err().code(), Code::ChannelClosed);
}

#[tokio::test]
async fn a_release_fails_what_is_pending_and_refuses_what_comes_late() {
    let (network, _handle) = network(Options::default()).await;
    let mut partition = network.result_partition(&partition_spec(0, 1, Partitioning::Forward)).unwrap();
    let mut gate = network.input_gate(&gate_spec(0, [(0, Location::Local)])).unwrap();
    let (read, ()) = futures::join!(next(&mut gate), async { network.release(JOB, Attempt(1)) });
    assert_eq!(read.unwrap().unwrap_err().code(), Code::Fenced);
    assert_eq!(poll_fn(|cx| partition.poll_ready(cx)).await.unwrap_err().code(), Code::Fenced);
    drop((partition, gate));
    let late = network.input_gate(&gate_spec(0, [(0, Location::Local)]));
    assert_eq!(late.unwrap_err().code(), Code::Fenced);
}
