//! Peers that don't keep the protocol: their connection ends, the process and its other connections don't notice.

use std::time::Duration;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_api::element::StreamElement;
use weir_api::error::Code;
use weir_api::graph::Partitioning;
use weir_api::id::SubtaskIndex;

use super::fixture::{batch, consume, gate_spec, network, next, partition_spec, produce, schema};
use crate::network::id::ChannelKey;
use crate::network::wire::batch::{Encoder, Prefix};
use crate::network::wire::frame::{HEADER_BYTES, Header, Kind};
use crate::network::wire::message::{Backlog, Credit, Hello, Request};
use crate::network::wire::writer::Outbox;
use crate::network::{Location, Network, Options};

async fn bytes_of(mut outbox: Outbox) -> Vec<u8> {
    let mut bytes = Vec::new();
    outbox.write(&mut bytes).await.unwrap();
    bytes
}

/// What a well-behaved consumer sends.
async fn consumer_stream(consumer: u32) -> Vec<u8> {
    let mut outbox = Outbox::default();
    outbox.message(0, &Hello { segment_bytes: 32 << 10 });
    let partition = partition_spec(9, 1, Partitioning::Forward).id;
    let key = ChannelKey { partition, consumer: SubtaskIndex(consumer) };
    outbox.message(1, &Request { key, credit: 2 });
    outbox.message(1, &Credit { segments: 1, released_frames: 0 });
    outbox.body(Kind::Reclaim, 1, &[]);
    outbox.body(Kind::Cancel, 1, &[]);
    bytes_of(outbox).await
}

/// What a well-behaved producer answers on channel 1, whose consumer has granted 2 segments.
async fn producer_stream() -> Vec<u8> {
    let mut outbox = Outbox::default();
    outbox.message(0, &Hello { segment_bytes: 32 << 10 });
    outbox.body(Kind::Schema, 1, &weir_api::schema::encode(&schema()));
    outbox.message(1, &Backlog { backlog: 2, need: 1, returned: 0 });
    let mut encoder = Encoder::new(&schema()).unwrap();
    for i in 0..2 {
        outbox
            .batch(1, &mut encoder, batch(i * 10, 10, 20), Prefix { cost: 1, backlog: 1, need: 1 })
            .unwrap();
    }
    outbox.message(1, &StreamElement::EndOfInput);
    bytes_of(outbox).await
}

/// Random changes to a valid stream: bytes set, cut, repeated, headers with right checksums and wrong contents.
struct Mutator {
    runner: TestRunner,
}

impl Mutator {
    fn new() -> Self {
        Self { runner: TestRunner::deterministic() }
    }

    fn number(&mut self, below: usize) -> usize {
        (0..below.max(1)).new_tree(&mut self.runner).unwrap().current()
    }

    fn mutate(&mut self, valid: &[u8]) -> Vec<u8> {
        let mut bytes = valid.to_vec();
        match self.number(6) {
            0 => (0..self.number(300)).map(|_| self.number(256) as u8).collect(),
            1 => {
                for _ in 0..=self.number(4) {
                    let place = self.number(bytes.len());
                    bytes[place] = self.number(256) as u8;
                }
                bytes
            }
            2 => {
                bytes.truncate(self.number(bytes.len()));
                bytes
            }
            // Replayed: the checksum is right, the sequence isn't.
            3 => {
                let from = self.number(bytes.len());
                bytes.extend_from_slice(&valid[from..]);
                bytes
            }
            4 => {
                let from = self.number(bytes.len());
                let until = (from + self.number(64)).min(bytes.len());
                bytes.drain(from..until);
                bytes
            }
            _ => self.reframe(valid),
        }
    }

    /// Frames whose header and checksums are right, with fields and bodies that were changed.
    fn reframe(&mut self, valid: &[u8]) -> Vec<u8> {
        let mut frames = Vec::new();
        let mut rest = valid;
        while let Some((head, tail)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let header = Header::decode(head).unwrap();
            let (body, tail) = tail.split_at(header.length as usize);
            frames.push((header, body.to_vec()));
            rest = tail;
        }
        let victim = self.number(frames.len());
        let (header, body) = &mut frames[victim];
        match self.number(4) {
            0 => header.channel = self.number(5) as u32,
            1 => header.length = [u32::MAX, 1 << 24, 1 << 30, 0][self.number(4)],
            2 => body.truncate(self.number(body.len() + 1)),
            _ => {
                for _ in 0..=self.number(3) {
                    let place = self.number(body.len());
                    if let Some(byte) = body.get_mut(place) {
                        *byte = self.number(256) as u8;
                    }
                }
            }
        }
        let changed_length = header.length as usize != body.len() && header.length > 1 << 20;
        let mut bytes = Vec::new();
        for (mut header, body) in frames {
            if !(changed_length && header.length > 1 << 20) {
                header.length = body.len() as u32;
            }
            header.body_crc = crc32fast::hash(&body);
            bytes.extend_from_slice(&header.encode());
            bytes.extend_from_slice(&body);
        }
        bytes
    }
}

async fn round_trip(upstream: &Network, downstream: &Network, subtask: u32) {
    let mut partition =
        upstream.result_partition(&partition_spec(subtask, 1, Partitioning::Forward)).unwrap();
    let location = Location::Remote(upstream.data_address().to_string());
    let mut gate = downstream.input_gate(&gate_spec(0, [(subtask, location)])).unwrap();
    let elements = (0..10).map(|i| StreamElement::Batch(batch(i * 100, 100, 20)));
    let (produced, consumed) = futures::join!(produce(&mut partition, elements), consume(&mut gate));
    produced.unwrap();
    assert_eq!(consumed.unwrap().0, (0..1000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_malformed_streams_end_their_connections_only() {
    let options = Options { partition_timeout: Duration::from_secs(1), ..Options::default() };
    let (upstream, _up) = network(options).await;
    let (downstream, _down) = network(Options::default()).await;
    let mut mutator = Mutator::new();
    for case in 0..10_000 {
        let bytes = mutator.mutate(&consumer_stream(case).await);
        let mut stream = TcpStream::connect(upstream.data_address()).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        // Whatever it answers, it ends the connection.
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "case {case} hangs");
        assert!(answer.len() < 4096, "case {case}");
    }
    round_trip(&upstream, &downstream, 0).await;
    drop(downstream);
    let usage = upstream.pool_usage();
    assert_eq!(usage.available, usage.total);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_answers_fail_the_channels_of_their_connection_only() {
    let (downstream, _down) = network(Options::default()).await;
    let (upstream, _up) = network(Options::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = Location::Remote(listener.local_addr().unwrap().to_string());
    let mut mutator = Mutator::new();
    let valid = producer_stream().await;
    let mut failed = 0;
    for case in 0..3_000 {
        let mut gate = downstream.input_gate(&gate_spec(0, [(5, location.clone())])).unwrap();
        let bytes = if case == 0 { valid.clone() } else { mutator.mutate(&valid) };
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The request must have come, or the channel isn't open yet.
            let mut request = [0; HEADER_BYTES + 4 + HEADER_BYTES + 36];
            stream.read_exact(&mut request).await.unwrap();
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            // The next gate must not find this connection still good: wait until the consumer has given it up.
            let closed =
                tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut Vec::new())).await;
            assert!(closed.is_ok(), "case {case}: the connection stays");
        };
        let (consumed, ()) = futures::join!(consume(&mut gate), answering);
        match consumed {
            Ok((keys, _)) => assert_eq!(keys.len(), 20),
            Err(error) => {
                assert!(
                    matches!(error.code(), Code::ConnectionLost | Code::Fenced | Code::ChannelClosed),
                    "{error}"
                );
                failed += 1;
            }
        }
        if case == 0 {
            assert_eq!(failed, 0, "the valid stream is read");
        }
    }
    assert!(failed > 2_000, "{failed} of 3000 failed");
    round_trip(&upstream, &downstream, 0).await;
}

#[tokio::test]
async fn a_frame_that_claims_more_than_its_credit_is_refused_before_it_is_read() {
    let (downstream, _down) = network(Options::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = Location::Remote(listener.local_addr().unwrap().to_string());
    let mut gate = downstream.input_gate(&gate_spec(0, [(5, location)])).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut outbox = Outbox::default();
    outbox.message(0, &Hello { segment_bytes: 32 << 10 });
    stream.write_all(&bytes_of(outbox).await).await.unwrap();
    let header = Header { kind: Kind::Data, channel: 1, length: 15 << 20, sequence: 1, body_crc: 0 };
    stream.write_all(&header.encode()).await.unwrap();
    let error = next(&mut gate).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::ConnectionLost);
    assert!(error.message().contains("segments against a credit of"), "{error}");
}

#[tokio::test]
async fn taskmanagers_of_different_segment_sizes_say_so() {
    let (upstream, _up) = network(Options { segment_bytes: 16 << 10, ..Options::default() }).await;
    let (downstream, _down) = network(Options::default()).await;
    let location = Location::Remote(upstream.data_address().to_string());
    let mut gate = downstream.input_gate(&gate_spec(0, [(0, location)])).unwrap();
    let error = next(&mut gate).await.unwrap().unwrap_err();
    assert!(error.message().contains("taskmanager.memory.segment-size"), "{error}");
}
