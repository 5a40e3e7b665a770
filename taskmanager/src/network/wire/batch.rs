//! Batches in data frames: a prefix, an Arrow IPC record batch message, the row kinds.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..4 | cost in segments |
//! | 4..8 | backlog behind this frame, in segments |
//! | 8..12 | need of the next record, in segments |
//! | 12..16 | bytes of row kinds at the end: 0, or one per row |
//! | 16.. | encapsulated IPC message (buffers aligned to [`ALIGNMENT`]), without dictionaries and compression |
//! | … | row kinds |
//!
//! Encoding references the columns' buffers and copies only what a slice's offset forces it to. Decoding verifies the
//! flatbuffer, every buffer's place, UTF-8 and offsets, and runs where a panic of arrow-ipc (its readers panic on some
//! malformed input) is an error of this frame.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{Array, Int8Array, RecordBatch};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::writer::{IpcWriteOptions, StreamEncoder};
use arrow::ipc::{MessageHeader, MetadataVersion, root_as_message};
use weir_api::batch::{Batch, RowKind};
use weir_api::error::Result;

/// Bytes before the IPC message.
pub(crate) const PREFIX_BYTES: usize = 16;
/// Alignment of buffers within the body; enough for 256-bit decimals.
pub(crate) const ALIGNMENT: usize = 16;
/// The most rows of a frame: bounds what few bytes can claim to be.
pub(crate) const MAX_ROWS: usize = 1 << 16;

/// Numbers that travel with a batch, all in segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Prefix {
    pub(crate) cost: u32,
    pub(crate) backlog: u32,
    pub(crate) need: u32,
}

/// Encodes the batches of one channel.
pub(crate) struct Encoder {
    inner: StreamEncoder,
}

impl Encoder {
    pub(crate) fn new(schema: &SchemaRef) -> Result<Self> {
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?;
        let mut inner = StreamEncoder::try_new_with_options(schema, options)?;
        // The first call also encodes the schema, which travels in a frame of its own.
        inner.encode(&RecordBatch::new_empty(SchemaRef::clone(schema)))?;
        Ok(Self { inner })
    }

    /// The body of a data frame, in pieces.
    pub(crate) fn encode(&mut self, batch: &Batch, prefix: Prefix) -> Result<Vec<Buffer>> {
        let kinds = batch.kinds().map(|kinds| kinds.values().inner().clone());
        let kinds_bytes = batch.kinds().map_or(0, Array::len) as u32;
        let mut head = Vec::with_capacity(PREFIX_BYTES);
        for number in [prefix.cost, prefix.backlog, prefix.need, kinds_bytes] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        let mut pieces = self.inner.encode(batch.records())?;
        pieces.insert(0, Buffer::from_vec(head));
        pieces.extend(kinds);
        Ok(pieces)
    }
}

/// Reads the prefix of a data frame's body.
pub(crate) fn decode_prefix(body: &[u8]) -> Option<(Prefix, usize)> {
    let (prefix, _) = body.split_first_chunk::<PREFIX_BYTES>()?;
    let number = |at: usize| prefix[at..].first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
    let kinds = usize::try_from(number(12)?).ok()?;
    Some((Prefix { cost: number(0)?, backlog: number(4)?, need: number(8)? }, kinds))
}

/// Decodes the body of a data frame; the error says what is wrong with it.
pub(crate) fn decode(body: Vec<u8>, schema: &SchemaRef) -> std::result::Result<Batch, String> {
    let (_, kinds) = decode_prefix(&body).ok_or("a data frame without its prefix")?;
    let body = Buffer::from_vec(body);
    let message_bytes =
        (body.len() - PREFIX_BYTES).checked_sub(kinds).ok_or("row kinds that are longer than their frame")?;
    let message = body.slice_with_length(PREFIX_BYTES, message_bytes);
    // arrow-ipc 59 panics on some malformed messages. The state that a panic could leave broken is local to the closure.
    let records = catch_unwind(AssertUnwindSafe(|| decode_records(&message, schema)))
        .map_err(|_| "a record batch that can't be decoded".to_owned())??;
    if kinds == 0 {
        return Ok(Batch::new(records));
    }
    let kinds = Int8Array::new(ScalarBuffer::new(body, PREFIX_BYTES + message_bytes, kinds), None);
    if kinds.values().iter().any(|&kind| RowKind::from_i8(kind).is_none()) {
        return Err("row kinds that don't exist".to_owned());
    }
    Batch::with_kinds(records, kinds).map_err(|error| error.message().to_owned())
}

fn decode_records(message: &Buffer, schema: &SchemaRef) -> std::result::Result<RecordBatch, String> {
    let (prefix, rest) = message.split_first_chunk::<8>().ok_or("a record batch of less than 8 bytes")?;
    let [c0, c1, c2, c3, l0, l1, l2, l3] = *prefix;
    let metadata_bytes = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if [c0, c1, c2, c3] != [0xFF; 4] || metadata_bytes > rest.len() {
        return Err("a record batch without its metadata".to_owned());
    }
    let metadata = &rest[..metadata_bytes];
    let body = message.slice(8 + metadata_bytes);
    let parsed =
        root_as_message(metadata).map_err(|error| format!("metadata that doesn't verify: {error}"))?;
    if parsed.header_type() != MessageHeader::RecordBatch || parsed.version() != MetadataVersion::V5 {
        return Err("an IPC message that isn't a record batch".to_owned());
    }
    let batch = parsed.header_as_record_batch().ok_or("an IPC message without its record batch")?;
    if batch.compression().is_some() {
        return Err("a compressed record batch".to_owned());
    }
    let rows = usize::try_from(batch.length()).ok().filter(|&rows| rows > 0 && rows <= MAX_ROWS);
    let rows = rows.ok_or_else(|| format!("a record batch of {} rows", batch.length()))?;
    let fits = |offset: i64, length: i64| {
        let (offset, length) = (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
        (offset.checked_add(length)? <= body.len()).then_some(())
    };
    let buffers = batch.buffers().ok_or("a record batch without buffers")?;
    if buffers.iter().any(|buffer| fits(buffer.offset(), buffer.length()).is_none()) {
        return Err("a column that lies outside of its frame".to_owned());
    }
    // A node counts values; a value takes a bit at least, but for columns of nulls and of empty structs, which have one per row.
    let most = (body.len().saturating_mul(8)).max(rows) as i64;
    let nodes = batch.nodes().ok_or("a record batch without columns")?;
    if nodes
        .iter()
        .any(|n| n.length() < 0 || n.length() > most || n.null_count() < 0 || n.null_count() > n.length())
    {
        return Err("a column of an impossible length".to_owned());
    }
    read_record_batch(&body, batch, SchemaRef::clone(schema), &HashMap::new(), None, &MetadataVersion::V5)
        .map_err(|error| format!("a record batch that doesn't validate: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray, StringViewArray,
        StructArray, TimestampMillisecondArray,
    };
    use arrow::datatypes::{DataType, Field, Int32Type, Schema};
    use proptest::prelude::*;

    use super::*;
    use crate::network::measure::wire_bytes;

    fn rich(rows: usize) -> Batch {
        let numbers = Int64Array::from_iter((0..rows as i64).map(|i| (i % 5 != 0).then_some(i)));
        let texts = StringArray::from_iter((0..rows).map(|i| (i % 7 != 0).then(|| format!("text {i}"))));
        let views =
            StringViewArray::from_iter_values((0..rows).map(|i| format!("a view that isn't inlined {i}")));
        let flags = BooleanArray::from_iter((0..rows).map(|i| (i % 11 != 0).then_some(i % 2 == 0)));
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(
            (0..rows).map(|i| (i % 3 != 0).then(|| (0..i as i32 % 4).map(Some).collect::<Vec<_>>())),
        );
        let decimals = Decimal128Array::from_iter_values((0..rows as i128).map(|i| i << 70));
        let times = TimestampMillisecondArray::from_iter_values(0..rows as i64);
        let structs = StructArray::from(vec![
            (
                Arc::new(Field::new("f", DataType::Float64, true)),
                Arc::new(Float64Array::from(vec![0.5; rows])) as _,
            ),
            (Arc::new(Field::new("t", DataType::Utf8, true)), Arc::new(texts.clone()) as _),
        ]);
        let records = RecordBatch::try_from_iter_with_nullable([
            ("n", Arc::new(numbers) as _, true),
            ("s", Arc::new(texts) as _, true),
            ("v", Arc::new(views) as _, true),
            ("b", Arc::new(flags) as _, true),
            ("l", Arc::new(lists) as _, true),
            ("d", Arc::new(decimals) as _, true),
            ("t", Arc::new(times) as _, true),
            ("o", Arc::new(structs) as _, true),
        ]);
        let kinds = Int8Array::from_iter_values((0..rows).map(|i| (i % 4) as i8));
        Batch::with_kinds(records.unwrap(), kinds).unwrap()
    }

    fn body(batch: &Batch) -> Vec<u8> {
        let prefix = Prefix { cost: 1, backlog: 2, need: 3 };
        let pieces = Encoder::new(&batch.schema()).unwrap().encode(batch, prefix).unwrap();
        pieces.iter().flat_map(|piece| piece.as_slice().to_vec()).collect()
    }

    #[test]
    fn slices_of_all_kinds_of_columns_survive_and_are_measured() {
        let whole = rich(1000);
        for (offset, length) in [(0, 1000), (1, 1), (3, 500), (995, 5), (64, 64)] {
            let batch = whole.slice(offset, length);
            let bytes = body(&batch);
            let bound = wire_bytes(&batch);
            assert!(bytes.len() <= bound, "{} bytes were measured as {bound}", bytes.len());
            assert!(offset == 0 || bound < wire_bytes(&whole), "a slice is measured by its own share");
            let (prefix, kinds) = decode_prefix(&bytes).unwrap();
            assert_eq!((prefix, kinds), (Prefix { cost: 1, backlog: 2, need: 3 }, length));
            let decoded = decode(bytes, &whole.schema()).unwrap();
            assert_eq!(decoded.records(), batch.records());
            assert_eq!(decoded.kinds(), batch.kinds());
        }
    }

    #[test]
    fn columns_without_any_are_sent_too() {
        let schema = Arc::new(Schema::empty());
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(5));
        let batch =
            Batch::new(RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &options).unwrap());
        assert_eq!(decode(body(&batch), &schema).unwrap().num_rows(), 5);
    }

    #[test]
    fn numbers_are_referenced_not_copied() {
        let numbers = Int64Array::from_iter_values(0..8192);
        let address = numbers.values().inner().as_ptr();
        let batch = Batch::new(RecordBatch::try_from_iter([("n", Arc::new(numbers) as _)]).unwrap());
        let prefix = Prefix { cost: 1, backlog: 0, need: 0 };
        let pieces = Encoder::new(&batch.schema()).unwrap().encode(&batch, prefix).unwrap();
        assert!(pieces.iter().any(|piece| piece.as_ptr() == address));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn garbage_is_an_error_not_a_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>(),
            cuts in any::<bool>(),
        ) {
            let batch = rich(40);
            let mut bytes = body(&batch);
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            if cuts {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Ok(batch) = decode(bytes, &batch.schema()) {
                prop_assert!(batch.num_rows() <= MAX_ROWS);
                // Whatever was let through can be read.
                let _ = arrow::util::pretty::pretty_format_batches(&[batch.records().clone()]);
            }
        }
    }
}
