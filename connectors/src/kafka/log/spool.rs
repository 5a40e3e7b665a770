//! Keeps the records of an interval until a barrier: in memory up to a chunk, beyond it as blobs while the interval goes on.
//!
//! Invariant: at most two chunks are in memory here, the one that is filled and the one that is being put away, and as much again
//! of those that were put away last, so that they needn't be read back. Runs on the I/O runtime's threads, where waiting is
//! allowed: for the store, never for a checkpoint.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use weir_api::Batch;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::sink::{Blob, Blobs, Committable};

use super::chunk::{self, Chunk};
use super::committable::{Header, INLINE_BYTES, Output};
use super::publisher::Chunks;
use crate::handover::Destination;
use crate::kafka::router::Router;
use crate::kafka::rows::{Row, Rows};

/// A chunk of so many bytes is put away.
pub const CHUNK_BYTES: usize = 8 << 20;
/// What a record takes in a message beside its parts.
const RECORD_BYTES: usize = 128;

/// What is known once the brokers have been asked.
#[derive(Debug)]
pub struct Started {
    /// Where records go, by topic.
    pub routers: Vec<Router>,
    /// The largest message that all topics take.
    pub message_bytes: usize,
    /// The id of the progress topic.
    pub progress_topic_id: Option<String>,
}

/// Chunks that were put away last.
#[derive(Default)]
pub struct Recent(Mutex<VecDeque<(String, Bytes)>>);

impl Recent {
    fn keep(&self, name: String, bytes: Bytes) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum: usize = kept.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() + bytes.len();
        kept.push_back((name, bytes));
        while sum > CHUNK_BYTES + CHUNK_BYTES / 4 {
            sum -= kept.pop_front().map_or(sum, |(_, bytes)| bytes.len());
        }
    }

    fn take(&self, name: &str) -> Option<Bytes> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(known, _)| known == name)?;
        kept.remove(place).map(|(_, bytes)| bytes)
    }
}

/// Chunks from memory where they are still there, else read back.
pub struct Kept<S> {
    /// Those that were put away last.
    pub recent: Arc<Recent>,
    /// All.
    pub stored: S,
}

impl<S: Chunks> Chunks for Kept<S> {
    fn chunk(&self, blob: &Blob) -> Result<Bytes> {
        match self.recent.take(&blob.name) {
            Some(bytes) => Ok(bytes),
            None => self.stored.chunk(blob),
        }
    }
}

/// What a spool is made of.
pub struct Parts {
    /// Rows as records.
    pub rows: Rows,
    /// What committables say; the checkpoint and the counts are filled in.
    pub header: Header,
    /// The checkpoint that the next committable is of.
    pub checkpoint: Arc<AtomicU64>,
    /// Set before the first write.
    pub started: Arc<OnceLock<Started>>,
    /// Where chunks are put away.
    pub blobs: Arc<dyn Blobs>,
    /// Who may still have them.
    pub recent: Arc<Recent>,
    /// The operator's counters.
    pub metrics: Arc<OperatorMetrics>,
    /// What waiting for the store runs on.
    pub io: Handle,
}

/// See the module.
pub struct Spool {
    rows: Rows,
    header: Header,
    checkpoint: Arc<AtomicU64>,
    started: Arc<OnceLock<Started>>,
    metrics: Arc<OperatorMetrics>,
    interval: Interval,
}

/// What has come since the last barrier.
struct Interval {
    chunk: Chunk,
    put: Vec<Blob>,
    putting: Option<JoinHandle<Result<Blob>>>,
    records: u64,
    bytes: u64,
    blobs: Arc<dyn Blobs>,
    recent: Arc<Recent>,
    io: Handle,
}

impl Spool {
    /// An empty one.
    pub fn new(parts: Parts) -> Self {
        let Parts { rows, header, checkpoint, started, blobs, recent, metrics, io } = parts;
        let interval = Interval {
            chunk: Chunk::default(),
            put: Vec::new(),
            putting: None,
            records: 0,
            bytes: 0,
            blobs,
            recent,
            io,
        };
        Self { rows, header, checkpoint, started, metrics, interval }
    }

    fn started(&self) -> Result<&Started> {
        self.started.get().ok_or_else(|| Error::internal("a Kafka sink was written before it was ready"))
    }
}

impl Interval {
    fn push(&mut self, row: &Row<'_>) -> Result<()> {
        self.chunk.push(row);
        self.records += 1;
        if self.chunk.len() >= CHUNK_BYTES { self.put_away() } else { Ok(()) }
    }

    /// Begins to put the chunk away, when the one before it is.
    fn put_away(&mut self) -> Result<()> {
        self.settle()?;
        let bytes = Bytes::from(self.chunk.take());
        self.bytes += bytes.len() as u64;
        let (blobs, recent) = (Arc::clone(&self.blobs), Arc::clone(&self.recent));
        self.putting = Some(self.io.spawn(async move {
            let blob = blobs.put(bytes.clone()).await?;
            recent.keep(blob.name.clone(), bytes);
            Ok(blob)
        }));
        Ok(())
    }

    /// Waits for the chunk that is being put away.
    fn settle(&mut self) -> Result<()> {
        let Some(putting) = self.putting.take() else { return Ok(()) };
        let put = self.io.block_on(putting).map_err(|error| {
            Error::new(Code::Internal, "keeping output for Kafka ended early").with_source(error)
        })?;
        self.put.push(put?);
        Ok(())
    }

    /// Ends the interval: how many records, how many bytes, and where they are.
    fn end(&mut self) -> Result<(u64, u64, Vec<Blob>, Bytes)> {
        if self.chunk.len() > INLINE_BYTES {
            self.put_away()?;
        }
        self.settle()?;
        let inline = Bytes::from(self.chunk.take());
        let bytes = std::mem::take(&mut self.bytes) + inline.len() as u64;
        Ok((std::mem::take(&mut self.records), bytes, std::mem::take(&mut self.put), inline))
    }
}

impl Drop for Interval {
    fn drop(&mut self) {
        if let Some(putting) = &self.putting {
            putting.abort();
        }
    }
}

fn size(row: &Row<'_>) -> usize {
    let headers = row.headers.map_or(0, |headers| {
        headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum()
    });
    row.key.map_or(0, <[u8]>::len) + row.value.map_or(0, <[u8]>::len) + headers + RECORD_BYTES
}

impl Destination for Spool {
    fn write(&mut self, batches: Vec<Batch>) -> Result<()> {
        if !self.rows.is_routed() {
            let routers = self.started()?.routers.clone();
            self.rows.route_by(routers);
        }
        let most = self.started()?.message_bytes;
        let (table, topics) = (self.rows.table().to_owned(), self.rows.topics().to_vec());
        for batch in &batches {
            let bytes = self.rows.each(batch, |row| {
                let size = size(&row);
                if size > most {
                    let topic = topics.get(row.topic).map_or("", String::as_str);
                    return Err(too_large(&table, topic, size, most));
                }
                self.interval.push(&row)
            })?;
            self.metrics.num_bytes_out.add(bytes as u64);
        }
        Ok(())
    }

    /// What isn't published stays; nothing leaves before its checkpoint is complete.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn prepare(&mut self) -> Result<Vec<Committable>> {
        let progress_topic_id = self.started()?.progress_topic_id.clone();
        let (records, bytes, blobs, inline) = self.interval.end()?;
        if records == 0 {
            return Ok(Vec::new());
        }
        let checkpoint = self.checkpoint.load(Ordering::Relaxed);
        let header = Header {
            checkpoint,
            records,
            bytes,
            encoding: chunk::VERSION,
            progress_topic_id,
            ..self.header.clone()
        };
        Ok(vec![Output { header, blobs, inline }.encode()?])
    }
}

fn too_large(table: &str, topic: &str, size: usize, most: usize) -> Error {
    Error::new(
        Code::RecordTooLarge,
        format!(
            "table {table}: a record for topic {topic} takes {size} bytes, and at most {most} can be published; raise 'properties.max.request.size' here and max.message.bytes of the topic, or write smaller records"
        ),
    )
}
