//! Objects as tables: uploads that nobody sees before the commit, reading by ranges, what an abort removes.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use futures::TryStreamExt;
use weir_api::Batch;
use weir_api::config::Configuration;
use weir_api::connector::Connector;
use weir_api::error::Code;
use weir_api::id::{Attempt, JobId};
use weir_api::sink::Committable;
use weir_api::storage::object_store::path::Path as Key;
use weir_api::storage::object_store::{ObjectStore, ObjectStoreExt};
use weir_api::storage::{FileSystems, Location};

use super::FileSystem;
use super::output::Pending;
use crate::testing::{read_with, reader_context, runtime, table, write_all, writer_context};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
    ]))
}

/// Rows of about a kilobyte that compress badly.
fn rows(range: std::ops::Range<i64>) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(range.clone()));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(range.map(|n| {
        (0..60).map(|k| format!("{:016x}", crate::random::mix((n * 64 + k) as u64))).collect::<String>()
    })));
    RecordBatch::try_new(schema(), vec![ids, texts]).unwrap()
}

struct Fixture {
    io: tokio::runtime::Runtime,
    file_systems: FileSystems,
    format: &'static str,
}

impl Fixture {
    fn new(format: &'static str) -> Self {
        // One part at a time: the store in memory panics where a part comes two ahead of its turn (object_store 0.13.2).
        let options = [("s3.upload.min.part.size", "5mb"), ("s3.upload.max.concurrent.uploads", "1")];
        let (configuration, _) = Configuration::from_pairs(options).unwrap();
        Self { io: runtime(), file_systems: FileSystems::new(&configuration).with_memory(), format }
    }

    fn spec(&self) -> weir_proto::v1::TableSpec {
        table("filesystem", &schema(), &[("path", "memory://bucket/out"), ("format", self.format)])
    }

    fn write(&self, attempt: u32, batches: Vec<RecordBatch>) -> Vec<Committable> {
        let sink = FileSystem::new(self.file_systems.clone()).sink(&self.spec()).unwrap();
        let mut writer = sink.writer(writer_context(0, attempt, self.io.handle().clone())).unwrap();
        write_all(writer.as_mut(), batches.into_iter().map(Batch::new).collect()).unwrap()
    }

    fn committer(&self) -> Box<dyn weir_api::sink::Committer> {
        FileSystem::new(self.file_systems.clone()).sink(&self.spec()).unwrap().committer().unwrap()
    }

    fn read(&self) -> RecordBatch {
        let source = FileSystem::new(self.file_systems.clone()).source(&self.spec()).unwrap();
        let splits = self.io.block_on(source.discover(1)).unwrap();
        read_with(source.as_ref(), reader_context(schema(), self.io.handle().clone()), splits).unwrap()
    }

    /// Keys of all objects of the bucket.
    fn keys(&self) -> Vec<String> {
        let Location::Object(root) = self.file_systems.resolve("memory://bucket").unwrap() else {
            panic!("a bucket");
        };
        let found: Vec<_> = self.io.block_on(root.bucket.objects.list(None).try_collect()).unwrap();
        found
            .into_iter()
            .map(|meta: weir_api::storage::object_store::ObjectMeta| meta.location.to_string())
            .collect()
    }
}

#[test]
fn objects_of_several_parts_are_seen_when_they_are_committed_and_read_by_ranges() {
    for format in ["json", "csv", "parquet"] {
        let fixture = Fixture::new(format);
        let batches: Vec<_> = (0..12).map(|n| rows(n * 1_000..(n + 1) * 1_000)).collect();
        let committables = fixture.write(1, batches);
        assert_eq!(committables.len(), 1);
        let Pending::Complete { parts, .. } = Pending::of(&committables[0].payload).unwrap() else {
            panic!("an upload")
        };
        assert!(parts.len() > 1, "several parts");
        assert!(fixture.keys().iter().all(|key| key.contains("/.weir-")), "{:?}", fixture.keys());
        assert_eq!(fixture.read().num_rows(), 0, "nothing can be seen before the commit");
        let committer = fixture.committer();
        fixture.io.block_on(crate::testing::commit(committer.as_ref(), committables.clone())).unwrap();
        assert_eq!(fixture.keys().len(), 1, "the marker is gone: {:?}", fixture.keys());
        let read = fixture.read();
        assert_eq!(read.num_rows(), 12_000);
        assert_eq!(read.column(0).as_primitive::<Int64Type>().values()[11_999], 11_999);
        assert_eq!(read, rows(0..12_000));
        fixture
            .io
            .block_on(crate::testing::commit(committer.as_ref(), committables))
            .expect("committing twice is committing once");
        assert_eq!(fixture.keys().len(), 1);
    }
}

#[test]
fn an_abort_gives_up_the_uploads_of_ended_attempts_alone() {
    let fixture = Fixture::new("json");
    let lost = fixture.write(1, vec![rows(0..10)]);
    let kept = fixture.write(3, vec![rows(10..20)]);
    assert_eq!(fixture.keys().len(), 2);
    let committer = fixture.committer();
    let job = JobId::from_bytes([7; 16]);
    for _ in 0..2 {
        fixture.io.block_on(committer.abort(job, Attempt(2))).unwrap();
        fixture.io.block_on(committer.abort(JobId::from_bytes([8; 16]), Attempt(9))).unwrap();
    }
    assert_eq!(fixture.keys().len(), 1);
    let error = fixture
        .io
        .block_on(crate::testing::commit(committer.as_ref(), lost))
        .expect_err("what was prepared is lost");
    assert_eq!(error.code(), Code::Io);
    fixture.io.block_on(crate::testing::commit(committer.as_ref(), kept)).unwrap();
    assert_eq!(fixture.read(), rows(10..20));
}

#[test]
fn an_object_that_was_replaced_or_is_gone_isnt_read_on() {
    for format in ["json", "parquet"] {
        let fixture = Fixture::new(format);
        let write = |attempt, rows| {
            let committables = fixture.write(attempt, rows);
            let committer = fixture.committer();
            fixture.io.block_on(crate::testing::commit(committer.as_ref(), committables)).unwrap();
        };
        write(1, vec![rows(0..100)]);
        let source = FileSystem::new(fixture.file_systems.clone()).source(&fixture.spec()).unwrap();
        let splits = fixture.io.block_on(source.discover(1)).unwrap();
        let read = |splits| {
            read_with(source.as_ref(), reader_context(schema(), fixture.io.handle().clone()), splits)
        };
        assert_eq!(read(splits.clone()).unwrap().num_rows(), 100);
        let Location::Object(root) = fixture.file_systems.resolve("memory://bucket/out").unwrap() else {
            panic!("a bucket")
        };
        let [key] = fixture.keys().try_into().unwrap();
        let key = Key::parse(&key).unwrap();
        let old = fixture
            .io
            .block_on(async { root.bucket.objects.get(&key).await.unwrap().bytes().await.unwrap() });
        // The same bytes again: who knows what they are.
        fixture.io.block_on(root.bucket.objects.put(&key, old.into())).unwrap();
        let error = read(splits.clone()).expect_err("replaced");
        assert_eq!(error.code(), Code::RecordsLost, "{}", error.chain());
        let text = error.chain();
        assert!(text.contains(key.as_ref()) && text.contains("byte") && text.contains("replaced"), "{text}");
        fixture.io.block_on(root.bucket.objects.delete(&key)).unwrap();
        let error = read(splits).expect_err("gone");
        assert_eq!(error.code(), Code::RecordsLost, "{}", error.chain());
    }
}
