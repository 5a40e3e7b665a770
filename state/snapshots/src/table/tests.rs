//! The format of state files: what is written is read, and what was touched is refused.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::ipc::reader::{FileReader, StreamReader};
use bytes::Bytes;
use weir_api::error::Code;
use weir_api::graph::KeyGroupRange;
use weir_api::state::StateTable;

use super::*;
use crate::sample::{delta_batch, delta_schema, full_batch, full_schema, table};

const SMALL: Limits = Limits { block_bytes: 2048, file_bytes: 64 << 20 };

fn rows(table: &StateTable) -> RecordBatch {
    concat_batches(&table.schema, &table.batches).unwrap()
}

fn read(files: &[Encoded], range: KeyGroupRange) -> (RecordBatch, usize) {
    let (mut batches, mut touched) = (Vec::new(), 0);
    for Encoded { bytes, summary } in files {
        let tail = bytes.slice((summary.bytes - summary.tail_bytes) as usize..);
        let file = OpenFile::new("f", &tail, summary).unwrap();
        for block in file.index().blocks.iter().filter(|block| block.overlaps(range)) {
            let at = block.offset as usize..(block.offset + block.bytes) as usize;
            batches.push(file.rows(block, bytes.slice(at), range).unwrap());
            touched += 1;
        }
    }
    (concat_batches(&full_schema(), &batches).unwrap(), touched)
}

#[test]
fn what_is_written_is_read_range_by_range() {
    let table = table(0..128, 37);
    let all = rows(&table);
    for limits in [Limits::default(), SMALL, Limits { block_bytes: 100, file_bytes: 20_000 }] {
        let files = encode(&table, Contents::Full, 1, limits).unwrap();
        let (whole, blocks) = read(&files, KeyGroupRange { start: 0, end: 128 });
        assert_eq!(whole, all);
        let (some, touched) = read(&files, KeyGroupRange { start: 10, end: 12 });
        assert_eq!(some, all.slice(370, 74));
        assert!(blocks < 8 || touched * 8 < blocks, "{touched} of {blocks} blocks for 2 of 128 key groups");
        for file in &files {
            verify_whole("f", &file.bytes, &file.summary).unwrap();
        }
    }
    let limits = Limits { block_bytes: 100, file_bytes: 20_000 };
    assert!(encode(&table, Contents::Full, 1, limits).unwrap().len() > 1);
}

#[test]
fn any_arrow_reader_reads_a_file() {
    let table = table(0..16, 37);
    let file = encode(&table, Contents::Full, 1, SMALL).unwrap().remove(0);
    let reader = FileReader::try_new(Cursor::new(file.bytes.clone()), None).unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert!(batches.len() > 3);
    assert_eq!(concat_batches(&table.schema, &batches).unwrap(), rows(&table));
    // As a stream too, behind the magic: the section comes after the end of the stream.
    let stream = StreamReader::try_new(Cursor::new(file.bytes.slice(64..)), None).unwrap();
    assert_eq!(stream.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 16 * 37);
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let file = encode(&table(0..4, 3), Contents::Full, 1, SMALL).unwrap().remove(0);
    for at in 0..file.bytes.len() {
        let mut bytes = file.bytes.to_vec();
        bytes[at] ^= 1 << (at % 8);
        let error = verify_whole("the/file", &Bytes::from(bytes), &file.summary).unwrap_err();
        assert_eq!(error.code(), Code::SnapshotDamaged);
        assert!(error.message().starts_with("the/file is damaged at offset "), "{error}");
        let cut = verify_whole("the/file", &file.bytes.slice(..at), &file.summary).unwrap_err();
        assert!(cut.message().contains(&format!("offset {at}: the file's length")), "{cut}");
    }
}

#[test]
fn a_block_of_another_file_is_refused_when_a_range_is_read() {
    let [one, other] = [3, 4].map(|n| encode(&table(0..4, n), Contents::Full, 1, SMALL).unwrap().remove(0));
    let tail = |file: &Encoded| file.bytes.slice((file.summary.bytes - file.summary.tail_bytes) as usize..);
    assert!(OpenFile::new("f", &tail(&other), &one.summary).is_err());
    let file = OpenFile::new("f", &tail(&one), &one.summary).unwrap();
    let block = file.index().blocks[0];
    let bytes = other.bytes.slice(block.offset as usize..(block.offset + block.bytes) as usize);
    let error = file.rows(&block, bytes, KeyGroupRange { start: 0, end: 4 }).unwrap_err();
    assert!(error.message().contains(&format!("offset {}: a block", block.offset)), "{error}");
}

#[test]
fn a_newer_section_is_refused_as_newer() {
    let file = encode(&table(0..4, 3), Contents::Full, 1, SMALL).unwrap().remove(0);
    let mut bytes = file.bytes.to_vec();
    let at = bytes.windows(8).position(|window| window == b"WEIRSNAP").unwrap();
    bytes[at + 8] = 2;
    let length = file.bytes.slice(at..);
    let open = OpenFile::new(
        "f",
        &file.bytes.slice((file.summary.bytes - file.summary.tail_bytes) as usize..),
        &file.summary,
    );
    let section = open.unwrap().index().encode().len();
    assert!(length.len() > section);
    let hash = xxhash_rust::xxh3::xxh3_64(&bytes[at..at + section - 8]);
    bytes[at + section - 8..at + section].copy_from_slice(&hash.to_le_bytes());
    let tail = Bytes::from(bytes).slice((file.summary.bytes - file.summary.tail_bytes) as usize..);
    let summary = Summary { tail_hash: xxhash_rust::xxh3::xxh3_64(&tail), ..file.summary };
    assert_eq!(OpenFile::new("f", &tail, &summary).unwrap_err().code(), Code::SnapshotVersion);
}

#[test]
fn rows_out_of_order_and_strange_schemas_are_refused() {
    let wrong = StateTable {
        key_columns: 1,
        name: "s".to_owned(),
        schema: full_schema(),
        batches: vec![full_batch(&[(2, 1, None), (1, 2, None)])],
    };
    assert!(
        encode(&wrong, Contents::Full, 1, SMALL).unwrap_err().message().contains("key group 1 comes after 2")
    );
    assert!(encode(&wrong, Contents::Delta, 1, SMALL).unwrap_err().message().contains(TOMBSTONE_COLUMN));
    assert!(encode(&wrong, Contents::Full, 9, SMALL).is_err());
}

#[test]
fn golden_bytes() {
    let table = StateTable {
        key_columns: 1,
        name: "golden".to_owned(),
        schema: delta_schema(),
        batches: vec![delta_batch(&[(1, 7, Some(70)), (1, 8, None), (5, 9, Some(90))])],
    };
    let file = encode(&table, Contents::Delta, 1, Limits::default()).unwrap().remove(0);
    crate::tests::golden("delta.arrow", &file.bytes);
    assert_eq!(file.summary.hash.to_string(), "e771c00644824cf864caff5d2aaa3a99");
}
