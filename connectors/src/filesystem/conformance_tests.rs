//! The sink stands what every exactly-once sink has to: all formats, in folders and in object stores.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use futures::TryStreamExt;
use tokio::runtime::Handle;
use weir_api::Batch;
use weir_api::config::Configuration;
use weir_api::connector::Connector;
use weir_api::error::Result;
use weir_api::sink::Sink;
use weir_api::storage::object_store::{ObjectStore, ObjectStoreExt};
use weir_api::storage::{FileSystems, Location};
use weir_proto::v1::TableSpec;

use super::FileSystem;
use super::split::FileSplit;
use crate::conformance::{self, Subject};
use crate::testing::{read_with, reader_context, runtime, table};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("part", DataType::Utf8, true),
    ]))
}

struct Files {
    io: Handle,
    file_systems: FileSystems,
    spec: TableSpec,
    root: String,
    /// Removed with the subject.
    _folder: Option<tempfile::TempDir>,
}

impl Files {
    fn new(io: &Handle, format: &str, is_local: bool, number: usize) -> Self {
        let (configuration, _) = Configuration::from_pairs([("s3.upload.min.part.size", "5mb")]).unwrap();
        let folder = is_local.then(|| tempfile::tempdir().unwrap());
        let root = match &folder {
            Some(folder) => folder.path().join("out").to_str().unwrap().to_owned(),
            None => format!("memory://bucket/out-{number}"),
        };
        let mut spec = table("filesystem", &schema(), &[("path", &root), ("format", format)]);
        if number % 2 == 1 {
            spec.partition_keys = vec!["part".to_owned()];
            let policy = ("sink.partition-commit.policy.kind".to_owned(), "success-file".to_owned());
            spec.options.extend([policy]);
        }
        let file_systems = FileSystems::new(&configuration).with_memory();
        Self { io: io.clone(), file_systems, spec, root, _folder: folder }
    }

    fn connector(&self) -> FileSystem {
        FileSystem::new(self.file_systems.clone())
    }

    fn local_leftovers(path: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(path).into_iter().flatten() {
            let path: PathBuf = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with('.') {
                found.push(path.display().to_string());
            } else if path.is_dir() {
                Self::local_leftovers(&path, found);
            }
        }
    }
}

impl Subject for Files {
    fn sink(&self) -> Result<Arc<dyn Sink>> {
        self.connector().sink(&self.spec)
    }

    fn batch(&self, numbers: Range<i64>) -> Batch {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers.clone()));
        let parts: ArrayRef =
            Arc::new(StringArray::from_iter_values(numbers.map(|number| format!("p{}", number % 3))));
        Batch::new(RecordBatch::try_new(schema(), vec![ids, parts]).unwrap())
    }

    fn visible(&self) -> Result<Vec<i64>> {
        if let Location::Local(path) = self.file_systems.resolve(&self.root)?
            && !path.exists()
        {
            return Ok(Vec::new());
        }
        let source = self.connector().source(&self.spec)?;
        let splits = self.io.block_on(source.discover(1))?;
        let read = read_with(source.as_ref(), reader_context(schema(), self.io.clone()), splits)?;
        Ok(read.column(0).as_primitive::<Int64Type>().values().to_vec())
    }

    fn take_away(&self) -> Result<bool> {
        let source = self.connector().source(&self.spec)?;
        for split in self.io.block_on(source.discover(1))? {
            match self.file_systems.resolve(&FileSplit::of(&split)?.file.path)? {
                Location::Local(path) => match std::fs::remove_file(path) {
                    // A file of several splits.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    removed => removed?,
                },
                Location::Object(at) => self.io.block_on(at.bucket.objects.delete(&at.key)).unwrap(),
            }
        }
        Ok(true)
    }

    fn leftovers(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        match self.file_systems.resolve(&self.root)? {
            Location::Local(path) => Self::local_leftovers(&path, &mut found),
            Location::Object(root) => {
                let all: Vec<_> =
                    self.io.block_on(root.bucket.objects.list(Some(&root.key)).try_collect()).unwrap();
                let keys = all.into_iter().map(|meta| meta.location.to_string());
                found.extend(keys.filter(|key| key.contains("/.")));
            }
        }
        // What was committed is noted for as long as a snapshot may be restored.
        found.retain(|path| !path.ends_with(".committed"));
        Ok(found)
    }
}

fn stands_every_scenario(format: &str, is_local: bool) {
    let io = runtime();
    let make = |number| Ok(Box::new(Files::new(io.handle(), format, is_local, number)) as Box<dyn Subject>);
    if let Err(problem) = conformance::run(io.handle(), &make) {
        panic!("{problem}");
    }
}

#[test]
fn json_in_a_folder() {
    stands_every_scenario("json", true);
}

#[test]
fn json_in_an_object_store() {
    stands_every_scenario("json", false);
}

#[test]
fn csv_in_a_folder() {
    stands_every_scenario("csv", true);
}

#[test]
fn csv_in_an_object_store() {
    stands_every_scenario("csv", false);
}

#[test]
fn parquet_in_a_folder() {
    stands_every_scenario("parquet", true);
}

#[test]
fn parquet_in_an_object_store() {
    stands_every_scenario("parquet", false);
}
