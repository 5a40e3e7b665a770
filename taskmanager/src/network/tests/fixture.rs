//! Jobs of one edge: specs, batches, and loops that drive both ends.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use weir_api::batch::Batch;
use weir_api::element::StreamElement;
use weir_api::error::Result;
use weir_api::graph::Partitioning;
use weir_api::id::{Attempt, JobId, SubtaskIndex, VertexIndex};

use crate::network::{
    ChannelIndex, GateId, GateSpec, InputGate, Location, Network, Options, PartitionId, PartitionSpec,
    ResultPartition, Source,
};

pub(super) const JOB: JobId = JobId::from_bytes([7; 16]);

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("text", DataType::Utf8, true),
    ]))
}

/// Rows `from..from + rows`: the number, and a text of `width` bytes.
pub(super) fn batch(from: i64, rows: usize, width: usize) -> Batch {
    let keys = Int64Array::from_iter_values((0..rows as i64).map(|row| from + row));
    let texts = StringArray::from_iter_values((from..).take(rows).map(|key| {
        let digits = key.to_string();
        "0".repeat(width.saturating_sub(digits.len())) + &digits
    }));
    Batch::new(RecordBatch::try_new(schema(), vec![Arc::new(keys), Arc::new(texts)]).unwrap())
}

pub(super) fn keys(batch: &Batch) -> Vec<i64> {
    batch.records().column(0).as_primitive::<Int64Type>().values().to_vec()
}

pub(super) async fn network(options: Options) -> (Network, crate::network::Handle) {
    Network::start(options, tokio::runtime::Handle::current()).await.unwrap()
}

pub(super) fn partition_spec(subtask: u32, targets: u32, partitioning: Partitioning) -> PartitionSpec {
    PartitionSpec {
        id: PartitionId { job: JOB, attempt: Attempt(1), edge: 0, subtask: SubtaskIndex(subtask) },
        partitioning,
        schema: schema(),
        targets: (0..targets).map(SubtaskIndex).collect(),
        target_parallelism: targets,
        max_parallelism: 128,
    }
}

pub(super) fn gate_spec(subtask: u32, sources: impl IntoIterator<Item = (u32, Location)>) -> GateSpec {
    GateSpec {
        id: GateId {
            job: JOB,
            attempt: Attempt(1),
            vertex: VertexIndex(1),
            input: 0,
            subtask: SubtaskIndex(subtask),
        },
        sources: sources
            .into_iter()
            .map(|(subtask, location)| Source {
                edge: 0,
                subtask: SubtaskIndex(subtask),
                location,
                schema: schema(),
            })
            .collect(),
    }
}

/// Emits all elements, then ends.
pub(super) async fn produce(
    partition: &mut ResultPartition,
    elements: impl IntoIterator<Item = StreamElement>,
) -> Result<()> {
    for element in elements {
        poll_fn(|cx| partition.poll_ready(cx)).await?;
        partition.emit_event(element)?;
    }
    partition.emit_event(StreamElement::EndOfInput)?;
    poll_fn(|cx| partition.poll_finished(cx)).await
}

pub(super) async fn next(gate: &mut InputGate) -> Option<Result<(ChannelIndex, StreamElement)>> {
    tokio::time::timeout(Duration::from_secs(60), poll_fn(|cx| gate.poll_next(cx))).await.unwrap()
}

/// Reads everything; the keys and the other elements in order.
pub(super) async fn consume(gate: &mut InputGate) -> Result<(Vec<i64>, Vec<StreamElement>)> {
    let (mut all, mut events) = (Vec::new(), Vec::new());
    while let Some(element) = next(gate).await {
        match element?.1 {
            StreamElement::Batch(batch) => all.extend(keys(&batch)),
            event => events.push(event),
        }
    }
    Ok((all, events))
}
