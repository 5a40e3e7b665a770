//! Channels between two data planes, over TCP.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::future::poll_fn;
use std::time::Duration;

use arrow::array::Int8Array;
use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_api::batch::Batch;
use weir_api::element::{Barrier, StreamElement};
use weir_api::error::Code;
use weir_api::graph::Partitioning;
use weir_api::id::Attempt;
use weir_api::watermark::Watermark;

use super::fixture::{JOB, batch, consume, gate_spec, keys, network, next, partition_spec, produce};
use crate::network::{Location, Network, Options};
use crate::region::Region;

fn at(network: &Network) -> Location {
    Location::Remote(network.data_address().to_string())
}

fn batches(count: i64, rows: usize, width: usize) -> impl Iterator<Item = StreamElement> {
    (0..count).map(move |i| StreamElement::Batch(batch(i * rows as i64, rows, width)))
}

fn assert_all_given_back(network: &Network) {
    let usage = network.pool_usage();
    assert_eq!(usage.available, usage.total, "memory isn't given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_crosses_once_and_in_order_of_its_channel() {
    let (upstream, _up) = network(Options::default()).await;
    let (downstream, _down) = network(Options::default()).await;
    for (attempt, partitioning) in
        [Partitioning::Hash(vec![0]), Partitioning::Rebalance, Partitioning::Broadcast]
            .into_iter()
            .enumerate()
    {
        let (targets, attempt) = (3, Attempt(attempt as u32 + 1));
        let mut spec = partition_spec(0, targets, partitioning.clone());
        spec.id.attempt = attempt;
        let mut partition = upstream.result_partition(&spec).unwrap();
        let mut gates: Vec<_> = (0..targets)
            .map(|subtask| {
                let mut spec = gate_spec(subtask, [(0, at(&upstream))]);
                spec.id.attempt = attempt;
                downstream.input_gate(&spec).unwrap()
            })
            .collect();
        let barrier = Barrier {
            checkpoint_id: 3,
            timestamp_millis: 9,
            purpose: weir_api::element::Purpose::Checkpoint,
        };
        let elements = batches(40, 3000, 50)
            .chain([StreamElement::Watermark(Watermark(5)), StreamElement::Barrier(barrier)]);
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
                [
                    StreamElement::Watermark(Watermark(5)),
                    StreamElement::Barrier(Barrier {
                        checkpoint_id: 3,
                        timestamp_millis: 9,
                        purpose: weir_api::element::Purpose::Checkpoint
                    }),
                    StreamElement::EndOfInput
                ]
            ));
            all.extend(keys);
        }
        all.sort_unstable();
        let copies = if partitioning == Partitioning::Broadcast { 3 } else { 1 };
        assert_eq!(all.len(), 120_000 * copies);
        assert!(all.iter().step_by(copies).copied().eq(0..120_000));
        drop((partition, gates));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_all_given_back(&upstream);
        assert_all_given_back(&downstream);
    }
}

#[tokio::test]
async fn row_kinds_cross() {
    let (upstream, _up) = network(Options::default()).await;
    let (downstream, _down) = network(Options::default()).await;
    let mut partition =
        upstream.result_partition(&partition_spec(0, 1, Partitioning::Hash(vec![0]))).unwrap();
    let mut gate = downstream.input_gate(&gate_spec(0, [(0, at(&upstream))])).unwrap();
    let kinds = Int8Array::from_iter_values((0..100).map(|i| i % 4));
    let changes = Batch::with_kinds(batch(0, 100, 10).records().clone(), kinds.clone()).unwrap();
    let (produced, first) = futures::join!(produce(&mut partition, [StreamElement::Batch(changes)]), async {
        let first = next(&mut gate).await.unwrap().unwrap().1;
        assert!(matches!(next(&mut gate).await.unwrap().unwrap().1, StreamElement::EndOfInput));
        first
    });
    produced.unwrap();
    let StreamElement::Batch(first) = first else { panic!("{first:?} where a batch belongs") };
    assert_eq!(first.kinds(), Some(&kinds));
    assert_eq!(keys(&first), (0..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_stops_its_producer_and_memory_stays_within_the_pools() {
    let options = Options { pool_bytes: 8 << 20, ..Options::default() };
    let (upstream, _up) = network(options.clone()).await;
    let (downstream, _down) = network(options).await;
    let mut partition = upstream.result_partition(&partition_spec(0, 1, Partitioning::Forward)).unwrap();
    let mut gate = downstream.input_gate(&gate_spec(0, [(0, at(&upstream))])).unwrap();
    // A consumer that takes one batch and keeps it: after a while nothing moves.
    let mut held = Vec::new();
    let mut emitted = 0;
    for _ in 0..100 {
        while poll_fn(|cx| partition.poll_ready(cx)).now_or_never().is_some() {
            partition.emit(batch(emitted * 1000, 1000, 100)).unwrap();
            partition.flush().unwrap();
            emitted += 1;
            assert!(emitted < 200, "nothing stops the producer");
        }
        if held.is_empty() {
            held.push(next(&mut gate).await.unwrap().unwrap());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(partition.is_back_pressured());
    let gate_segments = 10 + 8 + 1;
    let usage = downstream.pool_usage();
    assert!(usage.total - usage.available <= gate_segments, "{usage:?}");
    // What was taken is dropped: everything else comes.
    let (produced, consumed) = futures::join!(produce(&mut partition, []), async {
        held.clear();
        consume(&mut gate).await
    });
    produced.unwrap();
    let rows = consumed.unwrap().0;
    assert_eq!(rows.last(), Some(&(emitted * 1000 - 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_16_mebibytes_passes_a_window_of_one_buffer_and_a_larger_one_is_refused() {
    let options = Options {
        pool_bytes: 2 << 20,
        exclusive_buffers_per_channel: 0,
        floating_buffers_per_gate: 1,
        max_buffers_per_channel: 1,
        ..Options::default()
    };
    let (upstream, _up) = network(options.clone()).await;
    let (downstream, _down) = network(options).await;
    let mut partition =
        upstream.result_partition(&partition_spec(0, 2, Partitioning::Hash(vec![0]))).unwrap();
    let mut gates: Vec<_> =
        (0..2).map(|i| downstream.input_gate(&gate_spec(i, [(0, at(&upstream))])).unwrap()).collect();
    let too_large = partition.emit(batch(0, 1, 17 << 20)).unwrap_err();
    assert_eq!(too_large.code(), Code::RecordTooLarge);
    let sizes = [10, 16 << 20, 10, 1 << 20, 16 << 20, 100_000, 5];
    let elements = sizes.into_iter().zip(0..).map(|(size, i)| StreamElement::Batch(batch(i, 1, size)));
    let consumers = futures::future::join_all(gates.iter_mut().map(consume));
    let (produced, consumed) = futures::join!(produce(&mut partition, elements), consumers);
    produced.unwrap();
    let mut all: Vec<i64> = consumed.into_iter().flat_map(|result| result.unwrap().0).collect();
    all.sort_unstable();
    assert_eq!(all, (0..7).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_channels_share_one_connection_and_a_small_pool() {
    let options = Options { pool_bytes: 16 << 20, ..Options::default() };
    let (upstream, _up) = network(options.clone()).await;
    let (downstream, _down) = network(options).await;
    let parallelism = 32;
    let producers = (0..parallelism).map(|subtask| {
        let spec = partition_spec(subtask, parallelism, Partitioning::Hash(vec![0]));
        let mut partition = upstream.result_partition(&spec).unwrap();
        async move { produce(&mut partition, batches(20, 2000, 30)).await }
    });
    let consumers = (0..parallelism).map(|subtask| {
        let sources: Vec<_> = (0..parallelism).map(|source| (source, at(&upstream))).collect();
        let mut gate = downstream.input_gate(&gate_spec(subtask, sources)).unwrap();
        async move { consume(&mut gate).await }
    });
    let (produced, consumed) =
        futures::join!(futures::future::join_all(producers), futures::future::join_all(consumers));
    produced.into_iter().for_each(|result| result.unwrap());
    let rows: usize = consumed.into_iter().map(|result| result.unwrap().0.len()).sum();
    assert_eq!(rows, 32 * 40_000);
}

#[tokio::test]
async fn a_consumer_may_come_long_before_its_producer_and_fails_clearly_if_none_comes() {
    let options = Options { partition_timeout: Duration::from_millis(800), ..Options::default() };
    let (upstream, _up) = network(options.clone()).await;
    let (downstream, _down) = network(options).await;
    let mut gate = downstream.input_gate(&gate_spec(0, [(0, at(&upstream))])).unwrap();
    assert!(
        tokio::time::timeout(Duration::from_millis(200), poll_fn(|cx| gate.poll_next(cx))).await.is_err()
    );
    let mut partition = upstream.result_partition(&partition_spec(0, 1, Partitioning::Forward)).unwrap();
    let (produced, consumed) = futures::join!(produce(&mut partition, batches(3, 10, 5)), consume(&mut gate));
    produced.unwrap();
    assert_eq!(consumed.unwrap().0.len(), 30);

    let mut gate = downstream.input_gate(&gate_spec(1, [(0, at(&upstream))])).unwrap();
    let error = next(&mut gate).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::ConnectionLost);
    assert!(error.message().contains("not deployed"), "{error}");
}

#[tokio::test]
async fn each_end_learns_that_the_other_has_gone() {
    let (upstream, _up) = network(Options::default()).await;
    let (downstream, _down) = network(Options::default()).await;
    let mut partition =
        upstream.result_partition(&partition_spec(0, 2, Partitioning::Hash(vec![0]))).unwrap();
    let gate = downstream.input_gate(&gate_spec(0, [(0, at(&upstream))])).unwrap();
    let mut other = downstream.input_gate(&gate_spec(1, [(0, at(&upstream))])).unwrap();
    partition.emit(batch(0, 5000, 5)).unwrap();
    partition.flush().unwrap();
    assert!(matches!(next(&mut other).await.unwrap().unwrap().1, StreamElement::Batch(_)));
    drop(gate);
    let error = loop {
        if let Err(error) = poll_fn(|cx| partition.poll_ready(cx)).await {
            break error;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(error.code(), Code::ChannelClosed);
    drop(partition);
    assert_eq!(next(&mut other).await.unwrap().unwrap_err().code(), Code::ChannelClosed);
    drop(other);

    // Both ends of the next attempt use the same connection.
    let mut spec = partition_spec(0, 1, Partitioning::Forward);
    spec.id.attempt = Attempt(2);
    let mut partition = upstream.result_partition(&spec).unwrap();
    let mut spec = gate_spec(0, [(0, at(&upstream))]);
    spec.id.attempt = Attempt(2);
    let mut gate = downstream.input_gate(&spec).unwrap();
    upstream.release(JOB, Attempt(1), &Region::default());
    downstream.release(JOB, Attempt(1), &Region::default());
    let (produced, consumed) = futures::join!(produce(&mut partition, batches(3, 10, 5)), consume(&mut gate));
    produced.unwrap();
    assert_eq!(consumed.unwrap().0.len(), 30);
    upstream.release(JOB, Attempt(2), &Region::default());
    let mut late = downstream.input_gate(&spec).unwrap();
    assert_eq!(next(&mut late).await.unwrap().unwrap_err().code(), Code::Fenced);
}

/// Passes bytes on in both directions until told to stop, or until `limit` bytes have come from the server.
async fn proxy(server: String, limit: usize) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(server).await.unwrap();
        let (mut client_read, mut client_write) = client.into_split();
        let (mut server_read, mut server_write) = server.into_split();
        let down = async {
            let mut buffer = vec![0; 64 << 10];
            let mut passed = 0;
            while passed < limit {
                let read = server_read.read(&mut buffer).await.unwrap_or(0);
                if read == 0 || client_write.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
                passed += read;
            }
        };
        tokio::select! {
            () = down => {}
            _ = tokio::io::copy(&mut client_read, &mut server_write) => {}
        }
    });
    (address, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_in_the_middle_of_a_frame_fails_both_ends_at_once() {
    let (upstream, _up) = network(Options::default()).await;
    let (downstream, _down) = network(Options::default()).await;
    let (address, task) = proxy(upstream.data_address().to_string(), 3_000_000).await;
    let mut partition = upstream.result_partition(&partition_spec(0, 1, Partitioning::Forward)).unwrap();
    let mut gate = downstream.input_gate(&gate_spec(0, [(0, Location::Remote(address))])).unwrap();
    let both = async {
        futures::join!(produce(&mut partition, batches(1000, 1000, 100)), async {
            let error = consume(&mut gate).await.unwrap_err();
            (error, std::time::Instant::now())
        })
    };
    let (produced, (consumed, seen)) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
    assert_eq!(produced.unwrap_err().code(), Code::ConnectionLost);
    assert_eq!(consumed.code(), Code::ConnectionLost);
    assert!(seen.elapsed() < Duration::from_secs(1));
    task.await.unwrap();
    drop((partition, gate));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_all_given_back(&upstream);
    assert_all_given_back(&downstream);
}

#[tokio::test]
async fn a_taskmanager_that_isnt_there_is_an_error_that_names_it() {
    let (network, _handle) = network(Options::default()).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let mut gate = network.input_gate(&gate_spec(0, [(0, Location::Remote(gone.clone()))])).unwrap();
    let error = next(&mut gate).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::ConnectionLost);
    assert!(error.message().contains(&gone), "{error}");
}

#[tokio::test]
async fn stopping_the_data_plane_fails_its_channels() {
    let (upstream, up) = network(Options::default()).await;
    let (downstream, _down) = network(Options::default()).await;
    let mut partition = upstream.result_partition(&partition_spec(0, 1, Partitioning::Forward)).unwrap();
    let mut gate = downstream.input_gate(&gate_spec(0, [(0, at(&upstream))])).unwrap();
    partition.emit(batch(0, 10, 5)).unwrap();
    partition.flush().unwrap();
    assert!(matches!(next(&mut gate).await.unwrap().unwrap().1, StreamElement::Batch(_)));
    up.shutdown().await;
    assert_eq!(next(&mut gate).await.unwrap().unwrap_err().code(), Code::ConnectionLost);
    assert_eq!(poll_fn(|cx| partition.poll_ready(cx)).await.unwrap_err().code(), Code::ConnectionLost);
}

#[tokio::test]
async fn watermarks_to_a_consumer_that_takes_nothing_are_bounded() {
    let (upstream, _up) = network(Options::default()).await;
    let (downstream, _down) = network(Options::default()).await;
    let mut partition = upstream.result_partition(&partition_spec(0, 1, Partitioning::Forward)).unwrap();
    let mut gate = downstream.input_gate(&gate_spec(0, [(0, at(&upstream))])).unwrap();
    for time in 0..100_000 {
        poll_fn(|cx| partition.poll_ready(cx)).await.unwrap();
        partition.emit_event(StreamElement::Watermark(Watermark(time))).unwrap();
        if time % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let (produced, consumed) = futures::join!(produce(&mut partition, []), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        consume(&mut gate).await
    });
    produced.unwrap();
    let events = consumed.unwrap().1;
    assert!(events.len() < 10, "{} events", events.len());
    assert!(matches!(events[events.len() - 2], StreamElement::Watermark(Watermark(99_999))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_too_small_for_exclusive_buffers_still_serves_128_by_128_channels() {
    let options = Options { pool_bytes: 12 << 20, ..Options::default() };
    let (upstream, _up) = network(options.clone()).await;
    let (downstream, _down) = network(options).await;
    let parallelism = 128;
    let mut tasks = tokio::task::JoinSet::new();
    for subtask in 0..parallelism {
        let spec = partition_spec(subtask, parallelism, Partitioning::Hash(vec![0]));
        let mut partition = upstream.result_partition(&spec).unwrap();
        let sources: Vec<_> = (0..parallelism).map(|source| (source, at(&upstream))).collect();
        let mut gate = downstream.input_gate(&gate_spec(subtask, sources)).unwrap();
        tasks.spawn(async move {
            produce(&mut partition, batches(3, 1000, 20)).await.unwrap();
            0
        });
        tasks.spawn(async move { consume(&mut gate).await.unwrap().0.len() });
    }
    let rows: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(rows, 128 * 3000);
}
