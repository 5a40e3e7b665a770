//! Files in a real object store: the sink stands what every exactly-once sink has to, and what was replaced isn't read on.

use std::future::poll_fn;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tokio::runtime::{Handle, Runtime};
use weir_api::Batch;
use weir_api::clock::Clock;
use weir_api::config::Configuration;
use weir_api::connector::ConnectorRegistry;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::sink::Sink;
use weir_api::source::{ReaderContext, SourceEvent};
use weir_connectors::conformance::{self, Subject};
use weir_proto::v1::{Split, TableSpec};

use crate::servers::S3;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("part", DataType::Utf8, true),
    ]))
}

fn registry(s3: &S3) -> ConnectorRegistry {
    let options = s3.options();
    let pairs = options.iter().filter_map(|option| option.split_once('='));
    weir_connectors::registry(&Configuration::from_pairs(pairs).expect("the gateway's options").0)
}

fn table(path: &str) -> TableSpec {
    let options = [("connector", "filesystem"), ("format", "json"), ("path", path)];
    TableSpec {
        name: "files".to_owned(),
        connector: "filesystem".to_owned(),
        options: options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        schema: weir_api::schema::encode(&schema()),
        ..TableSpec::default()
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A prefix of the bucket, seen from outside as the folder behind it.
struct Prefix {
    registry: ConnectorRegistry,
    spec: TableSpec,
    folder: PathBuf,
}

impl Prefix {
    fn new(number: usize) -> Self {
        let s3 = S3::shared();
        let (url, folder) = s3.fresh("conformance");
        let mut spec = table(&url);
        if number % 2 == 1 {
            spec.partition_keys = vec!["part".to_owned()];
        }
        Self { registry: registry(s3), spec, folder }
    }

    /// All objects, those whose keys are hidden or those that aren't.
    fn objects(&self, hidden: bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        visit(&self.folder, &mut found);
        let is_hidden = |path: &Path| {
            let below = path.strip_prefix(&self.folder).expect("it is below");
            below.iter().any(|name| name.to_str().is_some_and(|name| name.starts_with('.')))
        };
        found.retain(|path| is_hidden(path) == hidden);
        found
    }
}

fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { visit(&path, found) } else { found.push(path) }
    }
}

impl Subject for Prefix {
    fn sink(&self) -> Result<Arc<dyn Sink>> {
        self.registry.sink(&self.spec)
    }

    fn batch(&self, numbers: Range<i64>) -> Batch {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers.clone()));
        let parts = numbers.map(|number| format!("p{}", number % 3));
        let parts: ArrayRef = Arc::new(StringArray::from_iter_values(parts));
        Batch::new(RecordBatch::try_new(schema(), vec![ids, parts]).expect("the columns of the schema"))
    }

    fn visible(&self) -> Result<Vec<i64>> {
        let mut ids = Vec::new();
        for path in self.objects(false) {
            for line in std::fs::read_to_string(path)?.lines() {
                let record: serde_json::Value = serde_json::from_str(line).expect("whole lines");
                ids.push(record["id"].as_i64().expect("an id"));
            }
        }
        Ok(ids)
    }

    fn take_away(&self) -> Result<bool> {
        self.objects(false).into_iter().try_for_each(std::fs::remove_file)?;
        Ok(true)
    }

    fn leftovers(&self) -> Result<Vec<String>> {
        let paths = self.objects(true).into_iter().map(|path| path.display().to_string());
        Ok(paths.filter(|path| !path.ends_with(".committed")).collect())
    }
}

#[test]
fn files_in_a_real_bucket_stand_every_scenario() {
    let io = runtime();
    let make = |number| Ok(Box::new(Prefix::new(number)) as Box<dyn Subject>);
    if let Err(problem) = conformance::run(io.handle(), &make) {
        panic!("{problem}");
    }
}

struct Still;

impl Clock for Still {
    fn unix_millis(&self) -> i64 {
        0
    }

    fn monotonic_millis(&self) -> u64 {
        0
    }
}

/// How many rows one reader gives.
fn read(registry: &ConnectorRegistry, spec: &TableSpec, splits: Vec<Split>, io: &Handle) -> Result<usize> {
    let context = ReaderContext {
        projected_schema: schema(),
        filters: Vec::new(),
        subtask: 0,
        parallelism: 1,
        read_ahead_bytes: 1 << 20,
        io: io.clone(),
        clock: Arc::new(Still),
        metrics: Arc::new(OperatorMetrics::default()),
    };
    let mut reader = registry.source(spec)?.reader(context, splits)?;
    let slot = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    slot.block_on(async {
        let mut rows = 0;
        while let Some(event) = poll_fn(|context| reader.poll_next(context)).await {
            if let SourceEvent::Records { records, .. } = event? {
                rows += records.num_rows();
            }
        }
        Ok(rows)
    })
}

#[test]
fn an_object_that_was_replaced_isnt_read_on() {
    let (s3, io) = (S3::shared(), runtime());
    let (url, folder) = s3.fresh("replaced");
    let (registry, spec) = (registry(s3), table(&url));
    let write = |text: &str| {
        std::fs::create_dir_all(&folder).expect("the folder is writable");
        let options = s3.options();
        let pairs = options.iter().filter_map(|option| option.split_once('='));
        let configuration = Configuration::from_pairs(pairs).expect("the gateway's options").0;
        let (store, key) = weir_api::storage::FileSystems::new(&configuration)
            .store(&format!("{url}/a.json"))
            .expect("a path in the bucket");
        let put = async move {
            object_store::ObjectStoreExt::put(store.as_ref(), &key, text.to_owned().into()).await
        };
        io.block_on(put).expect("the gateway takes it");
    };
    write("{\"id\":1}\n{\"id\":2}\n");
    let source = registry.source(&spec).expect("a source");
    let splits = io.block_on(source.discover(1)).expect("one file");
    assert_eq!(read(&registry, &spec, splits.clone(), io.handle()).expect("it is read"), 2);
    write("{\"id\":1}\n{\"id\":3}\n");
    let error: Error =
        read(&registry, &spec, splits, io.handle()).expect_err("another object of the same length");
    assert_eq!(error.code(), Code::RecordsLost, "{}", error.chain());
    let splits = io.block_on(source.discover(1)).expect("one file");
    assert_eq!(read(&registry, &spec, splits, io.handle()).expect("the new one is read"), 2);
}
