//! Makes files of a table's rows.
//!
//! Decides where blocks and files are cut: at a change of key group where that is near enough, so that a range of key groups is
//! whole blocks; inside a key group where it alone is larger than a block. Invariant: the same rows in the same batches make the
//! same bytes. Refuses rows that aren't sorted by key group. A file is built in memory, as its name is the hash of all of it;
//! [`Limits::file_bytes`] bounds that.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{SchemaRef, UInt32Type};
use arrow::ipc::writer::FileWriter;
use bytes::Bytes;
use weir_api::error::{Error, Result};
use weir_api::state::StateTable;
use xxhash_rust::xxh3::xxh3_64;

use super::index::{Block, Contents, Index};
use super::{Summary, check_schema};
use crate::name::ContentHash;

/// The end-of-stream mark that stands between the blocks and the footer.
pub(super) const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// What a file has besides its rows: schema, index, footer.
const ROOM_BYTES: usize = 16 << 10;

/// Where files are cut.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A block ends at the key group that reaches this.
    pub block_bytes: usize,
    /// A file ends at the block that reaches this.
    pub file_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { block_bytes: 1 << 20, file_bytes: 64 << 20 }
    }
}

/// A file that isn't anywhere yet.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Its bytes.
    pub bytes: Bytes,
    /// What the manifest will say of it.
    pub summary: Summary,
}

/// The files of a table: none for one without rows.
pub fn encode(
    table: &StateTable,
    contents: Contents,
    key_columns: u32,
    limits: Limits,
) -> Result<Vec<Encoded>> {
    let bytes = table.batches.iter().map(slice_bytes).sum();
    let mut encoder = Encoder::new(&table.name, &table.schema, (contents, key_columns), limits, bytes)?;
    for batch in &table.batches {
        encoder.add(batch)?;
    }
    encoder.finish()
}

struct File {
    writer: FileWriter<Vec<u8>>,
    head_bytes: usize,
    blocks: Vec<Block>,
}

/// Makes files of rows that come bit by bit.
pub struct Encoder {
    state: String,
    schema: SchemaRef,
    contents: Contents,
    key_columns: u32,
    limits: Limits,
    /// Rows of the next block.
    pending: Vec<RecordBatch>,
    pending_bytes: usize,
    /// Of the rows that are in no block yet, roughly.
    left_bytes: usize,
    last_key_group: u32,
    file: Option<File>,
    done: Vec<Encoded>,
}

impl Encoder {
    /// For rows of a state with so many columns of the key. `bytes` is what all rows will take, roughly: only room is made for it.
    pub fn new(
        state: &str,
        schema: &SchemaRef,
        (contents, key_columns): (Contents, u32),
        limits: Limits,
        bytes: usize,
    ) -> Result<Self> {
        check_schema(schema, contents, key_columns)?;
        Ok(Self {
            state: state.to_owned(),
            schema: Arc::clone(schema),
            contents,
            key_columns,
            limits,
            pending: Vec::new(),
            pending_bytes: 0,
            left_bytes: bytes,
            last_key_group: 0,
            file: None,
            done: Vec::new(),
        })
    }

    /// Takes rows of growing key groups.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        self.take(batch).map_err(|error| error.context(format_args!("write state `{}`", self.state)))
    }

    /// The files that are whole by now and weren't handed out.
    pub fn whole(&mut self) -> Vec<Encoded> {
        std::mem::take(&mut self.done)
    }

    /// All files that weren't handed out.
    pub fn finish(mut self) -> Result<Vec<Encoded>> {
        self.end_block()?;
        self.end_file()?;
        Ok(self.done)
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.schema_ref() != &self.schema {
            return Err(Error::internal("a batch has another schema than its table"));
        }
        if self.contents == Contents::Delta && batch.column(1).as_boolean_opt().is_none_or(has_nulls) {
            return Err(Error::internal("a tombstone is null"));
        }
        let groups = key_groups(batch)?;
        let mut at = 0;
        while let Some(&key_group) = groups.get(at) {
            if key_group < self.last_key_group {
                return Err(Error::internal(format!(
                    "key group {key_group} comes after {}: rows must be sorted by key group",
                    self.last_key_group
                )));
            }
            self.last_key_group = key_group;
            let rest = groups.get(at..).unwrap_or_default();
            let rows = rest.iter().take_while(|&&other| other == key_group).count();
            self.add_group(&batch.slice(at, rows))?;
            at += rows;
        }
        Ok(())
    }

    /// Takes rows of one key group.
    fn add_group(&mut self, rows: &RecordBatch) -> Result<()> {
        let bytes = slice_bytes(rows);
        if self.pending_bytes + bytes > self.limits.block_bytes {
            self.end_block()?;
        }
        let pieces = bytes.div_ceil(self.limits.block_bytes.max(1)).clamp(1, rows.num_rows());
        let step = rows.num_rows().div_ceil(pieces);
        for start in (0..rows.num_rows()).step_by(step) {
            let piece = rows.slice(start, step.min(rows.num_rows() - start));
            self.pending.push(piece);
            self.pending_bytes += bytes.div_ceil(pieces);
            if self.pending_bytes >= self.limits.block_bytes {
                self.end_block()?;
            }
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let batch = concat_batches(&self.schema, &self.pending)?;
        self.pending.clear();
        self.pending_bytes = 0;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::new(&self.schema, self.left_bytes.min(self.limits.file_bytes))?),
        };
        file.add(&batch)?;
        self.left_bytes = self.left_bytes.saturating_sub(slice_bytes(&batch));
        if file.writer.get_ref().len() >= self.limits.file_bytes {
            self.end_file()?;
        }
        Ok(())
    }

    fn end_file(&mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let index = Index {
            state: self.state.clone(),
            contents: self.contents,
            key_columns: self.key_columns,
            head_bytes: file.head_bytes as u64,
            head_hash: 0,
            footer_hash: 0,
            blocks: file.blocks,
        };
        self.done.push(close(file.writer, index)?);
        Ok(())
    }
}

impl File {
    /// With room for so many bytes of rows: to grow costs as much as to write.
    fn new(schema: &SchemaRef, bytes: usize) -> Result<Self> {
        let buffer = Vec::with_capacity(bytes + bytes / 64 + ROOM_BYTES);
        let writer = FileWriter::try_new(buffer, schema)?;
        let head_bytes = writer.get_ref().len();
        Ok(Self { writer, head_bytes, blocks: Vec::new() })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let groups = key_groups(batch)?;
        let (Some(&first), Some(&last)) = (groups.first(), groups.last()) else { return Ok(()) };
        let offset = self.writer.get_ref().len();
        self.writer.write(batch)?;
        let written = self.writer.get_ref().get(offset..).unwrap_or_default();
        self.blocks.push(Block {
            offset: offset as u64,
            bytes: written.len() as u64,
            first_key_group: first,
            last_key_group: last,
            rows: batch.num_rows() as u32,
            hash: xxh3_64(written),
        });
        Ok(())
    }
}

/// Writes the tail: Arrow's end of stream and footer, with the index between them.
fn close(mut writer: FileWriter<Vec<u8>>, mut index: Index) -> Result<Encoded> {
    let data_end = writer.get_ref().len();
    writer.finish()?;
    let mut bytes = writer.into_inner()?;
    let footer_at = data_end + END_OF_STREAM.len();
    if bytes.get(data_end..footer_at) != Some(END_OF_STREAM.as_slice()) {
        return Err(Error::internal("Arrow's writer ended a stream with an unknown mark"));
    }
    let footer = bytes.split_off(footer_at);
    index.head_hash = xxh3_64(bytes.get(..index.head_bytes as usize).unwrap_or_default());
    index.footer_hash = xxh3_64(&footer);
    bytes.extend_from_slice(&index.encode());
    bytes.extend_from_slice(&footer);
    let tail = bytes.get(data_end..).unwrap_or_default();
    let summary = Summary {
        bytes: bytes.len() as u64,
        rows: index.rows(),
        hash: ContentHash::of(&bytes),
        tail_bytes: tail.len() as u64,
        tail_hash: xxh3_64(tail),
        first_key_group: index.blocks.first().map_or(0, |block| block.first_key_group),
        last_key_group: index.blocks.last().map_or(0, |block| block.last_key_group),
    };
    Ok(Encoded { bytes: bytes.into(), summary })
}

/// The key group of every row.
pub(crate) fn key_groups(batch: &RecordBatch) -> Result<&[u32]> {
    let column = batch.columns().first().and_then(|column| column.as_primitive_opt::<UInt32Type>());
    match column {
        Some(column) if column.null_count() == 0 => Ok(column.values()),
        _ => Err(Error::internal("a row of state has no key group")),
    }
}

fn has_nulls(array: &BooleanArray) -> bool {
    array.null_count() > 0
}

/// What the rows of a slice take, roughly, without what its buffers hold beside them.
pub(crate) fn slice_bytes(rows: &RecordBatch) -> usize {
    let bytes = |column: &Arc<dyn Array>| {
        let data = column.to_data();
        data.get_slice_memory_size().unwrap_or_else(|_| data.get_array_memory_size())
    };
    rows.columns().iter().map(bytes).sum()
}
