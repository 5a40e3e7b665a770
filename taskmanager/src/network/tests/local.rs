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
use crate::region::Region;

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
    let (read, ()) =
        futures::join!(next(&mut gate), async { network.release(JOB, Attempt(1), &Region::default()) });
    assert_eq!(read.unwrap().unwrap_err().code(), Code::Fenced);
    assert_eq!(poll_fn(|cx| partition.poll_ready(cx)).await.unwrap_err().code(), Code::Fenced);
    drop((partition, gate));
    let late = network.input_gate(&gate_spec(0, [(0, Location::Local)]));
    assert_eq!(late.unwrap_err().code(), Code::Fenced);
}

fn used(network: &crate::network::Network) -> usize {
    let usage = network.pool_usage();
    usage.total - usage.available
}

#[tokio::test]
async fn a_broadcast_is_charged_once_and_until_the_last_reader_drops_it() {
    let (network, _handle) = network(Options::default()).await;
    let mut partition = network.result_partition(&partition_spec(0, 3, Partitioning::Broadcast)).unwrap();
    let mut gates: Vec<_> =
        (0..3).map(|i| network.input_gate(&gate_spec(i, [(0, Location::Local)])).unwrap()).collect();
    partition.emit(batch(0, 8192, 100)).unwrap();
    let once = used(&network);
    let bytes = crate::network::measure::wire_bytes(&batch(0, 8192, 100));
    assert!((bytes >> 15..=(bytes >> 15) * 2 + 1).contains(&once), "{once} segments for {bytes} bytes");
    let mut read = Vec::new();
    for gate in &mut gates {
        read.push(next(gate).await.unwrap().unwrap());
        assert_eq!(used(&network), once);
    }
    let StreamElement::Batch(last) = read.pop().unwrap().1 else { panic!("a batch was sent") };
    drop(read);
    // An operator that passes part of it on keeps it charged.
    let derived = last.derive(last.records().slice(0, 10));
    drop(last);
    assert_eq!(used(&network), once);
    drop(derived);
    assert_eq!(used(&network), 1, "the partition's reserve");
}

#[tokio::test]
async fn what_is_charged_already_is_passed_on_without_a_second_charge() {
    let (network, _handle) = network(Options::default()).await;
    let mut first = network.result_partition(&partition_spec(0, 1, Partitioning::Forward)).unwrap();
    let mut second = network.result_partition(&partition_spec(1, 1, Partitioning::Forward)).unwrap();
    let mut gates: Vec<_> = [(0, 0), (0, 1)]
        .map(|(consumer, source)| {
            network.input_gate(&gate_spec(consumer, [(source, Location::Local)])).unwrap()
        })
        .into();
    first.emit(batch(0, 8192, 100)).unwrap();
    let once = used(&network);
    let StreamElement::Batch(read) = next(&mut gates[0]).await.unwrap().unwrap().1 else {
        panic!("a batch was sent")
    };
    second.emit(read).unwrap();
    assert_eq!(used(&network), once);
    drop(next(&mut gates[1]).await);
    assert_eq!(used(&network), 2, "the partitions' reserves");
}

#[tokio::test]
async fn a_small_slice_does_not_keep_its_parent() {
    let (network, _handle) = network(Options::default()).await;
    let mut partition = network.result_partition(&partition_spec(0, 1, Partitioning::Forward)).unwrap();
    let mut gate = network.input_gate(&gate_spec(0, [(0, Location::Local)])).unwrap();
    partition.emit(batch(0, 8192, 100).slice(100, 50)).unwrap();
    partition.flush_hungry().unwrap();
    assert_eq!(used(&network), 1);
    let StreamElement::Batch(read) = next(&mut gate).await.unwrap().unwrap().1 else {
        panic!("a batch was sent")
    };
    assert_eq!(super::fixture::keys(&read), (100..150).collect::<Vec<_>>());
    assert!(crate::network::measure::retained_bytes(&read) < 32 << 10);
}

#[tokio::test]
async fn small_batches_are_gathered_until_the_timeout_or_a_hungry_reader() {
    let (network, _handle) = network(Options::default()).await;
    let mut partition = network.result_partition(&partition_spec(0, 1, Partitioning::Forward)).unwrap();
    let mut gate = network.input_gate(&gate_spec(0, [(0, Location::Local)])).unwrap();
    let rows = |element: Option<_>| match element {
        Some(Ok((_, StreamElement::Batch(batch)))) => batch.num_rows(),
        other => panic!("{other:?} where a batch belongs"),
    };
    for i in 0..50 {
        partition.emit(batch(i * 10, 10, 10)).unwrap();
    }
    assert!(partition.has_gathered());
    assert!(next(&mut gate).now_or_never().is_none(), "nothing was sent yet");
    partition.flush_hungry().unwrap();
    assert_eq!(rows(next(&mut gate).await), 500);
    // A reader that has something to do is not hungry: what comes meanwhile waits for the timeout.
    partition.emit(batch(0, 10, 10)).unwrap();
    partition.flush().unwrap();
    for i in 0..50 {
        partition.emit(batch(i * 10, 10, 10)).unwrap();
        partition.flush_hungry().unwrap();
    }
    partition.flush().unwrap();
    assert!(!partition.has_gathered());
    assert_eq!(rows(next(&mut gate).await), 10);
    assert_eq!(rows(next(&mut gate).await), 500);
    // Eight thousand rows are full: no timeout is needed.
    for i in 0..850 {
        poll_fn(|cx| partition.poll_ready(cx)).await.unwrap();
        partition.emit(batch(i * 10, 10, 10)).unwrap();
    }
    assert!(rows(next(&mut gate).await) >= 1024);
}
